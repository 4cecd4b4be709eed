"""The collector: it waits for peers that are out of reach, and for nothing that can't come. No Ray, no real time."""

from __future__ import annotations

from typing import Any

import pytest
from fake_ray import DEAD, UNREACHABLE, FakeActor, FakeRay, failed
from ray.exceptions import ActorDiedError

from minibit import inventory
from minibit.actors.driver import calls, collector
from minibit.actors.driver.collector import AWAY_S, STALL_S, VERIFY_S, Collector
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.head import ClusterHead
from minibit.actors.peer import Drained
from minibit.content import VirtualContent
from minibit.events import TRACKER
from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, encode
from minibit.run.ledger import Ledger
from minibit.run.options import Options
from minibit.run.summary import Summary
from minibit.seat import Seat

BLOCKS = 4
SILENCE = [UNREACHABLE]


class Swarm:
    """A collector over actors that answer as told, from second 0 on; `ana` and `bia` are its peers."""

    def __init__(self, world: FakeRay, **peers: dict[str, list[Any]]) -> None:
        self.world = world
        self.ledger = Ledger("tuesday", Options.build(peers=len(peers)), VirtualContent("film", 400, 100))
        self.ledger.started_at = world.now
        self.actors = {TRACKER: FakeActor(drain=[news()])}
        self.ledger.open(Seat(name=TRACKER, seeds=True), inventory.full(BLOCKS))
        for name, answers in peers.items():
            self.actors[name] = FakeActor(**{"drain": [news()], "verify": [True], **answers})
            self.ledger.open(Seat(name=name), 0)
        turn: Any = FakeTurn(world)
        actors: Any = self.actors
        self.collector = Collector(actors, self.ledger, turn)

    def wait(self, timeout_s: float | None = None) -> Summary:
        """As `OwnSwarm.wait`."""
        why, timed_out = self.collector.until_over(timeout_s, None)
        now = self.world.now
        self.collector.verify()
        books = {"nodes": 1, "spawn_s": 0.0, "verify_s": 0.0, "total_s": now}
        return self.ledger.summary(**books, now=now, why=why, timed_out=timed_out)

    def left_at(self, name: str, event: str) -> list[str]:
        return [record.peer for record in self.ledger.noted if isinstance(record, PeerRecord) and record.event == event]


class FakeHead(ClusterHead):
    """A head that is given up after 45 s."""

    until_s = 45
    left_s = 15.0

    def __init__(self, world: FakeRay) -> None:
        super().__init__()
        self.world = world

    def gone(self, early: float = 0.0) -> str:
        return "the head is lost" if early != collector.LAST and self.world.now > self.until_s else ""


class FakeTurn:
    """The turn of one thread."""

    def __init__(self, world: FakeRay) -> None:
        self.wait = world.sleep

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def news(*records: Record) -> Drained:
    return Drained(encode(list(records)), {}, actor_calls=0, lost=0)


def complete(name: str, at_s: float = 1.0) -> Drained:
    """The news of a peer that has got everything."""
    blocks = [BlockRecord(at_s, name, block, TRACKER, at_s, "useful", 100) for block in range(BLOCKS)]
    return news(*blocks, PeerRecord(at_s, name, "completed"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    made = FakeRay()
    for room in (calls, collector):
        monkeypatch.setattr(room, "time", made)
    monkeypatch.setattr(calls, "ray", made)
    monkeypatch.setattr(CONNECTION, "head", ClusterHead())
    return made


def test_it_looks_again_once_the_rest_should_have_come(world, monkeypatch):
    def arrived(blocks: int) -> Drained:
        got = [BlockRecord(world.now, "ana", block, TRACKER, 1.0, "useful", 100) for block in range(blocks)]
        return news(*got, SampleRecord(world.now, "ana", blocks, 0, 0, 0, 0, 100 * blocks, 0))

    monkeypatch.setattr(Collector, "every_s", 8.0)
    looks: list[float] = []
    swarm = Swarm(world, ana={"drain": [lambda *_: looks.append(world.now) or answers.pop(0)]})
    answers = [news(), arrived(3), complete("ana"), news()]
    swarm.wait()
    assert looks[:3] == pytest.approx([0.0, 8.0, 8.0 + 8.0 / 3], abs=0.1)  # three blocks took the first 8 s


@pytest.mark.parametrize("away_s", [20, 60, 250])
def test_a_peer_that_is_out_of_reach_and_comes_back_completes_and_is_no_failure(world, away_s):
    away = lambda *_: UNREACHABLE if world.now < away_s else complete("bia")  # noqa: E731
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()]}, bia={"drain": [away]})
    summary = swarm.wait()
    assert (summary.completed, summary.verified, summary.failed, summary.exit_code) == (2, 2, [], 0)
    assert swarm.left_at("bia", "died") == []
    assert world.now == pytest.approx(away_s, abs=3)


def test_a_call_that_was_lost_with_the_network_brings_its_batch_later(world):
    late = world.later(70, complete("bia"))
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()]}, bia={"drain": [late, news()]})
    assert swarm.wait().exit_code == 0
    assert [args for _, args in swarm.actors["bia"].calls if args] == [(0,), (1,)], "each batch was asked for once"


def test_a_peer_that_stays_out_of_reach_is_given_up_in_the_end_and_said_to_have_been_silent(world):
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()]}, bia={"drain": SILENCE})
    summary = swarm.wait()
    (failure,) = summary.failed
    assert failure.why == "nothing moved for 120 s, it gave no answer"
    assert AWAY_S < world.now < AWAY_S + STALL_S + 30
    assert (summary.completed, summary.exit_code, swarm.left_at("bia", "died")) == (1, 4, [])


def test_the_time_limit_is_kept_also_while_a_peer_is_out_of_reach(world):
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()]}, bia={"drain": [None]})
    summary = swarm.wait(timeout_s=30)
    assert summary.timed_out
    assert [failure.peer for failure in summary.failed] == ["bia"]
    assert summary.failed[0].why == "the time limit of 30 s came first, it gave no answer"
    assert world.now < 30 + 1 + collector.ANSWER_S + collector.DRAIN_S


def test_a_peer_that_was_named_as_silent_is_whole_when_it_is_waited_for_again(world):
    away = lambda *_: UNREACHABLE if world.now < 400 else complete("bia")  # noqa: E731
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()]}, bia={"drain": [away]})
    assert [failure.peer for failure in swarm.wait(timeout_s=30).failed] == ["bia"]
    world.sleep(300)
    summary = swarm.wait(timeout_s=1000)
    assert (summary.completed, summary.verified, summary.failed, summary.exit_code) == (2, 2, [], 0)


def test_a_peer_whose_node_ray_gave_up_died_with_its_machine(world):
    died = ActorDiedError()
    died.error_msg = "The actor died because its node has died. Node Id: 1, the actor's node was terminated"
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()]}, bia={"drain": [UNREACHABLE, died]})
    assert [failure.why for failure in swarm.wait().failed] == ["died with its machine"]


def test_a_dead_peer_is_noted_once_and_the_tracker_hears_of_it(world):
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()]}, bia={"drain": [news(), DEAD]})
    summary = swarm.wait()
    assert [(failure.peer, failure.why) for failure in summary.failed] == [("bia", "died")]
    assert swarm.left_at("bia", "died") == ["bia"]
    assert [args[0] for method, args in swarm.actors[TRACKER].calls if method == "desligamento"] == ["bia"]


def test_a_copy_is_verified_as_soon_as_its_peer_can_be_reached_again(world):
    later = lambda *_: UNREACHABLE if world.now < 200 else True  # noqa: E731
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()], "verify": [later]})
    summary = swarm.wait()
    assert (summary.verified, summary.exit_code) == (1, 0)
    assert 200 <= world.now < 203


@pytest.mark.parametrize(
    ("verify", "why"),
    [
        (SILENCE, f"it was complete, and gave no answer within {VERIFY_S:.0f} s to verify its copy"),
        ([failed(OSError("bad sector"))], "its finished copy could not be read back: bad sector"),
        ([DEAD], "died before its copy could be verified"),
    ],
)
def test_a_copy_that_could_not_be_verified_is_no_copy_and_no_wrong_one(world, verify, why):
    swarm = Swarm(
        world,
        ana={"drain": [complete("ana"), news()]},
        bia={"drain": [complete("bia"), news()], "verify": verify},
    )
    summary = swarm.wait()
    assert [(failure.peer, failure.why) for failure in summary.failed] == [("bia", why)]
    assert (summary.completed, summary.verified, summary.exit_code) == (1, 1, 4)


def test_a_peer_that_completes_while_copies_are_verified_is_not_taken_for_one_with_a_wrong_copy(world):
    def last_moment(number: int) -> Drained:
        return complete("bia") if verifying else news()

    verifying: list[bool] = []
    check = lambda: verifying.append(True) or True  # noqa: E731
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()], "verify": [check]}, bia={"drain": [last_moment]})
    summary = swarm.wait(timeout_s=5)
    assert verifying == [True]
    assert (summary.completed, summary.verified, summary.exit_code) == (1, 1, 5)
    assert [failure.peer for failure in summary.failed] == ["bia"]


def test_news_that_come_with_the_last_collection_are_verified_too(world):
    answers = iter([news(), complete("bia")])
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()]}, bia={"drain": [lambda _: next(answers, news())]})
    assert swarm.wait(timeout_s=0).verified == 2


def test_when_nothing_moves_the_reason_says_what_the_peers_in_reach_say(world, monkeypatch):
    monkeypatch.setattr(collector, "causes", lambda states: f"{', '.join(states)} could not reach bia")
    ana = {"snapshot": ["ana"]}
    swarm = Swarm(world, ana=ana, bia={"drain": [complete("bia"), news()]})
    swarm.actors[TRACKER].answers["snapshot"] = ["tracker"]
    told = "tracker, ana could not reach bia"
    assert [failure.why for failure in swarm.wait().failed] == [f"nothing moved for 120 s: {told}"]
    slow = lambda *_: world.later(0.05, news())  # noqa: E731  not in time for the last look, which takes none
    swarm = Swarm(world, ana={**ana, "drain": [slow]}, bia={"drain": SILENCE})
    swarm.actors[TRACKER].answers["snapshot"] = ["tracker"]
    assert [failure.why for failure in swarm.wait(timeout_s=60).failed] == [
        f"the time limit of 60 s came first: {told}",
        f"the time limit of 60 s came first: {told}, it gave no answer",
    ]


def test_a_swarm_that_lost_the_head_of_its_cluster_ends_with_what_it_has_and_says_so(world, monkeypatch):
    lost = FakeHead(world)
    monkeypatch.setattr(CONNECTION, "head", lost)
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()]}, bia={"drain": [news()]})
    summary = swarm.wait()
    assert [(one.peer, one.why) for one in summary.failed] == [("bia", "the head is lost")]
    assert (summary.completed, summary.verified, summary.exit_code) == (1, 1, 4)
    assert world.now == pytest.approx(lost.until_s, abs=1)


def test_copies_are_verified_no_longer_than_ray_lets_us_without_the_head(world, monkeypatch):
    monkeypatch.setattr(CONNECTION, "head", FakeHead(world))
    swarm = Swarm(world, ana={"drain": [complete("ana"), news()], "verify": [None]}, bia={"drain": [news()]})
    assert swarm.wait().verified == 0
    assert world.now < FakeHead.until_s + FakeHead.left_s

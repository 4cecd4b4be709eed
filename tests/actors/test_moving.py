"""The transfer of a push: what it decides when something dies, comes, fills up or ends. No Ray, no real time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from fake_ray import DEAD, UNREACHABLE, FakeActor, FakeRay, Ref, failed
from ray.exceptions import ActorAlreadyExistsError, ActorDiedError

from minibit import inventory
from minibit.actors.disk.survey import DestSurvey, NodeSurvey, versions
from minibit.actors.driver import calls, cluster, crew, late, members, moving, preflight, spawn
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.moving import Moving
from minibit.actors.driver.plan import Plan
from minibit.actors.driver.preflight import Surveyed
from minibit.actors.peer import MemberStanding, Opened, PeerActor
from minibit.content import VirtualContent
from minibit.delivery.nodes import NodeRow
from minibit.delivery.order import Order
from minibit.delivery.progress import PushProgress
from minibit.delivery.result import PushResult
from minibit.delivery.seats import SOURCE
from minibit.errors import ClusterError, DiskFullError, IntegrityError, LocalError, MinibitError, SourceError
from minibit.events import TRACKER
from minibit.messages import PeerAddress

BLOCKS = 4
FULL = inventory.full(BLOCKS)
A, B, C, LATE = (NodeRow(str(digit) * 56, f"10.0.0.{digit}") for digit in (1, 2, 3, 4))
OPENED = Opened(PeerAddress("it", "10.0.0.1", 24000), "machine", 0)
WHOLE = MemberStanding(held=FULL, opened=True, had=True, finished=True, sent_bytes=800)
HALF = MemberStanding(held=0b11, opened=True, received_bytes=200)
DONE = MemberStanding(held=FULL, opened=True, finished=True, received_bytes=400)


def gone(text: str) -> ActorDiedError:
    """What Ray raises of a dead actor, with these words."""
    error = ActorDiedError()
    error.error_msg = text
    return error


NODE_DEAD = gone("The actor died because its node has died.")


class World(FakeRay):
    """A cluster whose nodes come and go at given times, and whose actors are started from lists, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.lives: list[tuple[NodeRow, float, float]] = []
        for row in (A, B, C):
            self.live(row)
        self.actors: dict[str, list[Any]] = {}
        self.started: list[tuple[float, str, str]] = []
        self.killed: list[FakeActor] = []
        self.taken: set[str] = set()
        self.given: dict[str, tuple[Any, ...]] = {}  # what the last actor of a name was started with
        self.surveys: list[list[str]] = []  # the hosts that were asked together
        self.dests: dict[str, dict[str, Any]] = {}  # what lies there, by host; others have nothing
        self.shares: tuple[NodeRow, ...] = ()  # nodes with one file system
        self.silent: dict[str, int] = {}  # how often a host gives no answer

    def live(self, row: NodeRow, begin: float = 0.0, end: float = 1e9) -> None:
        """A node is alive from the one time to the other."""
        self.lives = [life for life in self.lives if life[0] != row] + [(row, begin, end)]

    def surveyed(self, nodes: list[ClusterNode], dest: str, **_: Any) -> Surveyed:
        self.surveys.append([node.host for node in nodes])
        shares = tuple(row.node_id for row in self.shares)
        found, lost = {}, {}
        for node in nodes:
            if self.silent.get(node.host):
                self.silent[node.host] -= 1
                lost[node] = "it gave no answer"
                continue
            there = {"path": dest, "state": "absent", "free_bytes": 1 << 30, **self.dests.get(node.host, {})}
            found[node] = NodeSurvey(
                versions=versions(),
                system="",
                python="",
                open_files=(1024, 1024),
                dest=DestSurvey(**there),
                shares_with=shares if node.node_id in shares else (node.node_id,),
            )
        return Surveyed(found, lost)

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                **{"NodeID": row.node_id, "NodeManagerAddress": row.host, "Labels": {}, "NodeManagerHostname": ""},
                "Alive": begin <= self.now < end,
            }
            for row, begin, end in self.lives
        ]

    def put(self, value: Any) -> Any:
        return value

    def kill(self, actor: FakeActor) -> None:
        self.killed.append(actor)

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: A.node_id)

    # what `ray.remote` makes of a class

    def options(self, *, name: str, scheduling_strategy: Any, **_: Any) -> Any:
        name = name.split(":", 2)[2]

        def remote(*args: Any) -> FakeActor:
            self.given[name] = args
            if name in self.taken:
                raise ActorAlreadyExistsError(name)
            self.started.append((round(self.now, 1), name, scheduling_strategy.node_id))
            given = self.actors.get(name, [])
            return given.pop(0) if given else self.peer(name)

        return SimpleNamespace(remote=remote)

    def peer(self, name: str, **answers: Any) -> FakeActor:
        """A member that does as it should: the source is whole, the tracker is there, another one is done after 2 s."""
        if name == TRACKER:
            return FakeActor(standing=[MemberStanding()])
        if name == SOURCE:
            return FakeActor(**{"open": [OPENED], "standing": [WHOLE], "deliver": [WHOLE], **answers})
        done = {"deliver": [lambda: self.later(2.0, DONE)], "standing": [self.until(1.5, HALF, DONE)]}
        return FakeActor(**{"open": [OPENED], **done, **answers})

    def until(self, seconds: float, before: Any, after: Any) -> Callable[[], Any]:
        """An answer that is another one after so many seconds from its first."""
        first: list[float] = []

        def answer(*_: Any) -> Any:
            first.append(self.now)
            return before if self.now < first[0] + seconds else after

        return answer


class Pause:
    """An event of `threading` on which waiting takes no time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_over = False

    def is_set(self) -> bool:
        return self.is_over

    def set(self) -> None:
        self.is_over = True

    def wait(self, timeout: float) -> None:
        self.world.sleep(timeout)


def at_once(what: Callable[[], Any]) -> Future[Any]:
    answer: Future[Any] = Future()
    try:
        answer.set_result(what())
    except MinibitError as error:
        answer.set_exception(error)
    return answer


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for room in (calls, spawn, crew, cluster, moving):
        monkeypatch.setattr(room, "ray", made)
    for room in (calls, spawn, moving):
        monkeypatch.setattr(room, "time", made)
    monkeypatch.setattr(spawn, "REMOTE", dict.fromkeys(spawn.REMOTE, made))
    monkeypatch.setattr(moving, "begun", at_once)
    monkeypatch.setattr(late, "begun", at_once)
    monkeypatch.setattr(preflight, "survey_nodes", made.surveyed)
    monkeypatch.setattr(moving, "Gauges", lambda name: SimpleNamespace(show=lambda seen, blocks: None))
    monkeypatch.setattr(moving, "threading", SimpleNamespace(Event=lambda: Pause(made)))
    return made


def transfer(world: World, tell: Callable[[PushProgress], object] = lambda seen: None, **given: Any) -> Moving:
    """The transfer to nodes 10.0.0.2 and 10.0.0.3, from a source on 10.0.0.1."""
    order = {name: given.pop(name) for name in list(given) if name in Order.__struct_fields__ and name != "nodes"}
    plan = {"nodes": (B, C), "source_node": A, "source": "/film", "name": "tuesday", **given}
    return Moving(Plan(order=Order(dest="/data/film", **order), manifest=film(), **plan), tell)


def film() -> Any:
    """What is pushed: four blocks of no file."""
    content: Any = VirtualContent("film", 400, 100)
    content.files = content.folders = content.twins = content.links = content.bytes_digest = ""
    return content


def push(world: World, **given: Any) -> PushResult:
    return transfer(world, **given).run()


def told(result: PushResult) -> dict[str, tuple[str, str]]:
    return {node.host: (node.status, node.why) for node in result.nodes}


def calls_of(actor: FakeActor) -> list[str]:
    return [method for method, _ in actor.calls if method != "standing"]


def test_each_node_gets_a_copy_from_the_source_and_nothing_stays_but_the_copies(world):
    result = push(world)
    assert told(result) == {B.host: ("done", ""), C.host: ("done", "")}
    assert (result.exit_code, result.bytes.moved, result.bytes.seed_sent) == (0, 800, 800)
    assert [(name, node) for _, name, node in world.started] == [
        (TRACKER, A.node_id),
        (B.host, B.node_id),
        (C.host, C.node_id),
        (SOURCE, A.node_id),
    ]
    assert len(world.killed) == 4


def test_members_that_are_ready_begin_together_unless_one_takes_long(world):
    world.actors[B.host] = [slow := world.peer(B.host, open=[lambda: world.later(5.0, OPENED)])]
    world.actors[C.host] = [quick := world.peer(C.host)]
    assert push(world).exit_code == 0
    assert calls_of(slow)[:2] == calls_of(quick)[:2] == ["open", "deliver"]
    assert world.now > 7


def test_a_node_that_has_the_copy_had_it_and_shares_it(world):
    world.actors[B.host] = [
        world.peer(B.host, open=[msgspec.structs.replace(OPENED, held=FULL)], standing=[WHOLE], deliver=[WHOLE])
    ]
    result = push(world)
    assert told(result) == {B.host: ("had", ""), C.host: ("done", "")}
    assert result.bytes.had == 400


def test_a_partial_copy_of_an_earlier_push_is_resumed(world):
    before = MemberStanding(held=0b1, opened=True, resumed=True)
    world.actors[B.host] = [
        world.peer(B.host, standing=[world.until(2.0, before, DONE)], deliver=[lambda: world.later(2.0, DONE)])
    ]
    assert told(push(world))[B.host] == ("resumed", "")


def test_when_all_nodes_are_known_to_have_it_nothing_is_started(world):
    result = push(world, had=frozenset({B.node_id, C.node_id}))
    assert told(result) == {B.host: ("had", ""), C.host: ("had", "")}
    assert (world.started, result.bytes.had, result.bytes.moved) == ([], 800, 0)


def test_a_peer_that_dies_is_started_again_on_its_node(world):
    dying = world.peer(B.host, deliver=[lambda: world.later(1.0, DEAD)])
    world.actors[B.host] = [dying]
    result = push(world)
    assert told(result)[B.host] == ("done", "")
    assert [node for _, name, node in world.started if name == B.host] == [B.node_id] * 2
    assert next(node.bytes_moved for node in result.nodes if node.host == B.host) == 600  # what the first one got, too


def test_a_peer_that_dies_again_and_again_fails_and_the_others_go_on(world):
    world.actors[B.host] = [world.peer(B.host, deliver=[lambda: world.later(0.5, DEAD)]) for _ in range(9)]
    result = push(world)
    assert told(result)[C.host] == ("done", "")
    assert told(result)[B.host][1].startswith(f"its process died {members.STARTS_MOST} times: ")
    assert (result.exit_code, len([name for _, name, _ in world.started if name == B.host])) == (4, 4)


def test_a_dead_node_fails_with_its_address(world):
    world.live(B, 0, 1.0)
    world.actors[B.host] = [world.peer(B.host, deliver=[lambda: world.later(1.0, NODE_DEAD)])]
    result = push(world)
    assert told(result) == {B.host: ("failed", members.NODE_GONE), C.host: ("done", "")}
    assert result.exit_code == 4


def test_a_node_that_is_back_goes_on_with_what_it_has(world):
    back = NodeRow("9" * 56, B.host)
    world.live(B, 0, 1.0)
    world.live(back, 1.5)
    resumed = MemberStanding(held=0b11, opened=True, resumed=True)
    world.actors[B.host] = [
        world.peer(B.host, deliver=[lambda: world.later(1.0, NODE_DEAD)]),
        world.peer(B.host, standing=[resumed]),
    ]
    world.actors[C.host] = [world.peer(C.host, deliver=[lambda: world.later(5.0, DONE)])]
    result = push(world)
    assert told(result)[B.host] == ("resumed", "")
    assert [node.node_id for node in result.nodes] == [back.node_id, C.node_id]


def test_a_full_disk_fails_its_node_only(world):
    full = failed(DiskFullError("no room is left for /data/film.minibit-partial"))
    world.actors[B.host] = [world.peer(B.host, deliver=[lambda: world.later(1.0, full)])]
    result = push(world)
    assert told(result) == {B.host: ("failed", str(full.cause)), C.host: ("done", "")}


def test_a_node_without_minibit_is_not_tried_again_and_told_what_to_do(world):
    bare = gone("Traceback\nModuleNotFoundError: No module named 'minibit'")
    world.actors[B.host] = [FakeActor(open=[bare], standing=[bare])]
    assert told(push(world))[B.host] == ("failed", f"there is no Minibit: {spawn.ADVICE}")
    assert [name for _, name, _ in world.started].count(B.host) == 1


def test_a_node_that_joins_meanwhile_gets_a_copy(world):
    world.live(LATE, 1.0, 1e9)
    assert told(push(world))[LATE.host] == ("done", "")


def test_a_node_that_joins_meanwhile_is_surveyed_and_has_no_copy_if_it_can_have_none(world):
    world.live(LATE, 1.0, 1e9)
    world.dests[LATE.host] = {"state": "other", "content_bytes": 7}
    result = push(world)
    assert told(result)[LATE.host] == (
        "failed", "/data/film is there already and is other content: move it away, or let it be replaced"
    )  # fmt: skip
    assert world.surveys == [[LATE.host]]
    assert LATE.host not in [name for _, name, _ in world.started]


@pytest.mark.parametrize("trace", [{"busy": True}, {"partial_bytes": 100}])
def test_a_node_that_joins_meanwhile_does_not_write_where_another_one_does(world, trace):
    world.live(LATE, 1.0, 1e9)
    world.dests[LATE.host] = trace
    world.shares = (C, LATE)
    assert told(push(world))[LATE.host] == ("skipped", f"{C.host} writes it to the same file system")
    assert world.surveys == [[LATE.host], [B.host, C.host, LATE.host]]


def test_a_partial_copy_of_its_own_does_not_keep_a_node_that_joins_meanwhile_from_its_copy(world):
    world.live(LATE, 1.0, 1e9)
    world.dests[LATE.host] = {"busy": True, "partial_bytes": 100}
    assert told(push(world))[LATE.host] == ("done", "")


def test_of_nodes_that_join_together_and_share_a_file_system_one_writes(world):
    later = NodeRow("5" * 56, "10.0.0.5")
    for row in (LATE, later):
        world.live(row, 1.0, 1e9)
    world.shares = (LATE, later)
    found = told(push(world))
    assert [found[row.host][0] for row in (LATE, later)] == ["done", "skipped"]


@pytest.mark.parametrize(("times", "came_to"), [(2, ("done", "")), (9, ("failed", "it gave no answer"))])
def test_a_node_that_joins_meanwhile_may_need_some_time_to_answer(world, times, came_to):
    world.live(LATE, 1.0, 1e9)
    world.silent[LATE.host] = times
    assert told(push(world))[LATE.host] == came_to


def test_a_head_that_is_lost_for_a_while_only_delays_a_node_that_joins(world, monkeypatch):
    world.live(LATE, 1.0, 1e9)
    errors = [ClusterError("the head is lost")]

    def surveyed(*args, **more):
        if errors:
            raise errors.pop()
        return world.surveyed(*args, **more)

    monkeypatch.setattr(preflight, "survey_nodes", surveyed)
    assert told(push(world))[LATE.host] == ("done", "")


def test_nodes_are_waited_for_as_long_as_the_order_says(world):
    world.live(LATE, 20.0, 1e9)
    assert LATE.host not in told(push(world, follow_s=10.0))
    world.now = 0.0
    seen: list[str] = []
    assert told(transfer(world, lambda one: seen.append(one.phase), follow_s=30.0).run())[LATE.host] == ("done", "")
    assert world.now > 50
    assert {"moving", "following"} <= set(seen)


def test_a_node_that_was_not_asked_for_gets_nothing(world):
    world.live(LATE, 1.0, 1e9)
    plan = Plan(
        **{"name": "tuesday", "source": "/film", "source_node": A, "nodes": (B, C)},
        order=Order(dest="/data/film", nodes=f"{B.host},{C.host}"),
        manifest=film(),
    )
    assert LATE.host not in told(Moving(plan).run())


def test_the_time_limit_ends_it_with_what_is_done(world):
    world.actors[B.host] = [world.peer(B.host, standing=[HALF], deliver=[Ref(None)])]
    result = push(world, timeout_s=60.0, spent_s=20.0)
    assert told(result) == {B.host: ("failed", "the time limit of 1 min 00 s came first"), C.host: ("done", "")}
    assert (result.timed_out, result.exit_code) == (True, 5)
    assert 40 < world.now < 42


def test_when_the_last_holder_of_a_block_is_lost_it_ends_and_names_it(world):
    world.live(A, 0, 1.0)
    world.actors[SOURCE] = [world.peer(SOURCE, standing=[world.until(0.9, WHOLE, NODE_DEAD)])]
    for host in (B.host, C.host):
        world.actors[host] = [world.peer(host, standing=[HALF], deliver=[Ref(None)])]
    result = push(world)
    assert {why for _, why in told(result).values()} == {
        f"2 blocks that are missing were only on {A.host} ({members.NODE_GONE})"
    }
    assert world.now < 20


def test_the_loss_of_the_source_is_no_harm_once_others_hold_everything_together(world):
    world.live(A, 0, 1.0)
    world.actors[SOURCE] = [world.peer(SOURCE, standing=[world.until(0.9, WHOLE, NODE_DEAD)])]
    for host, held in ((B.host, 0b0011), (C.host, 0b1100)):
        part = MemberStanding(held=held, opened=True)
        world.actors[host] = [
            world.peer(host, standing=[world.until(8.0, part, DONE)], deliver=[lambda: world.later(8.0, DONE)])
        ]
    assert push(world).exit_code == 0


def test_a_tracker_that_dies_is_replaced(world):
    world.actors[TRACKER] = [FakeActor(standing=[world.until(1.0, MemberStanding(), DEAD)])]
    world.actors[B.host] = [world.peer(B.host, deliver=[lambda: world.later(4.0, DONE)])]
    assert push(world).exit_code == 0
    assert [name for _, name, _ in world.started].count(TRACKER) == 2


def test_silence_is_not_death(world):
    quiet = [UNREACHABLE, UNREACHABLE, UNREACHABLE, DONE]
    world.actors[B.host] = [world.peer(B.host, standing=quiet, deliver=[UNREACHABLE, UNREACHABLE, DONE])]
    assert told(push(world))[B.host] == ("done", "")
    assert [name for _, name, _ in world.started].count(B.host) == 1


def test_a_peer_that_is_silent_for_long_is_given_up_and_the_others_are_not(world):
    world.actors[B.host] = [world.peer(B.host, standing=[HALF, Ref(None)], deliver=[Ref(None)])]
    result = push(world)
    assert told(result) == {
        B.host: ("failed", f"it gave no answer for {moving.AWAY_S:.0f} s"),
        C.host: ("done", ""),
    }


def test_of_nodes_that_share_a_file_system_one_writes(world):
    result = push(world, writers={C.node_id: B.node_id})
    assert told(result) == {B.host: ("done", ""), C.host: ("skipped", f"{B.host} writes it to the same file system")}
    assert result.exit_code == 0
    assert C.host not in [name for _, name, _ in world.started]


def test_when_the_node_that_writes_for_others_is_lost_another_one_writes(world):
    world.live(B, 0, 1.0)
    world.actors[B.host] = [world.peer(B.host, deliver=[lambda: world.later(1.0, NODE_DEAD)])]
    result = push(world, writers={C.node_id: B.node_id})
    assert told(result) == {B.host: ("failed", members.NODE_GONE), C.host: ("done", "")}


def test_when_the_disk_that_nodes_share_is_full_all_of_them_fail(world):
    full = failed(DiskFullError("no room"))
    world.actors[B.host] = [world.peer(B.host, deliver=[full])]
    result = push(world, writers={C.node_id: B.node_id})
    assert told(result) == {
        B.host: ("failed", "no room"),
        C.host: ("failed", f"{B.host}, which writes on the same file system, failed: no room"),
    }


def test_the_node_where_the_copy_is_the_source_itself_had_it_and_needs_no_other_seed(world):
    world.actors[A.host] = [world.peer(SOURCE)]
    result = push(world, nodes=(A, B, C), in_place=True)
    assert told(result) == {A.host: ("had", ""), B.host: ("done", ""), C.host: ("done", "")}
    assert SOURCE not in [name for _, name, _ in world.started]
    assert result.bytes.seed_sent == 800


def test_the_copy_on_the_node_of_the_source_is_made_from_the_source_itself(world):
    result = push(world, nodes=(A, B, C))
    assert told(result) == dict.fromkeys((A.host, B.host, C.host), ("done", ""))
    for name, seeds, path in ((A.host, False, "/film"), (SOURCE, True, "/film"), (B.host, False, "")):
        seat, *_, given = world.given[name]
        assert (seat.seeds, given) == (seeds, path)


def test_a_copy_that_turns_out_to_be_wrong_is_mended_by_another_process(world):
    wrong = failed(IntegrityError("the copy is not what was written"))
    world.actors[B.host] = [world.peer(B.host, deliver=[lambda: world.later(1.0, wrong)])]
    assert told(push(world))[B.host] == ("done", "")
    assert [name for _, name, _ in world.started].count(B.host) == 2


def test_without_the_head_it_goes_on_and_ends_before_ray_would_end_it(world, monkeypatch):
    gone: list[float] = []

    def is_gone(early: float) -> str:
        gone.append(early)
        return "the head is lost" if world.now > 30 else ""

    monkeypatch.setattr(moving.CONNECTION, "head", SimpleNamespace(ask=lambda what: what(), lost_s=0.0, gone=is_gone))
    world.actors[B.host] = [world.peer(B.host, standing=[HALF], deliver=[Ref(None)])]
    assert told(push(world)) == {B.host: ("failed", "the head is lost"), C.host: ("done", "")}
    assert set(gone) == {moving.LAST}


def test_a_node_with_a_fault_has_failed_from_the_beginning(world):
    result = push(world, faults={B.node_id: "no room"})
    assert told(result) == {B.host: ("failed", "no room"), C.host: ("done", "")}


def test_a_second_push_of_that_name_is_refused(world):
    world.taken = {TRACKER}
    with pytest.raises(LocalError, match="a push tuesday is running on this cluster already"):
        push(world)


def test_a_push_that_is_cancelled_ends_soon(world):
    one = transfer(world, lambda seen: one.cancel())
    assert {why for _, why in told(one.run()).values()} == {"the push was cancelled"}
    assert world.now < 5
    assert len(world.killed) == 4


def test_what_the_listener_raises_ends_it_and_its_actors(world):
    def interrupt(seen: PushProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(world, interrupt).run()
    assert len(world.killed) == 4


def test_a_limit_reaches_the_members_that_are_there(world):
    peers = [world.peer(B.host), world.peer(C.host)]
    world.actors = {B.host: [peers[0]], C.host: [peers[1]]}
    one = transfer(world, lambda seen: one.limit(1e6))
    one.run()
    assert all(("limit", ({"upload_bps": 1e6},)) in peer.calls for peer in peers)


class SlowScan:
    """A source of which a block is hashed each second, from the first on."""

    manifest = film()

    def __init__(self, world: World) -> None:
        self.world = world
        self.fault: Exception | None = None

    @property
    def digests(self) -> bytes:
        return b"".join(bytes([block + 1]) * 32 for block in range(min(BLOCKS, int(self.world.now))))

    @property
    def hashed_bytes(self) -> int:
        return 100 * len(self.digests) // 32

    @property
    def over(self) -> bool:
        return self.hashed_bytes == 400 or self.fault is not None

    def end(self) -> Any:
        if self.fault is not None:
            raise self.fault
        found = film()
        found.digest, found.digests = "blake3:whole", self.digests
        return found


def hashing(world: World, tell: Callable[[PushProgress], object] = lambda seen: None, **given: Any) -> Moving:
    """The same transfer, while the source is hashed."""
    scan: Any = SlowScan(world)
    return Moving(transfer(world, hashed=False, **given).plan, tell, scan=scan)


def learnt(actor: FakeActor) -> list[tuple[int, int]]:
    """What an actor was told of: the first block, and how many."""
    return [(args[0], len(args[1]) // 32) for method, args in actor.calls if method == "learn"]


def learner(world: World, name: str, **answers: Any) -> FakeActor:
    """A member that holds blocks as they are hashed, and is done at the end."""
    scan = SlowScan(world)

    def standing(*_: Any) -> MemberStanding:
        held = inventory.full(scan.hashed_bytes // 100)
        return DONE if held == FULL else MemberStanding(held=held, opened=True)

    deliver = [lambda: world.later(max(0.0, 6.0 - world.now), DONE)]
    return world.peer(name, **{"standing": [standing], "learn": [standing], "deliver": deliver, **answers})


def test_digests_go_to_all_members_and_then_to_the_source_while_it_is_hashed(world):
    world.actors = {name: [learner(world, name)] for name in (B.host, C.host, SOURCE)}
    (one,), (source,) = world.actors[B.host], world.actors[SOURCE]
    seen: list[PushProgress] = []
    result = hashing(world, seen.append).run()
    assert told(result) == {B.host: ("done", ""), C.host: ("done", "")}
    assert (result.digest, round(result.seconds.hashing)) == ("blake3:whole", 4)
    assert learnt(one) == learnt(source) == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert {one.hashed_bytes for one in seen} == {0, 100, 200, 300, None}
    assert any("50 % hashed" in one.line for one in seen)


def test_a_member_that_gives_no_answer_holds_up_nobody_and_hears_the_rest_later(world):
    late = {"learn": [lambda *_: world.later(5.0, HALF), HALF], "deliver": [lambda: world.later(9.0, DONE)]}
    slow = learner(world, B.host, **late)
    world.actors = {B.host: [slow], C.host: [learner(world, C.host)], SOURCE: [source := learner(world, SOURCE)]}
    assert hashing(world).run().exit_code == 0
    assert sum(count for _, count in learnt(source)) == BLOCKS
    assert learnt(slow) == [(0, 1), (1, 3)]


def test_what_is_started_again_or_comes_late_waits_until_the_source_is_hashed(world):
    world.live(LATE, 1.0, 1e9)
    dying = learner(world, B.host, deliver=[lambda: world.later(1.0, DEAD)])
    world.actors = {
        B.host: [dying, learner(world, B.host)],
        **{name: [learner(world, name)] for name in (C.host, LATE.host, SOURCE)},
    }
    result = hashing(world).run()
    assert (result.exit_code, told(result)[LATE.host]) == (0, ("done", ""))
    later = [(name, at) for at, name, _ in world.started if at > 1]
    assert [name for name, _ in later] == [B.host, LATE.host]
    assert all(at >= 4 for _, at in later)
    assert [len(world.given[name][1].digests) for name in (B.host, C.host)] == [32 * BLOCKS, 0]


def test_the_copy_of_the_source_on_its_own_node_waits_until_all_is_hashed(world):
    world.actors = {A.host: [here := learner(world, A.host)], SOURCE: [learner(world, SOURCE)]}
    assert hashing(world, nodes=(A,)).run().exit_code == 0
    assert calls_of(here)[:6] == ["open", "learn", "learn", "learn", "learn", "deliver"]


def test_a_source_in_its_own_place_is_hashed_too_and_had_everything(world):
    had = {"deliver": [lambda: world.later(4.5 - world.now, WHOLE)]}
    world.actors = {A.host: [here := learner(world, A.host, **had)], B.host: [learner(world, B.host)]}
    result = hashing(world, nodes=(A, B), in_place=True).run()
    assert (result.exit_code, result.bytes.had) == (0, 400)
    assert sum(count for _, count in learnt(here)) == BLOCKS


def test_a_source_that_changes_while_it_is_hashed_ends_it(world):
    world.actors = {name: [learner(world, name)] for name in (B.host, C.host, SOURCE)}

    def change(seen: PushProgress) -> None:
        if seen.hashed_bytes == 200:
            one._digests.scan.fault = SourceError("film changed while it was hashed")

    one: Any = hashing(world, change)
    with pytest.raises(SourceError):
        one.run()
    assert len(world.killed) == 4


def test_a_push_that_ends_before_its_source_is_hashed_names_no_content(world):
    world.actors = {name: [learner(world, name)] for name in (B.host, C.host, SOURCE)}
    result = hashing(world, timeout_s=2.0).run()
    assert (result.digest, result.exit_code, round(result.seconds.hashing)) == ("", 5, 2)


def test_progress_says_how_far_each_node_is(world):
    seen: list[PushProgress] = []
    transfer(world, seen.append).run()
    assert [node.host for node in seen[0].nodes] == [B.host, C.host]
    shares = [one.done for one in seen]
    assert (shares, {one.total for one in seen}) == (sorted(shares), {800})
    assert (seen[-1].phase, shares[-1]) == ("verifying", 800)
    assert {node.status for one in seen for node in one.nodes} == {"moving", "done"}


def test_a_source_that_changes_is_told(world):
    hurt = MemberStanding(held=0b0111, opened=True, had=True, damaged="block 3 of film is not what it was")
    world.actors[SOURCE] = [world.peer(SOURCE, standing=[WHOLE, hurt])]
    for host in (B.host, C.host):
        world.actors[host] = [world.peer(host, standing=[HALF], deliver=[Ref(None)])]
    result = push(world)
    assert (result.exit_code, result.source_changed) == (3, hurt.damaged)
    assert {why for _, why in told(result).values()} == {
        f"a block that is missing was only on {A.host} ({hurt.damaged})"
    }


def test_seats_are_named_by_address_and_by_node_where_two_have_one(world):
    twin = NodeRow("8" * 56, B.host)
    world.live(twin, 0, 1e9)
    push(world, nodes=(B, twin))
    names = [name for _, name, _ in world.started]
    assert (B.host in names, f"{B.host}/{'8' * 8}" in names) == (True, True)
    assert PeerActor in spawn.REMOTE

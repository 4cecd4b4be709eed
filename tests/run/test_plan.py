"""When what happens: arrivals and faults as moments, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from table import Blocks

from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.rules import Rules
from minibit.run import plan
from minibit.run.options import Options
from minibit.run.scenario import Arrivals, Fault, RateBps, Scenario, Seconds
from minibit.sim import Simulation
from minibit.sim.faults import put_in
from minibit.sim.world import World

NAMES = [*(f"peer-{index}" for index in range(1, 11)), TRACKER]


def times(peers: int = 1000, seed: int = 1, **arrivals: Any) -> list[float]:
    return plan.arrival_times(Arrivals(**arrivals), peers, Random(seed))


def test_all_join_at_once_unless_told_otherwise():
    assert times() == [0.0] * 1000


def test_together_is_evenly_within_that_time():
    found = times(within_s=Seconds(10))
    assert found == sorted(found)
    assert 0 <= found[0] < 0.1 and 9.9 < found[-1] < 10
    assert sum(found) / 1000 == pytest.approx(5, rel=0.1)


def test_poisson_is_so_many_a_second_for_ever():
    found = times(pattern="poisson", rate=4.0)
    assert found == sorted(found)
    assert found[-1] == pytest.approx(250, rel=0.1)
    gaps_s = [later - sooner for sooner, later in pairwise(found)]
    assert sum(gap_s > 0.25 for gap_s in gaps_s) / len(gaps_s) == pytest.approx(0.368, abs=0.05)  # 1/e: it is no raster


def test_a_crowd_thins_out():
    found = times(pattern="crowd", within_s=Seconds(10))
    assert found == sorted(found)
    assert sum(at_s < 10 for at_s in found) == pytest.approx(632, rel=0.1)
    assert sum(10 <= at_s < 20 for at_s in found) == pytest.approx(233, rel=0.2)
    assert times(3, pattern="crowd") == [0.0] * 3


@pytest.mark.parametrize("pattern", ["together", "poisson", "crowd"])
def test_so_many_are_there_already(pattern: str):
    found = times(10, pattern=pattern, within_s=Seconds(5), already=4)
    assert [at_s == 0 for at_s in found] == [True] * 4 + [False] * 6
    assert times(3, pattern=pattern, within_s=Seconds(5), already=9) == [0.0] * 3


def test_the_same_seed_gives_the_same_times():
    for pattern in ("together", "poisson", "crowd"):
        assert times(pattern=pattern, within_s=Seconds(9)) == times(pattern=pattern, within_s=Seconds(9))
        assert times(pattern=pattern, within_s=Seconds(9)) != times(pattern=pattern, within_s=Seconds(9), seed=2)


class Recorder:
    """A world, or its network: notes what is done to it, and when."""

    def __init__(self) -> None:
        self.world = World(Blocks(4), Rules())
        self.done: list[tuple[float, str, tuple[Any, ...]]] = []
        for place, names in (
            (self.world, ("kill", "leave", "pause", "resume", "kill_tracker", "restart_tracker")),
            (self.world.network, ("cut", "heal", "slow", "delay", "split", "corrupt")),
        ):
            for name in names:
                setattr(place, name, self._noting(name))

    def _noting(self, name: str) -> Callable[..., None]:
        return lambda *facts: self.done.append((self.world.now, name, facts))


def done(*faults: Fault, seed: int = 1) -> tuple[list[tuple[float, str, tuple[Any, ...]]], float]:
    """What the faults come to, and when the last one is over."""
    recorder = Recorder()
    moments = plan.moments(faults, NAMES, seed)
    put_in(recorder.world, moments)
    over_s = max((one.until_s or one.at_s for one in moments), default=0.0)
    while recorder.world.clock.next_s < float("inf"):
        recorder.world.clock.step()
    return recorder.done, over_s


ONE = ("peer-1",)
TWO = ("peer-1", "peer-2")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(kind="dies", peers=ONE), [("kill", ONE)]),
        (Fault(kind="leaves", peers=ONE), [("leave", ONE)]),
        (Fault(kind="pauses", peers=ONE), [("pause", ONE), ("resume", ONE)]),
        (Fault(kind="corrupt", peers=ONE, share=0.5), [("corrupt", (*ONE, 0.5)), ("corrupt", (*ONE, 0.0))]),
        (Fault(kind="cut", peers=TWO), [("cut", TWO), ("heal", TWO)]),
        (Fault(kind="slow", peers=TWO, rate_bps=RateBps(9)), [("slow", (*TWO, 9)), ("slow", TWO)]),
        (Fault(kind="delayed", peers=TWO, by_s=Seconds(2)), [("delay", (*TWO, 2)), ("delay", TWO)]),
        (Fault(kind="split", peers=TWO), [("split", (list(TWO), 1)), ("split", (list(TWO), 0))]),
        (Fault(kind="tracker-gone"), [("kill_tracker", ()), ("restart_tracker", ())]),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_fault_begins_when_it_should_and_is_over_when_it_should(fault: Fault, expected: list[tuple[str, Any]]):
    timed = Fault(**{**{name: getattr(fault, name) for name in fault.__struct_fields__}, "at_s": 3.0, "lasts_s": 4.0})
    found, over_s = done(timed)
    assert found == [(at_s, *deed) for at_s, deed in zip((3.0, 7.0), expected, strict=False)]
    assert over_s == found[-1][0]


def test_a_fault_that_has_no_end_stays():
    assert done(Fault(kind="cut", at_s=Seconds(3), peers=TWO)) == ([(3.0, "cut", TWO)], 3.0)


def test_until_is_a_moment_by_chance_for_each_that_is_hit():
    found, over_s = done(Fault(kind="pauses", at_s=Seconds(10), until_s=Seconds(60), lasts_s=Seconds(5)))
    paused = {facts: at_s for at_s, name, facts in found if name == "pause"}
    resumed = {facts: at_s for at_s, name, facts in found if name == "resume"}
    assert len(set(paused.values())) == len(NAMES)
    assert all(10 <= at_s <= 60 for at_s in paused.values())
    assert resumed == {facts: pytest.approx(at_s + 5) for facts, at_s in paused.items()}
    assert over_s == max(resumed.values())


def test_so_many_are_hit_by_chance_each_once():
    found, _ = done(Fault(kind="dies", peers=4))
    assert len({facts for _, _, facts in found}) == len(found) == 4
    assert len(done(Fault(kind="dies", peers=99))[0]) == len(NAMES)
    assert done(Fault(kind="dies", peers=0)) == ([], 0.0)


def test_so_many_pairs_are_hit_by_chance_each_once():
    found, _ = done(Fault(kind="cut", peers=30))
    assert len({facts for _, _, facts in found}) == len(found) == 30
    assert all(one != other for _, _, (one, other) in found)
    assert len(done(Fault(kind="cut", peers=999))[0]) == len(NAMES) * (len(NAMES) - 1) // 2


def test_all_pairs_of_the_peers_that_are_named_are_hit():
    found, _ = done(Fault(kind="cut", peers=("peer-1", "peer-2", TRACKER)))
    assert [facts for _, _, facts in found] == [TWO, ("peer-1", TRACKER), ("peer-2", TRACKER)]


def test_each_is_hit_with_a_probability():
    hit = sum(len(done(Fault(kind="dies", probability=0.3), seed=seed)[0]) for seed in range(200))
    assert hit / (200 * len(NAMES)) == pytest.approx(0.3, abs=0.03)
    assert done(Fault(kind="cut", probability=0.0)) == ([], 0.0)
    assert len(done(Fault(kind="cut"))[0]) == len(NAMES) * (len(NAMES) - 1) // 2


def test_two_splits_at_once_are_apart_from_each_other():
    found, _ = done(Fault(kind="split", peers=ONE), Fault(kind="split", peers=("peer-2",)))
    assert [facts for _, _, facts in found] == [(["peer-1"], 1), (["peer-2"], 2)]


def test_the_same_seed_gives_the_same_faults():
    faults = [Fault(kind="dies", until_s=Seconds(9), peers=3), Fault(kind="cut", until_s=Seconds(9), probability=0.2)]
    assert done(*faults) == done(*faults) != done(*faults, seed=2)


def test_a_fault_doesnt_depend_on_those_before_it_in_the_list():
    late = Fault(kind="dies", at_s=Seconds(5), until_s=Seconds(9), peers=3)
    alone, _ = done(Fault(kind="dies", peers=0), late)
    beside, _ = done(Fault(kind="cut", probability=0.2), late)
    assert alone == [deed for deed in beside if deed[1] == "kill"]


def test_a_peer_that_never_comes_is_refused_with_those_that_do():
    with pytest.raises(LocalError) as refused:
        done(Fault(kind="tracker-gone"), Fault(kind="dies", peers=("peer-1", "peer-11")))
    assert str(refused.value) == "faults[1].peers: there is no peer 'peer-11': there are peer-1 to peer-10, and tracker"


def test_what_was_planned_is_said_in_plain_values():
    plain = Fault(kind="dies", at_s=Seconds(9), peers=ONE)
    timed = Fault(kind="split", at_s=Seconds(3), lasts_s=Seconds(4), peers=TWO)
    gone = Fault(kind="tracker-gone", at_s=Seconds(5))
    assert [tuple(one.as_dict().items()) for one in plan.moments([plain, timed, gone], NAMES, 1)] == [
        (("at_s", 9.0), ("what", "dies"), ("who", "peer-1"), ("until_s", None)),
        (("at_s", 3.0), ("what", "split"), ("who", "peer-1, peer-2"), ("until_s", 7.0)),
        (("at_s", 5.0), ("what", "tracker-gone"), ("who", "tracker"), ("until_s", None)),
    ]


def test_what_was_planned_is_recorded_in_order_of_time():
    plain = Fault(kind="dies", at_s=Seconds(9), peers=("peer-01",))
    timed = Fault(kind="split", at_s=Seconds(3), lasts_s=Seconds(4), peers=("peer-01", "peer-02"))
    gone = Fault(kind="tracker-gone", at_s=Seconds(5))
    scenario = Scenario(faults=(plain, timed, gone))
    recorded = Simulation(Options.build(world="sim", peers=3, size="1MiB"), scenario).ledger.faults
    assert [tuple(one.values()) for one in recorded] == [
        (3.0, "split", "peer-01, peer-02", 7.0),
        (5.0, "tracker-gone", "tracker", None),
        (9.0, "dies", "peer-01", None),
    ]

"""What mature swarms test, as simulated worlds: every checker is on, and each says what became of the swarm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from seats import take_seat

from minibit import inventory
from minibit.behaviour import Liar
from minibit.content import VirtualContent
from minibit.events import TRACKER
from minibit.neighbour import Standing
from minibit.records import BlockRecord, PeerRecord
from minibit.rules import Rules
from minibit.run import measures
from minibit.run.options import Options
from minibit.run.summary import Summary
from minibit.sim import Scenario, Simulation
from minibit.sim.checkers import all_checkers
from minibit.sim.world import World
from minibit.wire.carriage import IDLE_S

BLOCK_BYTES = 10_000
RATE_BPS = 10_000.0  # a second for a block


def simulation(peers: int, blocks: int, *faults: dict[str, Any], **given: Any) -> Simulation:
    """A swarm in which a block takes a second, and what goes wrong in it; options and keys of a scenario by name."""
    table = {name: given.pop(name) for name in ("classes", "arrivals", "stay") if name in given}
    options = {"upload": RATE_BPS, "seed_upload": RATE_BPS, "round": 2, "request_timeout": 5, **given}
    built = Options.build(world="sim", peers=peers, size=blocks * BLOCK_BYTES, block_size=BLOCK_BYTES, **options)
    return Simulation(built, Scenario.build({**table, "faults": faults}, peers), watchers=all_checkers())


def run_until(made: Simulation, done: Callable[[], bool]) -> None:
    while not done():
        made.world.clock.step()


def spread(world: World) -> int:
    """What the others hold together, without the seed."""
    held = inventory.EMPTY
    for name, machine in world.machines.items():
        if name != TRACKER:
            held |= machine.peer.held
    return held


def all_complete(summary: Summary) -> bool:
    return summary.exit_code == 0 and summary.completed == summary.peers and summary.failed == []


def blocks_of(made: Simulation, verdict: str) -> list[BlockRecord]:
    return [one for one in made.records if isinstance(one, BlockRecord) and one.verdict == verdict]


def events_of(made: Simulation, event: str) -> dict[str, float]:
    """When it happened to whom."""
    return {one.peer: one.at_s for one in made.records if isinstance(one, PeerRecord) and one.event == event}


# the swarm


def placed(blocks: int, held: dict[str, int], seed: int = 1) -> World:
    """Peers that hold these inventories, and no others."""
    content = VirtualContent("content", blocks * BLOCK_BYTES, BLOCK_BYTES)
    world = World(content, Rules(round_s=2.0, request_timeout_s=5.0), seed, watchers=all_checkers())
    for name, blocks_held in held.items():
        take_seat(world, name, held=blocks_held, stays=True, up_bps=RATE_BPS)
    return world


def run_until_complete(world: World, limit_s: float) -> None:
    while not all(machine.peer.complete for machine in world.machines.values()):
        assert world.now < limit_s
        world.clock.step()
    world.over()


@pytest.mark.parametrize("seed", range(3))
def test_ten_peers_with_one_different_block_each_and_no_seed_all_complete(seed: int):
    run_until_complete(placed(10, {f"peer-{index}": 1 << index for index in range(10)}, seed), 30)


def test_the_seed_leaves_when_one_copy_is_spread_and_all_complete():
    made = simulation(6, 20)
    run_until(made, lambda: spread(made.world) == made.world.all)
    assert not any(made.world.machines[f"peer-0{index}"].peer.complete for index in range(1, 7))
    made.world.leave(TRACKER)
    assert all_complete(made.run())


@pytest.mark.parametrize("kind", ["leaves", "dies"])
def test_when_the_seed_goes_too_early_the_run_ends_and_names_the_lost_blocks(kind: str):
    made = simulation(6, 20, {"kind": kind, "at": 7.5, "peers": [TRACKER]})
    summary = made.run()
    assert summary.exit_code == 4
    assert summary.completed == 0
    lost = list(inventory.indices(made.world.all & ~spread(made.world)))
    assert len(lost) > 10
    named = ", ".join(map(str, lost[:10]))
    why = f"nobody holds {len(lost)} blocks any more ({named}, ...)"
    assert {(one.why, one.missing) for one in summary.failed} == {(why, len(lost))}
    assert summary.seconds.total < 120


def test_lost_blocks_are_named_though_others_are_silent_or_cut_off_for_ever():
    made = simulation(
        6,
        20,
        {"kind": "dies", "at": 8.5, "peers": [TRACKER]},
        {"kind": "pauses", "at": 4, "peers": ["peer-02"]},
        {"kind": "split", "at": 5, "peers": ["peer-05"]},
    )
    summary = made.run()
    assert summary.exit_code == 4
    assert all("nobody holds" in one.why for one in summary.failed)
    assert len(summary.failed) == 6


def test_a_peer_that_can_still_complete_is_waited_for_though_others_lack_a_lost_block():
    selfish = {"name": "selfish", "peers": 1, "behaviour": "free-rider", "lacks": [0]}  # and alone has block 2
    classes = [selfish, {"name": "others", "peers": 2, "lacks": [2]}]
    cut = {"kind": "cut", "at": 0, "until": 1, "lasts": 200, "peers": ["peer-01", "peer-02", "peer-03"]}
    made = simulation(3, 3, {"kind": "dies", "at": 0, "peers": [TRACKER]}, cut, classes=classes)
    summary = made.run()
    assert events_of(made, "completed").keys() == {TRACKER, "peer-01"}
    why = "nobody holds 1 block any more (2)"
    assert {(one.peer, one.why, one.missing) for one in summary.failed} == {("peer-02", why, 1), ("peer-03", why, 1)}


def test_what_only_somebody_silent_holds_is_not_lost_but_out_of_reach_and_the_run_ends():
    made = simulation(6, 20, {"kind": "pauses", "at": 8.5, "peers": [TRACKER]})
    summary = made.run()
    assert summary.exit_code == 4
    assert all("nobody can reach" in one.why for one in summary.failed)
    assert spread(made.world) != made.world.all


def test_no_peer_stops_while_the_tracker_is_dead_and_newcomers_join_when_it_returns():
    made = simulation(
        5,
        20,
        {"kind": "tracker-gone", "at": 3, "lasts": 60},
        arrivals={"pattern": "poisson", "rate": 0.1, "already": 4},
    )
    assert all_complete(made.run())
    completed = events_of(made, "completed")
    late = max(completed, key=completed.__getitem__)
    joined = events_of(made, "started")
    assert 3 < joined[late] < 63 < completed[late]
    assert all(at_s < 63 for name, at_s in completed.items() if name not in (late, TRACKER))
    assert made.world.tracker is not None
    made.world.clock.at(200.0, int)
    while made.world.clock.next_s <= 200.0:
        made.world.clock.step()
    assert sorted(made.world.tracker.roster) == sorted(made.world.machines)


def test_a_peer_that_joins_late_when_the_others_have_nine_tenths_completes():
    others = [f"peer-{index}" for index in range(5)]
    world = placed(30, {TRACKER: inventory.full(30), **dict.fromkeys(others, inventory.EMPTY)})
    while sum(world.machines[name].peer.held.bit_count() for name in others) < 0.9 * 30 * 5:
        world.clock.step()
    take_seat(world, "late", up_bps=RATE_BPS)
    run_until_complete(world, world.now + 60)


def test_behind_one_slow_seed_most_copies_come_from_others():
    made = simulation(10, 30, upload=10 * RATE_BPS, slots=1)
    summary = made.run()
    assert all_complete(summary)
    assert summary.bytes.seed_sent < 2 * 30 * BLOCK_BYTES  # of 10 copies
    assert summary.efficiency is not None
    assert summary.efficiency > 0.5


def test_behind_slow_peers_and_few_slots_all_complete():
    made = simulation(8, 10, slots=1, guests=1, neighbours=3, behave={"slow": 4})
    assert all_complete(made.run())


# time and death


def test_a_neighbour_that_dies_with_blocks_in_flight_costs_no_block_and_none_comes_twice():
    made = simulation(6, 30, {"kind": "dies", "at": 10.3, "peers": ["peer-02", "peer-04"]})
    summary = made.run()
    assert summary.completed == 4
    assert {one.why for one in summary.failed} == {"killed"}
    useful = Counter((one.peer, one.block) for one in blocks_of(made, "useful"))
    assert set(useful.values()) == {1}
    assert len(blocks_of(made, "double")) <= 0.05 * len(useful)


def test_leaving_and_dying_leave_the_same_roster_in_the_end():
    made = simulation(
        4, 5, {"kind": "leaves", "at": 2, "peers": ["peer-01"]}, {"kind": "dies", "at": 2, "peers": ["peer-02"]}
    )
    made.run()
    world = made.world
    assert world.tracker is not None
    assert "peer-01" not in world.tracker.roster
    assert "peer-02" in world.tracker.roster
    while world.now < 200:
        world.clock.step()
    assert sorted(world.tracker.roster) == ["peer-03", "peer-04", TRACKER]


@pytest.mark.parametrize("pause_s", [3.0, 60.0, 300.0])
def test_a_peer_that_pauses_and_goes_on_completes_and_holds_nobody_up(pause_s: float):
    made = simulation(6, 30, {"kind": "pauses", "at": 5, "lasts": pause_s, "peers": ["peer-03"]})
    assert all_complete(made.run())
    completed = events_of(made, "completed")
    others = [at_s for name, at_s in completed.items() if name not in ("peer-03", TRACKER)]
    assert max(others) < 80
    assert completed["peer-03"] < 5 + pause_s + 80


def test_links_to_a_silent_peer_break_in_the_end_and_stand_again_when_it_goes_on():
    made = simulation(3, 40, {"kind": "pauses", "at": 5, "lasts": 2 * IDLE_S, "peers": ["peer-02"]})
    silent = made.world.machines
    run_until(made, lambda: made.world.clock.next_s >= 5 + IDLE_S)
    assert silent["peer-02"].ways
    run_until(made, lambda: made.world.now > 5 + IDLE_S + 1)
    assert not silent["peer-02"].ways
    assert all_complete(made.run())


def test_a_silent_seed_is_asked_no_more_and_the_others_give_what_they_have():
    made = simulation(4, 10, {"kind": "pauses", "at": 0.5, "lasts": 40, "peers": [TRACKER]}, initial="0.5")
    run_until(made, lambda: made.world.now > 35)
    held = {machine.peer.held for name, machine in made.world.machines.items() if name != TRACKER}
    assert held == {spread(made.world)}  # all that is to be had
    assert all_complete(made.run())


def test_a_peer_that_cannot_be_reached_is_tried_again_and_found():
    made = simulation(4, 20, {"kind": "split", "at": 2, "lasts": 150, "peers": ["peer-01", "peer-02"]})
    assert all_complete(made.run())
    completed = events_of(made, "completed")
    assert max(completed["peer-03"], completed["peer-04"]) < 152 < min(completed["peer-01"], completed["peer-02"])


def test_limits_that_change_during_a_transfer_are_followed():
    made = simulation(5, 20, {"kind": "slow", "at": 5, "lasts": 20, "probability": 1.0, "rate": 500})
    assert all_complete(made.run())


def test_links_that_delay_everything_for_seconds_break_nothing():
    made = simulation(6, 15, {"kind": "delayed", "at": 0, "probability": 1.0, "by": 4})
    assert all_complete(made.run())


# integrity


@pytest.mark.parametrize("share", [0.15, 0.5, 1.0])
def test_a_neighbour_that_corrupts_is_banned_and_all_complete(share: float):
    made = simulation(5, 40, {"kind": "corrupt", "peers": ["peer-01"], "share": share}, initial="0.3")
    assert all_complete(made.run())
    rejected = blocks_of(made, "rejected")
    assert rejected
    assert {one.source for one in rejected} == {"peer-01"}
    assert max(Counter(one.peer for one in rejected).values()) <= 3
    assert set(events_of(made, "banned")) <= {"peer-01"}
    assert events_of(made, "banned") or share < 0.5


def test_a_banned_peer_stays_banned_whichever_end_dials():
    made = simulation(3, 60, behave={"corrupter": 1}, initial="0.4", neighbours=3)
    assert all(one.peer == "peer-03" or one.why for one in made.run().failed)
    bad = made.world.machines["peer-03"]
    banned_by = {
        name
        for name, machine in made.world.machines.items()
        if (known := machine.peer.contacts.known.get("peer-03")) is not None and known.standing is Standing.BANNED
    }
    assert banned_by
    assert banned_by.isdisjoint(bad.ways)
    assert made.world.network.reachable(bad, made.world.machines["peer-01"])


def test_a_peer_that_can_reach_only_a_liar_gets_the_one_block_that_it_holds():
    world = placed(6, {})
    rules = msgspec.structs.replace(world.rules, picker="sequential")
    ana = take_seat(world, "ana", rules=rules, up_bps=RATE_BPS)
    take_seat(world, "bia", held=1 << 5, behaviour=Liar, up_bps=RATE_BPS)
    while not ana.peer.held:
        assert world.now < 60
        world.clock.step()
    assert ana.peer.held == 1 << 5


def test_a_peer_that_meets_ten_liars_first_gets_the_last_block_from_the_one_that_holds_it():
    """The liars hold one block and claim two. They are asked for the second in turn, and none again before `bia` is."""
    world = placed(2, {})
    ana = take_seat(world, "ana", up_bps=RATE_BPS)
    for index in range(10):
        take_seat(world, f"liar-{index}", held=0b01, behaviour=Liar, up_bps=RATE_BPS)
    while not ana.peer.held:
        assert world.now < 60
        world.clock.step()
    take_seat(world, "bia", held=0b11, up_bps=RATE_BPS)
    while not ana.peer.complete:
        assert world.now < 120
        world.clock.step()


def test_half_of_32_seeds_corrupt_and_break_links_and_all_complete():
    seeds = [f"peer-{index:02}" for index in range(1, 33)]
    bad = seeds[::2]
    faults = [{"kind": "corrupt", "peers": bad, "share": 0.05}]
    faults += [{"kind": "cut", "at": 3 * turn, "lasts": 0.1, "probability": 0.05} for turn in range(10)]
    made = simulation(
        35, 20, *faults, neighbours=40, upload=RATE_BPS / 8, classes=[{"name": "seeds", "peers": 32, "lacks": []}]
    )
    assert all_complete(made.run())
    takers = Counter(one.peer for one in blocks_of(made, "useful"))
    assert takers == {"peer-33": 20, "peer-34": 20, "peer-35": 20}
    assert {one.source for one in blocks_of(made, "rejected")} <= set(bad)


@pytest.mark.parametrize("upload", ["1KiB/s", "16KiB/s", "256KiB/s"])
def test_slow_peers_with_a_fast_seed_end_near_the_bound(upload: str):
    """The seed could feed all alone: no peer waits for a slow neighbour, and the seed is not idle."""
    options = Options.build(world="sim", peers=10, size="64MiB", upload=upload, seed_upload="125MB/s")
    summary = Simulation(options).run()
    assert summary.completed == 10
    assert summary.bound_s is not None
    assert summary.seconds.transfer < 1.1 * summary.bound_s
    assert summary.bytes.wasted < 0.005 * summary.bytes.moved


def test_a_fast_seed_serves_more_peers_than_it_has_links():
    """Twelve slow peers, and a seed with four links: it looks for others once its neighbours are complete."""
    options = {"world": "sim", "peers": 12, "neighbours": 4, "size": "16MiB", "upload": "64KiB/s"}
    seconds = [Simulation(Options.build(**options, economy=economy)).run().seconds.last for economy in ("on", "off")]
    assert seconds[0] < 0.7 * seconds[1]


def test_a_scarce_seed_gives_no_block_twice_before_it_has_given_everything():
    options = Options.build(world="sim", peers=8, size="16MiB", upload="1MiB/s", seed_upload="1MiB/s")
    simulation = Simulation(options)
    summary = simulation.run()
    records, content = list(simulation.records), simulation.content
    spread_s = measures.spread_s(records, content.block_count)
    assert measures.seed_copies(records, TRACKER, content.content_bytes, spread_s) <= 1.01
    assert summary.efficiency is not None
    assert summary.efficiency > 0.95


def test_a_slot_whose_neighbour_has_got_all_it_wants_is_given_on_at_once():
    """Two peers, one slot: the second begins when the first is complete, long before the next round."""
    made = simulation(2, 8, slots=1, guests=0, round=1000, upload=1.0)
    assert all_complete(made.run())
    assert made.world.now < 2 * 8 + 2


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"kind": "split", "at": 1, "peers": [TRACKER]}, "could not reach tracker at tracker:1 ("),
        ({"kind": "pauses", "at": 1, "peers": [TRACKER]}, "to tracker at tracker:1 stand, and bring no byte for "),
        ({"kind": "tracker-gone", "at": 0}, "know no other peer"),
        ({"kind": "corrupt", "at": 0, "share": 1.0, "peers": [TRACKER]}, "banned tracker"),
    ],
)
def test_peers_that_get_nothing_say_what_kept_them_from_it(fault: dict[str, Any], why: str):
    summary = simulation(3, 20, fault).run()
    assert len(summary.failed) == 3
    assert all(why in one.why for one in summary.failed)

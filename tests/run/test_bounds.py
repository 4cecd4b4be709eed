"""The lower bounds are what the papers say, no schedule beats them, and they are None where nothing limits."""

from __future__ import annotations

import heapq
import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit.errors import LocalError
from minibit.run import bounds
from minibit.run.bounds import Capacity

# water


@pytest.mark.parametrize(
    ("seed_upload_bps", "members", "seconds"),
    [
        (10, [Capacity(100)] * 4, 10.0),  # the seed is the neck
        (100, [Capacity(100), Capacity(100, 5), Capacity(100)], 20.0),  # the slowest downlink is
        (50, [Capacity(10)] * 4, 400 / 90),  # all uplinks together are
        (50, [Capacity(upload_bps) for upload_bps in (10, 20, 5, 5)], 400 / 90),
    ],
)
def test_the_fluid_bound_is_the_narrowest_of_seed_downlink_and_all_uplinks(seed_upload_bps, members, seconds):
    assert bounds.fluid(100, members, seed_upload_bps=seed_upload_bps) == pytest.approx(seconds)


@pytest.mark.parametrize("upload_bps", [None, 0, 10, 1000])
def test_free_riders_want_the_content_and_give_nothing(upload_bps):
    free_riders = [Capacity(upload_bps, serves=False)] * 2
    assert bounds.fluid(100, [Capacity(10)] * 2 + free_riders, seed_upload_bps=50) == pytest.approx(400 / 70)
    assert bounds.fluid(100, free_riders, seed_upload_bps=50) == pytest.approx(200 / 50)


def test_a_peer_that_need_not_complete_gives_and_is_not_given():
    members = [Capacity(10)] * 2 + [Capacity(10, download_bps=1, wants=False)] * 2
    assert bounds.fluid(100, members, seed_upload_bps=20) == pytest.approx(5.0)
    assert bounds.fluid(1000, members, seed_upload_bps=200) == pytest.approx(2000 / 240)
    assert bounds.makespan(100, 10, [Capacity(10, wants=False)], seed_upload_bps=20) is None


def test_what_peers_hold_at_the_start_need_not_be_sent():
    half = [Capacity(9, held_bytes=50), Capacity(9, 2, held_bytes=40)]
    assert bounds.fluid(100, half, seed_upload_bps=1) == pytest.approx(60 / 2)
    assert bounds.fluid(100, [Capacity(9, held_bytes=40)] * 4, seed_upload_bps=1) == pytest.approx(4 * 60 / 37)
    assert bounds.fluid(100, [Capacity(9, held_bytes=10)] * 4, seed_upload_bps=1) == pytest.approx(60)
    assert bounds.fluid(100, [Capacity(9, 9, held_bytes=100)] * 4, seed_upload_bps=1) is None


def test_without_limits_there_is_no_bound():
    assert bounds.makespan(100, 10, [Capacity()] * 4, seed_upload_bps=None) is None
    assert bounds.makespan(100, 10, [Capacity(10)] * 4, seed_upload_bps=None) is None
    assert bounds.makespan(100, 10, [Capacity()] * 4, seed_upload_bps=10) == 10.0
    assert bounds.makespan(0, 10, [Capacity(10, 10)], seed_upload_bps=10) is None
    assert bounds.makespan(100, 10, [], seed_upload_bps=10) is None


def test_a_seed_without_an_uplink_is_waited_for_without_end():
    assert bounds.makespan(100, 10, [Capacity(10)], seed_upload_bps=0) == float("inf")


def test_five_hosts_at_400_mbit_need_4_2_seconds_for_200_mib():
    members = [Capacity(50e6)] * 5
    assert bounds.fluid(200 << 20, members, seed_upload_bps=50e6) == pytest.approx(4.2, abs=0.01)


# blocks


@pytest.mark.parametrize(("peers", "rounds"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (255, 8)])
def test_one_block_needs_as_many_rounds_as_doubling_takes(peers, rounds):
    holders, doublings = 1, 0
    while holders < peers + 1:  # the seed holds it too
        holders, doublings = 2 * holders, doublings + 1
    assert bounds.blocks(1, 1, [Capacity(1)] * peers, seed_upload_bps=1) == rounds == doublings


def test_more_blocks_follow_one_a_round():
    assert bounds.blocks(256 * 50, 50, [Capacity(100)] * 255, seed_upload_bps=100) == 263 * 0.5


@pytest.mark.parametrize("block_count", [1, 2, 3])
@pytest.mark.parametrize("peers", [1, 2, 3, 4])
def test_no_schedule_in_rounds_is_better_and_one_is_as_good(peers, block_count):
    bound_s = bounds.makespan(block_count, 1, [Capacity(1)] * peers, seed_upload_bps=1)
    assert bound_s == best_rounds(peers, block_count)


def best_rounds(peers: int, block_count: int) -> int:
    """The fewest rounds in which all hold all, if each sends one block a round: every schedule is tried."""
    full = (1 << block_count) - 1
    frontier, rounds = {(0,) * peers}, 0
    while (full,) * peers not in frontier:
        frontier, rounds = set().union(*map(after_a_round(full), frontier)), rounds + 1
    return rounds


def after_a_round(full: int):
    def states(before: tuple[int, ...]) -> set[tuple[int, ...]]:
        found = {before}
        for held in (full, *before):
            sent = [1 << block for block in range(full.bit_length()) if held >> block & 1]
            found |= {
                (*now[:to], now[to] | block, *now[to + 1 :])
                for now, block, to in itertools.product(found, sent, range(len(before)))
                if not now[to] & block
            }
        return {tuple(sorted(state)) for state in found}

    return states


def test_the_fastest_uplink_of_all_doubles_the_last_block():
    assert bounds.blocks(100, 10, [Capacity(10)] * 4, seed_upload_bps=5) == pytest.approx(100 / 5 + 2 * 10 / 10)
    assert bounds.blocks(100, 10, [Capacity(10)] * 4, seed_upload_bps=20) == pytest.approx(100 / 20 + 2 * 10 / 20)
    assert bounds.blocks(100, 10, [Capacity(10), Capacity(40), Capacity(1)], seed_upload_bps=5) == pytest.approx(20.25)
    assert bounds.blocks(100, 10, [Capacity(10), Capacity(None), Capacity(1)], seed_upload_bps=5) == pytest.approx(20)


def test_a_peer_that_does_not_serve_doubles_nothing_and_one_that_need_not_complete_is_not_counted():
    free_riders = [Capacity(1000, serves=False)] * 2
    assert bounds.blocks(100, 10, [Capacity(10)] * 2 + free_riders, seed_upload_bps=10) == pytest.approx(12)
    assert bounds.blocks(100, 10, [Capacity(10)] * 2 + [Capacity(40, wants=False)], seed_upload_bps=10) == 10.25


def test_a_short_last_block_may_be_the_last_to_be_sent_or_not_be_counted_at_all():
    peers = [Capacity(10)] * 4
    assert bounds.blocks(98, 10, peers, seed_upload_bps=10) == pytest.approx((98 + 2 * 8) / 10)  # 108 + 2 * 3, less
    assert bounds.blocks(91, 10, peers, seed_upload_bps=10) == pytest.approx((90 + 2 * 10) / 10)  # 91 + 2 * 1
    assert bounds.blocks(7, 10, peers, seed_upload_bps=10) == pytest.approx((7 + 2 * 7) / 10)


def test_there_is_no_bound_of_blocks_where_somebody_begins_with_some():
    peers = [Capacity(10)] * 3 + [Capacity(10, held_bytes=10)]
    assert bounds.blocks(100, 10, peers, seed_upload_bps=10) is None
    assert bounds.makespan(100, 10, peers, seed_upload_bps=10) == bounds.fluid(100, peers, seed_upload_bps=10)


# any swarm

RATES_BPS = st.integers(1, 20)
MEMBERS = st.lists(
    st.builds(Capacity, RATES_BPS, st.none() | RATES_BPS, st.booleans(), st.booleans(), st.just(0)),
    min_size=1,
    max_size=9,
)


@given(MEMBERS, RATES_BPS, st.tuples(st.integers(1, 40), st.integers(1, 12)), st.sampled_from([0, 0.1]), st.integers())
def test_no_greedy_schedule_beats_the_bound_with_any_links(members, seed_bps, sizes, share, chance):
    (content_bytes, block_bytes), rng = sizes, Random(chance)
    lengths = [min(block_bytes, content_bytes - at) for at in range(0, content_bytes, block_bytes)]
    held = [{block for block in range(len(lengths)) if rng.random() < share} for _ in members]
    members = [
        member._replace(held_bytes=sum(lengths[block] for block in blocks))
        for member, blocks in zip(members, held, strict=True)
    ]
    bound_s = bounds.makespan(content_bytes, block_bytes, members, seed_upload_bps=seed_bps)
    assert (bound_s or 0.0) <= greedy_s(lengths, members, held, seed_bps, rng) * (1 + 1e-9)


def greedy_s(
    lengths: list[int], members: list[Capacity], held: list[set[int]], seed_upload_bps: float, chance: Random
) -> float:
    """The makespan if every free uplink sends some block to a peer that lacks it, one at a time."""
    seed = len(members)
    uploads_bps = [member.upload_bps for member in members] + [seed_upload_bps]
    held = [*held, set(range(len(lengths)))]
    coming = [set() for _ in members]
    free = [member.serves for member in members] + [True]
    landings: list[tuple[float, int, int, int]] = []
    now = 0.0
    while any(len(held[peer]) < len(lengths) for peer, member in enumerate(members) if member.wants):
        for sender in chance.sample(range(seed + 1), seed + 1):
            open_to = [
                (peer, block)
                for peer, member in enumerate(members)
                if free[sender] and (member.download_bps is None or not coming[peer])
                for block in sorted(held[sender] - held[peer] - coming[peer])
            ]
            if open_to:
                peer, block = chance.choice(open_to)
                rate_bps = min(uploads_bps[sender], members[peer].download_bps or uploads_bps[sender])
                heapq.heappush(landings, (now + lengths[block] / rate_bps, sender, peer, block))
                coming[peer].add(block)
                free[sender] = False
        now, sender, peer, block = heapq.heappop(landings)
        held[peer].add(block)
        coming[peer].remove(block)
        free[sender] = True
    return now


# laws


def test_four_slots_cost_a_hundred_peers_11_4_blocks_at_the_start():
    assert bounds.startup_s(100, 4, 1.0) == pytest.approx(11.4, abs=0.05)
    assert bounds.startup_s(100, 4, 2.5) == pytest.approx(28.6, abs=0.05)


def test_the_start_costs_more_with_more_slots_and_more_peers_and_nothing_for_one_peer():
    assert bounds.startup_s(1, 4, 1.0) == 0
    assert bounds.startup_s(256, 1, 1.0) == 8  # one slot: the swarm doubles
    assert bounds.startup_s(256, 3, 1.0) == 12  # three: it grows by four in three blocks' time
    assert bounds.startup_s(100, 2, 1.0) < bounds.startup_s(100, 4, 1.0) < bounds.startup_s(200, 4, 1.0)


@pytest.mark.parametrize(("slots", "share"), [(3, 0.25), (1, 0.5), (0, 1.0)])
def test_a_free_rider_gets_the_share_of_the_guest(slots, share):
    assert bounds.free_rider_share(slots) == share


def test_an_open_swarm_is_stable_while_the_seed_gives_more_blocks_than_peers_come():
    assert bounds.stable(1.0, 0.5)
    assert not bounds.stable(1.0, 2.0)
    assert not bounds.stable(1.0, 1.0)


@pytest.mark.parametrize(("peers", "slots"), [(0, 4), (10, 0)])
def test_laws_are_of_swarms_and_slots_that_are_there(peers, slots):
    with pytest.raises(LocalError, match="give 1 of each or more"):
        bounds.startup_s(peers, slots, 1.0)
    with pytest.raises(LocalError, match="-1 slots"):
        bounds.free_rider_share(-1)

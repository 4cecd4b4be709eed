"""What follows from the records: every table is right on a run that can be checked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pytest
from lab_runs import BLOCK_BYTES, came, event, serves, simulated, written

from minibit.events import TRACKER
from minibit.lab import Run
from minibit.lab.derived import nice_step_s
from minibit.records import Record
from minibit.run import measures


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Run, list[Record]]]:
    """A run with free riders, wrong blocks, deaths and late comers, and its records."""
    yield simulated(
        {"arrivals": {"within": "3s"}, "faults": [{"kind": "dies", "at": "4s", "peers": 2}]},
        peers=12,
        behave="free-rider=2,corrupter=1",
        round="2s",
    )


# two peers and a seed share two blocks: peer 2 gets one of them from peer 1, which gets one twice
STORY = written(
    event(0.0, "peer-01", "started"),
    event(1.0, "peer-02", "started"),
    came(2.0, "peer-01", 0),
    came(4.0, "peer-02", 1),
    came(5.0, "peer-02", 0, "peer-01"),
    event(5.0, "peer-02", "completed"),
    came(6.0, "peer-01", 1, "peer-02"),
    event(6.0, "peer-01", "completed"),
    came(7.0, "peer-01", 1, verdict="double"),
    event(8.0, "peer-02", "left"),
    event(8.0, "peer-02", "died"),
    content={"name": "film", "bytes": 2 * BLOCK_BYTES, "blocks": 2, "block_bytes": BLOCK_BYTES, "digest": "x"},
)


# the measures


def test_what_each_gave_is_what_went_from_peer_to_peer(both):
    run, records = both
    between = measures.bytes_between(records)
    assert {(source, peer): count for source, peer, _, count in run.gave().iter_rows()} == dict(between)


def test_the_share_ratio_is_what_a_peer_gave_for_what_it_got():
    found = dict(STORY.shares().select("peer", "share_ratio").iter_rows())
    assert found == {TRACKER: inf, "peer-01": 1 / 3, "peer-02": 1 / 2, "peer-03": None}


def test_reciprocity_is_that_of_the_pairs_of_a_peer_and_of_all(both):
    run, records = both
    peers = [peer for peer in run.members["peer"] if peer != TRACKER]
    between = measures.bytes_between(records)
    assert run.reciprocity_of_all == pytest.approx(measures.reciprocity(between, peers))
    for peer, share in run.reciprocity().iter_rows():
        pairs = {pair: count for pair, count in between.items() if peer in pair}
        assert (share or 0.0) == pytest.approx(measures.reciprocity(pairs, peers))
    assert STORY.reciprocity().rows() == [("peer-01", 1.0), ("peer-02", 1.0), ("peer-03", None)]


def test_copies_are_counted_over_all_peers_but_the_seed_and_go_with_a_peer_that_leaves():
    assert STORY.availability(2.5).rows() == [
        (0.0, 0, 0.0, 0, 2),
        (2.5, 0, 0.5, 1, 1),
        (5.0, 1, 1.5, 2, 0),
        (7.5, 2, 2.0, 2, 0),
        (10.0, 1, 1.0, 1, 0),
    ]


def test_interest_is_the_share_of_the_common_time_in_which_one_wants_from_the_other():
    # both are there and incomplete from 1 to 5; peer 2 wants of peer 1 from 2 on, peer 1 of peer 2 from 4 on
    assert STORY.interest().rows() == [("peer-01", "peer-02", 1 / 4), ("peer-02", "peer-01", 3 / 4)]


def test_interest_of_peers_that_never_complete_lasts_to_the_end():
    run = written(event(0.0, "peer-01", "started"), event(0.0, "peer-02", "started"), came(5.0, "peer-01", 0))
    assert run.interest()["share"].to_list() == [0.0, 0.5]


def test_interest_has_no_share_where_two_never_met():
    run = written(event(0.0, "peer-01", "started"), event(3.0, "peer-01", "left"), event(4.0, "peer-02", "started"))
    assert run.interest().rows() == []


def test_lives_are_the_presences_of_all_members(both):
    run, records = both
    presences = {
        peer: tuple(inf if at_s is None else at_s for at_s in life)
        for peer, _, *life in run.lives().iter_rows()
        if life != [None, None, None]
    }
    assert presences == {peer: tuple(presence) for peer, presence in measures.presences(records).items()}
    assert run.lives().filter(peer="peer-12")["joined_s"][0] > 0


# holdings


def test_a_peer_joined_with_its_own_first_record_and_not_when_it_was_added_by_hand():
    run = written(event(1.0, "peer-01", "added"), event(3.0, "peer-01", "started"), event(4.0, "peer-01", "killed"))
    assert run.lives().filter(peer="peer-01").rows() == [("peer-01", 3.0, 3.0, None, None)]


def test_what_a_peer_held_at_the_start_it_has_since_it_joined():
    run = written(event(3.0, "peer-02", "started"), came(4.0, "peer-01", 0), held={"peer-01": 0b110, "peer-02": 0b1})
    assert run.arrivals().rows() == [("peer-01", 1, 0.0), ("peer-01", 2, 0.0), ("peer-02", 0, 3.0), ("peer-01", 0, 4.0)]
    assert run.held(0.0).rows() == [("peer-01", 1), ("peer-01", 2)]
    assert run.copies(4.0).rows() == [(0, 2), (1, 1), (2, 1), (3, 0)]


def test_only_useful_blocks_are_held_and_the_seed_is_not_counted():
    run = written(
        came(1.0, "peer-01", 0, verdict="rejected"),
        came(2.0, "peer-01", 0),
        came(3.0, "peer-01", 0, verdict="double"),
    )
    assert run.arrivals().rows() == [("peer-01", 0, 2.0)]


@pytest.mark.parametrize("how", ["left", "died", "failed"])
def test_copies_go_with_a_peer_that_is_gone(how):
    run = written(came(1.0, "peer-01", 0), came(2.0, "peer-02", 0), event(5.0, "peer-01", how))
    assert run.copies(4.9)["copies"].to_list() == [2, 0, 0, 0]
    assert run.copies(5.0)["copies"].to_list() == [1, 0, 0, 0]
    assert run.availability(5.0).rows() == [(0.0, 0, 0.0, 0, 4), (5.0, 0, 0.25, 1, 3), (10.0, 0, 0.25, 1, 3)]


def test_availability_has_its_own_step_and_goes_to_the_end(both):
    run, _ = both
    table = run.availability()
    assert 80 <= table.height <= 201
    assert table["at_s"][-1] >= run.end_s > table["at_s"][-2]


def test_completion_counts_peers_in_order_of_time():
    run = written(
        event(0.0, TRACKER, "completed"), event(3.0, "peer-02", "completed"), event(4.0, "peer-01", "completed")
    )
    assert run.completion().rows() == [(3.0, "peer-02", 1), (4.0, "peer-01", 2)]


# rates, shares


def test_rates_add_up_to_the_bytes_that_went(both):
    run, _ = both
    rates = run.rates(2.0)
    times = sorted(set(rates["at_s"]))
    until_s = dict(zip(times, [*times[1:], run.end_s], strict=True))
    for column in ("up_bps", "down_bps"):
        total = sum(rate * (until_s[at_s] - at_s) for at_s, rate in rates.select("at_s", column).iter_rows())
        assert total == pytest.approx(run.blocks["bytes"].sum())
    assert rates.height == run.members.height * len(times)


def test_rates_are_of_the_time_from_then_on_and_the_last_time_is_never_short():
    run = written(
        came(1.0, "peer-01", 0), came(5.0, "peer-02", 1, "peer-01"), came(9.1, "peer-02", 0, "peer-01"), end_s=9.1
    )
    found = {(at_s, peer): (up, down) for at_s, peer, up, down in run.rates(3.0).iter_rows()}
    assert sorted({at_s for at_s, _ in found}) == [0.0, 3.0, 6.0]
    assert found[0.0, TRACKER] == (BLOCK_BYTES / 3, 0)
    assert found[0.0, "peer-01"] == (0, BLOCK_BYTES / 3)
    assert found[3.0, "peer-01"] == (BLOCK_BYTES / 3, 0)
    assert found[6.0, "peer-02"] == pytest.approx((0, BLOCK_BYTES / 3.1))


def test_a_peer_that_got_nothing_has_an_infinite_ratio_and_one_that_moved_nothing_has_none():
    run = written(came(1.0, "peer-01", 0), came(2.0, "peer-01", 0, "peer-02", "double"))
    assert run.gave().rows() == [("peer-02", "peer-01", 0, BLOCK_BYTES), (TRACKER, "peer-01", 1, BLOCK_BYTES)]
    assert dict(run.shares().select("peer", "share_ratio").iter_rows()) == {
        TRACKER: inf,
        "peer-01": 0.0,
        "peer-02": inf,
        "peer-03": None,
    }


# choking


def test_choking_is_from_when_a_slot_was_given_until_it_changed():
    run = written(
        serves(1.0, "peer-01", "peer-02", "guest"),
        serves(2.0, "peer-01", "peer-03", "fixed"),
        serves(3.0, "peer-01", "peer-02", "fixed"),
        serves(6.0, "peer-01", "peer-02", "none"),
    )
    assert run.choking().rows() == [
        ("peer-01", "peer-02", "guest", 1.0, 3.0),
        ("peer-01", "peer-03", "fixed", 2.0, 10.0),
        ("peer-01", "peer-02", "fixed", 3.0, 6.0),
    ]
    assert run.choking_at(0.5).rows() == []
    assert run.choking_at(3.0).rows() == [("peer-01", "peer-03", "fixed"), ("peer-01", "peer-02", "fixed")]
    assert run.choking_at(10.0).rows() == run.choking_at(99.0).rows() == [("peer-01", "peer-03", "fixed")]


@pytest.mark.parametrize("gone", ["peer-01", "peer-02"])
def test_choking_ends_with_either_of_the_two(gone):
    run = written(serves(1.0, "peer-01", "peer-02", "guest"), event(4.0, gone, "died"))
    assert run.choking()["until_s"].to_list() == [4.0]


def test_choking_in_a_simulated_run_never_has_more_than_the_slots(both):
    run, _ = both
    for at_s in (1.0, 3.0, run.end_s):
        served = run.choking_at(at_s).group_by("peer", "slot").len()
        assert served.filter(slot="fixed")["len"].max() <= 4
        assert served.filter(slot="guest")["len"].max() <= 1


# interest


def test_interest_counts_what_was_held_at_the_start_too():
    run = written(
        event(0.0, "peer-01", "started"),
        event(0.0, "peer-02", "started"),
        came(4.0, "peer-02", 0, "peer-01"),
        held={"peer-01": 0b1},
    )
    assert run.interest().rows() == [("peer-01", "peer-02", 0.0), ("peer-02", "peer-01", 0.4)]


def test_interest_of_a_large_run_is_that_of_some(both):
    run, _ = both
    assert run.interest(3).height <= 6
    assert set(run.interest(3)["peer"]) <= {"peer-01", "peer-05", "peer-09"}


# steps


@pytest.mark.parametrize(("end_s", "step_s"), [(0.0, 1.0), (1.0, 0.005), (37.5, 0.2), (100.0, 0.5), (201.0, 2.0)])
def test_a_step_is_a_round_number(end_s, step_s):
    assert nice_step_s(end_s) == pytest.approx(step_s)

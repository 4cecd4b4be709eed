"""Measures are what their definitions say, on swarms small enough to count by hand."""

from __future__ import annotations

from math import inf

import pytest

from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, ServingRecord
from minibit.run import measures
from minibit.run.measures import Copies, Presence

BLOCK_BYTES = 100


def came(at_s: float, peer: str, block: int, source: str, verdict: str = "useful") -> BlockRecord:
    return BlockRecord(at_s, peer, block, source, 1.0, verdict, BLOCK_BYTES)


def event(at_s: float, peer: str, what: str) -> PeerRecord:
    return PeerRecord(at_s, peer, what)


# two peers and a seed share two blocks: `b` gets one of them from `a`, which gets one twice
STORY: list[Record] = [
    event(0, "tracker", "started"),
    event(0, "a", "started"),
    event(1, "b", "started"),
    ServingRecord(1, "tracker", "a", "fixed"),
    came(2, "a", 0, "tracker"),
    came(4, "b", 1, "tracker"),
    SampleRecord(4, "a", 1, 0, 2, 1, 0, 100, 10),
    came(5, "b", 0, "a"),
    event(5, "b", "completed"),
    came(6, "a", 1, "b"),
    event(6, "a", "completed"),
    came(7, "a", 1, "tracker", "double"),
    event(8, "b", "left"),
    event(8, "b", "died"),
]
END_S = 10.0


# who gave what to whom


def test_bytes_are_counted_from_peer_to_peer_wanted_or_not():
    assert measures.bytes_between(STORY) == {
        ("tracker", "a"): 200,
        ("tracker", "b"): 100,
        ("a", "b"): 100,
        ("b", "a"): 100,
    }


def test_the_share_ratio_is_what_a_peer_gave_for_what_it_got():
    assert measures.share_ratios(measures.bytes_between(STORY)) == {"a": 1 / 3, "b": 1 / 2, "tracker": inf}


@pytest.mark.parametrize(
    ("between", "reciprocity"),
    [
        ({("a", "b"): 100, ("b", "a"): 100}, 1.0),
        ({("a", "b"): 100}, 0.0),
        ({("a", "b"): 100, ("b", "a"): 50, ("b", "c"): 50}, 0.5),
        ({("tracker", "a"): 500, ("a", "b"): 100, ("b", "a"): 100}, 1.0),  # the seed is none of them
        ({}, 0.0),
    ],
)
def test_reciprocity_is_the_part_that_came_back_from_the_same_peer(between, reciprocity):
    assert measures.reciprocity(between, {"a", "b", "c"}) == pytest.approx(reciprocity)


def test_the_shares_of_a_class_add_up_and_who_has_no_class_does_not_count():
    class_of = {"a": "slow", "b": "fast", "c": "fast"}
    between = {("a", "b"): 300, ("b", "a"): 100, ("b", "c"): 200, ("c", "a"): 100, ("tracker", "a"): 900}
    assert measures.class_shares(between, class_of) == {
        ("slow", "slow"): 0.0,
        ("slow", "fast"): 1.0,
        ("fast", "slow"): 0.5,
        ("fast", "fast"): 0.5,
    }


# uplinks


def test_a_peer_is_there_from_its_start_until_it_first_went():
    assert measures.presences(STORY) == {
        "tracker": Presence(0, inf, inf),
        "a": Presence(0, 6, inf),
        "b": Presence(1, 5, 8),
    }


def test_utilisation_counts_only_the_time_in_which_a_peer_was_there():
    uplinks_bps = {"a": 20.0, "b": 20.0}
    assert measures.upload_utilisation(STORY, uplinks_bps, END_S) == pytest.approx(200 / (20 * 10 + 20 * 7))


def test_utilisation_while_incomplete_ends_when_a_peer_is_complete():
    uplinks_bps = {"a": 20.0, "b": 20.0}
    # what b sent came to a after b was complete
    assert measures.upload_utilisation(STORY, uplinks_bps, END_S, incomplete=True) == pytest.approx(
        100 / (20 * 6 + 20 * 4)
    )


def test_without_uplinks_nothing_is_used():
    assert measures.upload_utilisation(STORY, {}, END_S) == 0.0


# copies


def test_copies_are_counted_over_all_peers_but_the_seed_and_go_with_who_leaves():
    assert measures.availability(STORY, 2, "tracker", 2.5) == [
        Copies(0.0, 0, 0.0, 0, 2),
        Copies(2.5, 0, 0.5, 1, 1),
        Copies(5.0, 1, 1.5, 2, 0),
        Copies(7.5, 2, 2.0, 2, 0),
    ]
    assert measures.availability([*STORY, event(9, "a", "started")], 2, "tracker", 8.5)[-1] == Copies(8.5, 1, 1.0, 1, 0)


def test_the_seed_is_needed_until_the_last_block_came_to_anybody():
    assert measures.spread_s(STORY, 2) == 4
    assert measures.spread_s(STORY, 3) == inf


def test_seed_copies_are_what_the_seed_sent_until_then():
    assert measures.seed_copies(STORY, "tracker", 2 * BLOCK_BYTES, until_s=4) == 1.0
    assert measures.seed_copies(STORY, "tracker", 2 * BLOCK_BYTES) == 1.5


def test_interest_is_the_share_of_the_common_time_in_which_one_wants_from_the_other():
    # both are there and incomplete from 1 to 5; b wants of a from 2 on, a wants of b from 4 on
    assert measures.interest(STORY, ["a", "b"], END_S) == pytest.approx([1 / 4, 3 / 4])


def test_interest_of_those_who_never_complete_lasts_to_the_end():
    records = [event(0, "a", "started"), event(0, "b", "started"), came(5, "a", 0, "tracker")]
    assert measures.interest(records, ["a", "b"], END_S) == [0.0, 0.5]


def test_interest_has_no_share_where_two_never_met():
    records = [event(0, "a", "started"), event(3, "a", "left"), event(4, "b", "started")]
    assert measures.interest(records, ["a", "b"], END_S) == []


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (20, 1), (21, 2), (50, 3), (80, 4), (100, 5)])
def test_a_percentile_is_one_of_the_values(percent, value):
    assert measures.percentile([1, 2, 3, 4, 5], percent) == value


# what is sent for nothing


def test_waste_is_what_was_held_already_beside_the_content():
    assert measures.waste(STORY, 2 * BLOCK_BYTES) == 0.5


def test_control_overhead_is_what_is_not_payload_beside_what_is():
    assert measures.control_overhead(5, 1000) == 0.005
    assert measures.control_overhead(5, 0) == 0.0

"""Measures are what their definitions say, on swarms small enough to count by hand."""

from __future__ import annotations

from math import inf

import pytest

from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, ServingRecord
from minibit.run import measures
from minibit.run.measures import Presence

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


# payload between peers


def test_bytes_are_counted_from_peer_to_peer_wanted_or_not():
    assert measures.bytes_between(STORY) == {
        ("tracker", "a"): 200,
        ("tracker", "b"): 100,
        ("a", "b"): 100,
        ("b", "a"): 100,
    }


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


def test_the_reciprocity_of_a_peer_is_that_of_its_own_pairs():
    between = {("a", "b"): 100, ("b", "a"): 50, ("b", "c"): 50, ("tracker", "d"): 500}
    assert measures.reciprocities(between, {"a", "b", "c", "d"}) == pytest.approx({"a": 2 / 3, "b": 0.5, "c": 0.0})


def test_the_shares_of_a_class_add_up_and_a_peer_without_a_class_does_not_count():
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


def test_a_peer_may_be_gone_before_it_started_and_is_not_there_then():
    story = [event(3, "c", "died"), event(4, "a", "banned")]
    assert measures.presences(story) == {"c": Presence(inf, inf, 3)}
    assert measures.upload_utilisation(story, {"c": 20.0}, END_S) == 0.0


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


def test_the_seed_is_needed_until_the_last_block_came_to_anybody():
    assert measures.spread_s(STORY, 2) == 4
    assert measures.spread_s(STORY, 3) == inf


def test_seed_copies_are_what_the_seed_sent_until_then():
    assert measures.seed_copies(STORY, "tracker", 2 * BLOCK_BYTES, until_s=4) == 1.0
    assert measures.seed_copies(STORY, "tracker", 2 * BLOCK_BYTES) == 1.5


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (20, 1), (21, 2), (50, 3), (80, 4), (100, 5)])
def test_a_percentile_is_one_of_the_values(percent, value):
    assert measures.percentile([1, 2, 3, 4, 5], percent) == value

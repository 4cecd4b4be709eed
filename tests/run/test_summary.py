"""A summary is the JSON object of the design, and an exit code."""

import json

import msgspec
import pytest
from summaries import DONE

from minibit.messages import VERBS
from minibit.run.summary import Failure, MessageCounts, Summary, Traffic, jain


def summary(**changes: object) -> Summary:
    return msgspec.structs.replace(DONE, **changes)


def test_the_json_object_is_exactly_the_one_of_the_design():
    found = json.loads(DONE.to_json())
    assert " ".join(found) == (
        "run world preset seed content peers completed verified nodes seconds bytes goodput_bps bound_s efficiency "
        "fairness_jain actor_calls messages failed"
    )
    assert list(found["content"]) == ["name", "bytes", "blocks", "block_bytes", "digest"]
    assert list(found["seconds"]) == ["spawn", "transfer", "first", "median", "last", "verify", "total"]
    assert list(found["bytes"]) == ["moved", "wasted", "seed_sent", "control"]
    assert found["preset"] is found["bound_s"] is found["efficiency"] is None
    assert "\n" not in DONE.to_json()


def test_messages_are_counted_for_each_of_the_nine_verbs():
    assert set(MessageCounts.__struct_fields__) == set(VERBS)
    assert DONE.messages.total == 792


def test_measures_are_rounded_and_counts_are_not():
    found = json.loads(summary(bytes=Traffic(moved=12_345_678_901, wasted=0, seed_sent=0, control=0)).to_json())
    assert found["seconds"]["total"] == 3.12346
    assert found["fairness_jain"] == 0.987654
    assert found["bytes"]["moved"] == 12_345_678_901


def test_failed_peers_are_named_with_the_reason():
    failed = [Failure(peer="peer-07", why="died")]
    assert json.loads(summary(failed=failed).to_json())["failed"] == [{"peer": "peer-07", "why": "died"}]


def test_that_the_time_limit_ended_it_is_said_only_then():
    assert "timed_out" not in json.loads(DONE.to_json())
    assert json.loads(summary(timed_out=True).to_json())["timed_out"] is True


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"completed": 2, "verified": 2, "failed": [Failure(peer="peer-3", why="died")]}, 4),
        ({"completed": 2, "verified": 2}, 0),  # a corrupter, which nobody waits for
        ({"completed": 0, "verified": 0}, 4),
        ({"completed": 2, "verified": 2, "timed_out": True}, 5),
        ({"completed": 2, "verified": 1, "timed_out": True}, 6),
        ({"verified": 2}, 6),
    ],
)
def test_the_exit_code_says_how_it_ended_the_worst_first(changes, code):
    assert summary(**changes).exit_code == code


def test_jain_is_one_for_equal_shares_and_one_over_n_when_one_has_all():
    assert jain([3, 3, 3]) == pytest.approx(1)
    assert jain([5, 0, 0, 0]) == pytest.approx(1 / 4)
    assert jain([1, 2, 3]) == pytest.approx(36 / 42)
    assert jain([]) == jain([0, 0]) == 1


def test_waste_and_control_are_shares_of_the_payload_that_arrived():
    traffic = Traffic(moved=200, wasted=10, seed_sent=0, control=5)
    assert (traffic.wasted_share, traffic.control_share) == (0.05, 0.025)
    nothing = Traffic(moved=0, wasted=0, seed_sent=0, control=7)
    assert nothing.wasted_share is nothing.control_share is None

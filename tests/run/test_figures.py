"""What a summary says in words: each figure of one moment, failures by their reason."""

from __future__ import annotations

import msgspec
import pytest
from summaries import DONE

from minibit.run.figures import figures, told_of
from minibit.run.summary import Failure, Summary, Times, Traffic

LATE = "the time limit of 5 s came first"


def rows(summary: Summary) -> list[tuple[str, str]]:
    return [(figure.question, figure.text) for figure in figures(summary)]


def failed(peer: str, why: str = LATE, missing: int = 0, node: str | None = None) -> Failure:
    return Failure(peer=peer, why=why, missing=missing, node=node)


def test_failures_are_grouped_by_reason_the_most_first():
    failures = [failed("peer-01", "died"), failed("peer-02", missing=3), failed("peer-03", missing=17)]
    said = [text for question, text in rows(msgspec.structs.replace(DONE, failed=failures)) if question == "failed"]
    assert said == [f"2, peer-02, peer-03: {LATE}, 3 to 17 blocks missing", "1, peer-01: died"]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (1, "peer-01, peer-02, peer-03: died"),
        (2, "peer-01, peer-03 on 10.0.0.2, peer-02 on 10.0.0.3: died"),
    ],
)
def test_they_are_named_with_their_hosts_where_there_are_several(nodes, said):
    hosts = ("10.0.0.2", "10.0.0.3", "10.0.0.2")
    failures = [failed(f"peer-0{number}", "died", node=host) for number, host in enumerate(hosts, 1)]
    assert told_of(failures, "died", nodes) == said


def test_of_many_the_first_are_named():
    failures = [failed(f"peer-{number}", missing=number) for number in range(1, 9)]
    assert told_of(failures, LATE, 1, 2) == f"peer-1, peer-2 and 6 more: {LATE}, 1 to 8 blocks missing"


def test_all_is_the_sum_of_what_is_named():
    times = Times(spawn=1.5, transfer=4.0, first=2.0, median=3.0, last=4.0, verify=0.5, total=10.0)
    assert rows(msgspec.structs.replace(DONE, seconds=times))[-1] == (
        "in all",
        "10 s, spawning 1.5 s, verifying 500 ms, all else 4 s",  # and the transfer above
    )


def test_a_share_is_rounded_down():
    traffic = Traffic(moved=100_000, wasted=99_999, seed_sent=0, control=1)
    moved = dict(rows(msgspec.structs.replace(DONE, bytes=traffic)))["moved"]
    assert "99.99 % wasted, <0.01 % control" in moved

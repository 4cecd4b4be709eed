"""Progress of a push: a bar on a terminal, a line every ten seconds elsewhere, JSON for a machine, or nothing."""

from __future__ import annotations

import io
import json

import msgspec
import pytest
from pushed import MIB, moving
from terminal import Clock, Terminal

from minibit.cli.phases import Phases
from minibit.delivery.progress import NodeProgress, PushProgress


def told(how: str, *seen: PushProgress, file: io.StringIO | None = None, every_s: float = 5.0) -> str:
    file, clock = file or io.StringIO(), Clock()
    with Phases(how, file, clock) as phases:
        for one in seen:
            phases.tell(one)
            clock.now += every_s
    return file.getvalue()


HASHING = [
    PushProgress(phase="hashing", done=done * MIB, total=100 * MIB, rate_bps=5.0 * MIB) for done in range(0, 100, 9)
]


def test_a_line_every_ten_seconds_with_the_time_that_is_left() -> None:
    assert told("lines", *(moving(share) for share in (10, 20, 30, 40, 50))).splitlines() == [
        "moving: 10 %, 3 MiB/s, slowest 10.0.0.4 (7 %), 0 of 4 nodes complete",
        "moving: 30 %, 3 MiB/s, slowest 10.0.0.4 (27 %), 0 of 4 nodes complete, 35 s to go",
        "moving: 50 %, 3 MiB/s, slowest 10.0.0.4 (47 %), 0 of 4 nodes complete, 25 s to go",
    ]


def test_every_phase_is_said_when_it_begins() -> None:
    lines = told(
        "auto",
        PushProgress(phase="checking"),
        PushProgress(phase="checking", done=1, total=3),
        PushProgress(phase="checking", done=3, total=3),
        *HASHING[:4],
        moving(100, complete=4),
        msgspec.structs.replace(moving(100, complete=3), phase="verifying"),
        PushProgress(phase="following"),
        PushProgress(phase="following"),
    ).splitlines()
    assert lines == [
        "checking the nodes",
        "checking the nodes: 3 of 3 nodes",
        "hashing: 0 %, 5 MiB/s",
        "hashing: 18 %, 5 MiB/s, 46 s to go",
        "moving: 100 %, 3 MiB/s, 4 of 4 nodes complete",
        "verifying: 3 of 4 nodes complete",
        "waiting for nodes that join",
    ]


def test_a_share_is_rounded_down_until_all_is_there() -> None:
    almost = msgspec.structs.replace(moving(99), done=9999, total=10_000)
    assert "99 %" in told("lines", almost)


def test_a_node_that_fails_is_named_once_with_its_reason() -> None:
    lost = NodeProgress(host="10.0.0.3", held_bytes=0, bytes_moved=0, status="failed", why="no room")
    seen = msgspec.structs.replace(moving(10), nodes=(*moving(10).nodes, lost))
    lines = told("lines", seen, seen, seen, every_s=1).splitlines()
    assert lines.count("10.0.0.3 failed: no room") == 1


def test_a_terminal_gets_bars_and_they_change_with_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    drawn = told("auto", *HASHING[:3], moving(40, complete=1), file=Terminal())
    assert "━" in drawn
    assert drawn.index("hashing") < drawn.index("moving") < drawn.index("nodes")
    assert "3 MiB/s" in drawn and "1 of 4" in drawn and "slowest 10.0.0.4 (37 %)" in drawn


def test_hashing_is_shown_beside_the_transfer_as_long_as_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    both = msgspec.structs.replace(moving(40), hashed_bytes=59 * MIB)
    drawn = told("auto", both, file=Terminal())
    assert drawn.index("hashing") < drawn.index("moving")
    assert "moving: 40 %, 3 MiB/s, 59 % hashed, slowest" in told("lines", both)
    assert "hashing" not in told("auto", moving(40), file=Terminal())


def test_bars_and_lines_can_be_had_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "━" in told("bar", moving(40))
    assert "━" not in told("lines", moving(40), file=Terminal())


def test_nothing_is_nothing() -> None:
    for file in (io.StringIO(), Terminal()):
        assert told("none", *HASHING, moving(40), file=file) == ""


def test_a_machine_gets_an_object_a_second_and_one_whenever_a_node_is_complete() -> None:
    lines = told(
        "json", moving(10), moving(10), moving(20), moving(30, complete=1), moving(31, complete=1), every_s=0.5
    )
    events = [json.loads(line) for line in lines.splitlines()]
    assert [event["done"] for event in events] == [10, 20, 30]
    assert events[-1] == {
        "phase": "moving", "done": 30, "total": 100, "rate_bps": 3145730.0, "elapsed_s": 12.3457, "left_s": 5.25,
        "nodes": 4, "complete": 1, "failed": [], "slowest": "10.0.0.4",
    }  # fmt: skip
    assert events[0]["left_s"] is None


def test_a_new_phase_is_an_event_at_once() -> None:
    lines = told("json", HASHING[0], moving(0), PushProgress(phase="verifying"), every_s=0.01).splitlines()
    assert [json.loads(line)["phase"] for line in lines] == ["hashing", "moving", "verifying"]
    assert json.loads(lines[0])["slowest"] is None

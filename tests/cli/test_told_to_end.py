"""A run that is told to end, at each of its stages, once and twice: its exit code, its one line, and what stays.

The suite tries some of the cases. MINIBIT_EVERY_ENDING=1 tries all of them, and says how long each took.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from script import SLOW, SOON_S, Run, until

pytestmark = pytest.mark.long

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
BIG_BYTES = 64 << 30  # holes: there is nothing on the disk, and much to hash
COPY_BYTES = 1 << 30  # the same, for a copy that takes a while to verify


class Case(NamedTuple):
    """A stage of a run: the options that make it long enough, and the wait for its beginning."""

    options: tuple[str, ...]
    begun: Callable[[Run], object]


def said(pattern: str) -> Callable[[Run], object]:
    return lambda run: run.said(pattern)


def has(process: str) -> Callable[[Run], object]:
    def begun(run: Run) -> None:
        until(lambda: any(re.match(process, one) for one in run.children().values()) or run.process.poll() is not None)
        assert run.process.poll() is None, run.stderr

    return begun


QUICK = ("--peers", "1", "--size", "64KiB")
STAGES = {
    "hashing": Case(("big", "--block-size", "16MiB"), said("hashing big")),
    "importing Ray": Case(tuple(SLOW), lambda run: until(lambda: "_raylet" in run.maps())),
    "starting Ray": Case(tuple(SLOW), said("starting Ray")),
    "the head is up": Case(tuple(SLOW), has(".*gcs_server")),
    "a node is up": Case(tuple(SLOW), has(".*raylet/raylet")),
    "starting actors": Case(("--peers", "6", "--size", "64KiB"), said("starting . actors")),
    "joining": Case(tuple(SLOW), said("peers join")),
    "transferring": Case(tuple(SLOW), said("of the blocks")),
    "verifying": Case(("copy", "--peers", "1", "--block-size", "16MiB"), said("verifying")),
    "drawing": Case(("--world", "sim", *QUICK), said("drawing the report")),
}
TOLD = [(INT,), (TERM,), (HUP,), (INT, INT), (TERM, TERM), (INT, TERM)]
SUITE = [
    ("hashing", (INT,)),
    ("hashing", (TERM, TERM)),
    ("importing Ray", (TERM,)),
    ("starting Ray", (TERM,)),
    ("the head is up", (INT, INT)),
    ("a node is up", (TERM,)),
    ("starting actors", (INT, INT)),
    ("transferring", (INT, INT)),
    ("transferring", (TERM,)),
    ("drawing", (INT,)),
]
CASES = list(itertools.product(STAGES, TOLD)) if os.environ.get("MINIBIT_EVERY_ENDING") else SUITE


@pytest.mark.parametrize(
    ("stage", "numbers"), CASES, ids=[f"{stage}-{'-'.join(one.name for one in told)}" for stage, told in CASES]
)
def test_a_run_that_is_told_to_end_leaves_no_process_and_no_file(
    tmp_path: Path, stage: str, numbers: tuple[signal.Signals, ...]
) -> None:
    for name, size_bytes in (("big", BIG_BYTES), ("copy", COPY_BYTES)):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size_bytes)
    options, begun = STAGES[stage]
    with Run(tmp_path, *options, report=stage == "drawing") as run:
        begun(run)
        told_at = time.monotonic()
        for number in numbers:
            os.killpg(run.process.pid, number) if number is INT else run.process.send_signal(number)  # as a terminal
        code = run.wait(SOON_S)
        print(f"{stage}, {numbers}: {time.monotonic() - told_at:.1f} s")
        assert code in {128 + number for number in numbers}, run.stderr
        until(lambda: not run.children(), 5, run.children)
        assert run.stderr.endswith("run_swarm: interrupted\n")
        assert run.stderr.count("run_swarm: ") == 1
        assert "Traceback" not in run.stderr
        assert run.stdout == ""
        assert not list(run.tmp.glob("minibit-*"))
    assert stage == "drawing" or not list(tmp_path.glob("runs/*"))


def test_signals_that_are_ignored_end_nothing(tmp_path: Path) -> None:
    ignoring = ("env", "--ignore-signal=INT,TERM,HUP")
    with Run(tmp_path, "--peers", "1", "--size", "256KiB", "--seed-upload", "128KiB/s", before=ignoring) as run:
        for begun in (said("starting Ray"), has(".*raylet/raylet"), said("of the blocks")):
            begun(run)
            for number in (INT, TERM, HUP):
                run.process.send_signal(number)
        assert run.wait() == 0, run.stderr
        assert "1 verified" in run.stdout

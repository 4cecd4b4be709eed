"""What a person sees of a run: progress while it goes, a table when it is over.

Drawn by the driver only, from plain numbers. Progress goes to standard error: bars on a terminal, elsewhere
a line every few seconds. rich honours NO_COLOR.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from minibit.run.summary import Failure, Summary
from minibit.units import show_bytes, show_duration, show_rate

LINE_EVERY_S = 5.0
DRAW_EVERY_S = 0.2
NAMED_AT_ONCE = 6  # peers named in one row of the table; standard error names them all


class Progress:
    """Progress of one run, as a context manager; `quiet` shows nothing."""

    def __init__(
        self, quiet: bool = False, file: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._quiet = quiet
        self._console = Console(file=file or sys.stderr, highlight=False, soft_wrap=True)
        self._clock = clock
        self._started_at = clock()
        self._shown_at = self._started_at - LINE_EVERY_S
        self._done = False
        self._bars: Bars | None = None

    def say(self, text: str) -> None:
        """What happens now: `starting the tracker and 50 peers`."""
        if not self._quiet:
            self._console.print(text, style="dim", markup=False)

    @property
    def due(self) -> bool:
        """Whether it is time to show something; a simulation asks, and would `update` far too often."""
        every_s = DRAW_EVERY_S if self._console.is_interactive else LINE_EVERY_S
        return not self._quiet and self._clock() - self._shown_at >= every_s

    def update(
        self, completed: int, peers: int, held: int, total: int, rate_bps: float, virtual_s: float | None = None
    ) -> None:
        """`completed` of `peers`; `held` of `total` blocks, over all peers; useful payload a second.

        `virtual_s` is the time in a simulation, and `rate_bps` then by that time.
        """
        if self._quiet:
            return
        virtual = "" if virtual_s is None else f"{show_duration(round(virtual_s, 1))} simulated"
        now, done = self._clock(), completed == peers
        if self._console.is_interactive:
            self._shown_at = now
            self._draw(completed, peers, held, total, rate_bps, virtual)
        elif now - self._shown_at >= LINE_EVERY_S or (done and not self._done):
            self._shown_at, self._done = now, done
            share = held / total if total else 1.0
            self._console.print(
                f"{virtual and f'{virtual} in '}{show_duration(round(now - self._started_at))}: "
                f"{100 * share:.0f} % of the blocks, "
                f"{completed} of {peers} peers complete, {show_rate(rate_bps)}"
            )

    def close(self) -> None:
        """No more progress; what is drawn stays."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _draw(self, completed: int, peers: int, held: int, total: int, rate_bps: float, virtual: str) -> None:
        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description:>6}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[beside]}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[virtual]}"),
                console=self._console,
                auto_refresh=False,
            )
            self._bars.add_task("blocks", beside="", virtual="")
            self._bars.add_task("peers", beside="", virtual="")
            self._bars.start()
        blocks, complete = self._bars.task_ids
        self._bars.update(blocks, completed=held, total=total, beside=f"{show_rate(rate_bps):>10}", virtual=virtual)
        self._bars.update(complete, completed=completed, total=peers, beside=f"{completed} of {peers}".rjust(10))
        self._bars.refresh()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def summary_table(summary: Summary) -> Table:
    """The summary for a person: each row a question, its answer, and what stands behind it."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for question, answer, *behind in _rows(summary):
        table.add_row(question, Text(str(answer)), Text(", ".join(str(part) for part in behind if part)))
    return table


def _rows(summary: Summary) -> Iterator[tuple[str | None, ...]]:
    content, seconds, sent, messages = summary.content, summary.seconds, summary.bytes, summary.messages
    spawning, verifying = show_duration(seconds.spawn), show_duration(seconds.verify)
    wasted, control = _percent(sent.wasted, sent.moved), _percent(sent.control, sent.moved)

    yield "run", summary.world, summary.run, summary.preset and f"preset {summary.preset}", f"seed {summary.seed}"
    blocks = f"{content.blocks:,} blocks of {show_bytes(content.block_bytes)}"
    yield "content", show_bytes(content.bytes), content.name, blocks
    real = summary.world != "sim"
    nodes = "on 1 node" if summary.nodes == 1 else f"on {summary.nodes} nodes"
    where = (f"{summary.verified} verified", nodes) if real else ()
    late = "time limit reached" if summary.timed_out else None
    yield "complete", f"{summary.completed} of {summary.peers}", *where, late
    yield "transfer", show_duration(seconds.transfer), _finishes(summary)
    if summary.bound_s is not None and summary.efficiency is not None:
        yield "at best", show_duration(summary.bound_s), f"efficiency {summary.efficiency:.2f}"
    fairness = f"fairness {summary.fairness_jain:.2f} (Jain)"
    yield "goodput", show_rate(summary.goodput_bps), "all peers together", fairness
    copies = f"seed sent {sent.seed_sent / content.bytes:.2f} copies" if content.bytes else None
    yield "moved", show_bytes(sent.moved), f"{wasted} wasted", f"{control} control", copies
    each = f"{messages.total / summary.peers:,.0f} a peer"
    yield "messages", f"{messages.total:,}", each, f"{summary.actor_calls:,} actor calls" if real else None
    around = (f"spawning {spawning}", f"verifying {verifying}") if real else ("in virtual time",)
    yield "in all", show_duration(seconds.total), *around
    for why, names in failures(summary.failed).items():
        more = f" and {len(names) - NAMED_AT_ONCE} more" if len(names) > NAMED_AT_ONCE else ""
        yield "failed", str(len(names)), f"{', '.join(names[:NAMED_AT_ONCE])}{more}: {why}"


def failures(failed: list[Failure]) -> dict[str, list[str]]:
    """The peers that failed, by the reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for failure in failed:
        by_reason[failure.why].append(failure.peer)
    return dict(by_reason)


def show_summary(summary: Summary, file: TextIO | None = None) -> None:
    """Print the table, on standard output unless told otherwise."""
    Console(file=file or sys.stdout, highlight=False).print(summary_table(summary))


def _finishes(summary: Summary) -> str:
    first, median, last = summary.seconds.first, summary.seconds.median, summary.seconds.last
    if first is None or median is None or last is None:
        return "no peer complete"
    return f"first {show_duration(first)}, median {show_duration(median)}, last {show_duration(last)}"


def _percent(part: int, whole: int) -> str:
    if not part:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.2f} %" if percent >= 0.01 else "<0.01 %"

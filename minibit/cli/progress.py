"""What a person sees of a run: progress while it goes, a table when it is over.

Drawn by the driver only, from plain numbers. Progress goes to standard error: bars on a terminal, elsewhere
a line every few seconds. rich honours NO_COLOR.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from minibit.lab.words import figures
from minibit.run.summary import Summary
from minibit.units import show_duration, show_rate

LINE_EVERY_S = 5.0
DRAW_EVERY_S = 0.2


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
    for figure in figures(summary):
        table.add_row(figure.question, Text(figure.answer), Text(", ".join(figure.behind)))
    return table


def show_summary(summary: Summary, file: TextIO | None = None) -> None:
    """Print the table, on standard output unless told otherwise."""
    Console(file=file or sys.stdout, highlight=False).print(summary_table(summary))

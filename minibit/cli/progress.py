"""What a person sees of a run: progress while it goes, a table when it is over.

Progress goes to standard error: bars on a terminal, elsewhere a line every few seconds. rich honours NO_COLOR.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
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

Drawn = tuple[str, int, int, str, str]  # a bar: its name, how far of what, what stands beside it and behind it


class Progress(AbstractContextManager["Progress"]):
    """Progress of one run, or of many, as a context manager; `quiet` shows nothing."""

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
        virtual = "" if virtual_s is None else f"{show_duration(round(virtual_s, 1))} simulated"
        rate = show_rate(rate_bps)
        line = (
            f"{virtual and f'{virtual} in '}{show_duration(round(self._clock() - self._started_at))}: "
            f"{100 * (held / total if total else 1):.0f} % of the blocks, "
            f"{completed} of {peers} peers complete, {rate}"
        )
        blocks = ("blocks", held, total, rate, virtual)
        self._show(line, completed == peers, blocks, ("peers", completed, peers, f"{completed} of {peers}", ""))

    def update_runs(self, ended: int, lost: int, runs: int) -> None:
        """`ended` of so many `runs`, and `lost` of these."""
        left = show_duration((self._clock() - self._started_at) / ended * (runs - ended))
        count, text = f"{ended} of {runs}", (f"{lost} lost, " if lost else "") + f"{left} to go"
        self._show(f"{count} runs, {text}", ended == runs, ("runs", ended, runs, count, text))

    def _show(self, line: str, done: bool, *bars: Drawn) -> None:
        """Draw the bars on a terminal; elsewhere print the line, if one is due or all is done."""
        now = self._clock()
        if self._quiet:
            return
        if self._console.is_interactive:
            self._shown_at = now
            self._draw(bars)
        elif now - self._shown_at >= LINE_EVERY_S or (done and not self._done):
            self._shown_at, self._done = now, done
            self._console.print(line)

    def _draw(self, bars: Sequence[Drawn]) -> None:
        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description:>6}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[beside]:>10}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[behind]}"),
                console=self._console,
                auto_refresh=False,
            )
            for name, *_ in bars:
                self._bars.add_task(name, beside="", behind="")
            self._bars.start()
        for task, (_, completed, total, beside, behind) in zip(self._bars.task_ids, bars, strict=True):
            self._bars.update(task, completed=completed, total=total, beside=beside, behind=behind)
        self._bars.refresh()

    def __exit__(self, *_: object) -> None:
        """No more progress; what is drawn stays."""
        if self._bars is not None:
            self._bars.stop()


def show_summary(summary: Summary, file: TextIO | None = None) -> None:
    """Print the summary for a person: each row a question, its answer, and what stands behind it."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for figure in figures(summary):
        table.add_row(figure.question, Text(figure.answer), Text(", ".join(figure.behind)))
    Console(file=file or sys.stdout, highlight=False).print(table)

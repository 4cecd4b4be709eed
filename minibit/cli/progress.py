"""What a person sees of a run: progress while it goes, a table when it is over.

Progress goes to standard error: bars on a terminal, elsewhere a line every few seconds. rich honours NO_COLOR.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import inf
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from minibit.cli.table import put
from minibit.run.figures import figures
from minibit.run.summary import Summary
from minibit.units import show_duration, show_rate, show_share

LINE_EVERY_S = 5.0
DRAW_EVERY_S = 0.2

PACE_S = 30.0  # the recent past that says how long the rest will take


class Drawn(NamedTuple):
    """A bar: its name, how far it is, and what stands beside it and behind it."""

    name: str
    done: int
    total: int
    beside: str
    behind: str


class Pace:
    """How fast something goes, by the recent past."""

    def __init__(self, recent_s: float = PACE_S) -> None:
        self._recent_s = recent_s
        self._seen: deque[tuple[float, int]] = deque()

    def left(self, now: float, done: int, total: int) -> str:
        """`12 s to go`, when `done` of `total` are done; "" when nothing can be said."""
        left_s = self.left_s(now, done, total)
        return "" if left_s is None else f"{show_duration(max(1, round(left_s)))} to go"

    def left_s(self, now: float, done: int, total: int) -> float | None:
        """The same in seconds."""
        while len(self._seen) > 1 and now - self._seen[0][0] > self._recent_s:
            self._seen.popleft()
        self._seen.append((now, done))
        before, done_before = self._seen[0]
        if not done_before < done < total:
            return None
        return (total - done) * (now - before) / (done - done_before)


class Progress(AbstractContextManager["Progress"]):
    """Progress of one run, or of many, as a context manager; `quiet` shows nothing.

    every_s  seconds between two lines, where there are no bars
    bars     whether there are bars; None: on a terminal
    """

    def __init__(
        self,
        quiet: bool = False,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        every_s: float = LINE_EVERY_S,
        bars: bool | None = None,
    ) -> None:
        self._quiet = quiet
        self._every_s = every_s
        self._console = Console(
            file=file or sys.stderr,
            highlight=False,
            soft_wrap=True,
            force_interactive=bars,
            force_terminal=bars or None,
        )
        self._clock = clock
        self._shown_at = -inf
        self._done = False
        self._bars: Bars | None = None
        self._stage = ""
        self._pace = Pace()
        self._began_at: float | None = None

    def say(self, text: str) -> None:
        """What happens now: `starting Ray`."""
        if not self._quiet:
            self._console.print(text, style="dim", markup=False)

    @property
    def due(self) -> bool:
        """Whether it is time to show something; a simulation asks, and would `update` far too often."""
        every_s = DRAW_EVERY_S if self._console.is_interactive else self._every_s
        return not self._quiet and self._clock() - self._shown_at >= every_s

    def stage(self, what: str, done: int = 0, total: int = 0, counted: str = "") -> None:
        """What happens now before or after the transfer: `hashing film.mp4`.

        `done` of `total` says how far it is, if anything can tell; `counted` says it in words: `37 of 51 are up`.
        """
        if new := what != self._stage:
            self._begin(what)
            self._shown_at = self._clock()
            self._let_go()
            if not total or not self._console.is_interactive:
                self.say(what)
        left = self._pace.left(self._clock(), done, total)
        if total and (self.due or (new and self._console.is_interactive) or (done == total and self._bars)):
            how_far = counted or show_share(done, total)
            self._show(f"{what}: {how_far}{left and ', '}{left}", False, Drawn(what, done, total, counted, left))

    def update(
        self, completed: int, peers: int, held: int, total: int, rate_bps: float, virtual_s: float | None = None
    ) -> None:
        """`completed` of `peers`; `held` of `total` blocks, over all peers; useful payload a second.

        `virtual_s` is the time in a simulation, and `rate_bps` then by that time.
        """
        now = self._clock()
        if self._began_at is None:
            self._began_at = now
            self._begin("")
        virtual = "" if virtual_s is None else f"{show_duration(round(virtual_s, 1))} simulated"
        rate, left = show_rate(rate_bps), self._pace.left(now, held, total)
        line = (
            f"{virtual and f'{virtual} in '}{show_duration(round(now - self._began_at))}: "
            f"{show_share(held, total)} of the blocks, {completed} of {peers} peers complete, {rate}"
        )
        behind = ", ".join(filter(None, (left, virtual)))
        self._show(
            f"{line}{left and ', '}{left}",
            completed == peers,
            Drawn("blocks", held, total, rate, behind),
            Drawn("peers", completed, peers, f"{completed} of {peers}", ""),
        )

    def update_runs(self, ended: int, lost: int, runs: int) -> None:
        """`ended` of so many `runs`, and `lost` of these."""
        if self._stage != "runs":
            self._stage, self._pace = "runs", Pace(recent_s=inf)
        left = self._pace.left(self._clock(), ended, runs)
        count, text = f"{ended} of {runs}", ", ".join(filter(None, (f"{lost} lost" if lost else "", left)))
        self._show(f"{count} runs{text and ', '}{text}", ended == runs, Drawn("runs", ended, runs, count, text))

    def _begin(self, stage: str) -> None:
        """Nothing was shown of this stage so far, and nothing is known of its pace."""
        self._stage, self._pace, self._shown_at = stage, Pace(), -inf

    def _show(self, line: str, done: bool, *bars: Drawn) -> None:
        """Draw the bars on a terminal; elsewhere print the line, if one is due or all is done."""
        now = self._clock()
        if self._quiet:
            return
        if self._console.is_interactive:
            self._shown_at = now
            self._draw(bars)
        elif now - self._shown_at >= self._every_s or (done and not self._done):
            self._shown_at, self._done = now, done
            self._console.print(line, markup=False)

    def _draw(self, bars: Sequence[Drawn]) -> None:
        """Draw these bars; others that were there before stay above them."""
        if self._bars is None or [task.description for task in self._bars.tasks] != [bar.name for bar in bars]:
            self._let_go()
            self._bars = Bars(
                TextColumn("{task.description:>6}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[share]:>5}"),
                TextColumn("{task.fields[beside]:>10}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[behind]}"),
                console=self._console,
                auto_refresh=False,
            )
            for bar in bars:
                self._bars.add_task(bar.name, share="", beside="", behind="")
            self._bars.start()
        for task, bar in zip(self._bars.task_ids, bars, strict=True):
            share = show_share(bar.done, bar.total)
            self._bars.update(
                task, completed=bar.done, total=bar.total, share=share, beside=bar.beside, behind=bar.behind
            )
        self._bars.refresh()

    def _let_go(self) -> None:
        """Leave the bars as they are drawn."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def __exit__(self, *_: object) -> None:
        """No more progress; what is drawn stays."""
        self._let_go()


def show_summary(summary: Summary, file: TextIO | None = None) -> None:
    """Print the summary for a person: each row a question, its answer, and what stands behind it."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for figure in figures(summary):
        table.add_row(figure.question, Text(figure.answer), Text(", ".join(figure.behind)))
    put(table, Console(file=file or sys.stdout, highlight=False))

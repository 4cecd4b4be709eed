"""A swarm drawn again and again in one place, until it is over: `swarm.watch()`.

The canvas is the cell's output in a notebook, or the last lines of a terminal; elsewhere a line is printed every few
seconds. Watching changes nothing: when it ends, by Ctrl-C or by the time limit, the swarm goes on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, TextIO

from minibit.actors.driver import tables
from minibit.actors.driver.handle import ANSWER_S, Answers
from minibit.actors.driver.tables import OverviewRow
from minibit.behaviour import BEHAVIOURS
from minibit.events import TRACKER
from minibit.run.account import UNWANTED
from minibit.snapshots import PeerSnapshot
from minibit.units import show_duration, show_share

STALL_S = 120.0  # the watching ends when no new block came anywhere for so long
LEAST_S = 1.0  # for the actors to answer, even if less time is left
LINE_EVERY_S = 5.0

_UNWANTED = {BEHAVIOURS[name].__name__ for name in UNWANTED}


class Canvas:
    """Where a swarm is drawn."""

    def draw(self, head: str, rows: list[OverviewRow], last: bool) -> None:
        """Draw a headline, and a row for each actor, over what was there; `last`: this is the end."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing more comes; what was drawn stays."""


def watch(
    name: str,
    ask: Callable[[float], Answers[PeerSnapshot]],
    canvas: Canvas,
    timeout_s: float | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Draw the swarm of that name until every peer is done, the time is over, or nothing moves any more.

    ask  the snapshots of all actors, within so many seconds
    """
    began_at = polled_at = moved_at = clock()
    until = began_at + (inf if timeout_s is None else timeout_s)
    states: dict[str, PeerSnapshot] = {}
    held_before: int | None = None
    head, rows, why = f"Swarm {name}", [], ""
    try:
        while not why:
            answers = ask(min(ANSWER_S, max(LEAST_S, until - clock())))
            now = clock()
            # an actor that gave no answer in time keeps its last state; one that is gone has none
            states = {**{peer: states[peer] for peer in answers.slow if peer in states}, **answers.found}
            rows = tables.overview(answers.names, states, answers.slow)
            peers = {peer: state for peer, state in states.items() if peer != TRACKER}
            held = sum(state.held for state in peers.values())
            new, took_s = held - (held if held_before is None else held_before), now - polled_at
            if new:
                moved_at = now
            held_before, polled_at = held, now
            head = f"{tables.headline(name, answers.names, states)}, {_amount(held, peers, new, took_s)}"
            if not _waiting(answers, peers):
                why = f"over after {show_duration(round(now - began_at))}"
            elif now >= until:
                why = f"watched for {timeout_s:g} s, and it goes on"
            elif now - moved_at >= STALL_S:
                why = f"watched until nothing had moved for {STALL_S:g} s"
            canvas.draw(f"{head}; {why}" if why else head, rows, bool(why))
            if not why:
                pause(max(0.0, min(until - clock(), 0.3 + 0.03 * len(answers.names), 2.0)))
    except KeyboardInterrupt:
        canvas.draw(f"{head}; watching was ended, and it goes on", rows, last=True)
    finally:
        canvas.close()


def _waiting(answers: Answers[PeerSnapshot], peers: Mapping[str, PeerSnapshot]) -> bool:
    """Whether any peer is still to be complete, as far as it shows from outside."""
    return any(peer not in peers for peer in answers.slow) or any(
        not (state.complete or state.failure or state.leaving or state.behaviour in _UNWANTED)
        for state in peers.values()
    )


def _amount(held: int, peers: Mapping[str, PeerSnapshot], new: int, took_s: float) -> str:
    total = sum(state.blocks for state in peers.values())
    rate = f", {max(0, new) / took_s:,.0f} blocks/s" if took_s > 0 else ""
    return f"{show_share(held, total)} of the blocks{rate}"


# canvases


def in_notebook() -> bool:
    """Whether this program runs in a notebook."""
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def canvas() -> Canvas:
    """The canvas of this process: a notebook, a terminal, or anything else."""
    if in_notebook():
        return NotebookCell()
    return Screen() if sys.stdout.isatty() else Lines(sys.stdout)


class NotebookCell(Canvas):
    """The output of a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, head: str, rows: list[OverviewRow], last: bool) -> None:
        from IPython.display import display  # noqa: PLC0415  only a notebook has it for sure

        drawn = {"text/html": tables.as_html(head, rows), "text/plain": tables.as_text(head, rows)}
        if self._handle is None:
            self._handle = display(drawn, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(drawn, raw=True)


class Screen(Canvas):
    """The last lines of a terminal; a drawing that is too long for it is cut."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415  only a terminal needs it
        from rich.live import Live  # noqa: PLC0415

        self._live = Live(console=Console(highlight=False, markup=False, emoji=False), auto_refresh=False)

    def draw(self, head: str, rows: list[OverviewRow], last: bool) -> None:
        self._live.start()
        self._live.update(tables.as_text(head, rows), refresh=True)

    def close(self) -> None:
        self._live.stop()


class Lines(Canvas):
    """A file or a pipe, where nothing can be drawn over: a line every few seconds."""

    def __init__(self, file: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._drawn_at = -inf

    def draw(self, head: str, rows: list[OverviewRow], last: bool) -> None:
        if last or self._clock() - self._drawn_at >= LINE_EVERY_S:
            self._drawn_at = self._clock()
            print(head, file=self._file, flush=True)

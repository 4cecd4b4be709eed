"""A swarm drawn again and again in one place, until it is over: `swarm.watch()`.

The place is the cell's output in a notebook, and some lines on a terminal; elsewhere a line is printed once in a while.
It only looks: whoever ends the watching, by Ctrl-C or by the time, leaves the swarm as it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Protocol, TextIO

from minibit.actors.driver import tables
from minibit.actors.driver.handle import LOOK_S, Answers
from minibit.actors.driver.tables import Row
from minibit.behaviour import BEHAVIOURS
from minibit.events import TRACKER
from minibit.run.account import UNWANTED
from minibit.units import show_duration

STALL_S = 120.0  # without a new block anywhere, after which nobody watches any longer
LEAST_S = 1.0  # that the actors have to answer, however little time is left
LINE_EVERY_S = 5.0

_UNWANTED = {BEHAVIOURS[name].__name__ for name in UNWANTED}


class Place(Protocol):
    """Where a swarm is drawn."""

    def draw(self, head: str, rows: list[Row], last: bool) -> None:
        """Draw it anew: a headline, and a row for each actor; `last`: no more comes."""

    def close(self) -> None:
        """What was drawn stays."""


def watch(
    name: str,
    ask: Callable[[float], Answers],
    place: Place,
    timeout_s: float | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Draw the swarm of that name until nobody in it is waited for, the time is over, or nothing moves any more.

    ask  the snapshots of all actors, within so many seconds
    """
    began_at = looked_at = moved_at = clock()
    until = began_at + (inf if timeout_s is None else timeout_s)
    states: dict[str, Any] = {}
    held_before: int | None = None
    head, rows, why = f"Swarm {name}", [], ""
    try:
        while not why:
            answers = ask(min(LOOK_S, max(LEAST_S, until - clock())))
            now = clock()
            # who gives no answer in time is as it was; who is gone has no state
            states = {**{peer: states[peer] for peer in answers.slow if peer in states}, **answers.found}
            rows = tables.overview(answers.names, states, answers.slow)
            peers = {peer: state for peer, state in states.items() if peer != TRACKER}
            held = sum(state["held"] for state in peers.values())
            new, took_s = held - (held if held_before is None else held_before), now - looked_at
            if new:
                moved_at = now
            held_before, looked_at = held, now
            head = f"{tables.headline(name, answers.names, states)}, {_amount(held, peers, new, took_s)}"
            if not _waiting(answers, peers):
                why = f"over after {show_duration(round(now - began_at))}"
            elif now >= until:
                why = f"watched for {timeout_s:g} s, and it goes on"
            elif now - moved_at >= STALL_S:
                why = f"watched until nothing had moved for {STALL_S:g} s"
            place.draw(f"{head}; {why}" if why else head, rows, bool(why))
            if not why:
                pause(max(0.0, min(until - clock(), 0.3 + 0.03 * len(answers.names), 2.0)))
    except KeyboardInterrupt:
        place.draw(f"{head}; watching was ended, and it goes on", rows, last=True)
    finally:
        place.close()


def _waiting(answers: Answers, peers: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether anybody is still to be complete, as far as one can see from outside."""
    return any(peer not in peers for peer in answers.slow) or any(
        not (state["complete"] or state["failure"] or state["leaving"] or state["behaviour"] in _UNWANTED)
        for state in peers.values()
    )


def _amount(held: int, peers: Mapping[str, Mapping[str, Any]], new: int, took_s: float) -> str:
    total = sum(state["blocks"] for state in peers.values())
    rate = f", {max(0, new) / took_s:,.0f} blocks/s" if took_s > 0 else ""
    return f"{100 * held / total if total else 100:.0f} % of the blocks{rate}"


# places


def place() -> Place:
    """The one that suits who watches."""
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        return Cell()
    return Screen() if sys.stdout.isatty() else Lines(sys.stdout)


class Cell:
    """The output of a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, head: str, rows: list[Row], last: bool) -> None:
        """Put it in the place of what was there."""
        from IPython.display import display  # noqa: PLC0415  only a notebook has it for sure

        drawn = {"text/html": tables.as_html(head, rows), "text/plain": tables.as_text(head, rows)}
        if self._handle is None:
            self._handle = display(drawn, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(drawn, raw=True)

    def close(self) -> None:
        """It stays."""


class Screen:
    """The last lines of a terminal; what is too long for it is cut."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415  not everybody watches
        from rich.live import Live  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        self._text = Text
        self._live = Live(console=Console(highlight=False), auto_refresh=False)

    def draw(self, head: str, rows: list[Row], last: bool) -> None:
        """Draw over what was there."""
        self._live.start()
        self._live.update(self._text(tables.as_text(head, rows)), refresh=True)

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()


class Lines:
    """Anything that can't be drawn over: a line every few seconds."""

    def __init__(self, file: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._drawn_at = -inf

    def draw(self, head: str, rows: list[Row], last: bool) -> None:
        """Print the headline, if it is time."""
        if last or self._clock() - self._drawn_at >= LINE_EVERY_S:
            self._drawn_at = self._clock()
            print(head, file=self._file, flush=True)

    def close(self) -> None:
        """They stay."""

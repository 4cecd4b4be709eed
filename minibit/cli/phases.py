"""The phases of a push as a person sees them, or a machine: bars, lines, or one JSON object a line."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self, TextIO

import msgspec

from minibit.cli.progress import Drawn, Pace, Progress
from minibit.delivery.progress import PushProgress
from minibit.units import show_rate

LINE_EVERY_S = 10.0
EVENT_EVERY_S = 1.0

SAID = {
    "checking": "checking the nodes",
    "hashing": "hashing",
    "moving": "moving",
    "verifying": "verifying",
    "following": "waiting for nodes that join",
}
HOW = ("auto", "bar", "lines", "json", "none")


class Phases(Progress):
    """Progress of a push on standard error, as one of `HOW` says."""

    def __init__(
        self, how: str = "auto", file: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        bars = {"bar": True, "lines": False}.get(how)
        super().__init__(how in ("json", "none"), file, clock, every_s=LINE_EVERY_S, bars=bars)
        self._events = how == "json"
        self._told: tuple[str, int, int] | None = None  # of the last event: its phase, complete nodes, failed nodes
        self._failed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def tell(self, seen: PushProgress) -> None:
        """Show how far a push is."""
        if self._events:
            self._tell_a_machine(seen)
            return
        for node in seen.failed:
            if node.host not in self._failed:
                self._failed.add(node.host)
                self.say(f"{node.host} failed: {node.why}")
        what = SAID[seen.phase]
        if new := self._stage != what:
            self._begin(what)
        moving, by_nodes = seen.phase == "moving", seen.phase in ("verifying", "following")
        done, total = (seen.complete, len(seen.nodes)) if by_nodes else (seen.done, seen.total)
        if not total and not moving:  # nobody can say how far it is
            if self._console.is_interactive:
                self._show("", False, Drawn(what, 0, 1, "", ""))
            elif new:
                self.say(what)
                self._shown_at = self._clock()
            return
        left = self._pace.left(self._clock(), done, total)
        complete = f"{seen.complete} of {len(seen.nodes)}"
        beside = seen.how_far if seen.phase == "checking" else complete if by_nodes else show_rate(seen.rate_bps)
        bars = [Drawn(what, done, total, beside, left)]
        if seen.hashed_bytes is not None:
            bars.insert(0, Drawn("hashing", seen.hashed_bytes, seen.content_bytes, "", ""))
        if moving:
            bars.append(Drawn("nodes", seen.complete, len(seen.nodes), complete, seen.laggard))
        all_done = bool(seen.nodes) and seen.complete == len(seen.nodes)
        self._show(f"{what}: {', '.join(filter(None, [seen.how_far, left]))}", all_done, *bars)

    def _tell_a_machine(self, seen: PushProgress) -> None:
        now, told = self._clock(), (seen.phase, seen.complete, len(seen.failed))
        if self._stage != seen.phase:
            self._stage, self._pace = seen.phase, Pace()
        left_s = self._pace.left_s(now, seen.done, seen.total)
        if told != self._told or now - self._shown_at >= EVENT_EVERY_S:
            self._told, self._shown_at = told, now
            self._console.file.write(f"{msgspec.json.encode(seen.as_event(left_s)).decode()}\n")
            self._console.file.flush()

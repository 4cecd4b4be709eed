"""The rates of blocks under way: flows of a fluid through uplinks, and through downlinks where they bind.

Rates are max-min fair. Where only uplinks bind, each uploader's flows share its uplink equally, and a flow that begins
or ends there changes no other uplink. A downlink binds only if its senders could together give more than it takes.
Then the rates of all ends connected by such downlinks are raised together until a limit stops each of them
(D. Bertsekas and R. Gallager, "Data Networks", section 6.5.2). A flow may have a ceiling of its own (a slow link).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from minibit.sim.clock import Clock

Done = Callable[..., object]

NOTHING_BYTES: Final = 1e-6  # rounding may leave this much of a block that is over


@dataclass(slots=True, eq=False)
class End:
    """One machine's connection: `up_bps` and `down_bps` are bytes a second; 0 lets nothing pass."""

    up_bps: float
    down_bps: float = inf
    sending: list[Flow] = field(default_factory=list)
    receiving: list[Flow] = field(default_factory=list)
    version: int = 0  # counts the plans for the end of its next flow; an older plan is void


@dataclass(slots=True, eq=False)
class Flow:
    """The bytes of one block on their way."""

    source: End
    target: End
    left_bytes: float
    done: Done | None  # None once it is over
    args: tuple[Any, ...]
    ceiling_bps: float
    settled_s: float  # left_bytes was right at this time
    rate_bps: float = 0.0


class Bandwidth:
    """Shares all ends among all flows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._touched: dict[int, End] = {}  # ends with changed flows, which need new rates
        self._gathering = False

    def start(
        self, source: End, target: End, size_bytes: float, done: Done, *args: Any, ceiling_bps: float = inf
    ) -> Flow:
        """Send `size_bytes`; `done(*args)` is called when the last byte left."""
        flow = Flow(source, target, size_bytes, done, args, ceiling_bps, self._clock.now)
        source.sending.append(flow)
        target.receiving.append(flow)
        self._touch(source)
        return flow

    def stop(self, flow: Flow) -> None:
        """Send no more of `flow`; its `done` is not called."""
        if flow.done is not None:
            self._remove(flow)
            self._touch(flow.source)

    def limit(self, end: End, up_bps: float, down_bps: float) -> None:
        """Other limits from now on."""
        end.up_bps, end.down_bps = up_bps, down_bps
        beside = [other for flow in end.sending if flow.target.down_bps < inf for other in flow.target.receiving]
        self._touch(end, *(flow.source for flow in end.receiving + beside))

    def cap(self, flow: Flow, ceiling_bps: float) -> None:
        """Another ceiling for this flow from now on."""
        flow.ceiling_bps = ceiling_bps
        self._touch(flow.source)

    def _remove(self, flow: Flow) -> None:
        flow.done = None
        flow.source.sending.remove(flow)
        flow.target.receiving.remove(flow)
        if flow.target.down_bps < inf:  # the flows that share its downlink may get faster
            for other in flow.target.receiving:
                self._touched[id(other.source)] = other.source

    def _touch(self, *ends: End) -> None:
        for end in ends:
            self._touched[id(end)] = end
        if not self._gathering:
            self._share()

    def _share(self) -> None:
        """Set new rates for the flows of all touched ends, and for the flows that depend on these."""
        now = self._clock.now
        ends, self._touched = self._touched, {}
        for end in ends.values():
            if any(flow.target.down_bps < inf or flow.ceiling_bps < inf for flow in end.sending):
                self._fill(_connected(ends))
                return
        for end in ends.values():
            sending = end.sending
            if sending:
                rate_bps = end.up_bps / len(sending)
                for flow in sending:
                    flow.left_bytes -= flow.rate_bps * (now - flow.settled_s)
                    flow.settled_s = now
                    flow.rate_bps = rate_bps
            self._plan(end)

    def _plan(self, end: End) -> None:
        """Plan a call for the time when the end's next flow is over; an earlier plan is void."""
        end.version += 1
        next_s, first = inf, None
        for flow in end.sending:
            if flow.rate_bps > 0 and (left_s := flow.left_bytes / flow.rate_bps) < next_s:
                next_s, first = left_s, flow
        if first is not None:
            self._clock.at(self._clock.now + max(0.0, next_s), self._over, end, end.version, first)

    def _over(self, end: End, version: int, first: Flow) -> None:
        if end.version != version:
            return
        now = self._clock.now
        self._gathering = True
        for flow in list(end.sending):
            left_bytes = flow.left_bytes - flow.rate_bps * (now - flow.settled_s)
            if (flow is first or left_bytes < NOTHING_BYTES) and (done := flow.done) is not None:
                self._remove(flow)
                done(*flow.args)
        self._gathering = False
        self._touch(end)

    def _fill(self, sources: list[End]) -> None:
        """Set max-min fair rates for all flows of these ends, which depend on no other end."""
        now = self._clock.now
        flows = [flow for source in sources for flow in source.sending]
        left_bps: dict[int, float] = {}
        users: dict[int, list[Flow]] = {}
        limits: dict[Flow, list[int]] = {}
        for flow in flows:
            flow.left_bytes -= flow.rate_bps * (now - flow.settled_s)
            flow.settled_s = now
            flow.rate_bps = 0.0
            limits[flow] = [id(flow.source)]
            left_bps[id(flow.source)] = flow.source.up_bps
            if flow.target.down_bps < inf:
                limits[flow].append(-id(flow.target))
                left_bps[-id(flow.target)] = flow.target.down_bps
            for limit in limits[flow]:
                users.setdefault(limit, []).append(flow)
        scale = {limit: 1e-9 * max(1.0, bps) for limit, bps in left_bps.items()}
        level_bps = 0.0
        while limits:
            shares_bps = [left_bps[limit] / len(sharing) for limit, sharing in users.items() if sharing]
            step_bps = min(*shares_bps, min(flow.ceiling_bps for flow in limits) - level_bps)
            level_bps += step_bps
            for limit, sharing in users.items():
                left_bps[limit] -= step_bps * len(sharing)
            for flow, limiting in list(limits.items()):
                at_ceiling = flow.ceiling_bps <= level_bps * (1 + 1e-12)
                if at_ceiling or any(left_bps[limit] <= scale[limit] for limit in limiting):
                    flow.rate_bps = level_bps
                    del limits[flow]
                    for limit in limiting:
                        users[limit].remove(flow)
        for source in sources:
            self._plan(source)


def _connected(ends: dict[int, End]) -> list[End]:
    """These ends, and all ends with flows that meet theirs at a downlink that may bind, directly or through others."""
    found = dict(ends)
    ahead = list(ends.values())
    while ahead:
        for flow in ahead.pop().sending:
            target = flow.target
            if target.down_bps < sum(other.source.up_bps for other in target.receiving):
                for other in target.receiving:
                    if id(other.source) not in found:
                        found[id(other.source)] = other.source
                        ahead.append(other.source)
    return list(found.values())

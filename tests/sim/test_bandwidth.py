"""Bandwidth: blocks as flows of a fluid, against cases computed by hand and against what max-min fair means."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit.sim.bandwidth import Bandwidth, End, Flow
from minibit.sim.clock import Clock


class Lines:
    """Ends and flows; `over` is when which flow was over."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bandwidth = Bandwidth(self.clock)
        self.over: list[tuple[str, float]] = []

    def send(self, name: str, source: End, target: End, size_bytes: float = 1e6, ceiling_bps: float = inf) -> Flow:
        return self.bandwidth.start(source, target, size_bytes, self.done, name, ceiling_bps=ceiling_bps)

    def done(self, name: str) -> None:
        self.over.append((name, round(self.clock.now, 6)))

    def run(self, until_s: float = inf) -> None:
        while self.clock.next_s <= until_s and self.clock.next_s < inf:
            self.clock.step()
        if until_s < inf:
            self.clock.at(until_s, int)
            self.clock.step()


def rates(*flows: Flow) -> list[float]:
    return [pytest.approx(flow.rate_bps, rel=1e-9) for flow in flows]


def test_one_uplink_is_shared_equally_and_a_flow_that_ends_leaves_its_share():
    lines, one, other = Lines(), End(100), End(100)
    lines.send("short", one, other, 100)
    lines.send("long", one, other, 300)
    lines.run()
    assert lines.over == [("short", 2.0), ("long", 4.0)]


def test_a_flow_that_comes_later_takes_its_share_from_then_on():
    lines, one, other = Lines(), End(100), End(100)
    lines.send("first", one, other, 200)
    lines.clock.at(1.0, lines.send, "second", one, other, 50)
    lines.run()
    assert lines.over == [("second", 2.0), ("first", 2.5)]


def test_flows_that_are_over_in_the_same_moment_are_so_in_the_order_in_which_they_began():
    lines, one, other = Lines(), End(100), End(100)
    for name in "bca":
        lines.send(name, one, other, 100)
    lines.run()
    assert lines.over == [("b", 3.0), ("c", 3.0), ("a", 3.0)]


def test_a_flow_that_begins_when_another_is_over_loses_no_time():
    lines, one, other = Lines(), End(100), End(100)
    lines.bandwidth.start(one, other, 100, lambda: lines.send("next", one, other, 100))
    lines.run()
    assert lines.over == [("next", 2.0)]


def test_where_only_uplinks_bind_what_begins_or_ends_touches_its_own_uploader_only():
    lines, one, other, target = Lines(), End(100), End(100), End(0)
    lines.send("one", one, target)
    planned, version = lines.clock.planned, one.version
    flow = lines.send("other", other, target)
    lines.bandwidth.stop(flow)
    assert lines.clock.planned == planned + 1
    assert one.version == version


def test_a_downlink_is_shared_by_the_flows_that_it_binds_and_others_get_what_they_leave():
    lines, one, other = Lines(), End(100), End(100)
    narrow, wide = End(0, 60), End(0)
    one_narrow = lines.send("one to narrow", one, narrow)
    one_wide = lines.send("one to wide", one, wide)
    other_narrow = lines.send("other to narrow", other, narrow)
    assert rates(one_narrow, one_wide, other_narrow) == [30, 70, 30]


def test_downlinks_that_share_senders_are_filled_like_water():
    lines, ends = Lines(), [End(60), End(60), End(60)]
    left, right = End(0, 30), End(0, 90)
    flows = [
        lines.send("0 to left", ends[0], left),
        lines.send("1 to left", ends[1], left),
        lines.send("1 to right", ends[1], right),
        lines.send("2 to right", ends[2], right),
    ]
    assert rates(*flows) == [15, 15, 45, 45]


def test_a_downlink_that_takes_all_that_its_senders_give_binds_nobody():
    lines, ends, target = Lines(), [End(60), End(40)], End(0, 100)
    flows = [lines.send("big", ends[0], target), lines.send("small", ends[1], target)]
    assert rates(*flows) == [60, 40]


def test_a_downlink_stops_binding_when_a_flow_is_over():
    lines, ends, target = Lines(), [End(100), End(100)], End(0, 100)
    lines.send("short", ends[0], target, 100)
    lines.send("long", ends[1], target, 200)
    lines.run()
    assert lines.over == [("short", 2.0), ("long", 3.0)]


def test_a_downlink_stops_binding_when_one_of_its_senders_falls_silent():
    lines, ends, target = Lines(), [End(10), End(10)], End(0, 10)
    flows = [lines.send("silent", ends[0], target), lines.send("awake", ends[1], target)]
    assert rates(*flows) == [5, 5]
    lines.bandwidth.limit(ends[0], 0, inf)
    assert rates(*flows) == [0, 10]
    lines.bandwidth.limit(ends[0], 10, inf)
    assert rates(*flows) == [5, 5]


def test_a_flow_at_its_ceiling_leaves_the_rest_to_the_others():
    lines, one, other = Lines(), End(100), End(100)
    slow = lines.send("slow", one, other, ceiling_bps=10)
    usual = [lines.send(name, one, other) for name in "ab"]
    assert rates(slow, *usual) == [10, 45, 45]
    lines.bandwidth.cap(slow, inf)
    assert rates(slow, *usual) == [pytest.approx(100 / 3)] * 3
    lines.bandwidth.cap(usual[0], 0)
    assert rates(slow, *usual) == [50, 0, 50]


def test_a_flow_waits_while_its_sender_may_send_nothing():
    lines, one, other = Lines(), End(10), End(10)
    lines.send("one", one, other, 100)
    lines.clock.at(5.0, lines.bandwidth.limit, one, 0.0, inf)
    lines.clock.at(12.0, lines.bandwidth.limit, one, 10.0, inf)
    lines.run()
    assert lines.over == [("one", 17.0)]


def test_another_downlink_counts_from_now_on():
    lines, one, other = Lines(), End(100), End(100)
    lines.send("one", one, other, 200)
    lines.clock.at(1.0, lines.bandwidth.limit, other, 100.0, 20.0)
    lines.clock.at(3.0, lines.bandwidth.limit, other, 100.0, inf)
    lines.run()
    assert lines.over == [("one", 3.6)]


def test_what_is_stopped_is_never_over_and_leaves_its_share():
    lines, one, other = Lines(), End(100), End(100)
    stopped = lines.send("stopped", one, other, 200)
    lines.send("goes on", one, other, 200)
    lines.clock.at(2.0, lines.bandwidth.stop, stopped)
    lines.clock.at(2.5, lines.bandwidth.stop, stopped)  # nothing more happens to it
    lines.run()
    assert lines.over == [("goes on", 3.0)]
    assert (one.sending, other.receiving) == ([], [])


def is_largest_where_it_is_full(flow: Flow, capacity_bps: float, sharing: list[Flow]) -> bool:
    rates_bps = [other.rate_bps for other in sharing]
    return sum(rates_bps) >= capacity_bps * (1 - 1e-6) - 1e-6 and max(rates_bps) <= flow.rate_bps * (1 + 1e-6) + 1e-6


def assert_max_min_fair(ends: list[End]) -> None:
    """No capacity is exceeded, and every flow is at its ceiling or the largest at a link that is full."""
    for flow in (flow for end in ends for flow in end.sending):
        source, target = flow.source, flow.target
        assert flow.rate_bps <= flow.ceiling_bps * (1 + 1e-6)
        assert (
            flow.rate_bps >= flow.ceiling_bps * (1 - 1e-6)
            or is_largest_where_it_is_full(flow, source.up_bps, source.sending)
            or is_largest_where_it_is_full(flow, target.down_bps, target.receiving)
        )
    for end in ends:
        assert sum(flow.rate_bps for flow in end.sending) <= end.up_bps * (1 + 1e-6)
        assert sum(flow.rate_bps for flow in end.receiving) <= end.down_bps * (1 + 1e-6)


ENDS = 4
an_end = st.integers(0, ENDS - 1)
an_uplink = st.integers(0, 50)
a_downlink = st.just(inf) | st.integers(0, 100)
a_ceiling = st.just(inf) | st.integers(0, 30)
a_step = st.tuples(st.just("step"))
what_happens = st.one_of(
    st.tuples(st.just("send"), an_end, an_end, st.integers(1, 500), a_ceiling),
    st.tuples(st.just("stop"), st.integers(0, 9)),
    st.tuples(st.just("cap"), st.integers(0, 9), a_ceiling),
    st.tuples(st.just("limit"), an_end, an_uplink, a_downlink),
    a_step,
    a_step,
)


@given(
    limits=st.lists(st.tuples(an_uplink, a_downlink), min_size=ENDS, max_size=ENDS),
    happenings=st.lists(what_happens, max_size=40),
)
def test_whatever_happens_rates_are_max_min_fair_and_no_byte_is_lost(
    limits: list[tuple[float, float]], happenings: list[tuple[Any, ...]]
):
    clock = Clock()
    bandwidth = Bandwidth(clock)
    ends = [End(*limit) for limit in limits]
    carried: dict[int, float] = {}  # bytes, by flow
    flows: list[Flow] = []

    def over(number: int, size_bytes: int) -> None:
        assert carried.pop(number) == pytest.approx(size_bytes, abs=1e-3)

    def step() -> None:
        for number in carried:
            carried[number] += flows[number].rate_bps * (clock.next_s - clock.now)
        clock.step()

    for happening in happenings:
        match happening:
            case "send", source, target, size_bytes, ceiling_bps:
                number = len(flows)
                carried[number] = 0.0
                flows.append(
                    bandwidth.start(
                        ends[source], ends[target], size_bytes, over, number, size_bytes, ceiling_bps=ceiling_bps
                    )
                )
            case "stop", number if number < len(flows):
                bandwidth.stop(flows[number])
                carried.pop(number, None)
            case "cap", number, ceiling_bps if number < len(flows):
                bandwidth.cap(flows[number], ceiling_bps)
            case "limit", end, up_bps, down_bps:
                bandwidth.limit(ends[end], up_bps, down_bps)
            case ("step",) if clock.next_s < inf:
                step()
        assert_max_min_fair(ends)
    for flow in flows:
        bandwidth.cap(flow, inf)
    for end in ends:
        bandwidth.limit(end, 10, inf)
    while clock.next_s < inf:
        step()
        assert_max_min_fair(ends)
    assert carried == {}

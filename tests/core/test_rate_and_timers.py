"""Rates and timers: time is an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit.rate import Rate
from minibit.timers import Timers


def test_a_steady_flow_is_measured_as_what_it_is():
    rate = Rate(20.0)
    for second in range(200):
        rate.add(1000, float(second))
    assert rate.bps(199.5) == pytest.approx(1000, rel=0.03)


def test_what_came_long_ago_is_forgotten():
    rate = Rate(20.0)
    rate.add(20_000, 5.0)
    assert rate.bps(5.0) == pytest.approx(1000)
    assert rate.bps(25.0) == pytest.approx(1000 / 2.718, rel=0.001)
    assert rate.bps(1e9) == 0.0


def test_a_neighbour_that_gave_nothing_has_no_rate():
    assert Rate(20.0).bps(7.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 2**24), st.floats(0, 1e6)), max_size=9), st.floats(0, 1e6))
def test_a_rate_is_never_negative_and_only_falls_with_time(gifts: list[tuple[int, float]], pause_s: float):
    rate, now = Rate(2.0), 0.0
    for size, gap_s in gifts:
        now += gap_s
        rate.add(size, now)
    assert 0.0 <= rate.bps(now + pause_s) <= rate.bps(now)


def test_timers_are_due_in_order_of_time_then_of_name():
    timers = Timers()
    for name, at_s in (("c", 2.0), ("b", 1.0), ("a", 2.0), ("d", 3.0)):
        timers.set(name, at_s)
    assert timers.next == 1.0
    assert timers.pop(2.5) == ["b", "a", "c"]
    assert timers.next == 3.0
    assert timers.pop(2.5) == []


def test_a_timer_is_set_earlier_and_never_later_unless_set_anew():
    timers = Timers()
    timers.set_earlier("a", 5.0)
    timers.set_earlier("a", 9.0)
    assert timers.next == 5.0
    timers.set_earlier("a", 3.0)
    assert timers.next == 3.0
    timers.set("a", 7.0)
    assert timers.next == 7.0

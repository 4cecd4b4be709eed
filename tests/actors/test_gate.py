"""Limits hold over every stretch of time, and the askers of one gate get equal shares. All on a virtual clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_clock import Clock

from minibit.actors.links.gate import CHUNK_BYTES_MAX, Bucket, Gate
from minibit.errors import LocalError


class Eater:
    """Takes all it is granted, and always wants more."""

    def __init__(self, gate: Gate, want: int = 1 << 20) -> None:
        self.gate = gate
        self.want = want
        self.eaten_bytes = 0
        self.grants: list[int] = []

    def start(self) -> None:
        while self.gate.limited and (granted := self.gate.ask(self.on_grant, self.want)):
            self.eat(granted)

    def on_grant(self, granted: int) -> None:
        self.eat(granted)
        self.start()

    def eat(self, granted: int) -> None:
        assert 0 < granted <= self.want
        self.grants.append(granted)
        self.eaten_bytes += granted


steps = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 100_000)), max_size=50)


@given(st.floats(0, 1e6), st.integers(1, 100_000), steps)
def test_no_stretch_of_time_has_more_than_its_rate_and_the_burst(
    rate_bps: float, burst: int, moves: list[tuple[float, int]]
) -> None:
    bucket, now, taken = Bucket(rate_bps, burst), 0.0, []
    bucket.take(0, now)
    for pause_s, want in moves:
        now += pause_s
        granted = bucket.take(want, now)
        assert 0 <= granted <= want
        taken.append((now, granted))
    for begin in range(len(taken)):
        for end in range(begin, len(taken)):
            stretch_s = taken[end][0] - taken[begin][0]
            assert sum(granted for _, granted in taken[begin : end + 1]) <= rate_bps * stretch_s + burst + 1e-3
    assert sum(granted for _, granted in taken) <= rate_bps * now + 1e-3  # it starts empty


@given(st.floats(1, 1e6), st.integers(1, 100_000), st.integers(1, 200_000))
def test_a_wait_as_long_as_told_is_enough(rate_bps: float, burst: int, want: int) -> None:
    bucket = Bucket(rate_bps, burst)
    wait_s = bucket.wait_s(want, 5.0)
    assert bucket.take(want, 5.0 + wait_s * (1 + 1e-6) + 1e-6) == min(want, burst)


def test_no_limit_grants_all_and_rate_zero_nothing() -> None:
    assert Bucket(None, 1).take(1 << 40, 0.0) == 1 << 40
    assert Bucket(None, 1).wait_s(1 << 40, 0.0) == 0
    bucket = Bucket(0, 1000)
    assert bucket.take(10, 0.0) == bucket.take(10, 1e9) == 0
    assert bucket.wait_s(10, 1e9) == math.inf


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(100, 1000)
    assert bucket.take(1000, 10.0) == 0
    assert bucket.take(1000, 15.0) == 500
    assert bucket.take(1000, 10.0) == bucket.take(1000, 15.0) == 0


def test_a_change_counts_from_its_time_on() -> None:
    bucket = Bucket(100, 10_000)
    bucket.take(0, 0.0)
    bucket.change(1000, 10_000, 10.0)
    assert bucket.take(10_000, 11.0) == 2000
    bucket.change(None, 10_000, 12.0)
    assert bucket.take(50_000, 12.0) == 50_000
    bucket.change(100, 10_000, 100.0)
    assert bucket.take(10_000, 101.0) == 1000 + 100  # what lay there before the limit was lifted, no more


@pytest.mark.parametrize(("rate_bps", "burst"), [(-1, 10), (math.nan, 10), (math.inf, 10), (10, 0)])
def test_a_senseless_limit_is_the_callers_mistake(rate_bps: float, burst: int) -> None:
    with pytest.raises(LocalError):
        Bucket(rate_bps, burst)


@pytest.mark.parametrize("rate_bps", [2_000, 100_000, 4 << 20, 400 << 20])
def test_a_gate_gives_its_rate_and_never_more(rate_bps: int) -> None:
    clock = Clock()
    eater = Eater(Gate(clock, rate_bps))
    eater.start()
    for second in range(1, 11):
        clock.run_for(1.0)
        assert eater.eaten_bytes <= rate_bps * second
        assert eater.eaten_bytes >= rate_bps * second - max(2 * max(eater.grants), rate_bps * 0.1)
    assert max(eater.grants) <= CHUNK_BYTES_MAX


def test_links_at_one_gate_get_equal_shares_whatever_they_want_at_once() -> None:
    clock = Clock()
    gate = Gate(clock, 1 << 20)
    eaters = [Eater(gate, want) for want in (1 << 20, 1 << 16, 1 << 18)]
    for eater in eaters:
        eater.start()
    clock.run_for(20.0)
    shares = [eater.eaten_bytes for eater in eaters]
    assert max(shares) - min(shares) <= CHUNK_BYTES_MAX
    assert sum(shares) >= 19.8 * (1 << 20)


def test_an_asker_that_goes_passes_its_turn_on() -> None:
    clock = Clock()
    gate = Gate(clock, 1 << 20)
    first, second = Eater(gate), Eater(gate)
    first.start()
    second.start()
    gate.forget(first.on_grant)
    clock.run_for(1.0)
    assert first.eaten_bytes == 0
    assert second.eaten_bytes > 900_000


def test_the_limit_may_change_while_somebody_waits() -> None:
    clock = Clock()
    gate = Gate(clock, 0)
    eater = Eater(gate, 1000)
    eater.start()
    clock.run_for(100.0)
    assert eater.eaten_bytes == 0
    assert clock.pending_count == 0  # nothing to wake up for
    gate.limit(500)
    clock.run_for(10.0)
    assert 4000 <= eater.eaten_bytes <= 5000
    gate.limit(1 << 20)
    clock.run_for(1.0)
    assert eater.eaten_bytes >= 900_000
    before = len(eater.grants)
    gate.limit(None)
    assert not gate.limited
    assert eater.grants[before:] == [1000]  # the asker that waited goes on at once, and need not ask again
    assert clock.pending_count == 0


def test_a_full_burst_at_a_great_rate_is_no_deep_recursion() -> None:
    clock = Clock()
    gate = Gate(clock, 10 << 30)
    eaters = [Eater(gate), Eater(gate)]
    for eater in eaters:
        eater.start()
    clock.run_for(1.0)
    assert sum(eater.eaten_bytes for eater in eaters) > 9 << 30

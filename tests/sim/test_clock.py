"""Virtual time."""

from __future__ import annotations

from math import inf
from random import Random

from minibit.sim.clock import Clock


def run(clock: Clock) -> None:
    while clock.next_s < inf:
        clock.step()


def test_what_is_planned_happens_in_the_order_of_time():
    clock, happened = Clock(), []
    for at_s in (3.0, 1.0, 2.0):
        clock.at(at_s, lambda: happened.append(clock.now))
    run(clock)
    assert happened == [1.0, 2.0, 3.0]


def test_what_is_planned_for_the_same_time_happens_in_the_order_of_planning():
    clock, happened = Clock(), []
    for name in "cab":
        clock.at(1.0, happened.append, name)
    clock.at(0.5, clock.at, 1.0, happened.append, "planned last")
    run(clock)
    assert happened == ["c", "a", "b", "planned last"]


def test_a_time_that_is_past_means_now_behind_what_is_planned_for_now():
    clock, happened = Clock(), []
    clock.at(5.0, clock.at, 1.0, lambda: happened.append(("late", clock.now)))
    clock.at(5.0, lambda: happened.append(("in time", clock.now)))
    run(clock)
    assert happened == [("in time", 5.0), ("late", 5.0)]


def test_nothing_is_next_when_nothing_is_planned():
    clock = Clock()
    assert clock.next_s == inf
    clock.at(2.0, print)
    assert clock.next_s == 2.0
    assert clock.planned == 1


def test_the_order_holds_near_and_far_and_for_what_is_planned_on_the_way():
    clock, happened, rng = Clock(), [], Random(1)

    def happen(number: int) -> None:
        happened.append((clock.now, number))
        if rng.random() < 0.6:
            plan(rng.choice([0.0, 0.001, 1 / 64, 0.5, 1000.0]))

    def plan(after_s: float) -> None:
        clock.at(clock.now + after_s, happen, clock.planned + 1)

    for _ in range(300):
        plan(rng.choice([rng.random(), rng.randrange(4), 1e6]))
        assert clock.next_s <= 1e6  # looking ahead, before more is planned
    run(clock)
    assert len(happened) > 600
    assert happened == sorted(happened)

"""A check: what to run, what to expect of it, what to draw, and what to say."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from itertools import pairwise
from statistics import mean
from typing import Any, NamedTuple

from checks.runs import Figures

Found = Mapping[Any, list[Figures]]  # the figures of every run, by case


class Scale(NamedTuple):
    """How much to run: small forms for tests, or the real ones; `seeds`: random seeds a case, None for the usual."""

    quick: bool = False
    seeds: int | None = None

    def of(self, full: Any, quick: Any) -> Any:
        """`quick` for small forms, else `full`."""
        return quick if self.quick else full

    def chances(self, usual: int) -> range:
        """The random seeds of a case that usually has so many."""
        return range(1, 1 + (self.seeds or (1 if self.quick else usual)))


class Task(NamedTuple):
    """One run of a case: `call` gives its figures; `cost` is its relative duration, in any unit.

    `alone`: it needs the whole machine.
    """

    case: Hashable
    call: Callable[[], Figures]
    cost: float = 1.0
    alone: bool = False


class CheckRow(NamedTuple):
    """One row of a check's table; `good` is the verdict."""

    what: str
    expected: str
    measured: str
    good: bool


class Check(NamedTuple):
    """One of the ten.

    title   in a word or two
    law     the law that it tests, in a sentence, with its source
    tasks   gives the runs
    rows    gives what was expected and measured
    draw    draws on a figure of matplotlib
    notes   the text below the table, in Markdown
    large   the beginnings of the rows that small forms can't judge: these swarms are too small for the law
    """

    title: str
    law: str
    tasks: Callable[[Scale], list[Task]]
    rows: Callable[[Found], list[CheckRow]]
    draw: Callable[[Found, Any], None]
    notes: str = ""
    large: tuple[str, ...] = ()

    def judged(self, rows: list[CheckRow], small: bool) -> list[CheckRow]:
        """The rows that are judged: all, or those that small forms can judge."""
        return [row for row in rows if not (small and row.what.startswith(self.large))]


def at_least(what: str, value: float, least: float) -> CheckRow:
    """Expect `least` or more."""
    return CheckRow(what, f"≥ {shown(least)}", shown(value), value >= least)


def at_most(what: str, value: float, most: float) -> CheckRow:
    """Expect `most` or less."""
    return CheckRow(what, f"≤ {shown(most)}", shown(value), value <= most)


def between(what: str, value: float, least: float, most: float) -> CheckRow:
    """Expect a value from `least` to `most`."""
    return CheckRow(what, f"{shown(least)} to {shown(most)}", shown(value), least <= value <= most)


def ascending(what: str, values: list[float]) -> CheckRow:
    """Expect each value to be larger than the one before."""
    told = ", ".join(map(shown, values))
    return CheckRow(what, "ascending", told, all(one < other for one, other in pairwise(values)))


def shown(value: float) -> str:
    """Three significant digits, without an exponent from 1,000 on."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def average(found: list[Figures], figure: str) -> float:
    """The mean of a figure over runs that differ only in their random seeds."""
    return float(mean(one[figure] for one in found))

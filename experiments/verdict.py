"""The verdict on a rule: kept, broken, or not seen; and whether chance alone could have looked the same.

A peer chooses by what it believes, and its news is late. So its choices are compared with blind ones (`decided`). Where
a choice should be blind, its result is compared with what chance brings (`deviates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal, NamedTuple

SIGMAS = 4.0  # standard deviations: chance alone deviates this far once in 15,000 times
ENOUGH = 5  # the fewest cases from which anything follows

Verdict = Literal["kept", "broken", "not seen"]
Finding = tuple[Verdict, str]  # the verdict and the evidence for it


class Case(NamedTuple):
    """A choice of a peer: whether it was wrong, and the probability that a blind choice is wrong."""

    wrong: bool
    chance: float


def decided(cases: Sequence[Case]) -> Finding:
    """Kept, if fewer than half as many choices are wrong as blind choices would be.

    Half-way is as far from a peer that never errs as from one that does not look. Nothing is decided unless half-way is
    `SIGMAS` standard deviations below the result of blind choices: otherwise a blind peer might pass.
    """
    wrong, blind = sum(case.wrong for case in cases), sum(case.chance for case in cases)
    deviation = sqrt(sum(case.chance * (1 - case.chance) for case in cases))
    evidence = f"{wrong:,} of {len(cases):,} were wrong, of blind ones {blind:,.0f} ± {deviation:.0f}"
    if not blind or blind / 2 < SIGMAS * deviation:
        return "not seen", f"{evidence}: too few to tell"
    return "kept" if wrong < blind / 2 else "broken", evidence


def judged(evidence: str, *, broken: object, seen: object) -> Finding:
    """Broken, if anything spoke against the rule; kept, if enough was seen."""
    return "broken" if broken else "kept" if seen else "not seen", evidence


def deviates(found: float, mean: float, variance: float) -> float:
    """The distance from the mean, in standard deviations."""
    return (found - mean) / sqrt(variance) if variance else 0.0

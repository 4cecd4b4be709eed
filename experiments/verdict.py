"""What may be said of a rule: kept, broken, or not seen; and when chance alone could have looked so.

A peer chooses by what it believes, and belief is late: so its choices are compared with blind ones (`decided`). Where
it should be blind, what came of it is compared with what chance brings (`deviates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal, NamedTuple

SIGMAS = 4.0  # standard deviations: chance alone comes so far once in 15,000 times
ENOUGH = 5  # of what must be seen at all

Verdict = Literal["kept", "broken", "not seen"]
Finding = tuple[Verdict, str]  # and its evidence


class Case(NamedTuple):
    """A choice that somebody made: whether it was wrong, and how likely a blind one would have been."""

    wrong: bool
    chance: float


def decided(cases: Sequence[Case]) -> Finding:
    """Kept, if fewer choices are wrong than half of what blind ones would be.

    Half-way lies as far from who never errs as from who doesn't look. Nothing is decided unless it lies `SIGMAS`
    standard deviations below what blind choices come to, or one that is blind might pass.
    """
    wrong, blind = sum(case.wrong for case in cases), sum(case.chance for case in cases)
    deviation = sqrt(sum(case.chance * (1 - case.chance) for case in cases))
    evidence = f"{wrong:,} of {len(cases):,} were wrong, of blind ones {blind:,.0f} ± {deviation:.0f}"
    if not blind or blind / 2 < SIGMAS * deviation:
        return "not seen", f"{evidence}: too few to tell"
    return "kept" if wrong < blind / 2 else "broken", evidence


def deviates(found: float, mean: float, variance: float) -> float:
    """How far from the mean, in standard deviations."""
    return (found - mean) / sqrt(variance) if variance else 0.0

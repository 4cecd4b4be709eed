"""What is shown of runs that differ by the seed alone: the mean of each measure, and how sure it is.

The interval is Student's: with 95 % confidence, the mean over all possible seeds lies within `half` of the mean over
those that were tried. Some runs may lack a measure (a run in which a peer never completed has no transfer). Then the
mean is over the other runs, and says how many they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor, log10, sqrt
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple


class Column(NamedTuple):
    """How a measure is shown: its heading, and what its figure is multiplied by."""

    heading: str
    factor: float = 1.0


COLUMNS = {
    "transfer_s": Column("transfer s"),  # until the last peer was complete
    "mean_s": Column("mean s"),  # of the peers that became complete, each from its own start
    "median_s": Column("median s"),
    "efficiency": Column("efficiency"),  # lower bound / transfer
    "goodput_bps": Column("goodput MiB/s", 1 / (1 << 20)),  # of all peers together
    "seed_copies": Column("seed copies"),  # what the seed sent / content
    "wasted_share": Column("wasted %", 100),  # of the payload that arrived
    "control_share": Column("control %", 100),  # of everything that isn't payload, to payload
    "jain": Column("Jain"),  # of the payload that each peer sent
    "incomplete": Column("incomplete"),  # peers that should have become complete
}
USUAL = [name for name in COLUMNS if name != "control_share"]

# Student's t at 0.975 with 1 to 9 degrees of freedom; from 10 on a series is right to four digits
T_975 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)


class Estimate(NamedTuple):
    """The mean of so many runs, and half of its 95 % interval; None where there are too few runs."""

    mean: float | None
    half: float | None
    runs: int


def of_groups(groups: Sequence[str]) -> list[str]:
    """The measures of groups of peers: of a behaviour by its name, of a class as `class.NAME`.

    `mean_s.free-rider` is their mean time to complete, `slowdown.free-rider` that time / the honest peers' time.
    """
    means = [f"mean_s.{group}" for group in groups]
    others = [group for group in groups if group != "honest" and not group.startswith("class.")]
    return means + ([f"slowdown.{group}" for group in others] if "honest" in groups else [])


def heading(name: str) -> str:
    """What stands over the column of a measure."""
    if name in COLUMNS:
        return COLUMNS[name].heading
    kind, group = name.split(".", 1)
    return f"{group.removeprefix('class.')} {'mean s' if kind == 'mean_s' else '/ honest'}"


def t_975(freedom: int) -> float:
    """Student's t that is exceeded with a chance of 2.5 %, with so many degrees of freedom.

    The series in 1 / freedom is formula 26.7.5 of M. Abramowitz and I. A. Stegun, "Handbook of Mathematical
    Functions", 1964.
    """
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def estimate(values: Iterable[float | None]) -> Estimate:
    """The mean of the values that are there, and half of its interval."""
    there = [value for value in values if value is not None]
    if len(there) < 2:
        return Estimate(there[0] if there else None, None, len(there))
    return Estimate(fmean(there), t_975(len(there) - 1) * stdev(there) / sqrt(len(there)), len(there))


def shown(name: str, found: Estimate, runs: int) -> str:
    """`138.2 ± 2.1`, with two digits of doubt; `(3 of 5)` behind it where it isn't of all `runs`."""
    if found.mean is None:
        return "-"
    factor = COLUMNS[name].factor if name in COLUMNS else 1.0
    mean, half = found.mean * factor, None if found.half is None else found.half * factor
    if half:
        digits = min(4, max(0, 1 - floor(log10(half))))
        text = f"{mean:.{digits}f} ± {half:.{digits}f}"
    else:
        text = f"{mean:.4g}" if abs(mean) < 1000 else f"{mean:.0f}"
    return text if found.runs == runs else f"{text} ({found.runs} of {runs})"

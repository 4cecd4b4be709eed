"""The page of the ten checks: docs/paper-checks.md, and a picture for each check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from checks.check import Check, CheckRow, Found
from minibit.units import show_duration

HEAD = """\
# The ten checks

Laws, bounds and published results that a right implementation must reproduce, and what ours gives. Written by

    python experiments/paper_checks.py

which ran {runs} runs, {cpu} on a core all together. All are simulated (`minibit.sim`), but for half of the last check.
Figures are means over seeds of chance. Where a range isn't met, the text says why; no range was changed for that.

*S0* is the standard swarm: 100 peers that join within a second and stay, with 50 kB/s up and no download limit;
all peers know each other; 128 blocks of 128 kB; 3 + 1 slots, rounds of 10 s, a guest stays for 30 s; rarest first;
news every 100 ms; without `economy`, for these are laws of BitTorrent, where neighbours share an uplink. The seed has
200 kB/s unless something else is said. τ is the time that one uplink needs for one block, *bound* the lower
bound of [`minibit/run/bounds.py`](../minibit/run/bounds.py). Measures are defined in
[`minibit/run/measures.py`](../minibit/run/measures.py) and
[`minibit/lab/derived.py`](../minibit/lab/derived.py).

| check | rows as expected | |
|---|---|---|
{overview}
"""


def write(
    docs: Path,
    checks: Mapping[str, Check],
    rows: Mapping[str, Sequence[CheckRow]],
    found: Mapping[str, Found],
    core_s: float,
) -> None:
    """Write the page and its pictures, from all checks."""
    runs = sum(len(some) for cases in found.values() for some in cases.values())
    overview, sections = [], []
    for number, (name, check) in enumerate(checks.items(), 1):
        overview.append(_overview(number, check, rows[name]))
        sections.append(_section(number, name, check, rows[name]))
        picture(docs / "img" / f"check-{name}.svg", check.draw, found[name])
    head = HEAD.format(runs=runs, cpu=show_duration(core_s), overview="\n".join(overview))
    (docs / "paper-checks.md").write_text("\n".join([head, *sections]))


def _overview(number: int, check: Check, rows: Sequence[CheckRow]) -> str:
    good = sum(row.good for row in rows)
    link = f"[{number}. {check.title}](#{number}-{check.title.lower().replace(' ', '-')})"
    return f"| {link} | {good} of {len(rows)} | {'' if good == len(rows) else 'differs'} |"


def _section(number: int, name: str, check: Check, rows: Sequence[CheckRow]) -> str:
    table = "\n".join(
        f"| {row.what} | {row.expected} | {row.measured} | {'as expected' if row.good else '**differs**'} |"
        for row in rows
    )
    notes = f"\n{check.notes.strip()}\n" if check.notes else ""
    return f"""\
## {number}. {check.title}

{check.law}

| | expected | measured | verdict |
|---|---|---|---|
{table}
{notes}
![{check.title}](img/check-{name}.svg)
"""


def picture(path: Path, draw: Callable[[Found, Any], None], found: Found) -> None:
    """Write the picture of one check: the same bytes for the same figures."""
    from matplotlib import rc_context  # noqa: PLC0415  only the pictures need it
    from matplotlib.figure import Figure  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": path.stem, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        draw(found, figure)
        figure.savefig(path, metadata={"Date": None})

"""What benches write into documents: a section between two marks of a page, and a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from checks.page import picture

OURS, OTHERS, INK = "#0072B2", "#B0B5BA", "#222222"
BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # behind the figures, so that no line crosses them


def put(page: Path, name: str, text: str) -> None:
    """Write `text` between the marks `<!-- NAME -->` and `<!-- end of NAME -->`; a page without them gets them."""
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{marks[0]}\n\n{text.strip()}\n\n{marks[1]}"
    page.parent.mkdir(parents=True, exist_ok=True)
    before = page.read_text() if page.exists() else ""
    found = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
    if found.search(before):
        page.write_text(found.sub(lambda _: section, before))
    else:
        page.write_text(f"{before.rstrip()}\n\n{section}\n".lstrip())


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as a table of Markdown; the keys of the first are the columns."""
    lines = [list(rows[0]), ["---", *["--:"] * (len(rows[0]) - 1)], *(row.values() for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def bars(path: Path, groups: Mapping[str, Mapping[str, float]], label: str, ours: str) -> None:
    """A picture of bars, in groups: one bar for each contestant, blue where it is `ours`; 1 is a dashed line."""

    def draw(_: object, figure: Any) -> None:
        figure.set_size_inches(8, 0.6 + sum(0.25 * len(group) + 0.2 for group in groups.values()))
        axes = figure.subplots()
        at, ticks = 0.0, []
        for title, group in groups.items():
            first = at
            for name, value in group.items():
                axes.barh(at, value, height=0.8, color=OURS if name == ours else OTHERS)
                beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "bbox": BOX}
                axes.annotate(f"{value:.2f}  {name}", (value, at), **beside)
                at += 1
            ticks.append(((first + at - 1) / 2, title))
            at += 0.8
        axes.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_yticks([place for place, _ in ticks], [title for _, title in ticks])
        axes.invert_yaxis()
        axes.tick_params(length=0)
        axes.set_xlabel(label)
        named = [(value, len(name)) for group in groups.values() for name, value in group.items()]
        # room for each name beside its bar: a letter takes an eightieth of the width
        axes.set_xlim(0, max(value / (1 - min(0.6, (letters + 6) / 80)) for value, letters in named))

    picture(path, draw, {})

"""The report of a run: one HTML file that contains everything and loads nothing from the network.

It is a page of the run's pictures with the figures above them, all moved by one clock. It names what is missing and
shows the rest. It is written under another name and then renamed, so there is never half a report.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from minibit.errors import LocalError
from minibit.lab import words
from minibit.lab.pictures import each_picture
from minibit.lab.pictures.page import STYLE, TWO, library, placed
from minibit.lab.run import Run


def write(run: Run, path: str | os.PathLike[str]) -> Path:
    """Write the report of `run` to this file and return its path. `LocalError` if the file cannot be written."""
    place = Path(path)
    beside = place.with_name(f".{place.name}.new")
    try:
        with beside.open("w", encoding="utf-8") as file:  # before the work, so that a missing folder is told at once
            file.write(html(run))
        beside.replace(place)
    except OSError as error:
        raise LocalError(f"can't write {place} ({error.strerror or error}): give another path") from None
    finally:
        beside.unlink(missing_ok=True)
    return place


def html(run: Run) -> str:
    """The report as text."""
    sections, script = placed(list(each_picture(run)))
    missing = "".join(f'<p class="missing">{escape(one)}</p>' for one in run.missing)
    rows = words.as_rows([(figure.question, figure.text) for figure in words.known(run)])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(run.name)}: a Minibit run</title>
<style>{STYLE}</style>
{library()}
</head>
<body>
<h1>{escape(run.name)}</h1>
{missing}
<table>{rows}</table>
<main>
{sections}
</main>
{script}
{TWO}
</body>
</html>
"""

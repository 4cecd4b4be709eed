"""The results of an experiment, as one JSON object or as a table; and what experiments are asked in the same way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from minibit.cli.table import show

SHOWN = {"help_option_names": ["-h", "--help"], "show_default": True}  # settings of a command


def numbers(context: click.Context, option: click.Parameter, value: str) -> list[int]:
    """Whole numbers from 1, with commas between them: the callback of an option."""
    found = [int(part) if part.strip().isdecimal() else 0 for part in value.split(",")]
    if min(found) < 1:
        raise click.BadParameter(f"{value!r}: give whole numbers from 1, e.g. 10,20,50", context, option)
    return found


def tell(as_json: bool, found: object, rows: Sequence[dict[str, Any]], below: str = "") -> None:
    """Print `found` as JSON; or else `rows` as a table, where the keys of a row are the columns, and a line `below`."""
    if as_json:
        click.echo(json.dumps(found))
        return
    show(list(rows[0]), [list(row.values()) for row in rows])
    if below:
        click.echo(f"\n{below}")

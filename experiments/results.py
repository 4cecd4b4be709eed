"""The results of an experiment, as one JSON object or as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from minibit.cli.table import show

SHOWN = {"help_option_names": ["-h", "--help"], "show_default": True}  # settings of a command


def tell(as_json: bool, found: object, rows: Sequence[dict[str, Any]], below: str = "") -> None:
    """Print `found` as JSON; or else `rows` as a table, where the keys of a row are the columns, and a line `below`."""
    if as_json:
        click.echo(json.dumps(found))
        return
    show(list(rows[0]), [list(row.values()) for row in rows])
    if below:
        click.echo(f"\n{below}")

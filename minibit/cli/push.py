"""Put a file or folder on every node of a Ray cluster, at one path, whole and verified.

    minibit push model --to /data/model
    minibit push model --to /data/ --dry-run
    minibit push model --to /data/model --replace --upload 4Gbit/s --min-nodes 95%
    minibit push model --to /data/model --follow 8h --detach

A line for each node goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from minibit.actors.driver import pushing
from minibit.cli.commands import Subcommand
from minibit.cli.ending import complain
from minibit.cli.options import Given
from minibit.cli.phases import HOW, Phases
from minibit.delivery.order import GROUPS, Order, PushOption
from minibit.delivery.result import PushResult
from minibit.run.options import read_by
from minibit.run.readers import flag, one_of

PROGRESS = PushOption("progress", "", one_of(*HOW), "HOW", "bar, lines, json, none; auto: a bar on a terminal, elsewhere "
                      "a line every 10 s.", "auto", values=HOW)  # fmt: skip
JSON = PushOption("json", "", flag, "", "Print the result as one JSON object.", "no")

ONLY_HERE: dict[str, tuple[PushOption, ...]] = {
    "Run": (
        PushOption("detach", "", flag, "", "Leave the push to itself once it moves; see minibit status.", "no"),
        PushOption("dry_run", "", flag, "", "Move nothing: say what would be moved, and how long it would take.", "no"),
        PROGRESS,
        JSON,
    ),
}


def push_options() -> list[click.Parameter]:
    """Every option of a push, under their headings."""
    return [
        Given(option, group, environment=True, flag="--to" if option.name == "dest" else None)
        for group, table in GROUPS.items()
        for option in (*table, *ONLY_HERE.get(group, ()))
    ]


@click.command(cls=Subcommand, params=push_options())
@click.argument("src", type=click.Path())
def main(src: str, detach: bool, dry_run: bool, progress: str | None, json: bool, **given: Any) -> None:
    """Put SRC (a file or a folder) on every node of a Ray cluster, at DEST.

    Every copy is whole and verified before it takes its place. Nodes that have it already get nothing, so the same
    command goes on where it ended, and serves new nodes. Sizes, rates and times are as in minibit swarm --help.

    With --progress json, standard error has one object a line: phase (checking, hashing, moving, verifying,
    following), done and total of it, rate_bps, elapsed_s, left_s, nodes, complete, failed, slowest. A line that does
    not begin with { is a message.

    MINIBIT_ADDRESS (or RAY_ADDRESS), MINIBIT_UPLOAD, MINIBIT_DATA_PORTS and MINIBIT_PROGRESS stand for these options.
    """
    how = read_by({"progress": PROGRESS}, "progress", progress or "auto")
    # Ray may print; standard output is for the result
    with contextlib.redirect_stdout(sys.stderr):
        source, order = pushing.aimed(src, Order.build(**given))
        with Phases(how) as phases:
            result = pushing.conduct(source, order, phases.tell)
    show(result, json)
    sys.exit(result.exit_code)


def show(result: PushResult, json: bool) -> None:
    """Print the result of a push: for a machine, or a line for each node, then what it came to."""
    click.echo(result.to_json() if json else f"{result.table()}\n{result.sentence}")
    if result.exit_code:
        complain(result.blame)

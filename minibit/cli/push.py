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
import msgspec

from minibit.actors.driver import pushing
from minibit.cli.commands import Subcommand
from minibit.cli.ending import complain
from minibit.cli.options import Given
from minibit.cli.phases import HOW, Phases
from minibit.delivery.order import GROUPS, Order, PushOption
from minibit.delivery.outlook import Outlook
from minibit.delivery.result import PushResult
from minibit.delivery.seats import RULES
from minibit.lab.archive import RUNS
from minibit.run.options import read_by
from minibit.run.readers import flag, one_of
from minibit.sim.forecast import expected_s

PROGRESS = PushOption("progress", "", one_of(*HOW), "HOW", "bar, lines, json, none; auto: a bar on a terminal, "
                      "elsewhere a line every 10 s.", "auto", values=HOW)  # fmt: skip
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


@click.command(cls=Subcommand, params=push_options(), options_metavar="--to DEST [OPTIONS]")
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
    if dry_run and detach:
        raise click.UsageError("what moves nothing can't be left to itself: give --dry-run or --detach")
    how = read_by({"progress": PROGRESS}, "progress", progress or "auto")
    # Ray may print; standard output is for the result
    with contextlib.redirect_stdout(sys.stderr):
        source, order = pushing.aimed(src, Order.build(**given))
        with Phases(how) as phases:
            if dry_run:
                outlook = foreseen(pushing.look_ahead(source, order, phases.tell), phases)
            elif detach:
                result = pushing.leave(source, order, phases.tell)
            else:
                result = pushing.conduct(source, order, phases.tell)
    if dry_run:
        show_outlook(outlook, json)
        sys.exit(outlook.exit_code)
    if isinstance(result, str):
        click.echo(msgspec.json.encode({"name": result}).decode() if json else result)
        complain(f"it goes on by itself: minibit status {result}, minibit wait {result}, minibit cancel {result}")
        if order.records:
            complain(f"its report will be in {(RUNS / result).absolute()}, on the head of the cluster")
        return
    show(result, json)
    sys.exit(result.exit_code)


def show(result: PushResult, json: bool) -> None:
    """Print the result of a push: for a machine, or a line for each node, then what it came to."""
    click.echo(result.to_json() if json else f"{result.table()}\n{result.sentence}")
    if result.exit_code:
        complain(result.blame)


def foreseen(outlook: Outlook, phases: Phases) -> Outlook:
    """With the time that a simulation expects."""
    phases.say("simulating the push")
    expected = expected_s(
        outlook.content_bytes,
        outlook.block_bytes,
        nodes=outlook.lacking,
        sources=outlook.sources,
        upload_bps=outlook.upload_bps,
        rules=RULES,
    )
    return msgspec.structs.replace(outlook, expected_s=expected)


def show_outlook(outlook: Outlook, json: bool) -> None:
    """Print what a push would do: for a machine, or a line for each node, then what would be moved."""
    as_json = msgspec.json.encode(outlook.as_dict()).decode() if json else ""
    click.echo(as_json or f"{outlook.table()}\n{outlook.sentence}")
    if outlook.blame:
        complain(outlook.blame)

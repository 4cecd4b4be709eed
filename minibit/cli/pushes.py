"""Pushes that go on by themselves: show them, wait for one, end one.

    minibit push model --to /data/model --follow 8h --detach --name model
    minibit status
    minibit status model --upload 1Gbit/s
    minibit wait model
    minibit cancel model

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from minibit.actors.driver.signals import undisturbed
from minibit.cli.commands import Subcommand
from minibit.cli.ending import complain
from minibit.cli.options import Given
from minibit.cli.phases import Phases
from minibit.cli.push import JSON, PROGRESS, show
from minibit.delivery.order import TABLE, PushOption
from minibit.delivery.progress import PushProgress
from minibit.delivery.result import PushResult
from minibit.delivery.table import as_text
from minibit.run.options import read_by
from minibit.run.summary import rounded
from minibit.units import parse_rate, show_bytes, show_duration

if TYPE_CHECKING:
    from minibit.actors.driver.attached import AttachedPush

_LIMIT = TABLE["upload"]._replace(
    reader=lambda value: None if value == "none" else parse_rate(value),
    help="From now on this is the limit of each node; none: there is no limit any more.",
    unset="as it is",
)


@contextlib.contextmanager
def joined(address: str | None) -> Iterator[type[AttachedPush]]:
    """How pushes are found on the cluster at that address. Ray may print: meanwhile all goes to standard error."""
    where = read_by(TABLE, "address", address or TABLE["address"].default)
    with contextlib.redirect_stdout(sys.stderr):
        with undisturbed():  # half of Ray can neither run nor end
            from minibit.actors.driver import attached, connection  # noqa: PLC0415  imports Ray

        with connection.on_cluster(where):
            yield attached.AttachedPush


def options(*more: PushOption) -> list[click.Parameter]:
    """These, and the address of the cluster."""
    return [Given(one, "Options", environment=one is not _LIMIT) for one in (*more, TABLE["address"])]


@click.command(cls=Subcommand, params=options(_LIMIT, JSON))
@click.argument("name", required=False)
def status(name: str | None, upload: str | None, json: bool, address: str | None) -> None:
    """Show how far the push NAME is, node by node; without NAME, which pushes there are.

    With --upload it goes on at another rate from now on.
    """
    limit = None if upload is None else read_by({"upload": _LIMIT}, "upload", upload)
    if upload is not None and name is None:
        raise click.UsageError("which push shall have that limit? give its name")
    with joined(address) as found:
        if name is None:
            pushes = {one: found(one) for one in found.running()}
            seen = {one: push.result() or push.progress() for one, push in pushes.items()}
        else:
            push = found(name)
            if upload is not None:
                push.limit(limit)
            seen = {name: push.result() or push.progress()}
    if name is None:
        _list(seen, json)
    elif isinstance(one := seen[name], PushResult):
        show(one, json)
    else:
        _show_one(name, one, json)


@click.command(cls=Subcommand, params=options(PROGRESS, JSON))
@click.argument("name")
def wait(name: str, progress: str | None, json: bool, address: str | None) -> None:
    """Wait for the end of the push NAME, and say what it came to, as minibit push does.

    Ctrl-C ends the waiting, and not the push.
    """
    how = read_by({"progress": PROGRESS}, "progress", progress or "auto")
    try:
        with joined(address) as found, Phases(how) as phases:
            result = found(name).wait(phases.tell)
    except KeyboardInterrupt:
        complain(f"the push {name} goes on; minibit cancel {name} ends it")
        raise
    show(result, json)
    sys.exit(result.exit_code)


@click.command(cls=Subcommand, params=options())
@click.argument("name")
def cancel(name: str, address: str | None) -> None:
    """End the push NAME. Whole copies stay, and partial ones too: a later push goes on with them."""
    with joined(address) as found:
        found(name).cancel()
    complain(f"the push {name} has ended; its copies stay")


def _list(seen: dict[str, PushProgress | PushResult], json: bool) -> None:
    """A line for each push; of one that is over, what it came to."""
    if json:
        events = [{"name": name, **_event(one)} for name, one in seen.items()]
        click.echo(msgspec.json.encode(events).decode())
    elif seen:
        rows = [(name, one.sentence if isinstance(one, PushResult) else one.line) for name, one in seen.items()]
        click.echo(as_text(["push", "how far"], rows))
    else:
        complain("no push goes on by itself on this cluster")


def _event(seen: PushProgress | PushResult) -> dict[str, Any]:
    return seen.as_dict() if isinstance(seen, PushResult) else seen.as_event(None)


def _show_one(name: str, seen: PushProgress, json: bool) -> None:
    """How far one push is, and a line for each node."""
    if json:
        click.echo(msgspec.json.encode({"name": name, **rounded(msgspec.to_builtins(seen))}).decode())
        return
    click.echo(f"{name}: {seen.line}, for {show_duration(seen.elapsed_s)}")
    rows = [(node.host, node.status, show_bytes(node.held_bytes), show_bytes(node.bytes_moved), node.why)
            for node in seen.nodes]  # fmt: skip
    if rows:
        click.echo(as_text(["node", "status", "held", "moved", "why"], rows))

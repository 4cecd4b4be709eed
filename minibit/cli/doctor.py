"""What the nodes of a Ray cluster are like, side by side, and what would keep them from getting a copy.

    minibit doctor
    minibit doctor --address 10.0.0.1:6379 --to /data/model
    minibit doctor --address local --json

Without a cluster it looks at this machine alone. Nothing stays on any node. The exit code is 0 if all is well, else 1.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import click

from minibit.cli.commands import Subcommand
from minibit.cli.nodes import looked_at, of_nodes, tell, to
from minibit.cli.options import Read
from minibit.cli.table import show
from minibit.run import readers

if TYPE_CHECKING:
    from minibit.actors.driver.preflight import Surveyed


@click.command(cls=Subcommand)
@to(help="Absolute path of a copy, there or to come. [in the temporary folder of each node]")
@click.option("--data-ports", metavar="A-B", type=Read(readers.data_ports), help="Ports for blocks. [any]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@of_nodes
def main(dest: str | None, data_ports: tuple[int, int] | None, as_json: bool, address: str | None, nodes: str) -> None:
    """Compare the nodes of a cluster: versions, disks, memory, clocks, ports.

    Each node makes a file in the folder of DEST and removes it, listens for a moment, and connects to a few others.
    What is wrong is said below the table, node by node, with what to do. Without a cluster it is this machine alone.
    """
    with contextlib.redirect_stdout(sys.stderr), looked_at(address, nodes) as there:
        from minibit.actors.driver import doctor, preflight  # noqa: PLC0415  imports Ray

        found = preflight.survey_nodes(there, dest, data_ports=data_ports)
    said = doctor.remarks(found)
    if as_json:
        click.echo(json.dumps(doctor.as_object(found)))
    else:
        show_all(found, said, with_copy=dest is not None)
    sys.exit(1 if said else 0)


def show_all(found: Surveyed, said: dict[str, list[str]], *, with_copy: bool) -> None:
    """Print the table, and below it what is to be said of each node."""
    from minibit.actors.driver import doctor  # noqa: PLC0415

    headline, columns, rows = doctor.table(found, with_copy=with_copy)
    if headline:
        click.echo(f"{headline}\n")
    show(columns, rows)
    for group in doctor.shared(found):
        click.echo(f"\n{' and '.join(group)} share a file system: a copy is written there once")
    tell(said)
    if not said:
        click.echo("\nall is well")

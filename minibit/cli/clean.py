"""Remove what pushes and swarms that ended without a word left behind, on every node.

    minibit clean
    minibit clean --to /data/model
    minibit clean --to /data/model --partials

Only what nothing uses goes: scratch folders, and beside DEST a copy that was swapped out. Finished copies stay. The
exit code is 0, or 4 if something could not be removed.
"""

from __future__ import annotations

import click

from minibit.cli.commands import Subcommand
from minibit.cli.nodes import of_nodes, removal, to
from minibit.errors import LocalError


@click.command(cls=Subcommand)
@to(help="Absolute path of copies, to look beside them too.")
@click.option("--partials", is_flag=True, help="Also what a push would go on from: the next one begins anew.")
@of_nodes
def main(dest: str | None, partials: bool, address: str | None, nodes: str) -> None:
    """Remove what pushes and swarms left behind that nothing uses any more.

    Without a cluster it is this machine alone.
    """
    from minibit.actors.disk import copies  # noqa: PLC0415

    if partials and dest is None:
        raise LocalError("--partials needs the copy that they lie beside: give --to DEST")
    removal(copies.clean, (dest, partials), address, nodes)

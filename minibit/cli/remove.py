"""Remove the copies of a push, on every node.

    minibit remove --to /data/model
    minibit remove --to /data/model --nodes 10.0.0.7,10.0.0.9
    minibit remove --to /data/model --address local --force

What goes is the copy, what is known of it (NAME.minibit), and a partial copy beside it. A copy in which something was
changed or added stays, unless --force is given; content that was pushed from DEST itself always stays. The exit code is
0 if nothing of a push is left on any node, else 4.
"""

from __future__ import annotations

import click

from minibit.cli.commands import Subcommand
from minibit.cli.nodes import of_nodes, removal, to


@click.command(cls=Subcommand)
@to(required=True, help="Absolute path of the copies.")
@click.option("--force", is_flag=True, help="Remove what is at DEST also if no push left it so.")
@of_nodes
def main(dest: str, force: bool, address: str | None, nodes: str) -> None:
    """Remove every copy at DEST, and what pushes keep beside it.

    A copy in which something was changed or added stays, and so does the content itself on the node that it was pushed
    from. Without a cluster it is this machine alone.
    """
    from minibit.actors.disk import copies  # noqa: PLC0415

    removal(copies.remove, (dest, force), address, nodes)

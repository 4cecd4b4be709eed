"""The nodes that a command looks at: those of a Ray cluster, or this machine alone; the same options for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from minibit.actors.driver.signals import undisturbed
from minibit.cli.options import Read
from minibit.delivery import order
from minibit.delivery.nodes import NodeRow, choose

if TYPE_CHECKING:
    from minibit.actors.driver.cluster import ClusterNode

HELP = "Ray cluster: HOST:PORT, or auto; local: this machine alone. [that of this machine, if it is in one]"


def of_nodes(main: Callable[..., None]) -> Callable[..., None]:
    """The options `--address` and `--nodes`."""
    for option in (
        click.option("--nodes", metavar="WHICH", default="all", type=Read(order.nodes),
                     help="all, a number, HOST,..., or LABEL=VALUE."),
        click.option("--address", metavar="ADDR", envvar=["MINIBIT_ADDRESS", "RAY_ADDRESS"], help=HELP),
    ):  # fmt: skip
        main = option(main)
    return main


def to(**more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option `--to`."""
    return click.option("--to", "dest", metavar="DEST", type=Read(_dest), **more)


@contextmanager
def looked_at(address: str | None, nodes: str) -> Iterator[list[ClusterNode]]:
    """The nodes to look at, in a cluster that this process is connected to meanwhile; says which on standard error."""
    with undisturbed():  # half of Ray can neither run nor end
        import ray  # noqa: PLC0415  nothing else waits for it

        from minibit.actors.driver import everywhere  # noqa: PLC0415

    with everywhere.reached(address) as there:
        if there == [everywhere.HERE]:
            why = "" if address == "local" else ": it is in no Ray cluster"
            click.echo(f"looking at this machine alone{why}", err=True)
            yield there
            return
        alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        found = [
            NodeRow(node["NodeID"], node["NodeManagerAddress"], node.get("Labels", {}), node["NodeManagerHostname"])
            for node in alive
        ]
        by_id = {node.node_id: node for node in there}
        chosen = [by_id[row.node_id] for row in choose(found, nodes) if row.node_id in by_id]
        click.echo(f"looking at {len(chosen)} of {len(there)} nodes", err=True)
        yield chosen


def _dest(value: Any) -> str:
    return order.dest(value).rstrip("/")

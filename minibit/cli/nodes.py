"""The nodes that a command looks at: those of a Ray cluster, or this machine alone; the same options for each."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from minibit.actors.driver.signals import undisturbed
from minibit.cli.options import Read
from minibit.delivery import order
from minibit.delivery.nodes import choose
from minibit.errors import printable
from minibit.run.readers import wrong
from minibit.units import show_bytes

if TYPE_CHECKING:
    from minibit.actors.disk.copies import Removed
    from minibit.actors.driver.cluster import ClusterNode

REMOVE_S = 600.0  # for a large tree on a slow disk
INCOMPLETE = 4
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
        from minibit.actors.driver.cluster import ClusterNode  # noqa: PLC0415  imports Ray, for which nothing else waits
        from minibit.actors.driver.everywhere import HERE, reached  # noqa: PLC0415

    with reached(address) as there:
        if there:
            chosen = [ClusterNode(row.node_id, row.host) for row in choose(there, nodes)]
            click.echo(f"looking at {len(chosen)} of {len(there)} nodes", err=True)
            yield chosen
        else:
            why = "" if address == "local" else ": it is in no Ray cluster"
            click.echo(f"looking at this machine alone{why}", err=True)
            yield [HERE]


def tell(said: Mapping[str, list[str]], *, err: bool = False) -> None:
    """Print what is to be said of each node, below a table."""
    if said and not err:
        click.echo()
    for node, sentences in said.items():
        for sentence in sentences:
            click.echo(f"{node}: {printable(sentence)}", err=err)


def removal(what: Callable[..., Removed], arguments: tuple[object, ...], address: str | None, nodes: str) -> NoReturn:
    """Remove something on each node, and print a line for each."""
    with contextlib.redirect_stdout(sys.stderr), looked_at(address, nodes) as there:
        from minibit.actors.driver.everywhere import names, on_each  # noqa: PLC0415

        found, failed = on_each(there, what, lambda node: arguments, REMOVE_S)
        called = names(there)
    for node, removed in found.items():
        freed = f" ({show_bytes(removed.freed_bytes)})" if removed.freed_bytes else ""
        gone = f"removed {', '.join(removed.what)}{freed}" if removed.what else ""
        text = "; ".join(filter(None, (gone, removed.kept))) or "nothing to remove"
        click.echo(f"{called[node]}: {printable(text)}")
    tell({called[node]: [why] for node, why in failed.items()}, err=True)
    sys.exit(INCOMPLETE if failed or any(removed.kept for removed in found.values()) else 0)


def _dest(value: Any) -> str:
    found = order.dest(value)
    if found.endswith("/"):  # a push takes the content's own name there, which nothing here knows
        raise wrong(value, "the whole path of the copy, e.g. /data/model")
    return found

"""`bench.py networks`: are the defaults as good as the best preset, whatever the network?

Each cell is a swarm on one kind of network. It runs with the defaults, with each preset, and with each --setting, in
turn, and medians count. The result is one ratio for each cell: the defaults' goodput / the best one's. 1 is perfect. No
contestant does other work than the others: so `classic`, whose peers start with blocks and leave early, is left out;
and `lan`, which changes nothing.

Hosts are network namespaces (hosts.sh, as root): the first has the seed and a peer, each other one a peer. Uplinks are
limited by the system there, or by Minibit itself with --upload. All write over the same files (warm.py says why).
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click
import page
from hosts import HEAD, Hosts
from quiet import Quiet
from results import tell
from swarms import minibit, usual_size
from warm import WarmCopies, shown_warm

from minibit.actors.disk.files import make
from minibit.cli.ending import ending
from minibit.rules import PRESETS
from minibit.run import bounds
from minibit.units import parse_bytes, parse_rate, show_bytes, show_duration, show_rate

NAME = "networks"  # of its section and its picture
DEFAULTS = "defaults"


class NetworkCell(NamedTuple):
    """A swarm on one kind of network.

    hosts        so many, with `rate` as the uplink of each; 0: this machine, where `rate` limits each peer
    rate         "": no limit
    seed_rate    the seed's limit on this machine
    """

    title: str
    peers: int
    size: str
    rate: str = ""
    seed_rate: str = ""
    hosts: int = 0

    @property
    def limits(self) -> list[str]:
        """The options of run_swarm.py that limit uplinks."""
        if self.hosts or not self.rate:
            return []
        return ["--upload", self.rate, *(["--seed-upload", self.seed_rate] if self.seed_rate else [])]

    @property
    def bound_s(self) -> float | None:
        """The least transfer in seconds; None if no uplink is limited. A host needs its content once, over its wire."""
        if not self.rate:
            return None
        seed_bps = parse_rate(self.rate if self.hosts else self.seed_rate) if self.hosts or self.seed_rate else None
        members = [bounds.Capacity(parse_rate(self.rate))] * (self.hosts - 1 if self.hosts else self.peers)
        return bounds.fluid(parse_bytes(self.size), members, seed_upload_bps=seed_bps)


CELLS = {
    **{f"loopback-{peers}": NetworkCell(f"loopback, {peers}", peers, usual_size(peers)) for peers in (1, 8, 50)},
    "hosts-100": NetworkCell("hosts, 100 Mbit/s", 6, "64MiB", "100Mbit/s", hosts=6),
    "hosts-400": NetworkCell("hosts, 400 Mbit/s", 6, "200MiB", "400Mbit/s", hosts=6),
    "upload": NetworkCell("uplinks of 2 MiB/s", 20, "32MiB", "2MiB/s", "2MiB/s"),
    "upload-fast-seed": NetworkCell("uplinks of 2 MiB/s, but the seed's", 20, "32MiB", "2MiB/s"),
}


def _cells(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    names = list(CELLS) if value == "all" else value.split(",")
    if unknown := [name for name in names if name not in CELLS]:
        raise click.BadParameter(f"no cell is called {unknown[0]!r}: there are {', '.join(CELLS)}", context, option)
    return names


@click.command()
@click.option("--cells", default="all", metavar="CELL,...", callback=_cells, help=", ".join(CELLS))
@click.option("--setting", "settings", multiple=True, metavar="OPTIONS", help='E.g. "--slots 8 --announce 50ms".')
@click.option("--repeat", default=3, type=click.IntRange(1), help="Runs of each, in turn; medians count.")
@click.option("--timeout", default="10m", metavar="TIME", help="Time limit of each swarm.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write a section of this page.")
@click.pass_obj
def networks(
    as_json: bool, cells: list[str], settings: tuple[str, ...], repeat: int, timeout: str, into: Path | None
) -> None:
    """Compare the defaults with each preset and setting, on each kind of network."""
    with ending():
        quiet = Quiet()
        ways = contestants(settings)
        rows = [measured(CELLS[name], ways, repeat, timeout, quiet) | {"cell": name} for name in cells]
        found = {
            "repeat": repeat,
            "warm": shown_warm(min(row["rewrite_bps"] for row in rows)),
            "machine": quiet.figures(),
            "cells": rows,
        }
        if into:
            write(into, found)
    tell(as_json, found, shown(found), below(found))


def contestants(settings: tuple[str, ...]) -> dict[str, list[str]]:
    """The options of each: of the defaults, of each preset that does the same work, and these."""
    presets = {name: ["--preset", name] for name, rules in PRESETS.items() if rules and "initial" not in rules}
    return {DEFAULTS: [], **presets, **{setting: shlex.split(setting) for setting in settings}}


def measured(
    cell: NetworkCell, ways: Mapping[str, list[str]], repeat: int, timeout: str, quiet: Quiet
) -> dict[str, Any]:
    """All contestants in one cell, in turn: what `compared` gives."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    size_bytes = parse_bytes(cell.size)
    with tempfile.TemporaryDirectory(prefix="minibit-networks-") as folder, place(cell) as run:
        content = make(Path(folder, "source", "content"), size_bytes, seed=1)
        copies = WarmCopies(Path(folder), cell.peers, size_bytes)
        for turn in range(repeat):
            for name in [*ways][turn % len(ways) :] + [*ways][: turn % len(ways)]:  # each is first now and then
                quiet.rest()
                options = [*cell.limits, "--timeout", timeout, *(["--address", "auto"] if run else []), *ways[name]]
                times[name].append(minibit(content, cell.peers, options, copies, run)["seconds"]["transfer"])
                click.echo(f"{cell.title}, {name}: {show_duration(times[name][-1])}", err=True)
    return compared(cell, times) | {"rewrite_bps": copies.rewrite_bps}


@contextmanager
def place(cell: NetworkCell) -> Iterator[Callable[..., str] | None]:
    """Where a cell's swarms run: what runs a command on the first host, or None. Hosts last as long."""
    if not cell.hosts:
        yield None
        return
    with Hosts(cell.hosts, f"{8 * parse_rate(cell.rate):.0f}bit") as hosts:
        yield partial(hosts.run, HEAD)


def compared(cell: NetworkCell, times: Mapping[str, list[float]]) -> dict[str, Any]:
    """The median of each contestant, the best one, and `ratio`: the goodput of the defaults / the best one's."""
    medians = {name: median(found) for name, found in times.items()}
    best = min(medians, key=lambda name: medians[name])
    return {
        "title": cell.title,
        "peers": cell.peers,
        "content_bytes": parse_bytes(cell.size),
        "bound_s": cell.bound_s,
        "transfer_s": medians,
        "runs_s": dict(times),
        "best": best,
        "ratio": medians[best] / medians[DEFAULTS],
    }


# What is shown


def shown(found: dict[str, Any]) -> list[dict[str, str]]:
    """The cells as the rows of a table: the goodput of each contestant, and transfer / bound where there is one."""
    rows = []
    for cell in found["cells"]:
        row = {"network": cell["title"], "peers x content": f"{cell['peers']} x {show_bytes(cell['content_bytes'])}"}
        for name, transfer_s in cell["transfer_s"].items():
            goodput = show_rate(cell["peers"] * cell["content_bytes"] / transfer_s)
            row[name] = f"{transfer_s / cell['bound_s']:.2f} of the bound" if cell["bound_s"] else goodput
        rows.append({**row, "defaults / best": f"{cell['ratio']:.2f}"})
    return rows


def below(found: dict[str, Any]) -> str:
    """How it was measured, in a sentence."""
    return f"{found['warm']} Medians of {found['repeat']}, by turns. {Quiet.shown(found['machine'])}."


def write(into: Path, found: dict[str, Any]) -> None:
    """Write the table into its section of a page, with a picture in the folder img/ beside the page."""
    groups = {
        cell["title"]: {name: cell["transfer_s"][cell["best"]] / each_s for name, each_s in cell["transfer_s"].items()}
        for cell in found["cells"]
    }
    page.bars(into.parent / "img" / f"{NAME}.svg", groups, "goodput / the best one's", ours=DEFAULTS)
    picture = f"![Goodput of the defaults and of each preset, by network](img/{NAME}.svg)"
    page.put(into, NAME, "\n\n".join([page.table(shown(found)), below(found), picture]))

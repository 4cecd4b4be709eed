"""`bench.py growth`: the goodput of all peers of one machine together, beside bare sockets, as peers become more.

The bare sockets (bare_trees.py) are in as many Ray actors: the most that Ray and the machine leave to any swarm. They
run with each --bare-block and --bare-trees, and their best result counts. All write over the same files: warm.py says
why.
"""

from __future__ import annotations

from math import inf
from pathlib import Path
from statistics import mean, median
from typing import Any

import click
import page
from bare_trees import TREES, Schedule, share
from own_cluster import TIMEOUT_S, ray_cluster, run
from quiet import Quiet
from results import numbers, tell
from swarms import SIZE_HELP, usual_size
from warm import WarmCopies, shown_warm, warm_copies

from minibit.run.summary import Summary
from minibit.units import parse_bytes, show_bytes, show_duration, show_rate

NAME = "bare-sockets"  # of its section and its picture


@click.command()
@click.option("--peers", default="10,20,30,40,50", metavar="N,N,...", callback=numbers)
@click.option("--size", metavar="SIZE", help=SIZE_HELP)
@click.option("--preset", metavar="NAME", help="[the defaults]")
@click.option("--bare-block", multiple=True, default=("256KiB", "1MiB"), metavar="SIZE", help="Blocks of bare sockets.")
@click.option("--bare-trees", multiple=True, default=(TREES,), type=click.IntRange(1), help="Trees that they use.")
@click.option("--repeat", default=1, type=click.IntRange(1), help="Runs of each, in turn; medians count.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write a section of this page.")
@click.pass_obj
def growth(
    as_json: bool,
    peers: list[int],
    size: str | None,
    preset: str | None,
    bare_block: tuple[str, ...],
    bare_trees: tuple[int, ...],
    repeat: int,
    into: Path | None,
) -> None:
    """Measure the goodput of all peers together, for more and more peers, beside bare sockets in as many actors."""
    schedules = [Schedule(count, parse_bytes(block)) for count in bare_trees for block in bare_block]
    preset_given = {"preset": preset} if preset else {}
    quiet = Quiet()
    rows, rewrite_bps = [], inf
    with ray_cluster():
        for count in peers:
            size_bytes = parse_bytes(size or usual_size(count))
            options = {"size": size_bytes, **preset_given}
            with warm_copies(count, size_bytes) as copies:
                rounds = [beside_bare(count, options, schedules, copies, quiet) for _ in range(repeat)]
            rows.append(compared(count, size_bytes, rounds))
            rewrite_bps = min(rewrite_bps, copies.rewrite_bps)
    found = {
        "preset": preset,
        "repeat": repeat,
        "warm": shown_warm(rewrite_bps),
        "machine": quiet.figures(),
        "runs": rows,
        "spread": {which: spread([row[which] for row in rows]) for which in ("goodput_bps", "bare_bps")},
    }
    if into:
        groups = {
            f"{row['peers']} x {show_bytes(row['content_bytes'])}": {
                "Minibit": row["ratio"],
                f"bare, {row['bare_schedule']}": 1.0,
            }
            for row in rows
        }
        page.bars(into.parent / "img" / f"{NAME}.svg", groups, "goodput / bare sockets", ours="Minibit")
        picture = f"![Goodput of Minibit beside bare sockets, warm](img/{NAME}.svg)"
        page.put(into, NAME, "\n\n".join([page.table(shown(rows)), below(found), picture]))
    tell(as_json, found, shown(rows), below(found))


def beside_bare(
    peers: int, options: dict[str, Any], schedules: list[Schedule], copies: WarmCopies, quiet: Quiet
) -> tuple[Summary, dict[Schedule, float]]:
    """Run a swarm, then send the same content to as many actors without a protocol: the seconds of each schedule."""
    quiet.rest()
    summary = run(copies, peers=peers, **options)
    bare_s = {}
    for schedule in schedules:
        quiet.rest()
        took_s = bare_s[schedule] = share(peers, summary.content.bytes, schedule, TIMEOUT_S, copies)
        told = f"{show_duration(took_s)}, {show_rate(peers * copies.size_bytes / took_s)}"
        click.echo(f"{peers} bare actors, {schedule.shown}: {told}", err=True)
    return summary, bare_s


def compared(peers: int, size_bytes: int, rounds: list[tuple[Summary, dict[Schedule, float]]]) -> dict[str, Any]:
    """The medians of a swarm, and of bare sockets with their best schedule; `ratio` is ours / theirs."""
    transfer_s = median(summary.seconds.transfer for summary, _ in rounds)
    bare_s = {schedule: median(bare[schedule] for _, bare in rounds) for schedule in rounds[0][1]}
    best = min(bare_s, key=lambda schedule: bare_s[schedule])
    return {
        "peers": peers,
        "content_bytes": size_bytes,
        "block_bytes": rounds[0][0].content.block_bytes,
        "transfer_s": transfer_s,
        "goodput_bps": peers * size_bytes / transfer_s,
        "bare_schedule": best.shown,
        "bare_s": bare_s[best],
        "bare_bps": peers * size_bytes / bare_s[best],
        "ratio": bare_s[best] / transfer_s,
        "ratios": [bare[best] / summary.seconds.transfer for summary, bare in rounds],
    }


def spread(figures: list[float]) -> float:
    """The distance between the extremes / the mean."""
    return (max(figures) - min(figures)) / mean(figures)


def shown(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The comparison as the rows of a table."""
    return [
        {
            "peers x content": f"{row['peers']} x {show_bytes(row['content_bytes'])}",
            "blocks": show_bytes(row["block_bytes"]),
            "transfer": show_duration(row["transfer_s"]),
            "goodput": show_rate(row["goodput_bps"]),
            "bare sockets": show_rate(row["bare_bps"]),
            "their best": row["bare_schedule"],
            "ratio": f"{row['ratio']:.2f}",
            "of each round": ", ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
        }
        for row in rows
    ]


def below(found: dict[str, Any]) -> str:
    """How it was measured, in sentences."""
    ours, bare = found["spread"].values()
    spreads = f"; spread (max - min) / mean {ours:.2f}, of bare sockets {bare:.2f}" * (len(found["runs"]) > 1)
    how = f"Minibit with {found['preset'] or 'its defaults'}, medians of {found['repeat']}, by turns{spreads}"
    return f"{found['warm']} {how}. {Quiet.shown(found['machine'])}."

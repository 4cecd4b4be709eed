"""`bench.py control`: what travels beside the blocks, by block size, and what it costs if it goes by actor calls.

With several ways of control, the goodput of each stands beside that of the first. All write over the same files:
warm.py says why.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import click
import page
from own_cluster import ray_cluster, run
from quiet import Quiet
from results import tell
from warm import shown_warm, warm_copies

from minibit.run.summary import Summary
from minibit.units import parse_bytes, show_bytes, show_rate

NAME = "control"  # of its section and its picture


@click.command()
@click.option("--peers", default=20, type=click.IntRange(1))
@click.option("--size", default="64MiB", metavar="SIZE")
@click.option("--preset", default=None, metavar="NAME")
@click.option("--block-size", "sizes", multiple=True, default=("64KiB", "1MiB"), metavar="SIZE")
@click.option("--control", "ways", multiple=True, default=("links", "actors"), metavar="NAME", help="links, actors.")
@click.option("--repeat", default=1, type=click.IntRange(1), help="Runs of each, in turn; medians count.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write a section of this page.")
@click.pass_obj
def control(
    as_json: bool, /, sizes: tuple[str, ...], ways: tuple[str, ...], repeat: int, into: Path | None, **options: Any
) -> None:
    """Measure what travels beside the blocks, of small and large ones, and goodput by each way of control."""
    quiet = Quiet()
    runs: dict[tuple[str, str], list[Summary]] = {(size, way): [] for size in sizes for way in ways}
    with ray_cluster(), warm_copies(options["peers"], parse_bytes(options["size"])) as copies:
        for size, way in list(runs) * repeat:
            quiet.rest()
            runs[size, way].append(run(copies, block_size=size, control=way, **options))
    rows = [measured(way, summaries, runs[size, ways[0]]) for (size, way), summaries in runs.items()]
    found = {
        "peers": options["peers"],
        "content_bytes": parse_bytes(options["size"]),
        "preset": options["preset"],
        "repeat": repeat,
        "warm": shown_warm(copies.rewrite_bps),
        "machine": quiet.figures(),
        "runs": rows,
    }
    if into:
        groups: dict[str, dict[str, float]] = {}
        for row in rows:
            groups.setdefault(f"blocks of {show_bytes(row['block_bytes'])}", {})[row["control"]] = row["ratio"]
        page.bars(into.parent / "img" / f"{NAME}.svg", groups, f"goodput / that by {ways[0]}", ours="actors")
        picture = f"![Goodput by each way of control, warm](img/{NAME}.svg)"
        page.put(into, NAME, "\n\n".join([page.table(shown(rows, ways[0])), below(found), picture]))
    tell(as_json, found, shown(rows, ways[0]), below(found))


def measured(way: str, summaries: list[Summary], first: list[Summary]) -> dict[str, Any]:
    """The medians of the runs of one way; `ratio` is its goodput / that of the first way."""
    return {
        "block_bytes": summaries[0].content.block_bytes,
        "blocks": summaries[0].content.blocks,
        "control": way,
        "goodput_bps": goodput_bps(summaries),
        "ratio": goodput_bps(summaries) / goodput_bps(first),
        "actor_calls": int(median(summary.actor_calls for summary in summaries)),
        "messages": int(median(summary.messages.total for summary in summaries)),
        "control_share": median(summary.bytes.control / summary.bytes.moved for summary in summaries),
        "waste_share": median(summary.bytes.wasted / summary.bytes.moved for summary in summaries),
    }


def goodput_bps(summaries: list[Summary]) -> float:
    """The median."""
    return median(summary.goodput_bps for summary in summaries)


def shown(rows: list[dict[str, Any]], first: str) -> list[dict[str, str]]:
    """The figures as the rows of a table."""
    return [
        {
            "blocks": show_bytes(row["block_bytes"]),
            "count": str(row["blocks"]),
            "control by": row["control"],
            "goodput": show_rate(row["goodput_bps"]),
            f"beside {first}": f"{row['ratio']:.2f}",
            "actor calls": str(row["actor_calls"]),
            "messages": str(row["messages"]),
            "control / payload": f"{100 * row['control_share']:.3f} %",
            "waste / payload": f"{100 * row['waste_share']:.3f} %",
        }
        for row in rows
    ]


def below(found: dict[str, Any]) -> str:
    """How it was measured, in sentences."""
    return (
        f"{found['warm']} {show_bytes(found['content_bytes'])} to each of {found['peers']} peers, "
        f"{found['preset'] or 'the defaults'}, medians of {found['repeat']}, by turns. {Quiet.shown(found['machine'])}."
    )

"""How near a push to many nodes comes to its lower bound: every block to every node, simulated by a push's own rules.

    python experiments/push_forecast.py                            # 200 and 1,000 nodes, 70 GB, 10 Gbit/s: half an hour
    python experiments/push_forecast.py --nodes 50 --size 4GB
    python experiments/push_forecast.py --into docs/push.md        # and a section of that page

Beside it stands what `minibit push --dry-run` would say, which simulates only the first blocks. Disks and processors
are taken to be fast enough. Compiled rooms (`make compiled`) halve the time that it takes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import page
from results import SHOWN, numbers, tell

from minibit.cli.ending import ending
from minibit.delivery.order import Order
from minibit.delivery.seats import RULES
from minibit.sim.forecast import LATENCY_S, expected_s, simulated
from minibit.units import parse_bytes, parse_rate, show_bytes, show_duration

NAME = "push-forecast"  # of its section


def forecast(nodes: int, content_bytes: int, upload_bps: float) -> dict[str, Any]:
    """Simulate one push to its end; times are seconds, `ratio` is the transfer / its bound."""
    began_s = time.process_time()
    block_bytes = Order(dest="/data").block_bytes_for(content_bytes)
    told_s = expected_s(content_bytes, block_bytes, nodes=nodes, upload_bps=upload_bps, rules=RULES)
    summary = simulated(
        content_bytes, block_bytes, nodes=nodes, upload_bps=upload_bps, source_bps=upload_bps, rules=RULES
    )
    transfer_s, bound_s = summary.seconds.transfer, summary.bound_s
    assert told_s is not None and bound_s is not None
    found = {
        "nodes": nodes,
        "blocks": summary.content.blocks,
        "block_bytes": block_bytes,
        "transfer_s": transfer_s,
        "bound_s": bound_s,
        "ratio": transfer_s / bound_s,
        "dry_run_s": told_s,
        "source_copies": summary.bytes.seed_sent / content_bytes,
        "wasted_share": summary.bytes.wasted / summary.bytes.moved,
        "cpu_s": time.process_time() - began_s,
    }
    took = show_duration(found["cpu_s"])
    click.echo(f"{nodes} nodes: {found['ratio']:.3f} of the bound, simulated in {took}", err=True)
    return found


def shown(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The rows of a table."""
    return [
        {
            "nodes": f"{row['nodes']:,}",
            "transfer": show_duration(row["transfer_s"]),
            "lower bound": show_duration(row["bound_s"]),
            "transfer / bound": f"{row['ratio']:.3f}",
            "a dry run says": show_duration(row["dry_run_s"]),
            "copies that the source sends": f"{row['source_copies']:.2f}",
            "sent twice": f"{100 * row['wasted_share']:.2f} %",
        }
        for row in rows
    ]


@click.command(context_settings=SHOWN)
@click.option("--nodes", default="200,1000", metavar="N,N,...", callback=numbers)
@click.option("--size", default="70GB", metavar="SIZE")
@click.option("--upload", default="10Gbit/s", metavar="RATE", help="Uplink of each node.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write a section of this page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(nodes: list[int], size: str, upload: str, into: Path | None, as_json: bool) -> None:
    """Simulate a push to so many nodes to its end, and compare it with its lower bound."""
    with ending():
        content_bytes, upload_bps = parse_bytes(size), parse_rate(upload)
        rows = [forecast(count, content_bytes, upload_bps) for count in nodes]
    blocks = f"{rows[0]['blocks']:,} blocks of {show_bytes(rows[0]['block_bytes'])}"
    below = (
        f"{size} in {blocks}, uplinks of {upload}, messages that take {show_duration(LATENCY_S)}; simulated to the "
        "last block, by the rules of a push."
    )
    if into:
        page.put(into, NAME, f"{page.table(shown(rows))}\n\n{below}")
    tell(as_json, {"content_bytes": content_bytes, "upload_bps": upload_bps, "runs": rows}, shown(rows), below)


if __name__ == "__main__":
    main()

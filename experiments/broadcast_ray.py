"""A file on every node by Ray's object store: put on this node, fetched and written on each of the others.

    python experiments/broadcast_ray.py /data/content                      # one object
    python experiments/broadcast_ray.py /data/content --chunk-size 8MiB    # an object for each 8 MiB

On a node of a running cluster, which has the file; the others get it under the same path. Prints the seconds from the
first `ray.put` until the last file is written. A node that has an object serves it too, so chunks travel as in a
swarm: each node asks for them in an order of its own, some at a time.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from random import Random
from typing import Any

import click
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from results import SHOWN

from minibit.cli.ending import ending
from minibit.units import parse_bytes

AHEAD = 4  # chunks that a node asks for at once


class ObjectTaker:
    """An actor that fetches objects and writes them into a file."""

    def ready(self) -> None:
        """Answer: it has started."""

    def take(self, path: str, size_bytes: int, chunks: list[tuple[int, Any]], seed: int) -> None:
        """Fetch these chunks, each an offset and a reference, and write them."""
        Random(seed).shuffle(chunks)
        offsets = {ref: offset for offset, ref in chunks}
        waiting = [ref for _, ref in chunks]
        with Path(path).open("wb") as file:
            file.truncate(size_bytes)
            while waiting:
                (here, *_), _ = ray.wait(waiting[:AHEAD], num_returns=1)
                waiting.remove(here)
                file.seek(offsets[here])
                file.write(ray.get(here))


@click.command(context_settings=SHOWN)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--chunk-size", metavar="SIZE", help="Size of an object.", show_default="the file")
def main(file: Path, chunk_size: str | None) -> None:
    """Put FILE on every other node of the cluster, under the same path."""
    with ending():
        ray.init("auto", log_to_driver=False, logging_level=logging.ERROR)
        content = file.read_bytes()
        chunk_bytes = parse_bytes(chunk_size) if chunk_size else len(content)
        here = ray.get_runtime_context().get_node_id()
        nodes: Any = ray.nodes  # it has no types
        kind: Any = ray.remote(num_cpus=0)(ObjectTaker)
        takers = [
            kind.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote()
            for node in nodes()
            if node["Alive"] and node["NodeID"] != here
        ]
        ray.get([taker.ready.remote() for taker in takers])
        began_at = time.monotonic()
        cuts = range(0, len(content), chunk_bytes)
        chunks = [(offset, ray.put(content[offset : offset + chunk_bytes])) for offset in cuts]
        path = str(file.absolute())
        ray.get([taker.take.remote(path, len(content), chunks, seed) for seed, taker in enumerate(takers)])
        click.echo(time.monotonic() - began_at)


if __name__ == "__main__":
    main()

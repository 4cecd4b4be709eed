"""The memory of a push's process on a node, while it gets large blocks of large content from many nodes at once.

    python experiments/peer_memory.py                           # 100 GB in blocks of 16 MiB, from 20 nodes
    python experiments/peer_memory.py --size 1GB --moves 256MiB --senders 4
    python experiments/peer_memory.py --into docs/push.md       # and a section of that page

The processes are real, and so are their links and files. The content is a hole but for its end, and each receiver's
copy is the same hole: it has all blocks but those of the end, and gets these. So a disk needs room for the end only.
Private memory is what would be free if a process ended. It is looked at fifty times a second; the most counts, beside
that of an actor that does nothing.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import msgspec
import page
import psutil
import ray
from bench import MB, noops
from own_cluster import ray_cluster
from results import SHOWN, tell

from minibit.actors.disk import files, store
from minibit.actors.disk.place import Place
from minibit.actors.driver import cluster, spawn
from minibit.actors.names import NAMESPACE, actor_name
from minibit.actors.peer import PeerActor, Setup
from minibit.actors.tracker import RosterActor
from minibit.delivery import seats
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.manifest import Manifest, block_hash
from minibit.seat import Seat
from minibit.strategies import Shipment
from minibit.units import parse_bytes, parse_rate

NAME = "peer-memory"  # of its section
RUN = "peer-memory"  # in the names of its actors
LOOK_S = 0.02
TIMEOUT_S = 600.0


class Roomy(PeerActor):
    """A peer that does not ask its disk for room: most of its copy stays a hole."""

    def _open_store(self, copies: int) -> Any:
        with patch.object(store, "check_room"):
            return super()._open_store(copies)

    async def pid(self) -> int:
        """The id of its process."""
        return os.getpid()


def source(path: Path, content_bytes: int, block_bytes: int, moves_bytes: int) -> Manifest:
    """Write content whose last blocks, at least `moves_bytes`, differ from each other and from holes; its manifest."""
    last = content_bytes // block_bytes
    first = max(0, last - -(-moves_bytes // block_bytes))
    part = secrets.token_bytes(block_bytes)
    with path.open("wb") as file:
        file.seek(first * block_bytes)
        for block in range(first, last):
            file.write(block.to_bytes(8) + part[8:])
        file.write(part[: content_bytes - last * block_bytes])
    found, _ = files.unhashed(path, block_bytes, "blake3", apart=True)
    zeros = block_hash("blake3", bytes(block_bytes))
    with path.open("rb") as file:
        file.seek(first * block_bytes)
        ends = [block_hash("blake3", file.read(block_bytes)) for _ in range(first, found.block_count)]
    return msgspec.structs.replace(found, digests=zeros * first + b"".join(ends))


def hole(dest: Path, content_bytes: int) -> Path:
    """A partial copy at `dest` that is one hole; `dest`."""
    dest.parent.mkdir()
    with Place(dest).partial.open("wb") as file:
        file.truncate(content_bytes)
    return dest


class MeasuredCrew:
    """Senders, receivers and their tracker, on this machine."""

    def __init__(self, content: Path, found: Manifest, *, senders: int, receivers: int, upload_bps: float) -> None:
        here = cluster.nodes()[0]
        setup = Setup(
            run=RUN,
            manifest=found,
            key=secrets.token_bytes(32),
            seed=1,
            by_actor_calls=False,
            data_ports=None,
            folder="",
            shipment=Shipment({}, {}),
            records=False,
        )
        self.tracker = spawn.start(RosterActor, RUN, TRACKER, here.node_id, seats.tracker_seat(seats.RULES), setup)
        kind: Any = ray.remote(Roomy)
        names = [f"sender-{number}" for number in range(senders)]
        names += [f"receiver-{number}" for number in range(receivers)]
        self.peers: dict[str, Any] = {}
        for name in names:
            sends = name.startswith("sender")
            dest = "" if sends else str(hole(content.parent / name / "copy", found.content_bytes))
            seat = Seat(name=name, rules=seats.RULES, upload_bps=upload_bps, seeds=sends)
            its = msgspec.structs.replace(setup, dest=dest or None)
            named = {"name": actor_name(RUN, name), "namespace": NAMESPACE, "num_cpus": 0}
            path = str(content) if sends else ""
            self.peers[name] = kind.options(**named).remote(seat, its, here.host, self.tracker, path)

    @property
    def receivers(self) -> list[Any]:
        """The actors that lack the end."""
        return [actor for name, actor in self.peers.items() if name.startswith("receiver")]

    def end(self) -> None:
        """End all processes."""
        spawn.ask_to_stop(self.peers.values(), erase=False)
        for actor in (*self.peers.values(), self.tracker):
            spawn.kill(actor)


@contextmanager
def crew(*args: Any, **options: Any) -> Iterator[MeasuredCrew]:
    """A crew that ends."""
    found = MeasuredCrew(*args, **options)
    try:
        yield found
    finally:
        found.end()


def most_private(pids: Iterable[int], calls: list[Any]) -> list[float]:
    """The most private memory of each process, in bytes, until all calls are answered. `LocalError` if one fails."""
    processes = [psutil.Process(pid) for pid in pids]
    most = [0.0] * len(processes)
    deadline = time.monotonic() + TIMEOUT_S
    waiting = calls
    while waiting:
        if time.monotonic() > deadline:
            raise LocalError(f"the copies were not whole within {TIMEOUT_S:g} s: give a smaller --moves")
        most = [max(before, process.memory_full_info().uss) for before, process in zip(most, processes, strict=True)]
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=LOOK_S)
    ray.get(calls)
    return most


def measure(content: Path, found: Manifest, **options: Any) -> dict[str, Any]:
    """Bytes of private memory: of an actor that does nothing, of a receiver before it moves anything, and at most."""
    nothing_bytes = noops(2).private_bytes
    with crew(content, found, **options) as members:
        opened = ray.get([actor.open.remote() for actor in members.peers.values()], timeout=TIMEOUT_S)
        lacking = found.block_count - min(one.held.bit_count() for one in opened)
        pids = ray.get([actor.pid.remote() for actor in members.receivers])
        rest = most_private(pids, [members.tracker.standing.remote()])
        senders = [actor for actor in members.peers.values() if actor not in members.receivers]
        for actor in senders:
            actor.deliver.remote()
        began_at = time.monotonic()
        most = most_private(pids, [actor.deliver.remote() for actor in members.receivers])
        seconds = time.monotonic() - began_at
    return {
        "blocks": found.block_count,
        "moved_blocks": lacking,
        "seconds": seconds,
        "noop_bytes": nothing_bytes,
        "rest_bytes": max(rest),
        "most_bytes": max(most),
        "extra_bytes": max(most) - nothing_bytes,
    }


@click.command(context_settings=SHOWN)
@click.option("--size", default="100GB", metavar="SIZE", help="The content.")
@click.option("--block-size", default="16MiB", metavar="SIZE")
@click.option("--moves", default="1GiB", metavar="SIZE", help="What each receiver lacks of it.")
@click.option("--senders", default=20, type=click.IntRange(1))
@click.option("--receivers", default=2, type=click.IntRange(1))
@click.option("--upload", default="20MiB/s", metavar="RATE", help="Uplink of each: slow ones send at the same time.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write a section of this page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(
    size: str, block_size: str, moves: str, senders: int, receivers: int, upload: str, into: Path | None, as_json: bool
) -> None:
    """Measure the private memory of a push's process that gets blocks from many nodes at once."""
    with ray_cluster(), tempfile.TemporaryDirectory(prefix="minibit-bench-") as folder:
        content_bytes, block_bytes, upload_bps = parse_bytes(size), parse_bytes(block_size), parse_rate(upload)
        content = Path(folder, "content")
        manifest = source(content, content_bytes, block_bytes, parse_bytes(moves))
        found = measure(content, manifest, senders=senders, receivers=receivers, upload_bps=upload_bps)
    rows = [
        {"private memory of": what, "": f"{found[key] / MB:.0f} MB"}
        for what, key in (
            ("an actor that does nothing", "noop_bytes"),
            ("a push's process before it moves anything", "rest_bytes"),
            ("the same, at most", "most_bytes"),
            ("more than the one that does nothing", "extra_bytes"),
        )
    ]
    below = (
        f"{size} in {found['blocks']:,} blocks of {block_size}; the last {found['moved_blocks']} of them came from "
        f"{senders} nodes with uplinks of {upload}, to {receivers} at a time."
    )
    if into:
        page.put(into, NAME, f"{page.table(rows)}\n\n{below}")
    tell(as_json, found, rows, below)


if __name__ == "__main__":
    main()

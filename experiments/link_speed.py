"""How fast is one link? A pair of processes over loopback, beside a bare socket that does the same work.

Both ways the sender preads its file, the receiver hashes each block (BLAKE3) and pwrites it. The bare pair
has no protocol at all: `sendall` and `recv_into`, one block after the other. What the link costs beyond
that is its frames, its PEDIDOs and its event loop; the ratio is what to watch, because the figures
themselves change with the machine and the hour.

    python experiments/link_speed.py --mib 1024 --block-kib 256 --block-kib 1024
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import click
import uvloop
from blake3 import blake3

from minibit.actors.links import pairs
from minibit.actors.links.link import Link
from minibit.messages import Message, Pedido, PeerAddress

KEY = hashlib.sha256(b"an experiment needs no secret").digest()
PIPELINE = 16
MIB = 1 << 20


class Blocks(NamedTuple):
    """As much of a manifest as a link needs."""

    block_bytes: int
    block_count: int
    digest: str = "blake3:experiment"

    def length(self, block: int) -> int:
        return self.block_bytes


class Node:
    """The least host: sends what it is asked for, or asks for every block, hashes and writes it."""

    def __init__(self, name: str, blocks: Blocks, path: Path) -> None:
        self.me = PeerAddress(peer=name, host="127.0.0.1", port=0)
        self.key = KEY
        self.manifest = blocks
        self.done = asyncio.Event()
        self.missing_count = blocks.block_count
        self._next = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)

    def on_linked(self, link: Link) -> None:
        if link.dialled:
            for _ in range(PIPELINE):
                self._ask(link)

    def on_message(self, link: Link, message: Message) -> None:
        if isinstance(message, Pedido):
            link.send_block(message.block)

    def on_block(self, link: Link, block: int, data: memoryview) -> None:
        blake3(data).digest()
        os.pwrite(self._file, data, block * self.manifest.block_bytes)
        self._ask(link)
        self.missing_count -= 1
        if not self.missing_count:
            self.done.set()

    def on_progress(self, link: Link) -> None: ...

    def on_sent(self, link: Link, block: int) -> None: ...

    def on_unlinked(self, link: Link, why: str) -> None:
        self.done.set()

    def read(self, block: int, offset: int, length: int) -> bytes:
        return os.pread(self._file, length, block * self.manifest.block_bytes + offset)

    def _ask(self, link: Link) -> None:
        if self._next < self.manifest.block_count:
            link.send(Pedido(self._next))
            self._next += 1


def link_sender(pipe: Connection, blocks: Blocks, path: Path) -> None:
    async def run() -> None:
        node = Node("sender", blocks, path)
        pipe.send(await pairs.Links(node).serve())
        await node.done.wait()

    uvloop.run(run())


def link_receiver(port: int, blocks: Blocks, path: Path) -> None:
    async def run() -> None:
        node = Node("receiver", blocks, path)
        mine = pairs.Links(node)
        await mine.dial(PeerAddress(peer="sender", host="127.0.0.1", port=port))
        await node.done.wait()
        assert not node.missing_count
        await mine.close("done")

    uvloop.run(run())


def bare_sender(pipe: Connection, blocks: Blocks, path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        pipe.send(server.getsockname()[1])
        sock, _ = server.accept()
        with sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, pairs.SOCKET_BYTES)
            for block in range(blocks.block_count):
                sock.sendall(os.pread(file, blocks.block_bytes, block * blocks.block_bytes))


def bare_receiver(port: int, blocks: Blocks, path: Path) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    buffer = memoryview(bytearray(blocks.block_bytes))
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, pairs.SOCKET_BYTES)
        sock.connect(("127.0.0.1", port))
        for block in range(blocks.block_count):
            have = 0
            while have < blocks.block_bytes:
                have += sock.recv_into(buffer[have:])
            blake3(buffer).digest()
            os.pwrite(file, buffer, block * blocks.block_bytes)


class Run(NamedTuple):
    """What one transfer took, in seconds on the clock and of CPU at both ends."""

    wall_s: float
    cpu_s: float


def timed(pipe: Connection, work: Callable[..., None], *args: object) -> None:
    """Do `work` in this process, and report its time; the imports before it don't count."""
    started_s = time.perf_counter()
    cpu_before_s = time.process_time()
    work(*args)
    pipe.send(Run(time.perf_counter() - started_s, time.process_time() - cpu_before_s))


def transfer(sender: Callable[..., None], receiver: Callable[..., None], blocks: Blocks, folder: Path) -> Run:
    """One file from one process to another; the copy is compared, then removed."""
    content, copy = folder / "content", folder / "copy"
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    ours_too, theirs_too = spawn.Pipe()
    sending = spawn.Process(target=timed, args=(theirs, sender, theirs, blocks, content))
    sending.start()
    receiving = spawn.Process(target=timed, args=(theirs_too, receiver, ours.recv(), blocks, copy))
    receiving.start()
    received: Run = ours_too.recv()
    sent: Run = ours.recv()
    sending.join()
    receiving.join()
    assert digest(content) == digest(copy), "the copy differs"
    copy.unlink()
    return Run(received.wall_s, received.cpu_s + sent.cpu_s)


def digest(path: Path) -> str:
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()


@click.command()
@click.option("--mib", default=512, show_default=True, help="Content in MiB.")
@click.option("--block-kib", "blocks_kib", multiple=True, type=int, default=(256, 1024), show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Transfers of each kind, in turn; the best counts.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the files lie (default: temporary).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, for each block size.")
def main(mib: int, blocks_kib: tuple[int, ...], rounds: int, folder: Path | None, as_json: bool) -> None:
    """Measure one link beside one bare socket."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="link-speed-") as name:
        place = Path(name)
        with (place / "content").open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(MIB))
        for block_kib in blocks_kib:
            blocks = Blocks(block_kib << 10, (mib << 10) // block_kib)
            pairs = {"link": (link_sender, link_receiver), "bare": (bare_sender, bare_receiver)}
            runs: dict[str, list[Run]] = {kind: [] for kind in pairs}
            for _ in range(rounds):
                for kind, (sender, receiver) in pairs.items():
                    runs[kind].append(transfer(sender, receiver, blocks, place))
            mibps = {kind: mib / min(run.wall_s for run in some) for kind, some in runs.items()}
            cpu_s = {kind: min(run.cpu_s for run in some) for kind, some in runs.items()}
            row = {
                "block_kib": block_kib,
                "link_mibps": round(mibps["link"]),
                "bare_mibps": round(mibps["bare"]),
                "ratio": round(mibps["link"] / mibps["bare"], 3),
                "link_cpu_s_per_gib": round(cpu_s["link"] * 1024 / mib, 3),
                "bare_cpu_s_per_gib": round(cpu_s["bare"] * 1024 / mib, 3),
            }
            if as_json:
                click.echo(json.dumps(row))
            else:
                click.echo(
                    f"blocks of {block_kib} KiB: link {row['link_mibps']} MiB/s, bare {row['bare_mibps']} MiB/s, "
                    f"ratio {row['ratio']}; CPU s/GiB {row['link_cpu_s_per_gib']} and {row['bare_cpu_s_per_gib']}"
                )


if __name__ == "__main__":
    main()

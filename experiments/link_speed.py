"""How fast is one link? A pair of processes over loopback, beside a bare socket that does the same work.

In both, the sender preads its file, and the receiver hashes each block (BLAKE3) and pwrites it over a file whose pages
are in memory (warm.py says why). The bare pair has no protocol at all: `sendall` and `recv_into`, one block after the
other. The link costs more by its frames, its PEDIDOs and its event loop. Watch the ratio: the figures themselves change
with the machine and the hour.

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
from quiet import Quiet
from warm import WarmCopies, shown_warm

from minibit.actors.disk.files import make, scan
from minibit.actors.links import pairs
from minibit.actors.links.face import Wire
from minibit.manifest import Manifest
from minibit.messages import Message, Pedido, PeerAddress

KEY = hashlib.sha256(b"an experiment needs no secret").digest()
PIPELINE = 16


class Copier:
    """The least that can own a link: sends the blocks it is asked for, or asks for each block, hashes and writes it."""

    def __init__(self, name: str, manifest: Manifest, path: Path) -> None:
        self.me = PeerAddress(peer=name, host="127.0.0.1", port=0)
        self.key = KEY
        self.manifest = manifest
        self.done = asyncio.Event()
        self.missing_count = manifest.block_count
        self._next = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)

    def on_linked(self, link: Wire) -> None:
        if link.dialled:
            for _ in range(PIPELINE):
                self._ask(link)

    def on_message(self, link: Wire, message: Message) -> None:
        if isinstance(message, Pedido):
            link.send_block(message.block)

    def on_block(self, link: Wire, block: int, data: memoryview) -> None:
        blake3(data).digest()
        os.pwrite(self._file, data, block * self.manifest.block_bytes)
        self._ask(link)
        self.missing_count -= 1
        if not self.missing_count:
            self.done.set()

    def on_progress(self, link: Wire) -> None: ...

    def on_sent(self, link: Wire, block: int) -> None: ...

    def on_unlinked(self, link: Wire, why: str) -> None:
        self.done.set()

    def read(self, block: int, offset: int, length: int) -> bytes:
        return os.pread(self._file, length, block * self.manifest.block_bytes + offset)

    def _ask(self, link: Wire) -> None:
        if self._next < self.manifest.block_count:
            link.send(Pedido(self._next))
            self._next += 1


def link_sender(pipe: Connection, manifest: Manifest, path: Path) -> None:
    async def run() -> None:
        node = Copier("sender", manifest, path)
        pipe.send(await pairs.Links(node).serve())
        await node.done.wait()

    uvloop.run(run())


def link_receiver(port: int, manifest: Manifest, path: Path) -> None:
    async def run() -> None:
        node = Copier("receiver", manifest, path)
        mine = pairs.Links(node)
        await mine.dial(PeerAddress(peer="sender", host="127.0.0.1", port=port))
        await node.done.wait()
        assert not node.missing_count
        await mine.close("done")

    uvloop.run(run())


def bare_sender(pipe: Connection, manifest: Manifest, path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        pipe.send(server.getsockname()[1])
        sock, _ = server.accept()
        with sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, pairs.SOCKET_BYTES)
            for block in range(manifest.block_count):
                sock.sendall(os.pread(file, manifest.block_bytes, block * manifest.block_bytes))


def bare_receiver(port: int, manifest: Manifest, path: Path) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    buffer = memoryview(bytearray(manifest.block_bytes))
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, pairs.SOCKET_BYTES)
        sock.connect(("127.0.0.1", port))
        for block in range(manifest.block_count):
            whole = left = buffer[: manifest.length(block)]
            while left:
                left = left[sock.recv_into(left) :]
            blake3(whole).digest()
            os.pwrite(file, whole, block * manifest.block_bytes)


class Timing(NamedTuple):
    """What one transfer took, in seconds on the clock and of CPU at both ends."""

    wall_s: float
    cpu_s: float


def timed(pipe: Connection, work: Callable[..., None], *args: object) -> None:
    """Do `work` in this process, and report its time; the imports before it don't count."""
    started_s = time.perf_counter()
    cpu_before_s = time.process_time()
    work(*args)
    pipe.send(Timing(time.perf_counter() - started_s, time.process_time() - cpu_before_s))


def transfer(
    sender: Callable[..., None], receiver: Callable[..., None], manifest: Manifest, content: Path, copies: WarmCopies
) -> Timing:
    """One file from one process to another, over a warm copy; the copy is compared, then removed."""
    copy = content.with_name("copy")
    copies.lend([copy])
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    ours_too, theirs_too = spawn.Pipe()
    sending = spawn.Process(target=timed, args=(theirs, sender, theirs, manifest, content))
    sending.start()
    receiving = spawn.Process(target=timed, args=(theirs_too, receiver, ours.recv(), manifest, copy))
    receiving.start()
    received: Timing = ours_too.recv()
    sent: Timing = ours.recv()
    sending.join()
    receiving.join()
    assert scan(copy, manifest.block_bytes).digests == manifest.digests, "the copy differs"
    copy.unlink()
    return Timing(received.wall_s, received.cpu_s + sent.cpu_s)


@click.command()
@click.option("--mib", default=512, show_default=True, help="Content in MiB.")
@click.option("--block-kib", "blocks_kib", multiple=True, type=int, default=(256, 1024), show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Transfers of each kind, in turn; the best counts.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the files lie (default: temporary).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, for each block size.")
def main(mib: int, blocks_kib: tuple[int, ...], rounds: int, folder: Path | None, as_json: bool) -> None:
    """Measure one link beside one bare socket."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="link-speed-") as name:
        quiet = Quiet()
        content = make(Path(name) / "content", mib << 20, seed=1)
        copies = WarmCopies(Path(name), 1, mib << 20)
        for block_kib in blocks_kib:
            manifest = scan(content, block_kib << 10)
            ends = ((link_sender, link_receiver), (bare_sender, bare_receiver))
            runs = []
            for _ in range(rounds):
                quiet.rest()
                runs.append([transfer(*pair, manifest, content, copies) for pair in ends])
            link, bare = (Timing(*map(min, zip(*some, strict=True))) for some in zip(*runs, strict=True))
            row = {
                "block_kib": block_kib,
                "link_mibps": round(mib / link.wall_s),
                "bare_mibps": round(mib / bare.wall_s),
                "ratio": round(bare.wall_s / link.wall_s, 3),
                "link_cpu_s_per_gib": round(link.cpu_s * 1024 / mib, 3),
                "bare_cpu_s_per_gib": round(bare.cpu_s * 1024 / mib, 3),
                "machine": quiet.figures(),
            }
            told = (
                f"blocks of {block_kib} KiB: link {row['link_mibps']} MiB/s, bare {row['bare_mibps']} MiB/s, "
                f"ratio {row['ratio']}; CPU s/GiB {row['link_cpu_s_per_gib']} and {row['bare_cpu_s_per_gib']}"
            )
            click.echo(json.dumps(row) if as_json else told)
        if not as_json:
            click.echo(f"{shown_warm(copies.rewrite_bps)} {Quiet.shown(quiet.figures())}.")


if __name__ == "__main__":
    main()

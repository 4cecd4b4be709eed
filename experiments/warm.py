"""Warm copies: files whose pages are in memory before a contestant writes into them.

A virtual machine gives freed memory back to its host, and the first touch of a page that the host must find again costs
5 to 50 times a rewrite. A contestant that makes its copies anew measures that, and little of itself. So benches of
goodput lend the same files to one contestant after another. Each time, garbage is written over them first, and is on
the disk, so that nothing is left to be written back. Both Minibit and libtorrent take a file of the right name for a
copy that was begun: they hash it when they start, find every block wrong, and overwrite it.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from minibit.actors.disk.files import check_room
from minibit.errors import LocalError
from minibit.lab.machine import free_memory_bytes
from minibit.seat import peer_name
from minibit.units import show_bytes, show_rate

GARBAGE = Random("garbage").randbytes(1 << 20)


class WarmCopies:
    """So many files of the same size, made in a folder that the caller removes.

    `rewrite_bps` is the least rate at which garbage was written over them, in bytes a second. Below 1 GB/s, the pages
    were not in memory.
    """

    def __init__(self, folder: Path, count: int, size_bytes: int) -> None:
        """Make the files. `DiskFullError` or `LocalError` if they have no room on the disk or in memory."""
        need_bytes = count * size_bytes
        check_room(need_bytes, folder, f"{count} copies", "make room there, or set TMPDIR to a larger disk")
        if need_bytes > (free_bytes := free_memory_bytes() or need_bytes):
            there = f"and {show_bytes(free_bytes)} of memory are free: give fewer peers, or less content"
            raise LocalError(f"{count} copies need {show_bytes(need_bytes)} to be warm, {there}")
        self.size_bytes = size_bytes
        self.rewrite_bps = math.inf
        self._files = [folder / f"warm-{number}" for number in range(1, count + 1)]
        self._spoil(count)

    def lend(self, places: Sequence[Path]) -> None:
        """Put garbage at these paths, on the same file system: the first files under other names, which may be removed.

        Those that were lent before must no longer be in use.
        """
        self.rewrite_bps = min(self.rewrite_bps, self._spoil(len(places)))
        for file, place in zip(self._files, places, strict=False):
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.hardlink_to(file)

    def lend_to_minibit(self, run_folder: Path, peers: int, name: str = "content") -> None:
        """Lend them to the peers of a run in this folder, with `--keep`: as partial copies of content of this name."""
        names = [peer_name(number, peers) for number in range(1, peers + 1)]
        self.lend([run_folder / "files" / peer / f"{name}.minibit-partial" for peer in names])

    def _spoil(self, count: int) -> float:
        """Write garbage over so many of them, and sync; the bytes a second that were written."""
        began_s = time.perf_counter()
        opened = [os.open(file, os.O_RDWR | os.O_CREAT, 0o600) for file in self._files[:count]]
        try:
            for descriptor in opened:
                for at in range(0, self.size_bytes, len(GARBAGE)):
                    os.pwrite(descriptor, GARBAGE[: self.size_bytes - at], at)
            took_s = time.perf_counter() - began_s
            for descriptor in opened:
                os.fsync(descriptor)
        finally:
            for descriptor in opened:
                os.close(descriptor)
        return len(opened) * self.size_bytes / took_s


@contextmanager
def warm_copies(count: int, size_bytes: int) -> Iterator[WarmCopies]:
    """Such files in a temporary folder, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="minibit-warm-") as folder:
        yield WarmCopies(Path(folder), count, size_bytes)


def shown_warm(rewrite_bps: float) -> str:
    """How it was measured, in a sentence, with the least rate at which garbage was written."""
    return f"Warm: all write over the same files, garbage in memory (written at {show_rate(rewrite_bps)})."

"""What a run needs of memory, asked before any of it is spent.

The figures are measured: what a real peer on a cluster of its own takes for itself, beside the pages that all processes
share, with a few blocks that are coming; what a simulated one takes with its links; and for each block that comes to
each peer, its record and its marks.
"""

from __future__ import annotations

from collections.abc import Callable

from minibit.errors import OptionError
from minibit.manifest import FEWEST_BLOCKS
from minibit.run.options import Options
from minibit.units import show_bytes

PEER_BYTES = {"ray": 30 << 20, "sim": 60 << 10}
BLOCK_BYTES = 250  # for each block that comes to each peer


def block_bytes_for(options: Options, free_bytes: int | None, auto_blocks: int = FEWEST_BLOCKS) -> Callable[[int], int]:
    """`Options.block_bytes_for`, which refuses a run that needs more memory than is free; None: nobody knows."""

    def asked(content_bytes: int) -> int:
        block_bytes = options.block_bytes_for(content_bytes, auto_blocks)
        blocks = -(-content_bytes // block_bytes)
        need_bytes = options.peers * (PEER_BYTES[options.world] + BLOCK_BYTES * blocks)
        if free_bytes is not None and need_bytes > free_bytes:
            run = f"{options.peers:,} peers and {blocks:,} blocks take about {show_bytes(need_bytes)} of memory"
            larger = ", or larger blocks" if BLOCK_BYTES * blocks > PEER_BYTES[options.world] else ""
            there = f"{show_bytes(free_bytes)} is free: give fewer peers{larger}"
            raise OptionError("peers", options.peers, f"{run}, and {there}")
        return block_bytes

    return asked

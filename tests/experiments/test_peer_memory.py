"""The content of `peer_memory.py`: a receiver has the hole already, and lacks the end."""

from __future__ import annotations

from pathlib import Path

import peer_memory
import pytest

from minibit import inventory
from minibit.actors.disk.place import Place
from minibit.actors.disk.pushed import PushedStore
from minibit.actors.disk.source import Source

BLOCK = 4096


@pytest.mark.parametrize(("beyond", "lacked"), [(0, 3), (100, 4)])
def test_a_copy_that_is_a_hole_lacks_the_end_and_nothing_else(tmp_path: Path, beyond: int, lacked: int):
    content = tmp_path / "content"
    manifest = peer_memory.source(content, 10 * BLOCK + beyond, BLOCK, 3 * BLOCK)
    store = PushedStore.open(Place(peer_memory.hole(tmp_path / "one" / "copy", manifest.content_bytes)), manifest)
    missing = inventory.full(manifest.block_count) & ~store.held
    assert [*inventory.indices(missing)] == [*range(7, 7 + lacked)]
    source = Source(content, manifest)
    for block in inventory.indices(missing):
        data = source.read(block)
        assert store.verify(block, data)
        store.write(block, data)
    assert store.complete
    source.close()
    store.close()

"""A copy on this disk as a push leaves it, without a push."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from minibit.actors.disk.files import scan
from minibit.actors.disk.place import Place
from minibit.actors.disk.pushed import PushedStore
from minibit.actors.disk.source import Source
from minibit.manifest import Manifest

BLOCK_BYTES = 100


def content(root: Path) -> Path:
    """A small folder: files large and small, one with two names, one that is empty, odd names, a folder below."""
    (root / "b").mkdir(parents=True)
    (root / "a").write_bytes(bytes(range(250)))
    (root / "b" / "large").write_bytes(b"large" * 200)
    (root / "b" / "twin").hardlink_to(root / "b" / "large")
    (root / "new\nline").write_bytes(b"odd")
    (root / "carriage\rreturn").write_bytes(b"odd as well")
    (root / "back\\slash").write_bytes(b"odd too")
    (root / "empty").touch()
    return root


def delivered(source: Path, dest: Path) -> tuple[Place, Manifest]:
    """The copy of `source` at `dest`."""
    place, manifest = Place(dest), scan(source, BLOCK_BYTES, apart=True)
    store = PushedStore.open(place, manifest)
    origin = Source(source, manifest)
    for block in range(manifest.block_count):
        store.write(block, origin.read(block))
    store.deliver(True, Event())
    store.close()
    origin.close()
    return place, manifest

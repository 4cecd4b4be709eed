"""Small disks for tests, in memory, and copies on them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minibit.actors.disk.place import Place
from minibit.actors.disk.store import Store
from minibit.manifest import Manifest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own at `folder`, with these options of tmpfs; the test is skipped where none can be had."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def opened(folder: Path, manifest: Manifest) -> Store:
    """The copy of a peer whose folder this is."""
    return Store.open(Place(folder / manifest.name), manifest)

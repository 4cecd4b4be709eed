"""A copy on this node after its push: read again, listed for `sha256sum -c`, removed; and what ended pushes left there.

What is *ours* is said by `NAME.minibit` beside a copy. A file that somebody added to a copy or changed in it is not
ours, and neither is content that was pushed from where it lies. Nothing here is done to a copy that a push uses.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import closing
from pathlib import Path
from typing import Literal

import msgspec

from minibit import inventory
from minibit.actors.disk import marks, scratch, tree
from minibit.actors.disk.blocks import BlockFiles
from minibit.actors.disk.files import existing
from minibit.actors.disk.lock import Claim
from minibit.actors.disk.marks import Marked
from minibit.actors.disk.place import Place
from minibit.actors.disk.survey import allocated_bytes, sweep_probes
from minibit.errors import LocalError
from minibit.manifest import Manifest, native

NAMED = 3  # files that a sentence names
PATIENCE_S = 5.0  # with another node that does the same, where they share a file system

Verdict = Literal["right", "wrong", "absent", "unknown"]


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A copy that was read again.

    verdict  `unknown`: nothing says what it must be
    why      what is wrong, or ""
    digest   the same for all copies with the same bytes under the same names, whatever their modes and dates
    """

    verdict: Verdict
    why: str = ""
    digest: str = ""
    files: int = 0
    content_bytes: int = 0


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed here, in words, and its bytes on the disk; `kept` says why something was not."""

    what: tuple[str, ...] = ()
    freed_bytes: int = 0
    kept: str = ""


def verify(dest: str, against: bytes | None = None) -> Verified:
    """Read the whole copy at `dest`: it must be that of the manifest `against`, or else that of the mark beside it."""
    place = Place(Path(dest))
    if not os.path.lexists(place.final):
        return Verified(verdict="absent", why=f"there is no {dest}: push it there")
    marked = marks.read(place)
    if against is None and marked is None:
        return Verified(verdict="unknown", why=f"nothing beside {dest} says what it must be: give a manifest")
    manifest = Manifest.decode(against) if against is not None else marked.manifest  # type: ignore[union-attr]
    wrong = _wrong(manifest, place.final)
    return Verified(
        verdict="wrong" if wrong else "right",
        why="; ".join(f"{what}: {_named(paths)}" for what, paths in wrong.items()),
        digest=manifest.bytes_digest,
        files=len(manifest.files) + len(manifest.twins),
        content_bytes=manifest.content_bytes,
    )


def sha256(dest: str) -> list[tuple[str, str]]:
    """The SHA-256 of each file of the copy, in hex, and its whole path; for a copy that was just verified."""
    place = Place(Path(dest))
    if (marked := marks.read(place)) is None:
        raise LocalError(f"nothing beside {dest} says which files it has")
    manifest, sums = marked.manifest, []
    for below, kind in sorted(tree.wanted(manifest).items()):
        path = place.final / below if manifest.folder else place.final
        if isinstance(kind, int):
            with path.open("rb") as file:
                sums.append((hashlib.file_digest(file, "sha256").hexdigest(), str(path)))
    return sums


def remove(dest: str, force: bool = False) -> Removed:
    """Remove the copy at `dest`, and all that pushes keep beside it. `force`: also other content at `dest`.

    Content that was pushed from there stays in any case. Never raises: what could not be removed is said.
    """
    place = Place(Path(dest))
    marked = marks.read(place)
    claim = Claim(PATIENCE_S, f"a push uses {dest}, or another node removes it: cancel that push, or try again")
    paths = [place.partial, place.new, place.new_mark, place.final, place.mark]  # the mark is last: it proves the rest
    try:
        for path in (place.partial, place.new, place.final):
            claim.take(path)
        kept = _kept(place, marked, force)
        if kept and (marked is None or not marked.is_source(place.final)):
            return Removed(kept=kept)
        return _removed([path for path in paths if not (kept and path == place.final)], kept)
    except LocalError as error:
        return Removed(kept=str(error))
    finally:
        claim.close()


def clean(dest: str | None, partials: bool = False) -> Removed:
    """Remove what pushes and swarms that ended left on this node: scratch folders, and what is beside `dest`.

    That is a copy that was swapped out, and probes; with `partials`, also copies that lack blocks, or their place.
    """
    swept = scratch.sweep()
    if dest is None:
        return Removed(what=tuple(swept))
    place = Place(Path(dest))
    swept += sweep_probes(existing(place.final.parent), time.time())
    claim = Claim(PATIENCE_S, f"a push uses {dest}: what it has there stays")
    try:
        claim.take(place.partial)
        claim.take(place.new)
        marked = marks.read(place)
        swapped_out = marked is not None and marked.untouched(place)
        paths = [place.new, place.new_mark] if swapped_out or partials else []
        found = _removed([*paths, *([place.partial] if partials else [])], "")
        return msgspec.structs.replace(found, what=(*swept, *found.what))
    except LocalError as error:
        return Removed(what=tuple(swept), kept=str(error))
    finally:
        claim.close()


def _wrong(manifest: Manifest, root: Path) -> dict[str, list[str]]:
    """The paths with which something is wrong, by what that is."""
    wanted, there = tree.wanted(manifest), tree.found(root, manifest) or {}
    wrong = {
        "missing": sorted(wanted.keys() - there.keys()),
        "not of it": sorted(there.keys() - wanted.keys()),
        "of another kind or size": sorted(path for path, kind in wanted.items() if there.get(path, kind) != kind),
    }
    unlike = set(tree.wrong_twins(manifest, root))
    with closing(BlockFiles(manifest, root, os.O_RDONLY)) as files:
        for block in inventory.indices(inventory.full(manifest.block_count) & ~files.right()):
            unlike |= {native(manifest.files[index].path) for index, _, _ in manifest.spans(block)}
    told = {path for paths in wrong.values() for path in paths}
    return {what: paths for what, paths in {**wrong, "with other bytes": sorted(unlike - told)}.items() if paths}


def _named(paths: list[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return f"{', '.join(paths[:NAMED])}{more}"


def _kept(place: Place, marked: Marked | None, force: bool) -> str:
    """Why what lies at `place` stays; "" if it goes, or if nothing is there."""
    dest = place.final
    if not os.path.lexists(dest):
        return ""
    if marked is not None and marked.is_source(dest):
        return f"{dest} stays: it was pushed from there"
    if force:
        return ""
    if marked is None or not marked.is_of(dest):
        return f"{dest} is not what a push left there: move it away, or force it"
    if stranger := marked.stranger(dest):
        return f"{dest / stranger} is no part of what was pushed: move it away, or force it"
    changed = [dest / native(marked.manifest.files[index].path) for index in marked.touched(dest)]
    changed = [path for path in changed if os.path.lexists(path)]
    return f"{changed[0]} was changed since it was pushed: move it away, or force it" if changed else ""


def _removed(paths: list[Path], kept: str) -> Removed:
    """Remove these, as far as they are there."""
    what: list[str] = []
    freed_bytes = 0
    for path in paths:
        if os.path.lexists(path):
            path_bytes = allocated_bytes(path)
            try:
                tree.remove(path)
            except OSError as error:
                return Removed(what=tuple(what), freed_bytes=freed_bytes, kept=f"can't remove {path}: {error.strerror}")
            what.append(path.name)
            freed_bytes += path_bytes
    return Removed(what=tuple(what), freed_bytes=freed_bytes, kept=kept)

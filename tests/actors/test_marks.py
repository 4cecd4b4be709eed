"""What is known of a copy and of its source without a byte being read."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import pytest

from minibit.actors.disk import marks
from minibit.actors.disk.blocks import BlockFiles
from minibit.actors.disk.files import scan
from minibit.actors.disk.place import Place
from minibit.actors.disk.pushed import PushedStore
from minibit.actors.disk.source import Source
from minibit.errors import LocalError
from minibit.manifest import Manifest


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = tmp_path / "origin"
    (root / "in").mkdir(parents=True)
    (root / "a").write_bytes(bytes(range(250)))
    (root / "in" / "b").write_bytes(b"small")
    (root / "in" / "link").symlink_to("b")
    return root


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "model")


def pushed(origin: Path, place: Place, **given: str) -> Manifest:
    manifest = scan(origin, 100, apart=True, **given)
    store, source = PushedStore.open(place, manifest), Source(origin, manifest)
    for block in range(manifest.block_count):
        store.write(block, source.read(block))
    store.deliver(False, Event())
    store.close()
    source.close()
    return manifest


def test_a_copy_that_nobody_touched_is_known_by_its_mark(origin: Path, place: Place):
    manifest = pushed(origin, place)
    known = marks.read(place)
    assert known.manifest == manifest
    assert known.untouched(place)
    assert marks.obstacle(place, known) is None


@pytest.mark.parametrize(
    ("change", "ours"), [("a byte", True), ("a date", True), ("a file gone", True), ("moved", False), ("more", False)]
)
def test_a_copy_that_was_changed_is_touched_and_still_ours_unless_there_is_more_than_a_copy(
    origin: Path, place: Place, change: str, ours: bool
):
    pushed(origin, place)
    match change:
        case "a byte":
            (place.final / "a").write_bytes(b"other")
        case "a date":
            os.utime(place.final / "a", ns=(1, 1))
        case "a file gone":
            (place.final / "a").unlink()
        case "moved":
            place.final.rename(place.final.with_name("away"))
            place.final.mkdir()
        case "more":
            (place.final / "more").touch()
    known = marks.read(place)
    assert known.untouched(place) == (change == "more")
    assert (marks.obstacle(place, known) is None) == ours


@pytest.mark.parametrize(
    "written", [b"", b"{}", b"nonsense", b"\xff\xfe", b"[" * 100_000, b"0123456789abcdef" * 4, b'{"manifest": 1}']
)
def test_a_mark_that_is_none_is_as_good_as_none(place: Place, written: bytes):
    place.mark.write_bytes(written)
    assert marks.read(place) is None
    assert marks.manifest_of_source(place, place.final) is None
    place.final.touch()
    assert "no push made it" in marks.obstacle(place, None)


def test_a_mark_of_a_manifest_that_can_not_be_trusted_is_none(origin: Path, place: Place):
    pushed(origin, place)
    place.mark.write_bytes(place.mark.read_bytes().replace(b'"in/b"', b'"../b"'))
    assert marks.read(place) is None


def test_the_manifest_of_a_source_is_known_without_hashing_until_it_changes(origin: Path, place: Place, monkeypatch):
    manifest = pushed(origin, place)
    assert marks.manifest_of_source(place, origin) is None, "nobody remembered it"
    marks.remember_source(place, manifest, origin)
    with monkeypatch.context() as patch:
        patch.setattr(BlockFiles, "digest", None)
        patch.chdir(origin.parent)
        assert marks.manifest_of_source(place, Path("origin")) == manifest
        assert marks.manifest_of_source(place, origin, block_bytes=100) == manifest
    assert marks.manifest_of_source(place, origin, block_bytes=50) is None
    assert marks.manifest_of_source(place, origin, links="keep") is None
    assert marks.manifest_of_source(place, place.final) is None
    (origin / "in" / "new").touch()
    assert marks.manifest_of_source(place, origin) is None


def test_a_source_that_changed_since_it_was_hashed_is_not_remembered(origin: Path, place: Place):
    manifest = pushed(origin, place)
    (origin / "a").write_bytes(b"other")
    marks.remember_source(place, manifest, origin)
    assert marks.read(place).source is None


def test_a_source_that_is_the_copy_itself_is_marked_as_both(origin: Path):
    place, manifest = Place(origin), scan(origin, 100, apart=True)
    marks.remember_source(place, manifest, origin)
    assert marks.manifest_of_source(place, origin) == manifest
    assert marks.read(place).manifest == manifest


def test_a_source_is_not_replaced_by_another_version_unless_that_is_said(origin: Path, tmp_path: Path):
    place, manifest = Place(origin), scan(origin, 100, apart=True)
    marks.remember_source(place, manifest, origin)
    store = PushedStore.open(place, manifest)
    assert store.had
    store.close()
    (tmp_path / "other").mkdir()
    with pytest.raises(LocalError, match="origin is there already, and no push made it"):
        PushedStore.open(place, scan(tmp_path / "other", 100, apart=True))


def test_nothing_is_remembered_beside_what_is_no_copy_of_the_source(origin: Path, place: Place):
    manifest = scan(origin, 100, apart=True)
    marks.remember_source(place, manifest, origin)
    assert not place.mark.exists()


def test_what_is_known_of_a_source_stays_when_it_is_pushed_again(origin: Path, place: Place):
    manifest = pushed(origin, place, links="keep")
    marks.remember_source(place, manifest, origin, links="keep")
    store = PushedStore.open(place, manifest)
    assert store.had
    store.close()
    assert marks.manifest_of_source(place, origin, links="keep") == manifest

"""A whole push, on a cluster of one node: the source lies in one place, the copy goes to another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest
import ray
from host_pushes import soon_s

from minibit.actors.disk import files, marks
from minibit.actors.disk.blocks import BlockFiles
from minibit.actors.disk.place import Place
from minibit.actors.driver import detached
from minibit.actors.driver import push as push_room
from minibit.actors.driver.attached import AttachedPush
from minibit.actors.driver.connection import CONNECTION, on_cluster
from minibit.actors.driver.members import PushMember
from minibit.actors.driver.plan import Plan
from minibit.actors.driver.push import Push
from minibit.actors.names import NAMESPACE
from minibit.delivery.order import Order
from minibit.delivery.progress import PushProgress
from minibit.delivery.result import PushResult
from minibit.errors import LocalError, SourceError
from minibit.lab import load

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

FILES, FILE_BYTES = 5, 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for number in range(FILES):
        files.make(folder / f"part {number}", FILE_BYTES, seed=number)
    return folder


class HeldHash(BlockFiles):
    """Files whose last blocks are hashed only when the test lets them be: a source on a slow disk."""

    free = Event()

    def digest(self, block: int, stopped: Event | None = None) -> bytes:
        while block >= self.manifest.block_count // 2 and not self.free.wait(0.01):
            if stopped is not None and stopped.is_set():
                raise InterruptedError
        return super().digest(block, stopped)


@pytest.fixture
def slow_hash(monkeypatch: pytest.MonkeyPatch) -> Event:
    """The event that lets the second half of the source be hashed, beside the transfer."""
    monkeypatch.setattr(push_room, "BESIDE_BYTES", 1)
    monkeypatch.setattr(files, "HASH_RANGE_BYTES", FILE_BYTES // 4)
    monkeypatch.setattr(files, "BlockFiles", HeldHash)
    monkeypatch.setattr(HeldHash, "free", Event())
    return HeldHash.free


@pytest.fixture
def by_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy comes by links, as on another node, and not from the source itself."""
    members = Plan.members

    def all_by_links(self: Plan) -> list[PushMember]:
        found = members(self)
        for member in found:
            if member.local:
                member.path, member.local = "", False
        return found

    monkeypatch.setattr(Plan, "members", all_by_links)


def push(source: Path, dest: Path, tell=lambda seen: None, **order: object) -> PushResult:
    return Push.run(source, Order.build(dest=str(dest), **order), tell)


def status(result: PushResult) -> list[tuple[str, str]]:
    return [(node.status, node.why) for node in result.nodes]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def actors() -> list[str]:
    return [one["name"] for one in ray.util.list_named_actors(all_namespaces=True) if one["namespace"] == NAMESPACE]


def none_left() -> bool:
    deadline = time.monotonic() + 10
    while actors() and time.monotonic() < deadline:
        time.sleep(0.05)  # Ray forgets the names of dead actors soon
    return not actors()


def test_a_copy_is_made_and_the_next_push_finds_it_and_hashes_nothing(ray_cluster, by_links, source, tmp_path):
    dest = tmp_path / "data" / "model"
    phases: list[str] = []
    result = push(source, dest, lambda seen: phases.append(seen.phase))
    assert (status(result), result.exit_code, result.bytes.moved) == ([("done", "")], 0, FILES * FILE_BYTES)
    assert tree(dest) == tree(source)
    assert list(dict.fromkeys(phases))[:3] == ["checking", "hashing", "moving"]
    assert sorted(path.name for path in dest.parent.iterdir()) == ["model", Place(dest).mark.name]
    assert none_left()

    seen: list[PushProgress] = []
    again = push(source, dest, seen.append)
    assert (status(again), again.bytes.moved, again.bytes.had) == ([("had", "")], 0, FILES * FILE_BYTES)
    assert not any(one.done for one in seen if one.phase == "hashing")


def test_the_source_in_its_own_place_had_it(ray_cluster, source):
    result = push(source, source)
    assert (status(result), result.bytes.moved) == ([("had", "")], 0)
    assert none_left()


def test_the_copy_on_the_node_of_the_source_is_made_without_a_network(ray_cluster, source, tmp_path):
    dest = tmp_path / "data" / "model"
    result = push(source, dest)
    assert (status(result), result.bytes.moved, tree(dest)) == ([("done", "")], 0, tree(source))


def test_a_changed_file_moves_alone(ray_cluster, by_links, source, tmp_path):
    dest = tmp_path / "data" / "model"
    push(source, dest)
    files.make(source / "part 3", FILE_BYTES, seed=99)
    result = push(source, dest, replace=True)
    assert (status(result), result.bytes.moved) == ([("done", "")], FILE_BYTES)
    assert tree(dest) == tree(source)


def test_other_content_in_the_way_is_left_alone(ray_cluster, source, tmp_path):
    dest = tmp_path / "data"
    dest.mkdir()
    (dest / "mine").write_text("precious")
    result = push(source, dest)
    assert (result.exit_code, tree(dest)) == (4, {"mine": b"precious"})


@pytest.mark.parametrize("name", ["0 bytes", "1 byte", "empty folder", "odd names"])
def test_content_of_any_size_and_name_is_copied_and_had_by_the_next_push(ray_cluster, by_links, tmp_path, name):
    source, dest = tmp_path / name, tmp_path / "data" / "copy"
    if name.endswith(("bytes", "byte")):
        source.write_bytes(bytes(int(name[0])))
    else:
        source.mkdir()
    for odd in ("sp ace", "new\nline", "accents éü", os.fsdecode(b"caf\xe9"), "-dash") * (name == "odd names"):
        (source / odd).write_text(f"{odd!a}")
    assert status(push(source, dest)) == [("done", "")]
    assert tree(dest) == tree(source)
    assert (dest.is_dir(), dest.is_file() and dest.read_bytes()) == (
        source.is_dir(),
        source.is_file() and source.read_bytes(),
    )
    again = push(source, dest)
    assert (status(again), again.bytes.moved) == ([("had", "")], 0)


def test_ten_thousand_files_are_had_within_five_seconds(ray_cluster, tmp_path):
    source, dest = tmp_path / "many", tmp_path / "data" / "many"
    for number in range(10_000):
        (source / f"{number // 100}").mkdir(parents=True, exist_ok=True)
        (source / f"{number // 100}" / f"{number}").write_bytes(b"%d" % number)
    assert status(push(source, dest)) == [("done", "")]
    began_s = time.process_time()  # others may keep the machine busy
    again = push(source, dest)
    assert (status(again), again.bytes.moved) == ([("had", "")], 0)
    assert time.process_time() - began_s < 5


def test_a_source_that_changes_while_it_is_hashed_is_not_copied(ray_cluster, source, tmp_path):
    def change(seen: PushProgress) -> None:
        if seen.phase == "hashing" and seen.total:
            files.make(source / "part 3", FILE_BYTES, seed=99)

    with pytest.raises(SourceError, match="changed while it was hashed") as raised:
        push(source, tmp_path / "data" / "model", change)
    assert raised.value.exit_code == 3
    assert not (tmp_path / "data").exists()


def test_an_interrupt_ends_it_within_a_second_and_keeps_what_came(ray_cluster, by_links, source, tmp_path):
    dest = tmp_path / "data" / "model"
    interrupted_at = 0.0

    def interrupt(seen: PushProgress) -> None:
        nonlocal interrupted_at
        if seen.phase == "moving" and 0 < seen.done < seen.total:
            interrupted_at = time.monotonic()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(source, dest, interrupt, upload="64KiB/s")  # more than a minute
    assert time.monotonic() - interrupted_at < soon_s()
    assert none_left()
    assert not dest.exists()
    result = push(source, dest)
    assert status(result) == [("resumed", "")]
    assert 0 < result.bytes.moved < FILES * FILE_BYTES
    assert tree(dest) == tree(source)


def test_blocks_move_while_the_source_is_hashed(ray_cluster, by_links, slow_hash, source, tmp_path):
    dest = tmp_path / "data" / "model"
    moved = set[int]()

    def tell(seen: PushProgress) -> None:
        if seen.hashed_bytes is not None:
            assert "% hashed" in seen.line
            moved.add(seen.done)
        if seen.done >= FILES * FILE_BYTES * 2 // 5:
            slow_hash.set()

    result = push(source, dest, tell)
    assert (status(result), result.bytes.moved, tree(dest)) == ([("done", "")], FILES * FILE_BYTES, tree(source))
    assert max(moved) >= FILES * FILE_BYTES * 2 // 5
    assert result.seconds.hashing > 0
    known = marks.read(Place(dest))
    assert known is not None
    assert known.manifest == files.scan(source, known.manifest.block_bytes, apart=True)
    assert result.digest == known.manifest.digest
    assert none_left()

    seen: list[PushProgress] = []
    again = push(source, dest, seen.append)
    assert status(again) == [("had", "")]
    assert not any(one.done for one in seen if one.phase == "hashing")


def test_the_copy_beside_the_source_waits_until_that_is_hashed(ray_cluster, slow_hash, source, tmp_path):
    dest = tmp_path / "data" / "model"
    slow_hash.set()
    result = push(source, dest)
    assert (status(result), result.bytes.moved, tree(dest)) == ([("done", "")], 0, tree(source))


def half_moved(seen: PushProgress) -> bool:
    return seen.phase == "moving" and seen.done >= seen.total // 3


def test_an_interrupt_while_the_source_is_hashed_keeps_what_came(ray_cluster, by_links, slow_hash, source, tmp_path):
    dest = tmp_path / "data" / "model"
    interrupted_at = 0.0

    def interrupt(seen: PushProgress) -> None:
        nonlocal interrupted_at
        if half_moved(seen):
            interrupted_at = time.monotonic()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(source, dest, interrupt)
    assert time.monotonic() - interrupted_at < 2
    assert none_left()
    assert [path.name for path in dest.parent.iterdir()] == [Place(dest).partial.name]
    slow_hash.set()
    result = push(source, dest)
    assert (status(result), tree(dest)) == ([("resumed", "")], tree(source))
    assert 0 < result.bytes.moved < FILES * FILE_BYTES


def test_a_source_that_changes_while_it_moves_and_is_hashed_is_not_copied(
    ray_cluster, by_links, slow_hash, source, tmp_path
):
    def change(seen: PushProgress) -> None:
        if half_moved(seen) and not slow_hash.is_set():
            files.make(source / "part 4", FILE_BYTES, seed=99)
            slow_hash.set()

    dest = tmp_path / "data" / "model"
    with pytest.raises(SourceError, match="changed while it was hashed") as raised:
        push(source, dest, change)
    assert raised.value.exit_code == 3
    assert none_left()
    assert [path.name for path in dest.parent.iterdir()] == [Place(dest).partial.name]


def test_a_member_that_dies_while_the_source_is_hashed_goes_on_after_that(
    ray_cluster, by_links, slow_hash, source, tmp_path
):
    killed: list[str] = []

    def kill(seen: PushProgress) -> None:
        if half_moved(seen) and not killed:
            killed.extend(name for name in actors() if name.startswith("minibit:killing:") and name[-1].isdigit())
            ray.kill(ray.get_actor(killed[0], NAMESPACE))
        elif killed and killed[0] not in actors():
            slow_hash.set()

    dest = tmp_path / "data" / "model"
    result = push(source, dest, kill, name="killing")
    assert (len(killed), status(result), tree(dest)) == (1, [("done", "")], tree(source))
    assert result.bytes.moved < 2 * FILES * FILE_BYTES


@pytest.mark.parametrize("beside", [False, True])
def test_a_push_with_records_leaves_a_run_that_the_laboratory_reads(
    ray_cluster, by_links, source, tmp_path, monkeypatch, beside
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(push_room, "BESIDE_BYTES", 1 if beside else 1 << 60)
    result = push(source, tmp_path / "data" / "model", report=True, name="tuesday")
    run = load("runs/tuesday")
    (host,) = {node.host for node in result.nodes}
    assert set(run.members["peer"]) == {"tracker", host}
    assert run.blocks["bytes"].sum() == FILES * FILE_BYTES
    assert set(run.blocks["source"]) == {"tracker"}
    assert run.about["content"]["digest"] == result.digest
    assert (tmp_path / "runs" / "tuesday" / "report.html").exists()


DETACH = """
import sys
from pathlib import Path
from minibit.actors.driver.members import PushMember
from minibit.actors.driver.plan import Plan
from minibit.actors.driver.push import Push
from minibit.delivery.order import Order
order = Order.build(dest=sys.argv[2], address=sys.argv[3], name="monday", follow="1h")
print(Push.detach(Path(sys.argv[1]), order, lambda seen: None))
"""


def test_a_push_goes_on_when_its_driver_is_gone_and_is_found_by_its_name(ray_cluster, source, tmp_path, monkeypatch):
    dest = tmp_path / "data" / "model"
    run = [sys.executable, "-c", DETACH, str(source), str(dest), ray_cluster]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "monday", done.stderr
    connection = CONNECTION.take(None)
    try:
        assert AttachedPush.running() == ["monday"]
        there = AttachedPush("monday")
        with pytest.raises(LocalError, match="a push monday is running"):
            Push.detach(source, Order.build(dest=str(tmp_path / "other"), name="monday"), lambda seen: None)
        deadline = time.monotonic() + 60
        while there.progress().phase != "following":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        there.limit(1e6)
        assert there.result() is None
        there.cancel()
        result = there.wait(lambda seen: None)
        assert status(result) == [("done", "")]
        assert tree(dest) == tree(source)
        seen: list[PushProgress] = []
        assert status(push(source, dest, seen.append)) == [("had", "")]
        assert not any(one.done for one in seen if one.phase == "hashing"), "the source was remembered at its end"
    finally:
        CONNECTION.give_back(connection)
    monkeypatch.setattr(detached, "KEPT_S", 0.1)
    assert Push.detach(source, Order.build(dest=str(dest), name="monday"), lambda seen: None) == "monday"  # it is over
    assert none_left()


def test_a_push_that_goes_on_by_itself_leaves_its_records_on_the_head(ray_cluster, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(detached, "KEPT_S", 5.0)
    (tmp_path / "runs").touch()
    order = Order.build(dest=str(tmp_path / "data" / "model"), name="sunday", report=True)
    with pytest.raises(LocalError, match=r"on the head of the cluster: can't write .*runs/sunday"):
        Push.detach(source, order, lambda seen: None)
    (tmp_path / "runs").unlink()
    assert Push.detach(source, order, lambda seen: None) == "sunday"
    with on_cluster(None):
        assert status(AttachedPush("sunday").wait(lambda seen: None)) == [("done", "")]
    assert load("runs/sunday").name == "sunday"
    assert (tmp_path / "runs" / "sunday" / "report.html").exists()

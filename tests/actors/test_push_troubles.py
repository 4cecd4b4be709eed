"""Pushes over four hosts that are not as they should be: interrupted, restarted, slow, without Minibit, with a wrong
clock, with one disk for two. Takes root.

The clock of host 2 is wrong all the time. Hosts 3 and 4 have one folder in common.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from host_pushes import (
    ALL,
    CONTENT_BYTES,
    FILE_BYTES,
    begun,
    four_hosts,
    held,
    minibit,
    no_peers,
    push,
    pushing,
    soon_s,
    space,
    status,
    tree,
    troubled,
    until,
    why,
)  # fmt: skip
from hosts import Hosts

from minibit.actors.disk import files
from minibit.actors.disk.survey import PROBE

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]

HASH = "f" * 40  # of a revision


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with four_hosts() as found:
        (found.scratch(2) / "ahead").touch()
        all_sorts(found.disk(1) / "sorts")
        in_common = found.scratch(1).parent / "in common"
        in_common.mkdir()
        for host in (3, 4):
            (found.disk(host) / "common").symlink_to(in_common)
        yield found


def all_sorts(root: Path) -> None:
    """Odd names, small and empty things, and a model as Hugging Face keeps it."""
    for name in ("empty/folder", f"model/snapshots/{HASH}", "model/blobs", "model/refs", "odd"):
        (root / name).mkdir(parents=True)
    for name in ("sp ace", "new\nline", "accents éü", os.fsdecode(b"caf\xe9"), "-dash"):
        (root / "odd" / name).write_text(f"{name!a}")
    (root / "zero").touch()
    (root / "one").write_text("1")
    (root / "model" / "refs" / "main").write_text(HASH)
    for number in range(3):
        files.make(root / "model" / "blobs" / f"{number:064}", 2_000_000, seed=number)
        link = root / "model" / "snapshots" / HASH / f"part-{number}.safetensors"
        link.symlink_to(f"../../blobs/{number:064}")


def followed(root: Path) -> dict[str, str]:
    """What a copy of this folder is whose links were followed."""
    links = {str(path.relative_to(root)): path.resolve() for path in root.rglob("*") if path.is_symlink()}
    seen = tree(root)
    return seen | {name: seen[str(target.relative_to(root))] for name, target in links.items()}


def test_a_tree_of_all_sorts_is_written_once_where_two_hosts_share_a_disk(hosts: Hosts):
    code, result = push(hosts, "/data/common/sorts", "--follow", "1s", source="/data/sorts")
    assert (code, status(result)) == (0, {"1": "done", "2": "done", "3": "done", "4": "skipped"})
    assert "writes it to the same file system" in why(result, 4)
    wanted = followed(hosts.disk(1) / "sorts")
    assert all(tree(hosts.disk(host) / "common" / "sorts") == wanted for host in ALL)
    blobs = sum(path.stat().st_size for path in (hosts.disk(1) / "sorts" / "model" / "blobs").iterdir())
    assert 2 * blobs < result["bytes"]["moved"] < 3 * blobs, "what a link leads to travels once; twice would be 4"


def test_links_that_are_kept_are_links_on_each_host(hosts: Hosts):
    code, result = push(hosts, "/data/kept", "--links", "keep", source="/data/sorts")
    assert (code, status(result)) == (0, dict.fromkeys("1234", "done"))
    wanted = tree(hosts.disk(1) / "sorts")
    assert all(tree(hosts.disk(host) / "kept") == wanted for host in ALL)


def test_a_wrong_clock_is_named(hosts: Hosts):
    said = minibit(hosts, "doctor", "--json").end()
    assert said[0] == 1
    assert [*said[1]["remarks"]] == [hosts.address(2)]
    assert "its clock is 1 h 00 min ahead of that of this machine: set it" in said[1]["remarks"][hosts.address(2)][0]


def test_a_host_without_minibit_is_named_with_what_installs_it_or_gets_it_shipped(hosts: Hosts):
    with troubled(hosts, "bare", 4):
        code, result = push(hosts, "/data/bare")
        assert (code, status(result)) == (4, dict.fromkeys("1234", "failed"))
        bin_folder = Path(sys.executable).parent
        assert re.match(rf"there is no Minibit: run `{bin_folder}/python\S* -m pip install minibit==", why(result, 4))
        code, result = push(hosts, "/data/bare", "--ship")
        assert (code, status(result)) == (0, dict.fromkeys("1234", "done"))
    assert tree(hosts.disk(4) / "bare") == tree(hosts.disk(1) / "src")


def test_a_reader_sees_the_old_copy_or_the_new_one_on_each_host(hosts: Hosts):
    hosts.run(1, "mkdir", "/data/versions")
    stopped = threading.Event()
    seen: dict[int, set[str]] = {host: set() for host in ALL}
    part = hosts.disk(1) / "versions" / "part"

    def read(host: int) -> None:
        while not stopped.is_set():
            try:
                seen[host].add((hosts.disk(host) / "seen" / "part").read_text()[:3])
            except OSError as error:
                seen[host].add(str(error))

    part.write_text("old" * FILE_BYTES)
    assert push(hosts, "/data/seen", source="/data/versions")[0] == 0
    readers = [threading.Thread(target=read, args=(host,)) for host in ALL]
    part.write_text("new" * FILE_BYTES)
    for reader in readers:
        reader.start()
    try:
        assert push(hosts, "/data/seen", "--replace", source="/data/versions")[0] == 0
        until(lambda: all("new" in of_host for of_host in seen.values()))
    finally:
        stopped.set()
        for reader in readers:
            reader.join()
    assert all(of_host == {"old", "new"} for of_host in seen.values()), seen


def test_a_slow_link_holds_up_its_own_host_only(hosts: Hosts):
    slow = ["tbf", "rate", "2mbit", "burst", "64k", "latency", "50ms"]  # more than half a minute for the content
    links = [(space(hosts, 3), "uplink"), (space(hosts, "switch"), "to3")]
    for where, device in links:
        subprocess.run(["tc", "-n", where, "qdisc", "add", "dev", device, "root", *slow], check=True)
    try:
        going = pushing(hosts, "/data/slow")
        until(lambda: all((hosts.disk(host) / "slow").exists() for host in (1, 2, 4)))
        assert not (hosts.disk(3) / "slow").exists()
    finally:
        for where, device in links:
            subprocess.run(["tc", "-n", where, "qdisc", "del", "dev", device, "root"], check=True)
    code, result = going.end()
    assert (code, status(result)) == (0, dict.fromkeys("1234", "done"))


def test_of_a_source_that_changes_while_it_moves_nothing_wrong_arrives(hosts: Hosts):
    hosts.run(1, "cp", "-r", "/data/src", "/data/moving")
    before = tree(hosts.disk(1) / "moving")
    share = 0.1  # all that the others have together, and what is on its way to them, is not the whole
    with held(hosts, 2, 3, 4, share=share):
        going = pushing(hosts, "/data/changed", source="/data/moving")
        until(lambda: all(begun(hosts, "/data/changed", host, share) for host in (2, 3, 4)))
        for part in (hosts.disk(1) / "moving").iterdir():
            with part.open("r+b") as file:  # in place: what was only replaced could still be read to its end
                file.write(bytes(FILE_BYTES))
    code, result = going.end()
    assert (code, {status(result)[host] for host in "234"}) == (3, {"failed"}), result
    assert "changed" in result["source_changed"]
    assert not [host for host in (2, 3, 4) if (hosts.disk(host) / "changed").exists()]
    if (hosts.disk(1) / "changed").exists():
        assert tree(hosts.disk(1) / "changed") == before


STAGES: dict[str, Callable[[Hosts], AbstractContextManager[None]]] = {  # what keeps a push there
    "checking": lambda hosts: nullcontext(),
    "hashing": lambda hosts: troubled(hosts, "unread", 1),
    "moving": lambda hosts: held(hosts, 2),
    "verifying": lambda hosts: troubled(hosts, "unnamed", 2),
}
ENDINGS = [("checking", 1), ("hashing", 1), ("moving", 2), ("verifying", 1)]
if os.environ.get("MINIBIT_EVERY_ENDING"):  # as for a swarm (tests/cli/test_told_to_end.py)
    ENDINGS = [(stage, times) for stage in STAGES for times in (1, 2)]


@pytest.mark.parametrize(("stage", "times"), ENDINGS)
def test_an_interrupt_ends_it_soon_at_each_stage(hosts: Hosts, stage: str, times: int):
    number = signal.SIGTERM if (stage, times) == ("moving", 1) else signal.SIGINT
    dest = f"/data/{stage}{times}"
    options = ("--verify", "full") if stage == "verifying" else ()
    with STAGES[stage](hosts):
        going = pushing(hosts, dest, *options)
        done = CONTENT_BYTES // 4 if stage == "moving" else 0
        until(lambda: going.phase(stage, done), lambda: (going.complaints, going.events[-1:]))
        began_at = time.monotonic()
        for _ in range(times):
            going.signal(number)
            time.sleep(0.1)
        code, result = going.end()
        assert time.monotonic() - began_at < soon_s()
    assert (code, result) == (128 + number, {})
    until(lambda: no_peers(hosts, ALL))
    assert not [path for host in ALL for path in hosts.disk(host).glob(f"{PROBE}*")]
    assert not (hosts.disk(2) / Path(dest).name).exists()
    if (stage, times) == ("verifying", 2):
        code, result = push(hosts, dest)
        assert (code, status(result)["2"], result["bytes"]["moved"]) == (0, "resumed", 0)


def test_a_host_that_joins_when_all_is_done_gets_its_copy(hosts: Hosts):
    follow = ("--follow", "1h", "--detach", "--name", "follows")
    assert push(hosts, "/data/followed", *follow) == (0, {"name": "follows"})
    until((hosts.disk(2) / "followed").exists)
    assert hosts.sh("add").strip() == "5"
    until((hosts.disk(5) / "followed").exists)
    assert minibit(hosts, "cancel", "follows").process.wait(60) == 0
    code, result = minibit(hosts, "wait", "follows", "--json", "--progress", "none").end()
    assert (code, status(result)) == (0, dict.fromkeys("12345", "done"))
    assert tree(hosts.disk(5) / "followed") == tree(hosts.disk(1) / "src")


def test_a_host_that_comes_meanwhile_does_not_write_where_another_one_does(hosts: Hosts):
    def known() -> set[str]:
        _, said = minibit(hosts, "doctor", "--json").end()
        return {node["host"] for node in [*said["nodes"], *said["lost"]]}

    hosts.sh("kill", "4")
    try:
        until(lambda: hosts.address(4) not in known())
        going = pushing(hosts, "/data/common/late", "--upload", "600KB/s")
        until((hosts.scratch(1).parent / "in common" / "late.minibit-partial").exists)
    finally:
        hosts.sh("start", "4")
    code, result = going.end()
    assert (code, status(result)["3"], status(result)["4"]) == (0, "done", "skipped")
    assert "writes it to the same file system" in why(result, 4)


def test_after_a_restart_with_the_hosts_in_another_order_all_have_it(hosts: Hosts):
    code, before = push(hosts, "/data/stays", "--nodes", ",".join(map(hosts.address, ALL)))
    assert code == 0
    with ThreadPoolExecutor() as pool:
        [*pool.map(lambda host: hosts.sh("kill", str(host)), (*ALL, 5))]
        for numbers in ((1,), (4,), (3, 2)):
            [*pool.map(lambda host: hosts.sh("start", str(host)), numbers)]
    code, after = push(hosts, "/data/stays")
    assert (code, status(after), after["bytes"]["moved"]) == (0, dict.fromkeys("1234", "had"), 0)
    assert not {node["node_id"] for node in before["nodes"]} & {node["node_id"] for node in after["nodes"]}

"""Pushes over four hosts, each with a disk of its own: network namespaces, by experiments/hosts.sh. Takes root.

The nodes die, come back and come late; disks are full; drivers are interrupted or killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from host_pushes import (
    ALL,
    CONTENT_BYTES,
    FILE_BYTES,
    begun,
    four_hosts,
    held,
    make_content,
    minibit,
    no_peers,
    peers_on,
    push,
    pushing,
    soon_s,
    status,
    tree,
    until,
    why,
)  # fmt: skip
from hosts import Hosts

from minibit.actors.disk import files

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with four_hosts() as found:
        yield found


def same(hosts: Hosts, dest: str, numbers: Iterable[int] = ALL) -> bool:
    wanted = tree(hosts.disk(1) / "src")
    return all(tree(hosts.disk(host) / Path(dest).name) == wanted for host in numbers)


def test_each_host_gets_the_copy_once_and_only_what_changed_moves_after_that(hosts: Hosts):
    code, result = push(hosts, "/data/once")
    assert (code, status(result)) == (0, dict.fromkeys("1234", "done"))
    assert same(hosts, "/data/once")
    assert 3 * CONTENT_BYTES <= result["bytes"]["moved"] < 4 * CONTENT_BYTES, (
        "at the end a block may be asked for twice"
    )

    code, result = push(hosts, "/data/once")
    assert (code, status(result), result["bytes"]["moved"]) == (0, dict.fromkeys("1234", "had"), 0)

    part = hosts.disk(1) / "src" / "part 3"
    before = part.read_bytes()
    try:
        files.make(part, FILE_BYTES, seed=99)
        code, result = push(hosts, "/data/once")
        assert (code, result["bytes"]["moved"], "another version" in why(result, 2)) == (4, 0, True)
        code, result = push(hosts, "/data/once", "--replace")
        assert (code, same(hosts, "/data/once")) == (0, True)
        assert 3 * FILE_BYTES <= result["bytes"]["moved"] <= 6 * FILE_BYTES
    finally:
        part.write_bytes(before)


def test_a_host_that_is_killed_is_named_and_when_it_is_back_only_what_is_missing_moves(hosts: Hosts):
    with held(hosts, 3):
        going = pushing(hosts, "/data/killed")
        until(lambda: begun(hosts, "/data/killed", 3))
        hosts.sh("kill", "3")
    try:
        code, result = going.end()
        assert (code, status(result)) == (4, {"1": "done", "2": "done", "3": "failed", "4": "done"})
        assert "its node is gone" in why(result, 3)
    finally:
        hosts.sh("start", "3")
    code, result = push(hosts, "/data/killed")
    assert (code, status(result)) == (0, {"1": "had", "2": "had", "3": "resumed", "4": "had"})
    assert 0 < result["bytes"]["moved"] < 0.9 * CONTENT_BYTES
    assert same(hosts, "/data/killed")


def test_peers_that_are_killed_are_started_again_also_that_of_the_source(hosts: Hosts):
    with held(hosts, 3):
        going = pushing(hosts, "/data/again")
        until(lambda: begun(hosts, "/data/again", 3))
        for host in (1, 3):
            for pid in peers_on(hosts, host):
                os.kill(pid, signal.SIGKILL)
    code, result = going.end()
    assert (code, same(hosts, "/data/again")) == (0, True), result


def test_a_full_disk_fails_its_host_only(hosts: Hosts):
    with held(hosts, 4):
        going = pushing(hosts, "/data/full", "--min-nodes", "3")
        until(lambda: begun(hosts, "/data/full", 4))
        disk = os.statvfs(hosts.disk(4))
        hosts.run(4, "fallocate", "-l", disk.f_bavail * disk.f_frsize - FILE_BYTES, "/data/fill")
    try:
        code, result = going.end()
    finally:
        hosts.run(4, "rm", "/data/fill")
    assert (code, status(result)) == (0, {"1": "done", "2": "done", "3": "done", "4": "failed"})
    assert "no room is left" in why(result, 4)
    assert push(hosts, "/data/full")[0] == 0


def test_an_interrupt_ends_it_within_a_second_and_the_next_push_goes_on(hosts: Hosts):
    with held(hosts, 2):
        going = pushing(hosts, "/data/cut")
        until(lambda: begun(hosts, "/data/cut"))
        interrupted_at = time.monotonic()
        os.killpg(going.process.pid, signal.SIGINT)
        going.process.wait(10)
        assert time.monotonic() - interrupted_at < soon_s()
        until(lambda: no_peers(hosts, ALL))
    assert not (hosts.disk(2) / "cut").exists()
    code, result = push(hosts, "/data/cut")
    assert code == 0
    assert result["bytes"]["moved"] < 3 * CONTENT_BYTES
    assert status(result)["2"] == "resumed"


def test_a_push_in_the_way_of_another_is_refused_and_neighbours_are_left_alone(hosts: Hosts):
    with held(hosts, 2):
        first, neighbour = pushing(hosts, "/data/one"), pushing(hosts, "/data/other")
        until(lambda: begun(hosts, "/data/one") and begun(hosts, "/data/other"))
        code, result = push(hosts, "/data/one")
    assert (code, result["bytes"]["moved"]) == (4, 0)
    assert "another push" in why(result, 2)
    assert (first.end()[0], neighbour.end()[0]) == (0, 0)
    assert same(hosts, "/data/one")
    assert same(hosts, "/data/other")


def test_a_copy_in_its_own_place_is_the_source_and_what_is_in_the_way_stays(hosts: Hosts):
    hosts.run(3, "sh", "-c", "mkdir /data/src && echo precious >/data/src/mine")
    code, result = push(hosts, "/data/src")
    assert (code, result["bytes"]["moved"]) == (4, 0)
    assert (hosts.disk(3) / "src" / "mine").read_text() == "precious\n"
    code, result = push(hosts, "/data/src", "--replace")
    assert (code, status(result)) == (0, {"1": "had", "2": "done", "3": "done", "4": "done"})
    assert same(hosts, "/data/src")
    hosts.run(1, "sh", "-c", "rm /data/src.minibit*")
    for host in (2, 3, 4):
        hosts.run(host, "sh", "-c", "rm -r /data/src /data/src.minibit*")


def test_a_push_that_is_left_alone_outlives_its_driver_and_that_is_all(hosts: Hosts):
    with held(hosts, 2):
        assert push(hosts, "/data/alone", "--detach", "--name", "alone") == (0, {"name": "alone"})
    code, result = minibit(hosts, "wait", "alone", "--json", "--progress", "none").end()
    assert (code, status(result), same(hosts, "/data/alone")) == (0, dict.fromkeys("1234", "done"), True)
    until(lambda: no_peers(hosts, ALL))


def test_a_driver_that_is_killed_leaves_partial_copies_and_no_process(hosts: Hosts):
    with held(hosts, 2):
        going = pushing(hosts, "/data/orphan")
        until(lambda: begun(hosts, "/data/orphan"))
        os.killpg(going.process.pid, signal.SIGKILL)
        going.process.wait(10)
        until(lambda: no_peers(hosts, ALL))
    code, result = push(hosts, "/data/orphan")
    assert (code, same(hosts, "/data/orphan")) == (0, True)
    assert status(result)["2"] == "resumed"


@pytest.mark.parametrize("enough", [False, True])
def test_without_the_node_of_the_source_it_goes_on_as_far_as_the_others_have_the_blocks(hosts: Hosts, enough: bool):
    """The source is on host 4, and the push on the head."""
    name = f"lost-{enough}"
    dest = f"/data/{name}"
    make_content(hosts.disk(4) / "own")
    if enough:
        assert push(hosts, dest, "--nodes", hosts.address(2), host=4, source="/data/own")[0] == 0
    share = 0.1  # all that the others have together, and what is on its way to them, is not the whole
    with held(hosts, 1, 2, 3, share=share):
        assert push(hosts, dest, "--detach", "--name", name, host=4, source="/data/own")[0] == 0
        so_far = partial(hosts.run, 1, sys.executable, "-m", "minibit", "status", name, "--json")
        until(lambda: begun(hosts, dest, 3, share) and status(json.loads(so_far())).get("4") == "done", so_far)
        hosts.sh("kill", "4")
    try:
        code, result = minibit(hosts, "wait", name, "--json", "--progress", "none").end()
        if enough:
            assert status(result) == {"1": "done", "2": "had", "3": "done", "4": "done"}  # its own was made at once
            assert same(hosts, dest, (1, 2, 3))
        else:
            assert f"were only on {hosts.address(4)}" in why(result, 3)
        assert code == (0 if enough else 4)
    finally:
        hosts.sh("start", "4")


def test_a_host_that_joins_late_gets_a_copy(hosts: Hosts):
    with held(hosts, 2):
        going = pushing(hosts, "/data/late")
        until(lambda: begun(hosts, "/data/late"))
        assert hosts.sh("add").strip() == "5"
        until(lambda: begun(hosts, "/data/late", 5) or (hosts.disk(5) / "late").exists())
    code, result = going.end()
    assert (code, status(result)) == (0, dict.fromkeys("12345", "done"))
    assert same(hosts, "/data/late", (*ALL, 5))

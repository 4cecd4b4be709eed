"""Hosts of network namespaces: each has a disk of its own, keeps it through a power cut, and nothing of them stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import Hosts
from namespaces import need_namespaces

from minibit.errors import MinibitError

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]

NODES = """
import ray
ray.init("auto", log_to_driver=False, logging_level="error")
print(*sorted({node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}))
"""
WRITE = 'printf %s "$0" >/data/note'
ROOM_BYTES = 8 << 20


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    need_namespaces()
    with Hosts(2, disk_bytes=ROOM_BYTES) as hosts:
        state = hosts.scratch(1).parent
        yield hosts
    assert not state.exists()
    assert str(state) not in Path("/proc/self/mounts").read_text()
    assert state.name not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_each_host_has_a_disk_of_its_own(hosts: Hosts):
    for host in hosts.numbers:
        hosts.run(host, "sh", "-c", WRITE, f"of {host}")
    for host in hosts.numbers:
        assert hosts.run(host, "cat", "/data/note") == f"of {host}"
        assert (hosts.disk(host) / "note").read_text() == f"of {host}"
    assert not Path("/data/note").exists()


def test_what_ray_starts_on_a_host_sees_the_disk_of_that_host(hosts: Hosts):
    program = """
import pathlib, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init("auto", log_to_driver=False, logging_level="error")
write = ray.remote(num_cpus=0)(lambda: pathlib.Path("/data/task").write_text(ray.util.get_node_ip_address()))
ray.get([write.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote() for node in ray.nodes()])
"""
    hosts.run(1, sys.executable, "-c", program)
    assert [(hosts.disk(host) / "task").read_text() for host in hosts.numbers] == ["10.213.0.1", "10.213.0.2"]


def test_a_disk_has_room_for_so_much(hosts: Hosts):
    hosts.run(2, "fallocate", "-l", ROOM_BYTES // 2, "/data/fill")
    with pytest.raises(MinibitError, match="No space left"):
        hosts.run(2, "fallocate", "-l", ROOM_BYTES, "/data/more")
    hosts.run(2, "rm", "/data/fill", "/data/more")


def test_a_host_whose_power_is_cut_keeps_its_disk_and_joins_again(hosts: Hosts):
    hosts.run(2, "sh", "-c", WRITE, "kept")
    left = hosts.start(2, "sleep", "1000")
    hosts.sh("kill", "2")
    assert left.wait(10) != 0
    with pytest.raises(MinibitError):
        hosts.run(2, "true")
    hosts.sh("start", "2")
    assert hosts.run(2, "cat", "/data/note") == "kept"


def test_one_more_host_joins(hosts: Hosts):
    assert hosts.sh("add").strip() == "3"
    assert hosts.run(1, sys.executable, "-c", NODES).split() == [hosts.address(host) for host in (1, 2, 3)]
    assert hosts.run(3, "ls", "/data") == ""


def test_a_command_that_fails_is_said_with_its_complaint(hosts: Hosts):
    with pytest.raises(MinibitError, match=r"on host 2: .*No such file"):
        hosts.run(2, "cat", "/data/nothing")

"""A swarm over several nodes: raylets of one cluster on this machine, in a process of its own.

(The process of the tests is a driver of the shared cluster already, and a process has one cluster.)
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minibit.errors import ClusterError

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys
import ray
from ray.cluster_utils import Cluster

cluster = Cluster()
nodes = [cluster.add_node(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False) for _ in range(3)]
try:
    sys.path.insert(0, {root!r})
    from minibit.actors import Swarm

    def node_of(actor):
        return ray.get(actor.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()))

    found = {{"nodes": [node.node_id for node in nodes]}}
    with Swarm.launch(address=cluster.address, peers=6, size="1MiB", out={out!r} + "/whole") as swarm:
        found["driver"] = ray.get_runtime_context().get_node_id()
        found["node_of"] = {{name: node_of(actor) for name, actor in swarm._actors.items()}}
        found["whole"] = swarm.wait(timeout=60).as_dict()

    found["left"] = not ray.is_initialized()
    ray.init(cluster.address, namespace="mine", log_to_driver=False)
    with Swarm.launch(peers=3, size="1MiB", seed_upload="256KiB/s", out={out!r} + "/cut") as swarm:
        lost = node_of(swarm["peer-02"].actor)
        cluster.remove_node(next(node for node in nodes if node.node_id == lost), allow_graceful=False)
        summary = swarm.wait(timeout=60)
        found["cut"], found["exit_code"] = summary.as_dict(), summary.exit_code
    found["still"] = [one["name"] for one in ray.util.list_named_actors(all_namespaces=True)]
finally:
    ray.shutdown()
    cluster.shutdown()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What came of two swarms on three nodes, the second of which lost a node; and that nothing stayed of them."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/tmp", ignore_cleanup_errors=True) as tmp:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(root=str(ROOT), out=str(tmp_path_factory.mktemp("runs")))],
            env={**os.environ, "TMPDIR": tmp, "RAY_worker_niceness": "0"},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        deadline = time.monotonic() + 15
        while left := _processes(tmp):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        yield {**json.loads(done.stdout.splitlines()[-1]), "files": list(Path(tmp).glob("minibit-*"))}


def _processes(tmp: str) -> list[str]:
    """The processes that have `tmp` for their temporary folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"TMPDIR={tmp}\0".encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has just ended, or is another user's
    return [command for command in found if command]


def test_peers_are_spread_over_the_nodes_and_the_tracker_is_where_the_driver_is(found: dict[str, Any]) -> None:
    node_of = found["node_of"]
    assert node_of["tracker"] == node_of["peer-01"] == found["driver"]
    rounds = [[node_of[f"peer-0{peer}"] for peer in peers] for peers in ((1, 2, 3), (4, 5, 6))]
    assert rounds[0] == rounds[1]
    assert set(rounds[0]) == set(found["nodes"])


def test_a_swarm_over_three_nodes_completes_and_counts_them(found: dict[str, Any]) -> None:
    assert (found["whole"]["nodes"], found["whole"]["verified"], found["whole"]["failed"]) == (3, 6, [])


def test_a_node_that_is_lost_takes_its_peers_and_nobody_else(found: dict[str, Any]) -> None:
    assert found["exit_code"] == 4
    assert found["cut"]["failed"] == [{"peer": "peer-02", "why": "died with its machine", "node": "127.0.0.1"}]
    assert found["cut"]["verified"] == 2


def test_a_cluster_that_was_joined_for_a_swarm_is_left_with_it_and_the_programs_own_is_not(
    found: dict[str, Any],
) -> None:
    assert found["left"] is True  # and the second swarm ran on the connection that the program had made


def test_no_actor_and_no_file_stays_on_any_node(found: dict[str, Any]) -> None:
    assert (found["still"], found["files"]) == ([], [])


@pytest.mark.ray
def test_an_option_for_another_cluster_than_the_one_joined_changes_nothing(ray_cluster: str) -> None:
    from minibit.actors.driver import cluster  # noqa: PLC0415  imports Ray

    assert cluster.connect("127.0.0.1:1") is False
    assert [node.host for node in cluster.nodes()] == ["127.0.0.1"]


@pytest.mark.ray
def test_a_cluster_that_is_started_here_listens_on_the_loopback_only(ray_cluster: str) -> None:
    import psutil  # noqa: PLC0415
    import ray  # noqa: PLC0415

    from minibit.actors.driver import cluster  # noqa: PLC0415  imports Ray

    ray.get(ray.remote(num_cpus=0)(lambda: 0).remote())  # so there is a worker too
    processes = [psutil.Process(), *cluster._below()]
    listening = {
        (process.name(), socket.laddr.ip)
        for process in processes
        for socket in process.net_connections("inet")
        if socket.status == psutil.CONN_LISTEN
    }
    assert {"raylet", "gcs_server"} < {name for name, _ in listening}
    assert {ip.removeprefix("::ffff:") for _, ip in listening} == {"127.0.0.1"}
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ


@pytest.mark.ray
def test_a_cluster_that_is_started_here_has_no_process_that_nobody_needs(ray_cluster: str) -> None:
    from minibit.actors.driver import cluster  # noqa: PLC0415  imports Ray

    programs = {Path(part).name for process in cluster._below() for part in process.cmdline()[:5]}
    assert {"raylet", "gcs_server", "forks.py"} <= programs
    assert not programs & {"monitor.py", "log_monitor.py", "dashboard.py", "default_worker.py"}


class StartsBadly:
    """A Ray whose start fails so many times."""

    def __init__(self, failures: int, error: BaseException) -> None:
        self.failures, self.error = failures, error
        self.did: list[str] = []

    def is_initialized(self) -> bool:
        return False

    def init(self, **_: object) -> None:
        self.did.append("init")
        if self.did.count("init") <= self.failures:
            raise self.error

    def shutdown(self) -> None:
        self.did.append("shutdown")


@pytest.mark.parametrize(
    ("error", "failures", "did"),
    [
        (Exception("The current node timed out during startup. This could be"), 1, ["init", "shutdown", "init"]),
        (TimeoutError("Timed out after 30 seconds"), 2, ["init", "shutdown"] * 2),
        (SystemError(""), 2, ["init", "shutdown"] * 2),
        (KeyboardInterrupt(), 1, ["init", "shutdown"]),
    ],
)
def test_a_start_that_fails_is_tried_once_more_and_what_it_left_ends(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, failures: int, did: list[str]
) -> None:
    from minibit.actors.driver import cluster, fork_server, signals  # noqa: PLC0415  imports Ray

    ray = StartsBadly(failures, error)
    monkeypatch.setattr(cluster, "ray", ray)
    monkeypatch.setattr(fork_server, "_servers", [])
    monkeypatch.setenv(fork_server.ADDRESS, "0")
    monkeypatch.setattr(cluster, "_processes", [])
    monkeypatch.setattr(cluster, "_below", lambda deep=True: [])
    monkeypatch.setattr(cluster, "_give_token", lambda: None)
    before = [signal.getsignal(number) for number in signals.ENDING]
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            cluster.connect()
    elif failures > 1:
        with pytest.raises(ClusterError, match=r"can't start a Ray cluster here: .*: try again"):
            cluster.connect()
    else:
        assert cluster.connect()
    assert ray.did == did
    assert [signal.getsignal(number) for number in signals.ENDING] == before


def test_where_ray_cannot_keep_a_token_the_cluster_has_one_of_our_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from minibit.actors.driver import cluster  # noqa: PLC0415  imports Ray

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    cluster._give_token()
    assert "RAY_AUTH_TOKEN" not in os.environ, "Ray keeps one at home"
    monkeypatch.setenv("HOME", "/proc")
    cluster._give_token()
    assert re.fullmatch("[0-9a-f]{64}", os.environ["RAY_AUTH_TOKEN"])


@pytest.mark.parametrize("address", ["nowhere", "host:port", "ray://127.0.0.1:1", "127.0.0.1:1", "x" * 70 + ":1"])
def test_an_address_at_which_nobody_answers_is_known_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, address: str, tmp_path: Path
) -> None:
    from minibit.actors import Swarm  # noqa: PLC0415  imports Ray
    from minibit.actors.driver import cluster  # noqa: PLC0415

    ray = StartsBadly(0, KeyboardInterrupt())
    monkeypatch.setattr(cluster, "ray", ray)
    with pytest.raises(cluster.AddressError, match="address: ") as refused:
        Swarm.launch(address=address, out=tmp_path / "run")
    assert refused.value.exit_code == 7
    assert (ray.did, list(tmp_path.iterdir())) == ([], [])


# private names of Ray, which any release may take away

WITHOUT_PRIVATE_NAMES = """
import os, subprocess, sys
from minibit.actors.driver import cluster, private

asked = set()

def import_module(name):  # a room that is there still, with nothing in it, or none
    asked.add(name)
    if name == "ray._private.worker":
        return cluster
    raise ImportError(name)

private.import_module = import_module
if sys.argv[1:]:
    print(cluster.connect(sys.argv[1]), len(cluster.nodes()))
    cluster.disconnect()
else:
    import ray
    from minibit.actors import Swarm
    from minibit.errors import ClusterError

    for address in ("nowhere", "127.0.0.1:1"):
        try:
            cluster.connect(address)
        except ClusterError as error:
            print(str(error)[:29])
    with Swarm.launch(peers=1, size="64KiB", out="run") as swarm:
        print(swarm.wait(timeout=60).exit_code, flush=True)
        head = os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        for address in ("auto", head):
            subprocess.run([sys.executable, sys.argv[0], address], check=True)
    print(ray.is_initialized())
print(*sorted(asked), file=sys.stderr)
"""


@pytest.mark.ray
def test_without_any_private_name_of_ray_clusters_are_started_joined_and_left(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(WITHOUT_PRIVATE_NAMES)
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/tmp", ignore_cleanup_errors=True) as tmp:
        ran = subprocess.run(
            [sys.executable, str(program)],
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": tmp, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "address: 'nowhere' is no addr", "address: nobody answers at 12", "0", "False 1", "False 1", "False"
    ]  # fmt: skip
    assert {
        name for line in ran.stderr.splitlines() if line.startswith(("psutil", "ray._")) for name in line.split()
    } == {
        "psutil",
        "ray._private.authentication.authentication_token_setup",
        "ray._private.parameter",
        "ray._private.ray_constants",
        "ray._private.services",
        "ray._private.utils",
        "ray._private.worker",
        "ray._raylet",
    }


@pytest.mark.ray
def test_this_ray_has_every_private_name_that_is_used() -> None:
    from minibit.actors.driver import cluster, fork_server, private  # noqa: PLC0415  imports Ray

    text = "".join(Path(room.__file__).read_text() for room in (cluster, fork_server, private))
    used = re.findall(r'\b(?:private|replaced)\("([\w.]+)"(?:, "(\w+)")?[,)]', text)
    token = "ray._private.authentication.authentication_token_setup"
    names = [*used, (token, "maybe_enable_token_auth_if_token_available")]
    assert len(used) == 11
    assert [name for name in names if private.private(*name) is None] == []
    assert private.private("ray._private.worker", "no_such_name") is None
    assert private.private("ray._no_such_room", "GcsClient") is None

"""The Ray cluster that a swarm runs on: joined by address, or started on this machine.

A cluster that we start lives and dies with this process: no dashboard, workers at the priority of their
driver, and its own token. One that is joined is left as it was found.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import NamedTuple

from minibit.errors import ClusterError

NAMESPACE = "minibit"
OBJECT_STORE_BYTES = 256 << 20  # for manifests and the blocks that peers start with; blocks go by links

# before Ray is imported: it reads these once
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # else every worker is started through uv
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray  # noqa: E402
from ray.exceptions import AuthenticationError, RayError  # noqa: E402


class Place(NamedTuple):
    """A node of the cluster, and the address at which its block servers listen."""

    node_id: str
    host: str


def connect(address: str | None = None) -> bool:
    """Make sure that this process is a driver of a cluster; whether it was started (and is ours to stop).

    `address` as Ray takes it (`auto`, `10.0.0.1:6379`); None starts a cluster here. A connection that this
    process has already is used as it is. `ClusterError` when the cluster can't be reached or doesn't admit us.
    """
    if ray.is_initialized():
        return False
    if address is None:
        # Ray runs its workers at nice 15, where anything else on the machine slows the swarm down
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(
            address="local",
            namespace=NAMESPACE,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
        return True
    _expect_somebody_at(address)
    try:
        ray.init(address=address, namespace=NAMESPACE, logging_level=logging.ERROR, log_to_driver=False)
    except AuthenticationError as error:
        raise ClusterError(
            f"the cluster at {address} doesn't admit us: give this process its token (RAY_AUTH_MODE=token and "
            f"RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH): {_first_line(error)}"
        ) from None
    except (ConnectionError, RayError, RuntimeError, OSError, ValueError) as error:
        raise ClusterError(
            f"there is no Ray cluster at {address}: start one (ray start --head) and give its address, or leave "
            f"out --address: {_first_line(error)}"
        ) from None
    return False


def disconnect() -> None:
    """Leave the cluster; one that we started ends."""
    ray.shutdown()


def places() -> list[Place]:
    """The nodes that live, ours first, each with the address for its block servers.

    Where all nodes are on one address that is the loopback's, or one node is all there is, everything stays on
    loopback.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    here = ray.get_runtime_context().get_node_id()
    alive.sort(key=lambda node: (node["NodeID"] != here, node["NodeID"]))
    hosts = {node["NodeManagerAddress"] for node in alive}
    return [Place(node["NodeID"], "127.0.0.1" if len(hosts) == 1 else node["NodeManagerAddress"]) for node in alive]


def _expect_somebody_at(address: str, timeout_s: float = 5.0) -> None:
    """Fail soon, and clearly, where nobody listens: Ray itself would try for a minute."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
    except OSError as error:
        raise ClusterError(
            f"nobody answers at {address} ({error}): start a cluster there (ray start --head), or leave out --address"
        ) from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

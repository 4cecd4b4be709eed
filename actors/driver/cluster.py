"""The Ray cluster that a swarm runs on: joined by address, or started on this machine.

A cluster that we start lives and dies with this process: no dashboard, workers at the priority of their driver, and its
own token. One that is joined is left as it was found.

A few private names of Ray make errors come sooner and read better. Each is imported where it is used, and a Ray
without it still starts and joins clusters.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Thread
from typing import Any, NamedTuple

import ray
from ray.exceptions import AuthenticationError, RayError

from minibit.actors.names import NAMESPACE
from minibit.errors import ClusterError

KNOCK_S = 10.0  # for a cluster to answer whether it admits us
OBJECT_STORE_BYTES = 256 << 20  # for manifests and the blocks that peers start with; all other blocks go by links


class ClusterNode(NamedTuple):
    """A node of the cluster, and the address at which its block servers listen."""

    node_id: str
    host: str


def connect(address: str | None = None) -> bool:
    """Make this process a driver of a cluster; whether the cluster was started here (and is ours to stop).

    `address` as Ray takes it (`auto`, `10.0.0.1:6379`); None or `local` starts a cluster here. A connection that this
    process has already is used as it is. `ClusterError` if the cluster can't be reached or doesn't admit us.
    """
    if ray.is_initialized():
        return False
    if address is None or address == "local":
        with undisturbed() as signals:  # a cluster that is half started would outlive us
            _start()
        if signals:
            ray.shutdown()
            signal.raise_signal(signals[0])
        return True
    on_sigterm = signal.getsignal(signal.SIGTERM)  # Ray's own handler would end this process without cleaning up
    _join(address)
    with suppress(ValueError, TypeError):  # outside the main thread Ray sets none; or it was not set by Python
        signal.signal(signal.SIGTERM, on_sigterm)
    return False


def _start() -> None:
    # by default Ray runs its workers at nice 15, where anything else on the machine slows the swarm down
    os.environ.setdefault("RAY_worker_niceness", "0")
    _hush()
    try:
        ray.init(
            address="local",
            namespace=NAMESPACE,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (RayError, RuntimeError, OSError, ValueError) as error:
        ray.shutdown()
        raise ClusterError(f"can't start a Ray cluster here: {_first_sentence(error)}") from None


def _hush() -> None:
    """Drop Ray's warning of many processes on few cores: a swarm on one machine is just that."""
    worker, show = _private("ray._private.worker"), _private("ray._private.worker", "print_to_stdstream")
    if show is None or getattr(show, "hushed", False):  # without that name: the warning is shown
        return

    def print_to_stdstream(data: dict[str, Any], *args: Any, **options: Any) -> None:
        if not any("worker processes have been started" in line for line in data["lines"]):
            show(data, *args, **options)

    print_to_stdstream.hushed = True  # type: ignore[attr-defined]
    worker.print_to_stdstream = print_to_stdstream


def _join(address: str) -> None:
    try:
        if address == "auto":
            address = _address_of_auto()
        if address != "auto":
            _knock(address)
        ray.init(address=address, namespace=NAMESPACE, logging_level=logging.ERROR, log_to_driver=False)
    except AuthenticationError as error:
        raise ClusterError(
            f"the cluster at {address} doesn't admit us: give this process its token (RAY_AUTH_MODE=token and "
            f"RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH): {_first_sentence(error)}"
        ) from None
    except (ConnectionError, RayError, RuntimeError, OSError, ValueError) as error:
        raise ClusterError(
            f"there is no Ray cluster at {address} that this machine is a node of: start one (ray start --head) and "
            f"give its address, or give no address: {_first_sentence(error.__cause__ or error)}"
        ) from None


def _address_of_auto() -> str:
    """The address of the cluster that this machine is a node of; "auto" if only `ray.init` can find it."""
    token = "ray._private.authentication.authentication_token_setup"
    take_token = _private(token, "maybe_enable_token_auth_if_token_available")
    find = _private("ray._private.services", "canonicalize_bootstrap_address_or_die")
    if take_token is None or find is None:
        return "auto"  # without these names: no knock, and ray.init does the same with its own errors
    take_token(warn_if_disabled=False)  # as ray.init would
    return str(find("auto"))


def _private(module: str, name: str = "") -> Any:
    """A private module of Ray, or a name in it; None if this Ray doesn't have it."""
    try:
        found = import_module(module)
        return getattr(found, name) if name else found
    except (ImportError, AttributeError):
        return None


def disconnect() -> None:
    """Leave the cluster; one that we started ends."""
    with undisturbed():
        ray.shutdown()


def here() -> str | None:
    """The node of this process in its cluster; None if it is in none, which this does not change."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else None


class Connection:
    """The connection of this process, which its handles share. If it was made for one of them, it ends with the last.

    started_here  whether it leads to a cluster that was started for a handle
    """

    def __init__(self) -> None:
        self._node: str | None = None
        self._users = 0
        self._made = False
        self.started_here = False

    def take(self, address: str | None) -> str | None:
        """Use the connection, which is made if there is none (`connect`); what to give back."""
        if here() is None:
            self._users, self.started_here, self._made = 0, connect(address), True
        elif here() != self._node:  # it is the program's own
            self._users, self.started_here, self._made = 0, False, False
        self._node = here()
        self._users += 1
        return self._node

    def give_back(self, node: str | None) -> None:
        """Use the connection that was taken no longer."""
        if node == self._node == here():  # otherwise it has ended already
            self._users -= 1
            if not self._users and self._made:
                disconnect()


CONNECTION = Connection()


@contextmanager
def undisturbed() -> Iterator[list[int]]:
    """Keep the signals that would end this process in a list, while it starts or ends processes."""
    signals: list[int] = []
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with suppress(ValueError):  # outside the main thread no signal comes
            before[number] = signal.signal(number, lambda number, _: signals.append(number))
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def nodes() -> list[ClusterNode]:
    """The nodes that are alive, ours first, each with the address for its block servers.

    If all nodes have the same address (there is one, or all are on this machine), everything stays on loopback.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    here = ray.get_runtime_context().get_node_id()
    alive.sort(key=lambda node: (node["NodeID"] != here, node["NodeID"]))
    hosts = {node["NodeManagerAddress"] for node in alive}
    return [
        ClusterNode(node["NodeID"], "127.0.0.1" if len(hosts) == 1 else node["NodeManagerAddress"]) for node in alive
    ]


def _knock(address: str) -> None:
    """Fail soon, and clearly, if nothing answers or we aren't admitted: Ray itself tries for many minutes."""
    host, _, port = address.rpartition(":")
    if "/" in host or not port.isdigit():
        raise ClusterError(f"{address} is no address of a cluster's head: give HOST:PORT, e.g. 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except OSError as error:
        raise ClusterError(
            f"nobody answers at {address} ({error}): start a cluster there (ray start --head), or give no address"
        ) from None
    client = _private("ray._raylet", "GcsClient")
    if client is None:  # without that name: something listens, and ray.init finds out whether it is a cluster
        return
    answer: Future[None] = Future()

    def ask() -> None:
        try:
            client(address=address, cluster_id=None)
            answer.set_result(None)
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer.result(KNOCK_S)
    except TimeoutError:
        raise ClusterError(
            f"what listens at {address} doesn't speak as a Ray cluster does: give the address of its head"
        ) from None


def _first_sentence(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]

"""The Ray cluster that a swarm runs on: joined by address, or started on this machine.

A cluster that we start lives and dies with this process: no dashboard, no autoscaler, ports on the loopback only, its
own token, and workers that are forked (`fork_server`), at the priority of their driver. One that is joined is left as
it was found. Signals stay ours: Ray sets handlers of its own, which would end this process without a word.

A few private names of Ray make errors come sooner and read better (`private`).
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import sys
import tempfile
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import AuthenticationError

from minibit.actors.driver import fork_server
from minibit.actors.driver.head import within
from minibit.actors.driver.private import lean, on_loopback, private, signals_kept
from minibit.actors.driver.signals import undisturbed
from minibit.actors.names import NAMESPACE
from minibit.delivery.nodes import NodeRow
from minibit.errors import ClusterError, MinibitError, OptionError, first_sentence

KNOCK_S = 10.0  # for a cluster to answer whether it admits us
REAP_S = 1.0  # for a process that was killed to be gone
STARTS = 2  # tries to start a cluster: on a busy machine Ray may give up too soon
SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # the longest path of a socket
PLACE_BYTES = SOCKET_BYTES - len("/ray/session_2025-06-01_14-30-00_123456_1234567/sockets/plasma_store")
OBJECT_STORE_BYTES = 256 << 20  # for manifests and the blocks that peers start with; all other blocks go by links
LOOPBACK = "127.0.0.1"


class AddressError(ClusterError, OptionError):
    """There is no cluster for us at the address that was given."""

    def __init__(self, address: str, takes: str) -> None:
        super().__init__("address", address, takes)


class ClusterNode(NamedTuple):
    """A node of the cluster, and the address at which its block servers listen."""

    node_id: str
    host: str


_processes: list[Any] = []  # those that Ray started for the cluster here; theirs are below them


def connect(address: str | None = None) -> bool:
    """Make this process a driver of a cluster; whether the cluster was started here (and is ours to stop).

    `address` as Ray takes it (`auto`, `10.0.0.1:6379`); None or `local` starts a cluster here. A connection that this
    process has already is used as it is. `ClusterError` if the cluster can't be reached or doesn't admit us.
    """
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_task_events_shutdown_flush_timeout_ms", "500")  # else 5 s, if the head is gone
    _hush()
    if here := address is None or address == "local":
        _start()
    else:
        _join(address)
    return here


def check(address: str | None) -> None:
    """`AddressError` if nobody answers at `address`: to be called before anything is hashed or started."""
    if address not in (None, "local", "auto") and not ray.is_initialized():
        _call_at(address)


def disconnect() -> None:
    """Leave the cluster; one that we started ends, with all its processes."""
    with undisturbed():
        before = _families(_processes)
        ray.shutdown()
        ended = [*before, *_families(_processes, still=True)]
        _each("kill", ended)
        _each("wait", ended, REAP_S)
        _processes.clear()
        fork_server.end()


def end_at_once() -> None:
    """Kill every process below this one."""
    _each("kill", _families(_below(deep=False), still=True))


# starting a cluster


def _start() -> None:
    # by default Ray runs its workers at nice 15, where anything else on the machine slows the swarm down
    os.environ.setdefault("RAY_worker_niceness", "0")
    _give_token()
    folder = _ray_folder()
    for tries_left in reversed(range(STARTS)):
        forks = fork_server.begin() if tries_left else None  # the last time all goes as Ray does it
        before = [process for process in _below(deep=False) if process.pid != forks]
        try:
            with signals_kept(), on_loopback(), lean() if tries_left else nullcontext(), fork_server.forking():
                ray.init(
                    address="local",
                    namespace=NAMESPACE,
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    _node_ip_address=LOOPBACK,
                    _temp_dir=folder,
                )
            _processes[:] = [process for process in _below(deep=False) if process not in before]
            return
        except BaseException as error:  # a signal too: a cluster that is half started would outlive us
            with undisturbed():
                _processes[:] = [process for process in _below(deep=False) if process not in before]
                disconnect()
            if not isinstance(error, Exception):
                raise
            if not tries_left:
                raise ClusterError(
                    f"can't start a Ray cluster here: {first_sentence(error)}: try again when the machine is less "
                    f"busy; Ray's logs are in {folder}"
                ) from None


def _ray_folder() -> str:
    """Where Ray puts its folders: where it always does, or in /tmp, if that has too long a path for its sockets."""
    usual = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(usual)) <= PLACE_BYTES:
        return os.path.join(usual, "ray")  # noqa: PTH118  as a text
    if not os.environ.get("RAY_TMPDIR") and os.access("/tmp", os.W_OK | os.X_OK):
        return "/tmp/ray"
    what = f"the path {usual} is too long for the sockets of Ray"
    raise ClusterError(f"{what}: set RAY_TMPDIR to a folder whose path has {PLACE_BYTES} characters at most")


def _below(process: Any = None, *, deep: bool = True) -> list[Any]:
    """The processes that this one started, or `process` did; `deep`: also those that they started."""
    kind = private("psutil", "Process")  # Ray brings it along
    with suppress(Exception):  # it has ended
        return list((process or kind()).children(recursive=deep))
    return []


def _families(processes: list[Any], *, still: bool = False) -> list[Any]:
    """These processes, and those below them. `still`: none of these starts another one from now on."""
    if still:
        _each("suspend", processes)
    return [*processes, *(below for process in processes for below in _below(process))]


def _each(method: str, processes: list[Any], *args: Any) -> None:
    """Call a method of psutil of each of these processes."""
    for process in processes:
        with suppress(Exception):  # it has ended
            getattr(process, method)(*args)


def _give_token() -> None:
    """A token of our own, where Ray can't keep the one that it would make: a home that can't be written, or none."""
    if {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    try:
        kept = Path.home() / ".ray"
        kept.mkdir(exist_ok=True)
        if not (kept / "auth_token").exists():
            tempfile.TemporaryFile(dir=kept).close()
    except (OSError, RuntimeError):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _hush() -> None:
    """Say in a line, or not at all, what Ray says of the cluster in pages."""
    worker, show = private("ray._private.worker"), private("ray._private.worker", "print_to_stdstream")
    if show is None or getattr(show, "hushed", False):  # without that name: all is shown
        return

    def print_to_stdstream(data: dict[str, Any], *args: Any, **options: Any) -> None:
        if data.get("pid") != "raylet":
            show(data, *args, **options)
        for line in filter(None, map(_in_a_line, data["lines"] if data.get("pid") == "raylet" else ())):
            print(line, file=sys.stderr)

    print_to_stdstream.hushed = True  # type: ignore[attr-defined]
    worker.print_to_stdstream = print_to_stdstream


def _in_a_line(text: str) -> str:
    """What Ray says of its nodes, in a line; empty if nobody needs it.

    A swarm has many processes on few cores. A node that ended without a word is soon called dead, with its address.
    """
    if "worker processes have been started" in text or text.startswith("Raylet is terminated"):
        return ""
    if "marked dead" in text and (found := re.search(r"address: (\S+)", text)):
        return f"Ray gives up the node at {found[1]}: it is dead, or could not be reached for too long"
    return f"Ray says: {text.strip().partition(chr(10))[0]}"


def nodes() -> list[ClusterNode]:
    """The nodes that are alive, ours first, each with the address for its block servers.

    If all nodes have the same address (there is one, or all are on this machine), everything stays on loopback.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    here = ray.get_runtime_context().get_node_id()
    alive.sort(key=lambda node: (node["NodeID"] != here, node["NodeID"]))
    hosts = {node["NodeManagerAddress"] for node in alive}
    return [ClusterNode(node["NodeID"], LOOPBACK if len(hosts) == 1 else node["NodeManagerAddress"]) for node in alive]


def rows() -> list[NodeRow]:
    """The nodes that are alive, as a push sees them."""
    return [
        NodeRow(node["NodeID"], node["NodeManagerAddress"], node.get("Labels") or {}, node["NodeManagerHostname"])
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


# joining a cluster


def _join(address: str) -> None:
    try:
        if address == "auto":
            with on_loopback():
                address = _address_of_auto()
        if address != "auto":
            _knock(address)
        # that takes a second or two, as somebody answers there; a second signal ends it in any case
        with undisturbed(), signals_kept(), on_loopback() if _loops_back(address) else nullcontext():
            ray.init(address=address, namespace=NAMESPACE, logging_level=logging.ERROR, log_to_driver=False)
    except MinibitError:
        raise
    except AuthenticationError as error:
        raise ClusterError(
            f"the cluster at {address} doesn't admit us: give this process its token (RAY_AUTH_MODE=token and "
            f"RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH): {first_sentence(error)}"
        ) from None
    except Exception as error:
        where = "" if address == "auto" else f" at {address}"
        raise AddressError(
            address,
            f"there is no Ray cluster{where} that this machine is a node of: start one (ray start --head), or join "
            f"one (ray start --address=HOST:PORT): {first_sentence(error.__cause__ or error)}",
        ) from None


def _loops_back(address: str) -> bool:
    """Whether Ray would look for that address at one of the outside, where a cluster of this machine is not."""
    host = address.rpartition(":")[0].strip("[]")
    return host in ("", "localhost", "::1") or host.startswith("127.")


def _address_of_auto() -> str:
    """The address of the cluster that this machine is a node of; "auto" if only `ray.init` can find it."""
    token = "ray._private.authentication.authentication_token_setup"
    take_token = private(token, "maybe_enable_token_auth_if_token_available")
    find = private("ray._private.services", "canonicalize_bootstrap_address_or_die")
    if take_token is None or find is None:
        return "auto"  # without these names: no knock, and ray.init does the same with its own errors
    take_token(warn_if_disabled=False)  # as ray.init would
    return str(find("auto"))


def _call_at(address: str) -> None:
    """Fail soon, and clearly, if nothing listens at `address`."""
    host, _, port = address.rpartition(":")
    if "/" in host or not port.isdigit():
        raise AddressError(
            address, f"{address!r} is no address of a cluster's head: give HOST:PORT, e.g. 10.0.0.1:6379, or auto"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise AddressError(
            address,
            f"nobody answers at {address} ({error}): start a cluster there (ray start --head), or leave it out for one "
            "on this machine",
        ) from None


def _knock(address: str) -> None:
    """Fail soon, and clearly, if nothing answers or we aren't admitted: Ray itself tries for many minutes."""
    _call_at(address)
    client = private("ray._raylet", "GcsClient")
    if client is None:  # without that name: something listens, and ray.init finds out whether it is a cluster
        return
    try:
        within(KNOCK_S, lambda: client(address=address, cluster_id=None))
    except TimeoutError:
        raise AddressError(
            address, f"what listens at {address} doesn't speak as a Ray cluster does: give the address of its head"
        ) from None

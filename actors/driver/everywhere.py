"""One function on many nodes at once: a Ray task on each node of a cluster, or a plain call on this machine alone.

The function is imported on the nodes, so it must stand in a room of Minibit. It should return what it finds, and not
raise it. What Ray says instead of an answer is put in words here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Generic, NamedTuple, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import minibit
from minibit.actors.driver import cluster
from minibit.actors.driver.cluster import AddressError, ClusterNode
from minibit.actors.driver.connection import CONNECTION, on_cluster
from minibit.delivery.nodes import NodeRow
from minibit.errors import MinibitError, first_sentence

T = TypeVar("T")

STEP_S = 1.0  # between two looks at the head, and at signals
PYTHON_S = 30.0  # for a node without Minibit to say which Python it runs
HERE = ClusterNode("", "this machine")


class NodeAnswers(NamedTuple, Generic[T]):
    """What came of each node, in the order of the nodes: an answer, or in words why there is none."""

    found: dict[ClusterNode, T]
    failed: dict[ClusterNode, str]


def on_each(
    nodes: Sequence[ClusterNode],
    task: Callable[..., T],
    arguments: Callable[[ClusterNode], tuple[Any, ...]],
    limit_s: float,
    env: dict[str, Any] | None = None,
    tell: Callable[[int], object] = lambda count: None,
) -> NodeAnswers[T]:
    """Call `task` on each node with the arguments for that node; what came within `limit_s`.

    `env` is a runtime environment of Ray for it. `tell` is called with the number of nodes that are done, again and
    again, and may raise to end the waiting. `ClusterError` if the head of the cluster is lost.
    """
    if list(nodes) == [HERE]:
        return NodeAnswers({HERE: task(*arguments(HERE))}, {})
    raised: dict[ClusterNode, Exception] = {}
    found: dict[ClusterNode, T] = {}
    calls = CONNECTION.head.ask(lambda: {_call(node, task, arguments(node), env): node for node in nodes})
    deadline = time.monotonic() + limit_s
    try:
        while calls and (left_s := deadline - time.monotonic()) > 0:
            ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=min(STEP_S, left_s))
            CONNECTION.head.check()
            for call in ready:
                node = calls.pop(call)
                try:
                    found[node] = ray.get(call)
                except RayError as error:
                    raised[node] = error
            tell(len(nodes) - len(calls))
    finally:
        for call in calls:
            with suppress(Exception):  # it has ended, or the cluster has
                ray.cancel(call, force=True)
    failed = dict.fromkeys(calls.values(), f"it gave no answer within {limit_s:.0f} s: see `ray status` there")
    failed |= _in_words(raised)
    return NodeAnswers(
        {node: found[node] for node in nodes if node in found}, {node: failed[node] for node in nodes if node in failed}
    )


def names(nodes: Sequence[ClusterNode]) -> dict[ClusterNode, str]:
    """What each node is called: its address; where several have the same, with the start of its id."""
    hosts = [node.host for node in nodes]
    return {node: node.host if hosts.count(node.host) == 1 else f"{node.host} ({node.node_id[:8]})" for node in nodes}


@contextmanager
def reached(address: str | None) -> Iterator[list[NodeRow]]:
    """The nodes of the cluster at `address`, connected to for so long; none for this machine alone.

    That is what `local` asks for, and what None comes to where this machine is in no cluster. `ClusterError` if no
    cluster can be reached at the address that was given.
    """
    nodes: list[NodeRow] = []
    with ExitStack() as undo:
        if address != "local":
            try:
                undo.enter_context(on_cluster(address or "auto"))
            except AddressError:
                if address is not None:
                    raise
            else:
                nodes = CONNECTION.head.ask(cluster.rows)
        yield nodes


def _call(
    node: ClusterNode, task: Callable[..., T], arguments: tuple[Any, ...], env: dict[str, Any] | None
) -> ray.ObjectRef[T]:
    options: dict[str, Any] = {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.node_id, soft=False)}
    if env is not None:
        options["runtime_env"] = env
    call: ray.ObjectRef[T] = ray.remote(num_cpus=0, max_retries=0)(task).options(**options).remote(*arguments)
    return call


def _in_words(raised: dict[ClusterNode, Exception]) -> dict[ClusterNode, str]:
    """Why these nodes gave no answer. Those without Minibit are asked for the Python that it must be installed for."""
    words = {node: _why(error) for node, error in raised.items()}
    if bare := [node for node, error in raised.items() if "No module named 'minibit" in str(error)]:
        pythons = on_each(bare, _python(), lambda node: (), PYTHON_S).found
        words |= {node: _install(pythons.get(node, "python")) for node in bare}
    return words


def _python() -> Callable[[], str]:
    """A function that says which Python runs it; it is made here so that it travels by value."""

    def python() -> str:
        import sys  # noqa: PLC0415  there

        return sys.executable

    return python


def _install(python: str) -> str:
    return (
        f"there is no Minibit: run `{python} -m pip install minibit=={minibit.__version__}` there, or let it be shipped"
    )


def _why(error: Exception) -> str:
    """What Ray says of a task that gave no answer, in a line."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(cause, MinibitError):
        return str(cause)
    if "No module named" in (text := str(error)):
        missing = text.rpartition("No module named ")[2].split("\n")[0]
        return f"its Python can't import {missing}: install Minibit there with all that it needs"
    return f"Ray failed there: {first_sentence(cause or error)}"

"""One function on many nodes at once: a Ray task on each node of a cluster, or a plain call on this machine alone.

The function is imported on the nodes, so it must stand in a room of Minibit. It should return what it finds, and not
raise it. What Ray says instead of an answer is put in words here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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

STEP_S = 0.1  # between two looks at the head, and at signals
CALL_OFF_S = 0.2  # for tasks that nobody waits for to end by themselves
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
    found: dict[ClusterNode, T] | None = None,
) -> NodeAnswers[T]:
    """Call `task` on each node with the arguments for that node; what came within `limit_s`.

    `env` is a runtime environment of Ray for it. `tell` is called with the number of nodes that are done, again and
    again, and may raise to end the waiting. Answers are put into `found` as they come, also when the waiting is ended:
    then tasks that have not begun never do, and the others are interrupted, or killed soon. `ClusterError` if the head
    of the cluster is lost.
    """
    answers = {} if found is None else found
    if not nodes:
        return NodeAnswers({}, {})
    if list(nodes) == [HERE]:
        answers[HERE] = task(*arguments(HERE))
        return NodeAnswers({HERE: answers[HERE]}, {})
    raised: dict[ClusterNode, Exception] = {}
    calls: dict[ray.ObjectRef[T], ClusterNode] = {}

    def start() -> None:
        options: dict[str, Any] = {} if env is None else {"runtime_env": env}
        remote: Any = ray.remote(num_cpus=0, max_retries=0, **options)(task)  # once: Ray sends the function each time
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
            calls[remote.options(scheduling_strategy=there).remote(*arguments(node))] = node

    def take(timeout_s: float) -> None:
        ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=timeout_s)
        for call in ready:
            node = calls.pop(call)
            try:
                answers[node] = ray.get(call)
            except RayError as error:
                raised[node] = error

    deadline = time.monotonic() + limit_s
    silent: list[ClusterNode] = []
    try:
        CONNECTION.head.ask(start)
        while calls and (left_s := deadline - time.monotonic()) > 0:
            take(min(STEP_S, left_s))
            CONNECTION.head.check()
            tell(len(nodes) - len(calls))
        silent = list(calls.values())
    finally:
        if calls:
            _cancel(calls, force=False)
            with suppress(Exception):  # the cluster has ended
                take(CALL_OFF_S)
            _cancel(calls, force=True)
    failed = _in_words({node: error for node, error in raised.items() if node not in silent})
    failed |= dict.fromkeys(silent, f"it gave no answer within {limit_s:.0f} s: see `ray status` there")
    return NodeAnswers(
        {node: answers[node] for node in nodes if node in answers},
        {node: failed[node] for node in nodes if node in failed and node not in answers},
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


def _cancel(calls: Iterable[ray.ObjectRef[Any]], *, force: bool) -> None:
    for call in calls:
        with suppress(Exception):  # it has ended, or the cluster has
            ray.cancel(call, force=force)


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

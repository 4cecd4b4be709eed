"""Actors of Minibit on their nodes: how each is started, why one was lost, and how all of them end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from minibit.actors.driver.calls import Replies
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.names import NAMESPACE, actor_name
from minibit.actors.peer import PeerActor
from minibit.actors.tracker import RosterActor, TrackerActor

FREE_S = 5.0  # for Ray to free the name of a dead actor
STOP_S = 5.0  # for actors to say goodbye
LOST_S = 2.0  # the same, when the head of the cluster is lost: those that it has not started yet say nothing
NO_MINIBIT = "No module named 'minibit"  # what Ray says of an actor on a node without it
ADVICE = "install it there from the same commit, for the Python that runs `ray start`"

# made once for each class: every call of ray.remote would send the class anew
REMOTE: dict[type, Any] = {kind: ray.remote(kind) for kind in (PeerActor, RosterActor, TrackerActor)}


def start(kind: type, run: str, name: str, node_id: str, *args: Any, **options: Any) -> Any:
    """Start the actor of this member of a run on that node; its handle, at once. `options` as Ray takes them.

    Ray's `ActorAlreadyExistsError` if an actor has that name.
    """
    options = {
        "name": actor_name(run, name),
        "namespace": NAMESPACE,
        "num_cpus": 0,
        "max_restarts": 0,
        "scheduling_strategy": on_node(node_id),
        **options,
    }
    return CONNECTION.head.ask(partial(REMOTE[kind].options(**options).remote, *args))


def on_node(node_id: str) -> NodeAffinitySchedulingStrategy:
    """Where Ray starts something: on this node, or nowhere."""
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def is_free(full_name: str, actor: Any) -> bool:
    """Whether a name can be given to another actor, once Ray has freed it. The one that has it is ended."""
    kill(actor)  # else this process remembers whose name it was
    deadline = time.monotonic() + FREE_S
    while time.monotonic() < deadline:
        try:
            CONNECTION.head.ask(partial(ray.get_actor, full_name, NAMESPACE))
        except ValueError:
            return True
        time.sleep(0.1)
    return False


def why_lost(replies: Replies[Any], name: str) -> str:
    """Why an actor did not do what it was called for, on one line."""
    if name in replies.failed:
        cause = replies.failed[name].cause
        return f"{type(cause).__name__}: {cause}".splitlines()[0]
    if name in replies.gone:
        return why_gone(replies.gone[name])
    return "it gave no answer"


def why_gone(error: RayError) -> str:
    """Why an actor is gone, on one line."""
    if NO_MINIBIT in str(error):
        return f"there is no Minibit: {ADVICE}"
    # Ray's text is long, and says the reason last
    lines = [line for line in str(error).splitlines() if line and not line[0].isspace()]
    said = lines[-1].split(". ")[0]
    return said.removeprefix("The actor is dead because ").removeprefix("The actor died because ")


def ask_to_stop(actors: Iterable[Any], *, erase: bool, timeout_s: float = STOP_S) -> bool:
    """Ask actors to end; whether all did within the time."""
    calls = [actor.stop.remote(erase) for actor in actors]
    limit_s = min(timeout_s, LOST_S) if CONNECTION.head.lost_s else timeout_s
    if calls:
        ray.wait(calls, num_returns=len(calls), timeout=limit_s)
    with suppress(RayError):  # one died, or is not there yet
        ray.get(calls, timeout=0)
        return True
    return False


def kill(actor: Any) -> None:
    """End an actor without a goodbye, also one that is dead already."""
    with suppress(RayError, ValueError):
        ray.kill(actor)
        if CONNECTION.head.lost_s:  # by which Ray kills
            actor.__ray_terminate__.remote()

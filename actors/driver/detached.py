"""A push that goes on by itself: its transfer in a detached, named actor on the head of the cluster.

The actor owns the peers, so all of them end with it, and it needs no driver. A report is written where it is, on the
head. When the transfer is over it keeps the result for a while, for `minibit wait`; then it ends itself, and leaves
nothing but the copies.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorAlreadyExistsError, GetTimeoutError, RayError, RayTaskError

from minibit.actors.disk import marks
from minibit.actors.disk.place import Place
from minibit.actors.driver import spawn
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.everywhere import on_each
from minibit.actors.driver.moving import Moving
from minibit.actors.driver.plan import Plan
from minibit.actors.names import NAMESPACE, actor_name
from minibit.delivery.progress import PushProgress
from minibit.delivery.result import PushResult
from minibit.errors import ClusterError, LocalError, MinibitError, first_sentence
from minibit.lab.archive import RunFolder

ACTOR = "push"
ANSWER_S = 10.0  # for a push to say whether it is over
START_S = 120.0  # for the actor to come up
KEPT_S = 3600.0  # for so long the result can be asked for
CANCELLED_S = 60.0  # the same, if it was cancelled
REMEMBER_S = 10.0  # for the node of the source to keep what is known of it
CANCEL_S = 30.0  # for a transfer that is cancelled to end
HEAD = "node:__internal_head__"  # the resource that marks Ray's head


class PushActor:
    """One push, whose result can be asked for during `kept_s`. Its methods answer at once, but for `cancel`."""

    def __init__(self, plan: Plan, kept_s: float) -> None:
        self._plan = plan
        self._seen = PushProgress(phase="moving", content_bytes=plan.manifest.content_bytes, elapsed_s=plan.spent_s)
        self._outcome: Future[PushResult] = Future()
        self._kept_s = kept_s
        CONNECTION.take(None)

    def begin(self, report: str | None) -> None:
        """Begin with it; its records come into the folder `report`. `MinibitError` if they can't be written there."""
        folder = None if report is None else RunFolder.create(self._plan.name, report, self._plan.source)
        self._moving = Moving(self._plan, self._tell, folder)
        threading.Thread(target=self._run, args=(folder,), daemon=True).start()

    def progress(self) -> PushProgress:
        """How far it is."""
        return self._seen

    def result(self) -> PushResult | None:
        """What it came to; None as long as it goes on. Raises what ended it."""
        return self._outcome.result() if self._outcome.done() else None

    def limit(self, upload_bps: float | None) -> None:
        """From now on no node uploads more than this, in bytes a second; None: no limit."""
        self._moving.limit(upload_bps)

    def cancel(self) -> None:
        """End it, and wait for its end. Copies stay, whole or partial."""
        self._kept_s = min(self._kept_s, CANCELLED_S)
        self._moving.cancel()
        self._outcome.exception(CANCEL_S)

    def _tell(self, seen: PushProgress) -> None:
        self._seen = seen

    def _run(self, folder: RunFolder | None) -> None:
        try:
            result = self._moving.run()
            self._remember()
            self._outcome.set_result(result)
        except BaseException as error:
            self._outcome.set_exception(error)
        if folder is not None:
            folder.remove_if_empty()
        threading.Event().wait(self._kept_s)
        ray.kill(ray.get_runtime_context().current_actor)

    def _remember(self) -> None:
        """Let the node of the source keep what is known of it, so that the next push need not hash it again."""
        node = ClusterNode(self._plan.source_node.node_id, self._plan.source_node.host)
        with suppress(MinibitError):  # the head is lost
            on_each([node], remember_source, lambda node: (self._plan,), REMEMBER_S, self._plan.env)


def remember_source(plan: Plan) -> None:
    """On the node of the source, if that has a copy: keep beside it what is known of the source."""
    marks.remember_source(Place(Path(plan.order.dest)), plan.manifest, Path(plan.source), links=plan.order.links)


def start(plan: Plan, runtime_env: dict[str, Any] | None = None, report: str | None = None) -> None:
    """Let the push go on in an actor of its own; returns when that has begun. One of that name that is over gives way.

    With `report`, the absolute path of a folder on the head of the cluster, its records are written there. `LocalError`
    if one goes on, or that folder can't be written; `ClusterError` if the head of the cluster can't run it.
    """
    options: dict[str, Any] = {
        "name": actor_name(plan.name, ACTOR),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": 0,
        "max_concurrency": 8,
        "scheduling_strategy": spawn.on_node(_head()),
    }
    if runtime_env:
        options["runtime_env"] = runtime_env
    _clear(plan.name)
    actor: Any = None
    try:
        actor = CONNECTION.head.ask(partial(ray.remote(PushActor).options(**options).remote, plan, KEPT_S))
        ray.get(actor.begin.remote(report), timeout=START_S)
    except ActorAlreadyExistsError:
        raise _goes_on(plan.name) from None
    except GetTimeoutError:
        spawn.kill(actor)
        raise ClusterError(f"the head of the cluster did not start the push within {START_S:.0f} s") from None
    except RayError as error:
        spawn.kill(actor)
        if isinstance(error, RayTaskError) and isinstance(error.cause, MinibitError):
            raise LocalError(f"on the head of the cluster: {error.cause}") from None
        why = spawn.why_gone(error) if spawn.NO_MINIBIT in str(error) else first_sentence(error)
        raise ClusterError(f"the head of the cluster can't run the push: {why}") from None


def _clear(name: str) -> None:
    """Make room for a push of that name; `LocalError` if one goes on."""
    try:
        there = CONNECTION.head.ask(partial(ray.get_actor, actor_name(name, ACTOR), NAMESPACE))
    except ValueError:
        return
    over = True
    try:
        over = ray.get(there.result.remote(), timeout=ANSWER_S) is not None
    except GetTimeoutError:
        over = False
    except RayError:
        pass  # it failed, or it is dead
    if not over or not spawn.is_free(actor_name(name, ACTOR), there):
        raise _goes_on(name)


def _goes_on(name: str) -> LocalError:
    return LocalError(f"a push {name} is running on this cluster already: give another name, or end that one")


def _head() -> str:
    """The id of the node that is Ray's head; this one, where none says so."""
    nodes = CONNECTION.head.ask(ray.nodes)
    found = (node["NodeID"] for node in nodes if node["Alive"] and HEAD in node["Resources"])
    return str(next(found, ray.get_runtime_context().get_node_id()))

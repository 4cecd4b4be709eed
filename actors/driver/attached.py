"""Pushes that go on by themselves, found again by their names from another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from minibit.actors.driver.calls import is_gone
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.detached import ACTOR
from minibit.actors.names import NAMESPACE, actor_name
from minibit.delivery.progress import Pushing, PushProgress
from minibit.delivery.result import PushResult
from minibit.errors import ClusterError, LocalError, MinibitError

T = TypeVar("T")

ANSWER_S = 10.0  # for a push to answer
LOOK_S = 1.0  # between two looks of one that waits
CANCEL_S = 60.0  # for one to end
LOST_S = 120.0  # without an answer, after which one is not waited for any more


class PushSilentError(ClusterError):
    """A push that gave no answer, and may give one later."""


class AttachedPush:
    """A push that goes on by itself; `LocalError` if there is none of that name, with those that there are."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self._actor: Any = CONNECTION.head.ask(partial(ray.get_actor, actor_name(name, ACTOR), NAMESPACE))
        except ValueError:
            there = ", ".join(self.running())
            told = f"there are {there}" if there else "none is running"
            raise LocalError(f"there is no push {name!r} on this cluster: {told}") from None

    @staticmethod
    def running() -> list[str]:
        """The names of the pushes that go on by themselves."""
        listed = CONNECTION.head.ask(partial(ray.util.list_named_actors, all_namespaces=True))
        found = (actor["name"].split(":") for actor in listed if actor["namespace"] == NAMESPACE)
        return sorted(parts[1] for parts in found if len(parts) == 3 and parts[::2] == ["minibit", ACTOR])

    def progress(self) -> PushProgress:
        """How far it is."""
        seen: PushProgress = self._ask(self._actor.progress.remote)
        return seen

    def result(self) -> PushResult | None:
        """What it came to; None as long as it goes on."""
        result: PushResult | None = self._ask(self._actor.result.remote)
        return result

    def limit(self, upload_bps: float | None) -> None:
        """From now on no node uploads more than this, in bytes a second; None: no limit."""
        self._ask(partial(self._actor.limit.remote, upload_bps))

    def cancel(self) -> None:
        """End it. Copies that are whole stay, and so do partial ones, for a later push."""
        self._ask(self._actor.cancel.remote, CANCEL_S)

    def wait(self, tell: Pushing, pause: Callable[[float], object] = time.sleep) -> PushResult:
        """Wait for its end; what it came to. `tell` is told again and again how far it is.

        `ClusterError` if it is gone, or silent for too long.
        """
        heard_at = time.monotonic()
        while True:
            try:
                if (result := self.result()) is not None:
                    return result
                tell(self.progress())
                heard_at = time.monotonic()
            except PushSilentError:
                if time.monotonic() - heard_at > LOST_S:
                    raise
            pause(LOOK_S)

    def _ask(self, call: Callable[[], ray.ObjectRef[T]], limit_s: float = ANSWER_S) -> T:
        try:
            return ray.get(call(), timeout=limit_s)
        except RayTaskError as error:  # what ended the push
            raise error.cause if isinstance(error.cause, MinibitError) else error from None
        except GetTimeoutError:
            raise PushSilentError(f"the push {self.name} gave no answer within {limit_s:g} s: try again") from None
        except RayError as error:
            if is_gone(error):
                told = "push again: what is there is not moved again"
                raise ClusterError(f"the push {self.name} is gone, with the node that it ran on: {told}") from None
            raise PushSilentError(f"the push {self.name} can't be reached now: try again") from None

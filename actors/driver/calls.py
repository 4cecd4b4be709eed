"""Calls of many actors at once: which answered, which are gone, and which give no answer for now.

A dead actor and one that the network doesn't reach look alike for a while. `is_gone` is the one place that reads Ray's
errors: only what Ray itself calls dead is gone. All else is silence, and a silent actor may answer the next time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import inf
from typing import Generic, NamedTuple, TypeVar

import ray
from ray.exceptions import ActorDiedError, ActorUnschedulableError, RayError, RayTaskError

T = TypeVar("T")

STEP_S = 1.0  # between two looks at the silent ones
OFFSET_TRIES = 3
PAUSE_S = 0.2  # before an actor that could not be reached is asked again


def is_gone(error: Exception) -> bool:
    """Whether the actor whose call raised this will never answer again: its process or its node is dead.

    An error of the method itself (`RayTaskError`) is an answer, also when it says that another actor died.
    """
    return isinstance(error, ActorDiedError | ActorUnschedulableError) and not isinstance(error, RayTaskError)


def clock_offset_s(ask: Callable[[], Iterable[float]]) -> float:
    """Seconds to add to the clock of another machine for ours, by the fastest of some answers; 0 if none came.

    `ask` gives what that clock says, or nothing.
    """
    best = (inf, 0.0)
    for _ in range(OFFSET_TRIES):
        asked_at = time.monotonic()
        for theirs in ask():
            round_trip_s = time.monotonic() - asked_at
            best = min(best, (round_trip_s, asked_at + round_trip_s / 2 - theirs))
    return best[1]


class Replies(NamedTuple, Generic[T]):
    """What came of a call, by name: an answer, an error of the method itself, the word that the actor is gone.

    `silent` are those that gave no answer in time, or could not be reached.
    """

    found: dict[str, T]
    failed: dict[str, RayTaskError]
    gone: dict[str, RayError]
    silent: list[str]


class Calls(Generic[T]):
    """One call of each of many actors, as often as is asked; `ask` makes it.

    At most one call of an actor is under way, so that calls don't gather before an actor that is out of reach.
    """

    def __init__(self, ask: Callable[[str], ray.ObjectRef[T]]) -> None:
        self.count = 0  # of calls made
        self.silent_since: dict[str, float] = {}
        self._ask = ask
        self._under_way: dict[str, ray.ObjectRef[T]] = {}

    @property
    def open(self) -> list[ray.ObjectRef[T]]:
        """The calls that are under way."""
        return list(self._under_way.values())

    def drop(self, name: str) -> None:
        """Forget the call of an actor that another one has taken the place of."""
        self._under_way.pop(name, None)
        self.silent_since.pop(name, None)

    def some(self, names: Iterable[str], timeout_s: float, *, patient: bool = False) -> Replies[T]:
        """What comes within `timeout_s`. Actors that were silent the last time are waited for only if `patient`."""
        calls = {name: self._under_way.get(name) or self._call(name) for name in names}
        waited = [call for name, call in calls.items() if patient or name not in self.silent_since]
        ready: set[ray.ObjectRef[T]] = set()
        for refs, wait_s in ((waited, max(0.0, timeout_s)), (list(calls.values()), 0.0)):
            if refs:
                ready.update(ray.wait(refs, num_returns=len(refs), timeout=wait_s)[0])
        replies: Replies[T] = Replies({}, {}, {}, [])
        for name, call in calls.items():
            if call not in ready:
                replies.silent.append(name)
                continue
            del self._under_way[name]
            try:
                replies.found[name] = ray.get(call)
            except RayTaskError as error:
                replies.failed[name] = error
            except RayError as error:
                if is_gone(error):
                    replies.gone[name] = error
                else:
                    replies.silent.append(name)
        now = time.monotonic()
        self.silent_since = {name: self.silent_since.get(name, now) for name in replies.silent}
        return replies

    def all(
        self,
        names: Iterable[str],
        timeout_s: float,
        quiet_s: float = inf,
        look: Callable[[Replies[T]], object] = lambda replies: None,
    ) -> Replies[T]:
        """What comes of all within `timeout_s`, and within `quiet_s` after the last answer.

        An actor that could not be reached is asked again. `look` is shown what came so far, again and again; it may
        raise to end the waiting.
        """
        replies: Replies[T] = Replies({}, {}, {}, list(names))
        now = heard_at = time.monotonic()
        deadline = now + timeout_s
        while replies.silent and (left_s := min(deadline, heard_at + quiet_s) - now) > 0:
            new = self.some(replies.silent, min(STEP_S, left_s), patient=True)
            replies.found.update(new.found)
            replies.failed.update(new.failed)
            replies.gone.update(new.gone)
            now = time.monotonic()
            if len(new.silent) < len(replies.silent):
                heard_at = now
            replies = replies._replace(silent=new.silent)
            look(replies)
            if any(name not in self._under_way for name in replies.silent):
                time.sleep(PAUSE_S)
        return replies

    def _call(self, name: str) -> ray.ObjectRef[T]:
        self.count += 1
        call = self._under_way[name] = self._ask(name)
        return call

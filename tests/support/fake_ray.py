"""Ray, as far as the driver calls actors: answers stand ready or come later, and time passes only in a wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray import exceptions
from ray.exceptions import RayTaskError

UNREACHABLE = exceptions.ActorUnavailableError("network", None)
DEAD = exceptions.ActorDiedError()


def failed(cause: Exception) -> RayTaskError:
    """What Ray raises when a method raised `cause`: it is of both kinds."""
    error: RayTaskError = RayTaskError("method", "traceback", cause).as_instanceof_cause()
    return error


class Ref:
    """A call's answer; an exception is raised, None is still to come."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer


class FakeRay:
    """As much of Ray as `calls` uses. Time passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.coming: list[tuple[float, Ref, Any]] = []

    def wait(self, refs: list[Ref], num_returns: int, timeout: float) -> tuple[list[Ref], list[Ref]]:
        until = self.now + timeout
        while any(ref.answer is None for ref in refs) and self.now < until:
            self.sleep(min(0.1, until - self.now))
        ready = [ref for ref in refs if ref.answer is not None]
        return ready, [ref for ref in refs if ref.answer is None]

    def get(self, ref: Ref | list[Ref], timeout: float = 0.0) -> Any:
        if isinstance(ref, list):
            return [self.get(one) for one in ref]
        if ref.answer is None:
            raise exceptions.GetTimeoutError
        if isinstance(ref.answer, Exception):
            raise ref.answer
        return ref.answer

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at, ref, answer in self.coming:
            if at <= self.now + 1e-9:
                ref.answer = answer

    def monotonic(self) -> float:
        self.now += 1e-6  # no two moments are the same
        return self.now

    def later(self, seconds: float, answer: Any) -> Ref:
        ref = Ref(None)
        self.coming.append((self.now + seconds, ref, answer))
        return ref


class FakeActor:
    """An actor whose methods give these answers, one after another and the last again and again."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, method: str) -> FakeMethod:
        return FakeMethod(self, method)


class FakeMethod:
    """A method of an actor; an answer may be a function of the arguments."""

    def __init__(self, actor: FakeActor, name: str) -> None:
        self.actor, self.name = actor, name

    def remote(self, *args: Any) -> Ref:
        self.actor.calls.append((self.name, args))
        answers = self.actor.answers.get(self.name, [None])
        answer: Any = answers.pop(0) if len(answers) > 1 else answers[0]
        made = answer(*args) if isinstance(answer, Callable) else answer  # type: ignore[arg-type]
        return made if isinstance(made, Ref) else Ref(made)

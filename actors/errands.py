"""Errands: what an actor says to others by actor calls, and the answers that come back.

They carry what no link can: the talk with the tracker, and, with `--control actors`, the messages of links.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError, RpcError

from minibit.actors.names import NAMESPACE, actor_name
from minibit.events import TRACKER
from minibit.messages import Message

AGAIN_S = 1.0  # before an actor that is out of reach is called again


class Errands:
    """The actor calls of one member of a run. It must have an event loop that runs.

    answered  is called with the answer of the tracker
    failed    is called with what went wrong here; an actor that is gone is no fault
    tracker   its actor; without one, or once that is dead, the tracker is found by its name
    """

    def __init__(
        self,
        run: str,
        sender: str,
        answered: Callable[[Message], object],
        failed: Callable[[BaseException], object],
        tracker: Any = None,
    ) -> None:
        self.count = 0
        self._run = run
        self._sender = sender
        self._answered = answered
        self._failed = failed
        self._actors: dict[str, Any] = {} if tracker is None else {TRACKER: tracker}
        self._calls: set[asyncio.Task[None]] = set()

    def say(self, name: str, message: Message, number: int | None = None) -> None:
        """Say `message` to the actor of that name: the `number`th of a link, or, with None, what concerns the swarm."""
        self.count += 1
        task = asyncio.get_running_loop().create_task(self._say(name, message, number))
        self._calls.add(task)
        task.add_done_callback(self._said)

    async def close(self) -> None:
        """Wait for no answer any more."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _say(self, name: str, message: Message, number: int | None) -> None:
        def call() -> Awaitable[Any]:
            answer: Awaitable[Any] = getattr(actor, message.verb.lower()).remote(self._sender, message, number)
            return answer

        try:
            if (actor := self._actors.get(name)) is None:  # in a thread: it waits as long as there is no head
                actor = await asyncio.to_thread(ray.get_actor, actor_name(self._run, name), NAMESPACE)
                self._actors[name] = actor
            if number is None:
                answer = await call()
            else:  # all later ones wait for it over there
                answer = await reached(call)
        except (RayError, ValueError) as error:  # that actor is gone, or no actor has the name: the core asks again
            if isinstance(error, ActorDiedError):
                self._actors.pop(name, None)  # another one may be started under that name
            return
        if answer is not None:
            self._answered(answer)

    def _said(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)


async def reached(call: Callable[[], Awaitable[Any]]) -> Any:
    """The answer of an actor, called again as long as it is only out of reach."""
    while True:
        try:
            return await call()
        except (ActorUnavailableError, RpcError):
            await asyncio.sleep(AGAIN_S)

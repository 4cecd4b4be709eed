"""Errands: what an actor says to others by actor calls, and the answers that come back.

They carry what no link can: the talk with the tracker, and, with `--control actors`, the parcels of the post.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
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

    def say(self, name: str, message: Message) -> None:
        """Say `message`, which concerns the swarm, to the actor of that name."""
        task = asyncio.get_running_loop().create_task(self._say(name, message))
        self._calls.add(task)
        task.add_done_callback(self._said)

    async def carry(self, peer: str, parcel: bytes) -> bytes | None:
        """Take a parcel (`minibit.actors.post`) to another member, again as long as that is only out of reach.

        The answer; None if it is gone.
        """
        answer: bytes | None = await self._ask(peer, lambda actor: reached(partial(self._call, actor.parcel, parcel)))
        return answer

    async def close(self) -> None:
        """Wait for no answer any more."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _say(self, name: str, message: Message) -> None:
        verb = message.verb.lower()
        answer = await self._ask(name, lambda actor: self._call(getattr(actor, verb), message))
        if answer is not None:
            self._answered(answer)

    def _call(self, method: Any, *said: Any) -> Awaitable[Any]:
        self.count += 1
        answer: Awaitable[Any] = method.remote(self._sender, *said)
        return answer

    async def _ask(self, name: str, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        """What the actor of that name answers; None if it is gone, or no actor has the name: the core asks again."""
        try:
            if (actor := self._actors.get(name)) is None:  # in a thread: it waits as long as there is no head
                actor = await asyncio.to_thread(ray.get_actor, actor_name(self._run, name), NAMESPACE)
                self._actors[name] = actor
            return await ask(actor)
        except (RayError, ValueError) as error:
            if isinstance(error, ActorDiedError):
                self._actors.pop(name, None)  # another one may be started under that name
            return None

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

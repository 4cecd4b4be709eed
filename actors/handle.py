"""One actor of a swarm, in the hand of a person: its state, its mailbox, and messages told by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from minibit.errors import LocalError, MinibitError
from minibit.messages import Bloco, Message

LOOK_S = 10.0  # for an answer to a question of a person


class PeerHandle:
    """One actor of a swarm: `swarm[7]`, or `swarm["tracker"]`."""

    def __init__(self, name: str, actor: Any) -> None:
        self.name = name
        self.actor = actor

    def snapshot(self) -> dict[str, Any]:
        """The state of the peer, as plain values."""
        found: dict[str, Any] = self.ask("snapshot")
        return found

    def mailbox(self) -> dict[str, Any]:
        """Messages by verb, `in` and `out`, and the `last` ones."""
        found: dict[str, Any] = self.ask("mailbox")
        return found

    def peek(self, look: Callable[[Any], Any]) -> Any:
        """What `look` makes of the live `Peer`, over there."""
        return self.ask("peek", look)

    def tell(self, message: Message, sender: str = "notebook") -> None:
        """Put a message into the peer's mailbox, as if `sender` had said it."""
        if isinstance(message, Bloco):
            raise LocalError("a BLOCO comes with its bytes, so it comes by a link only: tell any other verb")
        self.ask(message.verb.lower(), sender, message)

    def ask(self, method: str, *args: Any) -> Any:
        """The answer of an actor method; `LocalError` when there is none."""
        try:
            return ray.get(getattr(self.actor, method).remote(*args), timeout=LOOK_S)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, MinibitError) else error) from None
        except RayActorError:
            raise LocalError(f"{self.name} is not there any more") from None
        except GetTimeoutError:
            raise LocalError(f"{self.name} gave no answer within {LOOK_S:g} s: try again") from None

    def __repr__(self) -> str:
        try:
            state = self.snapshot()
            return f"<{self.name}: {state['held']} of {state['blocks']} blocks, {len(state['neighbours'])} neighbours>"
        except Exception as error:
            return f"<{self.name}: {error}>"

"""One actor of a swarm as a user holds it: its state, its mailbox, and messages told by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import ray
from ray import cloudpickle
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from minibit.actors.driver import tables
from minibit.actors.driver.calls import Calls, is_gone
from minibit.actors.driver.shipping import by_value
from minibit.errors import LocalError, MinibitError, first_sentence
from minibit.messages import Bloco, Message

if TYPE_CHECKING:
    from minibit.actors.names import ActorHandle
    from minibit.mailbox import MailboxSnapshot
    from minibit.snapshots import PeerSnapshot

T = TypeVar("T")

ANSWER_S = 10.0  # for an actor to answer a user's question


class Answers(NamedTuple, Generic[T]):
    """The answers of the actors called `names`: `found` by name; `slow` are those that gave none in time, can't be
    reached or are not ready yet. Names in neither are gone."""

    names: list[str]
    found: dict[str, T]
    slow: list[str]


def ask_all(
    actors: Mapping[str, ActorHandle], ask: Callable[[ActorHandle], ray.ObjectRef[T]], timeout_s: float = ANSWER_S
) -> Answers[T]:
    """Ask all actors at once, and wait at most `timeout_s` for their answers."""
    asked = dict(actors)
    replies = Calls(lambda name: ask(asked[name])).some(asked, timeout_s)
    # one that failed: the live page has just added it, and it is not open yet
    return Answers(list(asked), replies.found, [*replies.silent, *replies.failed])


class PeerHandle:
    """One actor of a swarm: `swarm[7]`, or `swarm["tracker"]`."""

    def __init__(self, name: str, actor: ActorHandle, check_open: Callable[[], None]) -> None:
        """Use `swarm[7]`. `check_open` raises when the swarm is closed."""
        self.name = name
        self.actor = actor
        self._check_open = check_open

    def snapshot(self) -> PeerSnapshot:
        """The state of the peer. Tab completion lists its fields, also those of each of its `neighbours`."""
        state: PeerSnapshot = self.ask("snapshot")
        return state

    def mailbox(self) -> MailboxSnapshot:
        """Messages by verb, `incoming` and `outgoing`, and the `last` ones."""
        box: MailboxSnapshot = self.ask("mailbox")
        return box

    def peek(self, view: Callable[[Any], Any]) -> Any:
        """The result of `view(peer)`, run on the live `Peer` in its own process; what `view` raises is raised here."""
        self._check_open()
        by_value([str(getattr(view, "__module__", ""))])
        try:
            cloudpickle.dumps(view)  # type: ignore[no-untyped-call]  # before Ray does it, with a page of its own words
        except Exception as error:
            raise LocalError(f"the function can't travel to {self.name}: {first_sentence(error)}") from None
        return self.ask("peek", view)

    def tell(self, message: Message, sender: str = "notebook") -> None:
        """Put a message into the peer's mailbox, as if `sender` had sent it."""
        if not isinstance(message, Message):
            raise LocalError(f"{message!r} is no message: tell one of minibit.messages, e.g. Pedido(3)")
        if isinstance(message, Bloco):
            raise LocalError("a BLOCO comes with its bytes, so it comes by a link only: tell any other verb")
        self.ask(message.verb.lower(), sender, message)

    def ask(self, method: str, *args: Any) -> Any:
        """The answer of an actor method; `LocalError` when there is none."""
        self._check_open()
        try:
            return ray.get(getattr(self.actor, method).remote(*args), timeout=ANSWER_S)
        except RayTaskError as error:
            raise _raised_by(self.name, error) from None
        except GetTimeoutError:
            raise LocalError(f"{self.name} gave no answer within {ANSWER_S:g} s: try again") from None
        except RayError as error:
            why = (
                "is not there any more"
                if is_gone(error)
                else f"can't be asked now ({first_sentence(error)}): try again"
            )
            raise LocalError(f"{self.name} {why}") from None

    def __repr__(self) -> str:
        try:
            state = self.snapshot()
            return f"<{self.name}: {state.held} of {state.blocks} blocks, {len(state.neighbours)} neighbours>"
        except Exception as error:
            return f"<{self.name}: {error}>"

    def _repr_html_(self) -> str:
        try:
            return tables.peer_as_html(self.snapshot())
        except Exception as error:
            return tables.as_html(f"{self.name}: {error}", [])


def _raised_by(name: str, error: RayTaskError) -> Exception:
    """What an actor's method raised there, and where in the user's own code, without the frames of Ray and ours."""
    text = str(error).strip()
    if not isinstance(error.cause, Exception) or isinstance(error.cause, RayError):  # it could not travel
        return LocalError(f"{name} raised {text.splitlines()[-1]}")
    if not isinstance(error.cause, MinibitError):
        _, found, frames = text.partition(", in peek\n")
        lines = frames.splitlines()[2:-1]  # after the frame of `peek`, before the error itself
        if found and lines:
            error.cause.add_note("\n".join([f"in {name}:", *lines]))
    return error.cause

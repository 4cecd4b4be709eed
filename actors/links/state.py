"""The life of a link: its states, and the table of its moves."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """A link's life."""

    CONNECTING = "connecting"
    GREETING = "greeting"
    LINKED = "linked"
    CLOSED = "closed"


MOVES: dict[State, frozenset[State]] = {
    State.CONNECTING: frozenset({State.GREETING, State.CLOSED}),
    State.GREETING: frozenset({State.LINKED, State.CLOSED}),
    State.LINKED: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}

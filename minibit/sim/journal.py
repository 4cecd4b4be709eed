"""The journal of one simulated peer: everything that happened to it, so that it can be replayed alone to any moment.

A peer decides by its `Head` and its events, and by nothing else: a new peer that handles the same events at the same
times is the same peer. The file is JSON lines: the head, and then one line for each event, with exact times.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Annotated, Any, NamedTuple, get_args

import msgspec

from minibit import inventory
from minibit.behaviour import BEHAVIOURS
from minibit.content import VirtualContent
from minibit.errors import LocalError, RemoteError
from minibit.events import Effect, Event
from minibit.manifest import BLOCKS_MAX
from minibit.peer import Peer
from minibit.rules import Rules
from minibit.seat import Seat

Whole = Annotated[int, msgspec.Meta(ge=0)]


class Head(msgspec.Struct, frozen=True, kw_only=True, tag_field="file", tag="journal", forbid_unknown_fields=True):
    """All that makes a peer; `held` is the inventory that it joined with, as hex."""

    peer: str
    seed: int | str
    behaviour: str
    content_bytes: Whole
    block_bytes: Annotated[int, msgspec.Meta(ge=1)]
    held: str
    rules: Rules


class Entry(NamedTuple):
    """An event of the peer, and its time; None is a wake."""

    at_s: float
    event: Event | None


class Journal(msgspec.Struct):
    """One peer's head, and its entries in order of time."""

    head: Head
    entries: list[Entry] = []

    @classmethod
    def of(cls, peer: Peer, seed: int | str) -> Journal:
        """An empty journal for a peer that has handled no event yet; `seed` is what the peer was made with."""
        content = peer.content
        return cls(
            Head(
                peer=peer.name,
                seed=seed,
                behaviour=_name(type(peer.behaviour)),
                content_bytes=sum(map(content.length, range(content.block_count))),
                block_bytes=content.length(0) if content.block_count else 1,
                held=inventory.to_hex(peer.held),
                rules=peer.rules,
            )
        )

    @property
    def end_s(self) -> float:
        """The time of the last entry."""
        return self.entries[-1].at_s if self.entries else 0.0

    def newborn(self) -> Peer:
        """The peer as it was before its first event; `LocalError` when its strategies can't be loaded."""
        head = self.head
        content = VirtualContent("", head.content_bytes, head.block_bytes)
        held = inventory.from_hex(head.held, content.block_count)
        return Seat(name=head.peer, rules=head.rules, behaviour=head.behaviour).peer(content, head.seed, held)

    def encode(self) -> bytes:
        """The journal as the bytes of a file; it holds no payload of a block."""
        return _encoder.encode_lines([self.head, *map(_line, self.entries)])

    @classmethod
    def decode(cls, data: bytes) -> Journal:
        """The journal in the bytes of a file; `LocalError` names the line that is wrong."""
        first, *rest = data.splitlines() or [b""]
        try:
            journal = cls(msgspec.json.decode(first, type=Head))
            block_count = -(-journal.head.content_bytes // journal.head.block_bytes)
            if block_count > BLOCKS_MAX:
                raise LocalError(f"it is no journal of a peer: line 1: {block_count:,} blocks")
            inventory.from_hex(journal.head.held, block_count)
        except (*_BROKEN, RemoteError) as error:
            raise LocalError(f"it is no journal of a peer: line 1: {error}") from None
        for number, line in enumerate(rest, 2):
            try:
                entry = _entry(line)
            except _BROKEN as error:
                raise LocalError(f"the journal is broken: line {number}: {error}") from None
            if entry.at_s < journal.end_s:
                raise LocalError(f"the journal is broken: line {number}: {entry.at_s} s is before the line above")
            journal.entries.append(entry)
        return journal


Watch = Callable[[Peer, Entry, list[Effect]], object]


def replay(journal: Journal, until_s: float = inf, watch: Watch | None = None) -> Peer:
    """The peer as it was at `until_s`, after all events of that moment.

    `watch` is called after every entry with the peer and what it wanted done then.
    """
    peer = journal.newborn()
    for entry in journal.entries:
        at_s, event = entry
        if at_s > until_s:
            break
        effects = peer.wake(at_s) if event is None else peer.handle(event, at_s)
        if watch is not None:
            watch(peer, entry, effects)
    return peer


def _name(behaviour: type) -> str:
    """The name by which `strategies.behaviour` finds this class."""
    own = f"{behaviour.__module__}:{behaviour.__qualname__}"
    return next((name for name, known in BEHAVIOURS.items() if known is behaviour), own)


_encoder = msgspec.json.Encoder()
_EVENTS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Event)}
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _line(entry: Entry) -> list[Any]:
    at_s, event = entry
    return [at_s, "wake"] if event is None else [at_s, type(event).__name__, *msgspec.structs.astuple(event)]


def _entry(line: bytes) -> Entry:
    match msgspec.json.decode(line):
        case [float() as at_s, "wake"]:
            return Entry(at_s, None)
        case [float() as at_s, str() as kind, *facts] if kind in _EVENTS:
            return Entry(at_s, msgspec.convert(facts, _EVENTS[kind]))
    raise msgspec.ValidationError("expected a time, the name of an event, and what it says")

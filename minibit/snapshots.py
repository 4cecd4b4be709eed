"""What a peer shows of its state: frozen values, which travel between processes as they are.

In a notebook the fields of `swarm[7].snapshot()` are found by tab completion, and are shown one a line.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import msgspec

from minibit.inventory import to_hex

if TYPE_CHECKING:
    from minibit.neighbour import Neighbour
    from minibit.peer import Peer


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state of something at one moment."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How IPython shows it."""
        with printer.group(4, f"{type(self).__name__}(", ")"):
            for at, field in enumerate(self.__struct_fields__):
                printer.text("," if at else "")
                printer.breakable(" " if at else "")
                printer.text(f"{field}=")
                printer.pretty(getattr(self, field))


class NeighbourSnapshot(Snapshot, frozen=True, kw_only=True):
    """A neighbour as a peer sees it."""

    peer: str
    standing: str  # `known`, `dialling`, `linked`, `sharing` or `banned`
    host: str
    port: int
    held: int  # blocks that it holds, as far as the peer was told
    interesting: bool  # it holds blocks that the peer lacks
    interested: bool  # it lacks blocks that the peer holds
    serves_us: bool  # it answers a PEDIDO
    slot: str  # how the peer serves it: `fixed`, `guest` or `none`
    snubbed: bool  # it should have sent a block, and sent none for too long
    asked: tuple[int, ...]  # blocks that were asked of it and have not come
    wanted: tuple[int, ...]  # blocks that it asked for and has not got
    sending: int | None  # the block that is on its way to it
    blocks_in: int  # from it
    blocks_out: int  # to it
    gave_bps: float
    took_bps: float
    strikes: int  # blocks from it that had a wrong hash, and words that only the tracker may say
    failures: int  # dials that failed and links that ended, since a block last went by one
    trouble: str  # why the last of these ended
    since_s: float | None  # for how long it has been dialled or linked, or not linked any more; None: nothing was tried
    silent_s: float | None  # for how long no byte came of the blocks that were asked of it; None: all came

    @classmethod
    def of(cls, neighbour: Neighbour, held: int, missing: int, now: float) -> NeighbourSnapshot:
        """The neighbour at `now`, as a peer sees it that holds `held` and lacks `missing` (inventories)."""
        return cls(
            peer=neighbour.peer,
            standing=neighbour.standing.value,
            host=neighbour.address.host,
            port=neighbour.address.port,
            held=neighbour.theirs.bit_count(),
            interesting=bool(neighbour.theirs & missing),
            interested=bool(held & ~neighbour.theirs),
            serves_us=neighbour.serves_us,
            slot=neighbour.slot.value,
            snubbed=neighbour.snubbed_until > now,
            asked=tuple(sorted(neighbour.asked)),
            wanted=tuple(neighbour.wanted),
            sending=neighbour.sending,
            blocks_in=neighbour.blocks_in,
            blocks_out=neighbour.blocks_out,
            gave_bps=neighbour.gave.bps(now),
            took_bps=neighbour.took.bps(now),
            strikes=neighbour.strikes,
            failures=neighbour.failures,
            trouble=neighbour.trouble,
            since_s=now - neighbour.since if neighbour.since > -inf else None,
            silent_s=now - neighbour.heard_at if neighbour.asked or neighbour.late else None,
        )


class PeerSnapshot(Snapshot, frozen=True, kw_only=True):
    """The state of a peer."""

    at_s: float  # when, on the peer's own clock
    peer: str
    behaviour: str  # the name of its class
    blocks: int  # of the content
    held: int
    in_flight: tuple[int, ...]  # blocks that it has asked for
    complete: bool
    started: bool
    leaving: str | None  # why, if it leaves
    inventory: str  # the blocks that it holds, as hexadecimal digits: bit i is block i
    picker: str  # by its name as an option
    choker: str  # likewise
    round_s: float  # of the choker
    slots: int | None  # fixed ones; None if everybody is served
    guest_slots: int
    fixed: tuple[str, ...]  # the neighbours in fixed slots
    guests: dict[str, int]  # the neighbours in guest slots, and how many more rounds each keeps it
    neighbours: dict[str, NeighbourSnapshot]
    # of a real peer only
    host: str = ""
    port: int = 0
    pid: int = 0
    failure: str | None = None  # why it gave up by itself

    @classmethod
    def of(cls, peer: Peer, now: float) -> PeerSnapshot:
        """The peer at `now`."""
        held, missing, choker = peer.held, peer.missing, peer.choker
        return cls(
            at_s=now,
            peer=peer.name,
            behaviour=type(peer.behaviour).__name__,
            blocks=peer.content.block_count,
            held=held.bit_count(),
            in_flight=tuple(sorted(peer.pipeline.requesters)),
            complete=peer.complete,
            started=peer.started,
            leaving=peer.leaving,
            inventory=to_hex(held),
            picker=peer.rules.picker,
            choker=peer.rules.choker,
            round_s=peer.rules.round_s,
            slots=None if peer.uploads.slots is None else choker.slots,
            guest_slots=choker.guest_slots,
            fixed=tuple(choker.fixed),
            guests=dict(choker.guests),
            neighbours={
                name: NeighbourSnapshot.of(neighbour, held, missing, now)
                for name, neighbour in peer.contacts.known.items()
            },
        )

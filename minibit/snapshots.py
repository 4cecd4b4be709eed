"""What a peer shows of its state: frozen values, which travel between processes as they are.

In a notebook the fields of `swarm[7].snapshot()` are found by tab completion, and are shown one a line.
"""

from __future__ import annotations

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
    """A neighbour as a peer sees it.

    standing     `known`, `dialling`, `linked`, `sharing` or `banned`
    held         blocks that it holds, as far as it told
    interesting  it holds blocks that the peer lacks
    interested   it lacks blocks that the peer holds
    serves_us    it answers a PEDIDO
    slot         how the peer serves it: `fixed`, `guest` or `none`
    snubbed      it should have sent a block and sent none for too long
    asked        blocks that were asked of it and have not come
    wanted       blocks that it asked for and has not got; `sending` is the one on its way
    blocks_in    blocks that came from it, at `gave_bps` bytes a second
    blocks_out   blocks that went to it, at `took_bps` bytes a second
    strikes      blocks from it that had a wrong hash
    """

    peer: str
    standing: str
    host: str
    port: int
    held: int
    interesting: bool
    interested: bool
    serves_us: bool
    slot: str
    snubbed: bool
    asked: tuple[int, ...]
    wanted: tuple[int, ...]
    sending: int | None
    blocks_in: int
    blocks_out: int
    gave_bps: float
    took_bps: float
    strikes: int

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
        )


class PeerSnapshot(Snapshot, frozen=True, kw_only=True):
    """The state of a peer.

    at_s       when, in seconds of the peer's own clock
    behaviour  the name of its class
    blocks     how many blocks the content has
    held       how many of them the peer holds
    inventory  which ones, as hexadecimal digits: bit i is block i
    in_flight  blocks that it has asked for
    leaving    why it leaves, if it does
    choker     the name of its choker, which decides anew each `round_s` seconds
    fixed      the neighbours in its fixed slots; there are `slots` of them, or None where everybody is served
    guests     the neighbours in its `guest_slots`, each with the rounds that are left of its lease
    failure    why it gave up by itself, if it did; like `host`, `port` and `pid` it is known of a real peer only
    """

    at_s: float
    peer: str
    behaviour: str
    blocks: int
    held: int
    in_flight: tuple[int, ...]
    complete: bool
    started: bool
    leaving: str | None
    inventory: str
    choker: str
    round_s: float
    slots: int | None
    guest_slots: int
    fixed: tuple[str, ...]
    guests: dict[str, int]
    neighbours: dict[str, NeighbourSnapshot]
    host: str = ""
    port: int = 0
    pid: int = 0
    failure: str | None = None

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

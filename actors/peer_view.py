"""What the page of one peer shows of it, made in the peer's own process: `swarm[7].peek(peer_view.view)`.

So this room imports no more than a peer has anyway. It tells what is true of each neighbour, and the page makes the
letters of it (`minibit.lab.live.overview.letters`).
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from minibit import inventory
from minibit.messages import Bloco, Desligamento, Estoque, ListaPeers, Message, NovoPeer, Pedido, Registro
from minibit.neighbour import Neighbour, Slot
from minibit.peer import Peer

MOST_NAMED = 8  # blocks or peers, in one line


class ChokerView(msgspec.Struct, frozen=True):
    """The choker of a peer: whom it serves, and for how many more rounds each guest."""

    name: str
    round_s: float
    slots: int | None
    guest_slots: int
    fixed: tuple[str, ...]
    leases: tuple[tuple[str, int], ...]


class NeighbourView(msgspec.Struct, frozen=True):
    """A neighbour with a link or a ban: `share` is how much it holds, from 0 to 1; `flags` are those of `letters`."""

    peer: str
    flags: dict[str, bool]
    share: float
    down_bps: float
    up_bps: float
    blocks_in: int
    blocks_out: int
    asked: int
    wanted: int
    note: str


class PeerView(msgspec.Struct, frozen=True):
    """A peer at one moment; `now_s` is on its own clock, as are the times of its mailbox."""

    now_s: float
    inventory: str
    in_flight: tuple[int, ...]
    choker: ChokerView
    neighbours: tuple[NeighbourView, ...]


def view(peer: Peer) -> PeerView:
    """The peer as it is now."""
    now = time.monotonic()
    choker, rules = peer.choker, peer.rules
    known = [n for n in peer.contacts.known.values() if n.up or n.strikes]
    return PeerView(
        now_s=now,
        inventory=inventory.to_hex(peer.held),
        in_flight=tuple(sorted(peer.pipeline.requesters)),
        choker=ChokerView(
            name=rules.choker,
            round_s=rules.round_s,
            slots=None if peer.uploads.slots is None else choker.slots,
            guest_slots=choker.guest_slots,
            fixed=tuple(choker.fixed),
            leases=tuple(choker.guests.items()),
        ),
        neighbours=tuple(_row(peer, neighbour, now) for neighbour in sorted(known, key=lambda n: n.peer)),
    )


def _row(peer: Peer, neighbour: Neighbour, now: float) -> NeighbourView:
    blocks = peer.content.block_count
    held, theirs = peer.held, neighbour.theirs
    served = neighbour.slot is not Slot.NONE
    wanted, wants = bool(theirs & peer.missing), bool(held & ~theirs)
    bad = f"{neighbour.strikes} wrong blocks" if neighbour.strikes else ""
    state = neighbour.standing.value if not neighbour.up or neighbour.standing.value != "sharing" else ""
    return NeighbourView(
        peer=neighbour.peer,
        flags={
            "down": wanted and neighbour.serves_us,
            "choked": wanted,
            "up": wants and served,
            "choking": wants and neighbour.up,
            "guest": neighbour.slot is Slot.GUEST,
            "snubbed": neighbour.snubbed_until > now,
        },
        share=theirs.bit_count() / blocks if blocks else 1.0,
        down_bps=neighbour.gave.bps(now),
        up_bps=neighbour.took.bps(now),
        blocks_in=neighbour.blocks_in,
        blocks_out=neighbour.blocks_out,
        asked=len(neighbour.asked),
        wanted=len(neighbour.wanted),
        note=", ".join(part for part in (state, bad) if part),
    )


def in_words(message: Message) -> str:
    """A message in one short line."""
    match message:
        case Pedido(block) | Bloco(block):
            said = f"block {block}"
        case Estoque(whole, new):
            everything = "" if whole is None else "whole"
            said = " and ".join(part for part in (everything, _some("block ", new)) if part)
        case NovoPeer(peers) | ListaPeers(peers):
            said = _some("", [one.peer for one in peers]) or "nobody"
        case Registro():
            said = message.peer
        case Desligamento():
            said = message.why
        case _:
            said = ""
    return f"{message.verb} {said}".strip()


def _some(before: str, many: Any) -> str:
    more = f" and {len(many) - MOST_NAMED} more" if len(many) > MOST_NAMED else ""
    return f"{before}{', '.join(map(str, many[:MOST_NAMED]))}{more}" if many else ""

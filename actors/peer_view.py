"""What the page of one peer shows of it, looked at in the peer's own process: `swarm[7].peek(look.view)`.

It imports no more than a peer has anyway, for it is run there. So it says what is true of each neighbour, and the page
makes the letters of it (`minibit.lab.live.overview.letters`).
"""

from __future__ import annotations

import time
from typing import Any

from minibit import inventory
from minibit.neighbour import Neighbour, Slot
from minibit.peer import Peer


def view(peer: Peer) -> dict[str, Any]:
    """The peer as plain values: its inventory, its choker, a row for each neighbour with a link or a ban."""
    now = time.monotonic()
    choker, rules = peer.choker, peer.rules
    known = [n for n in peer.contacts.known.values() if n.up or n.strikes]
    return {
        "now_s": now,
        "inventory": inventory.to_hex(peer.held),
        "in_flight": sorted(peer.pipeline.requesters),
        "choker": {
            "name": rules.choker,
            "round_s": rules.round_s,
            "slots": None if peer.uploads.slots is None else choker.slots,
            "guest_slots": choker.guest_slots,
            "fixed": list(choker.fixed),
            "leases": list(choker.guests.items()),
        },
        "neighbours": [_row(peer, neighbour, now) for neighbour in sorted(known, key=lambda n: n.peer)],
    }


def _row(peer: Peer, neighbour: Neighbour, now: float) -> dict[str, Any]:
    blocks = peer.content.block_count
    held, theirs = peer.held, neighbour.theirs
    served = neighbour.slot is not Slot.NONE
    wanted, wants = bool(theirs & peer.missing), bool(held & ~theirs)
    bad = f"{neighbour.strikes} wrong blocks" if neighbour.strikes else ""
    state = neighbour.standing.value if not neighbour.up or neighbour.standing.value != "sharing" else ""
    return {
        "peer": neighbour.peer,
        "flags": {
            "down": wanted and neighbour.serves_us,
            "choked": wanted,
            "up": wants and served,
            "choking": wants and neighbour.up,
            "guest": neighbour.slot is Slot.GUEST,
            "snubbed": neighbour.snubbed_until > now,
        },
        "share": theirs.bit_count() / blocks if blocks else 1.0,
        "down_bps": neighbour.gave.bps(now),
        "up_bps": neighbour.took.bps(now),
        "blocks_in": neighbour.blocks_in,
        "blocks_out": neighbour.blocks_out,
        "asked": len(neighbour.asked),
        "wanted": len(neighbour.wanted),
        "note": ", ".join(part for part in (state, bad) if part),
    }

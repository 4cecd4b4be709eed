"""The rules that a swarm plays by, and the presets that name whole sets of them."""

from __future__ import annotations

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a `Peer` and a `Tracker` decide by, beside the content and chance.

    picker, choker    names of strategies (`rarest-first`), or `module:Class`
    slots, guests     neighbours served at once: for their merit, and by chance
    round_s           seconds between two choker rounds
    guest_rounds      rounds that a guest keeps its slot, whatever it gives
    neighbours        most links of one peer; also most addresses in one LISTA_PEERS
    leave             `never`, or `complete`: a peer leaves once it has every block
    announce_s        seconds for which news of the inventory is gathered into one ESTOQUE
    request_timeout_s seconds without a byte from a neighbour after which its PEDIDOs are asked elsewhere
    pipeline          most open PEDIDOs to one neighbour
    tracker_s         seconds between two REGISTROs of a peer that lives; silent for three, it is forgotten
    retry_s           first pause before the tracker, or an address that failed, is tried again; it doubles
    """

    picker: str = "rarest-first"
    choker: str = "tit-for-tat"
    slots: int = 4
    guests: int = 1
    round_s: float = 10.0
    guest_rounds: int = 3
    neighbours: int = 20
    leave: str = "never"
    announce_s: float = 0.1
    request_timeout_s: float = 30.0
    pipeline: int = 64
    tracker_s: float = 30.0
    retry_s: float = 1.0


PRESETS: dict[str, dict[str, str | int | float]] = {
    # the original's: slots by rarity held, since rates were thought impossible to measure on one machine
    "classic": {
        "block_size": "32KiB",
        "hash": "sha256",
        "picker": "rarest-first",
        "choker": "rarity",
        "slots": 4,
        "guests": 1,
        "round": "10s",
        "guest_rounds": 1,
        "initial": "0.1+1",
        "leave": "complete",
    },
    # what we would do anyway, said aloud: it stays when the defaults move
    "bittorrent": {
        "picker": "rarest-first",
        "choker": "tit-for-tat",
        "slots": 4,
        "guests": 1,
        "round": "10s",
        "guest_rounds": 3,
        "neighbours": 20,
    },
    # a fast network is bound by processors, so: few blocks, few messages, few links busy at once
    "lan": {
        "block_scale": 16,
        "slots": 4,
        "guests": 1,
        "round": "2s",
        "announce": "500ms",
        "request_timeout": "10s",
    },
}
"""Options by the names and in the units of the command line; what is given beside a preset wins."""

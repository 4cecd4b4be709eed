"""The rules that a swarm plays by, and the presets that name whole sets of them."""

from __future__ import annotations

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a `Peer` and a `Tracker` decide by, beside the content and chance."""

    picker: str = "rarest-first"  # the name of a strategy, or `module:Class`
    choker: str = "tit-for-tat"  # likewise
    slots: int = 4  # neighbours served at once for their merit
    guests: int = 1  # neighbours served at once by chance
    round_s: float = 10.0  # between two choker rounds
    guest_rounds: int = 3  # rounds that a guest keeps its slot, whatever it gives
    neighbours: int = 20  # most links of one peer; also most addresses in one LISTA_PEERS
    economy: str = "on"  # or `off`: neighbours share the uplink, and a seed gives what it is asked for
    leave: str = "never"  # or `complete`: a peer leaves once it has every block
    announce_s: float | None = None  # for this long, news is gathered into one ESTOQUE; None: by what messages cost
    request_timeout_s: float = 30.0  # without a byte from a neighbour, after which its PEDIDOs are asked elsewhere
    pipeline: int = 64  # most open PEDIDOs to one neighbour
    tracker_s: float = 30.0  # between two REGISTROs of a peer that lives; silent for three, it is forgotten
    retry_s: float = 1.0  # first pause before the tracker, or an address that failed, is tried again; it doubles


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
        "economy": "off",
        "announce": "100ms",
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
        "economy": "off",
        "announce": "100ms",
    },
    "lan": {},  # the defaults fit a fast network too, since they go by what they see
}
"""Options by the names and in the units of the command line; what is given beside a preset wins."""

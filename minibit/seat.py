"""A seat: one member of a swarm as it is planned, before any world makes a peer of it.

A seat is plain data (strategies stand in it by name), so it travels to another process as it is. `minibit.run.seating`
plans the seats of a run; the simulation and the actors make the same `Peer` from the same seat.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import msgspec

from minibit import inventory, strategies
from minibit.content import Content
from minibit.errors import LocalError
from minibit.peer import Peer
from minibit.rules import Rules


class Initial(NamedTuple):
    """What each peer starts with: a share of the blocks, picked at random, and so many blocks beside it."""

    share: float = 0.0
    blocks: int = 0

    def count(self, block_count: int) -> int:
        """How many of `block_count` blocks that is; the share is rounded down."""
        share = int(self.share * block_count + 1e-9)  # 0.29 of 100 is 28.999999999999996
        return min(block_count, share + self.blocks)


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """One member of a swarm."""

    name: str  # `peer-07`; the seed that lives with the tracker is called as the tracker is
    rules: Rules = Rules()  # what it decides by, with its own picker and choker
    behaviour: str = "honest"
    class_name: str | None = None  # its class in a scenario, or its team; None: it has none
    picker: str | None = None  # the name of one of its own; None: that of the swarm
    choker: str | None = None  # likewise
    upload_bps: float | None = None  # its limit, its behaviour's own included; None: no limit
    download_bps: float | None = None  # likewise
    initial: Initial = Initial()
    lacks: tuple[int, ...] | None = None  # the only blocks that it lacks at the start; None: as `initial` says
    arrives_s: float = 0.0  # after the start of the run
    stay_s: float | None = None  # after its completion; then it leaves. None: as its rules say
    seeds: bool = False  # it has the whole content from the start, and never leaves by itself

    def held(self, block_count: int, seed: int | str) -> int:
        """The inventory that it starts with, of so many blocks; `seed` is that of the run."""
        everything = inventory.full(block_count)
        if self.seeds:
            return everything
        if self.lacks is not None:
            if self.lacks and max(self.lacks) >= block_count:
                raise LocalError(
                    f"classes: {self.class_name!r} lacks block {max(self.lacks)}, and there are {block_count}, "
                    "counted from 0"
                )
            return everything & ~inventory.of(self.lacks)
        if not (count := self.initial.count(block_count)):
            return inventory.EMPTY
        return inventory.of(Random(f"{seed}/{self.name}/initial").sample(range(block_count), count))

    def peer(self, content: Content, seed: int | str, held: int, known: int | None = None) -> Peer:
        """Its peer, which holds these blocks and knows the digests of those (inventories); None: of all.

        `LocalError` when a strategy can't be had.
        """
        rules = self.rules
        if self.seeds or self.stay_s is not None:
            rules = msgspec.structs.replace(rules, leave="never")
        behaviour = strategies.behaviour(self.behaviour)()
        return Peer(self.name, content, rules, seed, held=held, known=known, behaviour=behaviour)


def peer_name(number: int, peers: int) -> str:
    """The name of the `number`th peer, counted from 1, in a swarm that starts with so many."""
    return f"peer-{number:0{max(2, len(str(peers)))}}"


def number_of(name: str) -> int | None:
    """The number in the name of a peer; None for a name without one, as the tracker's."""
    number = name.rpartition("-")[2]
    return int(number) if number.isdigit() else None


def lowest(*rates_bps: float | None) -> float | None:
    """The limit that binds among several; None is no limit."""
    return min((rate for rate in rates_bps if rate is not None), default=None)

"""What a peer shows of its state: frozen values, which travel between processes as they are.

In a notebook the fields of `swarm[7].snapshot()` are found by tab completion, and are shown one a line.
"""

from __future__ import annotations

from typing import Any

import msgspec


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

    standing   `known`, `dialling`, `linked`, `sharing` or `banned`
    held       blocks that it holds, as far as it told
    serves_us  whether it would answer a PEDIDO
    slot       how the peer serves it: `fixed`, `guest` or `none`
    asked      blocks that were asked of it and have not come
    wanted     blocks that it asked for and has not got; `sending` is the one on its way
    blocks_in  blocks that came from it; `blocks_out` went to it
    strikes    blocks of its that had a wrong hash
    """

    peer: str
    standing: str
    host: str
    port: int
    held: int
    serves_us: bool
    slot: str
    asked: tuple[int, ...]
    wanted: tuple[int, ...]
    sending: int | None
    blocks_in: int
    blocks_out: int
    strikes: int


class PeerSnapshot(Snapshot, frozen=True, kw_only=True):
    """The state of a peer.

    behaviour  the name of its class
    blocks     how many blocks the content has; it holds `held` of them
    inventory  which ones, as hexadecimal digits: bit i is block i
    in_flight  blocks that it has asked for
    leaving    why it leaves, if it does
    fixed      the neighbours in its fixed slots
    guests     the neighbours in its guest slots, each with the rounds that are left of its lease
    failure    why it gave up by itself, if it did; like `host`, `port` and `pid` it is known of a real peer only
    """

    peer: str
    behaviour: str
    blocks: int
    held: int
    in_flight: tuple[int, ...]
    complete: bool
    started: bool
    leaving: str | None
    inventory: str
    fixed: tuple[str, ...]
    guests: dict[str, int]
    neighbours: dict[str, NeighbourSnapshot]
    host: str = ""
    port: int = 0
    pid: int = 0
    failure: str | None = None

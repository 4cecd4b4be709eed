"""What peers note while a swarm runs: the rows of every table, real and simulated alike.

A record says when it happened (`at_s`, seconds on the run's time axis: 0 is the first PEDIDO allowed) and to
which `peer`. Peers note times of their own clock; the driver moves them to the run's axis with `shifted`.
Records travel in batches of MessagePack, because an actor call costs as much as a megabyte of blocks. The
fields of a record are the columns of its table, in this order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec


class Noted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all records."""

    at_s: float
    peer: str


class BlockRecord(Noted, frozen=True, tag="block"):
    """The last byte of a block arrived at `peer`."""

    block: int  # its index, from 0
    source: str  # the neighbour that sent it
    took_s: float  # from the PEDIDO to the last byte
    verdict: Literal["useful", "double", "rejected"]  # `double`: it was held already; `rejected`: its hash is wrong
    bytes: int  # its payload


class ServingRecord(Noted, frozen=True, tag="serving"):
    """From now on `peer` serves `neighbour` in this slot: `fixed`, `guest`, or `none` (no longer)."""

    neighbour: str
    slot: Literal["fixed", "guest", "none"]


class PeerRecord(Noted, frozen=True, tag="peer"):
    """Something happened in the life of `peer`; `why` gives the reason where something went wrong.

    started    it may ask for blocks
    completed  it holds every block
    left       it said DESLIGAMENTO
    died       it was gone without DESLIGAMENTO
    banned     a neighbour refuses it, because of the wrong blocks that it sent
    failed     it gave up by itself (its disk is full, its code is broken)
    damaged    a block of the content that it shares is not what it was; it goes on with the others
    added, killed, limited
               the user did that by hand while the swarm ran (`BY_HAND`)
    """

    event: Literal["started", "completed", "left", "died", "banned", "failed", "damaged", "added", "killed", "limited"]
    why: str = ""


class SampleRecord(Noted, frozen=True, tag="sample"):
    """How far `peer` has come; its bytes are counted since it started."""

    held: int  # blocks
    in_flight: int  # blocks that it has asked for and not received
    neighbours: int  # its links
    served: int  # neighbours that it serves now
    sent_bytes: int  # of blocks
    received_bytes: int  # of blocks
    control_bytes: int  # all other bytes that it has sent on its links: headers and messages


class LinkRecord(Noted, frozen=True, tag="link"):
    """`peer` came to know `neighbour`, or their link began or ended. Each of the two notes what it sees.

    listed     a LISTA_PEERS named it
    announced  a NOVO_PEER named it
    linked     the link stands
    lost       the link is gone
    """

    neighbour: str
    event: Literal["listed", "announced", "linked", "lost"]


BY_HAND = ("added", "killed", "limited")  # noted by the driver, and not by a peer

Record = BlockRecord | ServingRecord | PeerRecord | SampleRecord | LinkRecord

TABLES: dict[str, type[Record]] = {
    "blocks": BlockRecord,
    "peers": PeerRecord,
    "serving": ServingRecord,
    "samples": SampleRecord,
    "links": LinkRecord,
}

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[Record]] = msgspec.msgpack.Decoder(list[Record])


def encode(records: Iterable[Record]) -> bytes:
    """A batch of records, as MessagePack."""
    return _encoder.encode(list(records))


def decode(batch: bytes) -> list[Record]:
    """The records of a batch; `msgspec.MsgspecError` when `batch` is not one."""
    return _decoder.decode(batch)


def shifted(record: Record, offset_s: float) -> Record:
    """The same record, `offset_s` seconds later on the time axis."""
    return msgspec.structs.replace(record, at_s=record.at_s + offset_s)

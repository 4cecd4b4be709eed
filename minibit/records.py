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


class BlockRecord(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="block"):
    """A block arrived at `peer`.

    at_s      seconds on the run's axis at which its last byte was there
    peer      the peer that received it
    block     its index, from 0
    source    the neighbour that sent it
    took_s    seconds from the PEDIDO to the last byte
    verdict   `useful`, `double` (held already) or `rejected` (its hash is wrong)
    bytes     its payload
    """

    at_s: float
    peer: str
    block: int
    source: str
    took_s: float
    verdict: Literal["useful", "double", "rejected"]
    bytes: int


class ServingRecord(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="serving"):
    """From now on `peer` serves `neighbour` in this slot: `fixed`, `guest`, or `none` (no longer)."""

    at_s: float
    peer: str
    neighbour: str
    slot: Literal["fixed", "guest", "none"]


class PeerRecord(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="peer"):
    """Something happened in the life of `peer`; `why` gives the reason where something went wrong.

    started    it may ask for blocks
    completed  it holds every block
    left       it said DESLIGAMENTO
    died       it was gone without DESLIGAMENTO
    banned     a neighbour refuses it, because of the wrong blocks that it sent
    failed     it gave up by itself (its disk is full, its code is broken)
    """

    at_s: float
    peer: str
    event: Literal["started", "completed", "left", "died", "banned", "failed"]
    why: str = ""


class SampleRecord(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="sample"):
    """How far `peer` has come.

    at_s            seconds on the run's axis
    held            blocks it holds
    in_flight       blocks it has asked for and not received
    neighbours      its links
    served          neighbours that it serves now
    sent_bytes      bytes of blocks that it has sent since it started
    received_bytes  bytes of blocks that it has received since it started
    control_bytes   all other bytes that it has sent on its links: headers and messages
    """

    at_s: float
    peer: str
    held: int
    in_flight: int
    neighbours: int
    served: int
    sent_bytes: int
    received_bytes: int
    control_bytes: int


class LinkRecord(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="link"):
    """`peer` came to know `neighbour`, or their link began or ended. Each of the two notes what it sees.

    listed     a LISTA_PEERS named it
    announced  a NOVO_PEER named it
    linked     the link stands
    lost       the link is gone
    """

    at_s: float
    peer: str
    neighbour: str
    event: Literal["listed", "announced", "linked", "lost"]


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

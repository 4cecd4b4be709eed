"""Measures of a run that follow from its records alone, for real and simulated runs alike.

Each measure is defined once: here, or in minibit/lab/derived.py where it needs whole tables. The functions take records
in the order of time, as a ledger or a run's folder gives them. Bytes are payload that arrived, wanted or not. A block
counts when it is whole. docs/paper-checks.md says what a measure is worth comparing with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from math import ceil, inf
from typing import NamedTuple

from minibit import inventory
from minibit.records import BlockRecord, PeerRecord, Record

# payload between peers


def bytes_between(records: Iterable[Record]) -> Counter[tuple[str, str]]:
    """Bytes that went from one peer to another, by (source, target)."""
    sent: Counter[tuple[str, str]] = Counter()
    for record in records:
        if isinstance(record, BlockRecord):
            sent[record.source, record.peer] += record.bytes
    return sent


def reciprocity(between: Mapping[tuple[str, str], int], peers: Container[str]) -> float:
    """`2 sum min(B_ij, B_ji) / sum (B_ij + B_ji)` over pairs of `peers`: 1 if both peers of each pair gave as much.

    0 if all bytes went one way, or none went between them.
    """
    returned, moved = _returned(between, peers)
    return returned.total() / moved.total() if moved else 0.0


def reciprocities(between: Mapping[tuple[str, str], int], peers: Container[str]) -> dict[str, float]:
    """The same for the pairs of each peer. A peer that exchanged nothing with `peers` has none."""
    returned, moved = _returned(between, peers)
    return {peer: returned[peer] / moved[peer] for peer in moved}


def _returned(between: Mapping[tuple[str, str], int], peers: Container[str]) -> tuple[Counter[str], Counter[str]]:
    """By peer: the bytes that it and its partners gave each other in return, and all that moved between them."""
    returned: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for (source, target), size_bytes in between.items():
        if source in peers and target in peers and size_bytes:
            back_bytes = min(size_bytes, between.get((target, source), 0))
            for peer in (source, target):
                returned[peer] += back_bytes
                moved[peer] += size_bytes
    return returned, moved


def class_shares(between: Mapping[tuple[str, str], int], class_of: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """By (class, class): the share of the bytes sent by the first class that went to the second.

    Only bytes between peers of `class_of` count, so the shares of a sender's class add up to 1. The share of a
    class with itself is its *own-class share*: with as many peers in each of three classes, chance gives a third.
    (A. Legout, N. Liogkas, E. Kohler and L. Zhang, "Clustering and sharing incentives in BitTorrent systems",
    SIGMETRICS 2007.)
    """
    sent: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    for (source, target), size_bytes in between.items():
        if source in class_of and target in class_of:
            sent[class_of[source], class_of[target]] += size_bytes
            totals[class_of[source]] += size_bytes
    classes = sorted(totals)
    return {(giver, taker): sent[giver, taker] / totals[giver] for giver in classes for taker in classes}


# uplinks and the time in which they could be used


class Presence(NamedTuple):
    """When a peer started, was complete and was gone (left, died or failed), in seconds; infinite for never."""

    started_s: float = inf
    completed_s: float = inf
    gone_s: float = inf


_MOMENTS = {"started": "started_s", "completed": "completed_s", "left": "gone_s", "died": "gone_s", "failed": "gone_s"}


def presences(records: Iterable[Record]) -> dict[str, Presence]:
    """The presence of each peer, by name. Only the first event of each kind counts."""
    found: dict[str, dict[str, float]] = {}
    for record in records:
        if isinstance(record, PeerRecord) and (moment := _MOMENTS.get(record.event)):
            found.setdefault(record.peer, {}).setdefault(moment, record.at_s)
    return {peer: Presence(**moments) for peer, moments in found.items()}


def upload_utilisation(
    records: Sequence[Record], uplinks_bps: Mapping[str, float], end_s: float, *, incomplete: bool = False
) -> float:
    """Bytes sent / sum of (uplink x presence), until `end_s`, over the peers that have an uplink in `uplinks_bps`.

    `incomplete`: count only what each peer sent, and could have sent, before it was complete.
    """
    until_s: dict[str, float] = {}
    could = 0.0
    for peer, presence in presences(records).items():
        if peer in uplinks_bps:
            until_s[peer] = min(end_s, presence.gone_s, presence.completed_s if incomplete else inf)
            could += uplinks_bps[peer] * max(0.0, until_s[peer] - presence.started_s)
    return _sent_bytes(records, until_s) / could if could else 0.0


def _sent_bytes(records: Iterable[Record], until_s: Mapping[str, float]) -> int:
    """What these peers had sent, each until its time."""
    return sum(
        record.bytes
        for record in records
        if isinstance(record, BlockRecord) and record.at_s <= until_s.get(record.source, -inf)
    )


# copies


def spread_s(records: Iterable[Record], block_count: int) -> float:
    """When the last block had come to some peer, in seconds; infinite if never. Then (z = 0) no peer needs the seed."""
    missing = inventory.full(block_count)
    for record in records:
        if isinstance(record, BlockRecord) and record.verdict == "useful":
            missing &= ~(1 << record.block)
            if not missing:
                return record.at_s
    return inf


def seed_copies(records: Iterable[Record], seed: str, content_bytes: int, until_s: float = inf) -> float:
    """Bytes that the seed had sent until `until_s` / the bytes of the content. At `spread_s` it is 1 at least."""
    return _sent_bytes(records, {seed: until_s}) / content_bytes


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The smallest of the values that `percent` of them do not exceed."""
    return ascending[max(0, ceil(percent / 100 * len(ascending)) - 1)]

"""Measures of a run, each defined once: from its records, for real and simulated runs alike.

All are pure functions of records in the order of time, as a ledger or a run's folder gives them. Bytes are payload
that arrived, wanted or not; a block counts when it is whole. What a measure is worth comparing with stands in
docs/paper-checks.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import combinations
from math import ceil, inf
from typing import NamedTuple

from minibit import inventory
from minibit.records import BlockRecord, PeerRecord, Record

# who gave what to whom


def bytes_between(records: Iterable[Record]) -> Counter[tuple[str, str]]:
    """Bytes that went from one peer to another, by (source, target)."""
    sent: Counter[tuple[str, str]] = Counter()
    for record in records:
        if isinstance(record, BlockRecord):
            sent[record.source, record.peer] += record.bytes
    return sent


def share_ratios(between: Mapping[tuple[str, str], int]) -> dict[str, float]:
    """`up / down` of each peer: 1 for who gave as much as it got, infinite for who got nothing."""
    up: Counter[str] = Counter()
    down: Counter[str] = Counter()
    for (source, target), size_bytes in between.items():
        up[source] += size_bytes
        down[target] += size_bytes
    return {peer: up[peer] / down[peer] if down[peer] else inf for peer in sorted(up | down)}


def reciprocity(between: Mapping[tuple[str, str], int], peers: Container[str]) -> float:
    """`2 sum min(B_ij, B_ji) / sum (B_ij + B_ji)` over pairs of `peers`: 1 if each got back from each what it gave it.

    0 if all went one way, or nothing went between them.
    """
    pairs: defaultdict[frozenset[str], list[int]] = defaultdict(list)
    for (source, target), size_bytes in between.items():
        if source in peers and target in peers:
            pairs[frozenset((source, target))].append(size_bytes)
    returned = sum(min(both) for both in pairs.values() if len(both) == 2)
    moved = sum(map(sum, pairs.values()))
    return 2 * returned / moved if moved else 0.0


def class_shares(between: Mapping[tuple[str, str], int], class_of: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """By (class, class): the share of what the first sent that went to the second.

    Only what went between peers of `class_of` counts, so the shares of one sender's class add up to 1. The share of a
    class with itself is its *own-class share*: with as many peers in each of three classes, chance gives a third.
    (A. Legout, N. Liogkas, E. Kohler and L. Zhang, "Clustering and sharing incentives in BitTorrent systems",
    SIGMETRICS 2007.)
    """
    sent: Counter[tuple[str, str]] = Counter()
    for (source, target), size_bytes in between.items():
        if source in class_of and target in class_of:
            sent[class_of[source], class_of[target]] += size_bytes
    totals: Counter[str] = Counter()
    for (giver, _), size_bytes in sent.items():
        totals[giver] += size_bytes
    classes = sorted(totals)
    return {(giver, taker): sent[giver, taker] / totals[giver] for giver in classes for taker in classes}


# uplinks and the time in which they could be used


class Presence(NamedTuple):
    """When a peer was there, in seconds: from its start until it left or died; infinite for what didn't happen."""

    started_s: float
    completed_s: float
    gone_s: float


def presences(records: Iterable[Record]) -> dict[str, Presence]:
    """When each peer was there, by name."""
    found: dict[str, Presence] = {}
    for record in records:
        if isinstance(record, PeerRecord):
            match record.event:
                case "started":
                    found[record.peer] = Presence(record.at_s, inf, inf)
                case "completed" if record.peer in found:
                    found[record.peer] = found[record.peer]._replace(completed_s=record.at_s)
                case "left" | "died" | "failed" if record.peer in found and found[record.peer].gone_s == inf:
                    found[record.peer] = found[record.peer]._replace(gone_s=record.at_s)
    return found


def upload_utilisation(
    records: Sequence[Record], uplinks_bps: Mapping[str, float], end_s: float, *, incomplete: bool = False
) -> float:
    """Bytes sent / sum of (uplink x presence), until `end_s`, over the peers that have an uplink in `uplinks_bps`.

    `incomplete`: only what each sent, and could have sent, before it was complete.
    """
    until_s: dict[str, float] = {}
    could = 0.0
    for peer, presence in presences(records).items():
        if peer in uplinks_bps:
            until_s[peer] = min(end_s, presence.gone_s, presence.completed_s if incomplete else inf)
            could += uplinks_bps[peer] * max(0.0, until_s[peer] - presence.started_s)
    sent_bytes = sum(
        record.bytes
        for record in records
        if isinstance(record, BlockRecord) and record.at_s <= until_s.get(record.source, -inf)
    )
    return sent_bytes / could if could else 0.0


# copies


class Copies(NamedTuple):
    """How many peers held a block at `at_s`: of all blocks the fewest, the mean and the most, and how many blocks
    nobody held beside the seed."""

    at_s: float
    least: int
    mean: float
    most: int
    alone: int


def availability(records: Iterable[Record], block_count: int, seed: str, every_s: float) -> list[Copies]:
    """The copies of each block among all peers but the seed, every so often, from 0 until the last record.

    Copies go with who leaves or dies. What peers held at the start is not in the records, so it doesn't count.
    """
    counts = [0] * block_count
    held: defaultdict[str, int] = defaultdict(int)
    found: list[Copies] = []

    def look_until(at_s: float) -> None:
        while len(found) * every_s < at_s:
            mean = sum(counts) / block_count
            found.append(Copies(len(found) * every_s, min(counts), mean, max(counts), counts.count(0)))

    for record in records:
        look_until(record.at_s)
        if isinstance(record, BlockRecord):
            if record.verdict == "useful" and record.peer != seed:
                held[record.peer] |= 1 << record.block
                counts[record.block] += 1
        elif isinstance(record, PeerRecord) and record.event in ("left", "died"):
            for block in inventory.indices(held.pop(record.peer, inventory.EMPTY)):
                counts[block] -= 1
    return found


def spread_s(records: Iterable[Record], block_count: int) -> float:
    """When the last block had come to anybody: from then on (z = 0) the seed isn't needed; infinite if never."""
    missing = inventory.full(block_count)
    for record in records:
        if isinstance(record, BlockRecord) and record.verdict == "useful":
            missing &= ~(1 << record.block)
            if not missing:
                return record.at_s
    return inf


def seed_copies(records: Iterable[Record], seed: str, content_bytes: int, until_s: float = inf) -> float:
    """Bytes that the seed had sent until then / the bytes of the content. At `spread_s` 1 is the least possible."""
    sent_bytes = sum(
        record.bytes
        for record in records
        if isinstance(record, BlockRecord) and record.source == seed and record.at_s <= until_s
    )
    return sent_bytes / content_bytes


def interest(records: Sequence[Record], peers: Sequence[str], end_s: float) -> list[float]:
    """For each ordered pair of peers, in ascending order: the share of their time in which one wants the other's
    blocks.

    Their time is when both are there and neither is complete; pairs without such a time have no share. Everybody is
    taken for everybody's neighbour. Near 1 for most pairs: choking chooses whom a peer trades with, not the lack of
    anything to trade. (The a/b of A. Legout, G. Urvoy-Keller and P. Michiardi, "Rarest first and choke algorithms are
    enough", IMC 2006.)
    """
    presence = presences(records)
    held = dict.fromkeys(peers, inventory.EMPTY)
    there: set[str] = set()
    since_s: dict[tuple[str, str], float] = {}  # pairs in which the first wants something of the second now
    wanted_s: defaultdict[tuple[str, str], float] = defaultdict(float)

    def look(one: str, other: str, now: float) -> None:
        wants = one in there and other in there and bool(held[other] & ~held[one])
        if wants and (one, other) not in since_s:
            since_s[one, other] = now
        elif not wants and (one, other) in since_s:
            wanted_s[one, other] += now - since_s.pop((one, other))

    for record in records:
        peer = record.peer
        if peer not in held or record.at_s > end_s:
            continue
        if isinstance(record, BlockRecord) and record.verdict == "useful":
            held[peer] |= 1 << record.block
        elif isinstance(record, PeerRecord) and record.event == "started":
            there.add(peer)
        elif isinstance(record, PeerRecord) and record.event in ("completed", "left", "died"):
            there.discard(peer)
        else:
            continue
        for other in peers:
            if other != peer:
                look(peer, other, record.at_s)
                look(other, peer, record.at_s)
    for pair, at_s in since_s.items():
        wanted_s[pair] += end_s - at_s
    shares = []
    for one, other in combinations([peer for peer in peers if peer in presence], 2):
        begin_s = max(presence[one].started_s, presence[other].started_s)
        over_s = min(end_s, *presence[one][1:], *presence[other][1:])
        if over_s > begin_s:
            shares += [wanted_s[one, other] / (over_s - begin_s), wanted_s[other, one] / (over_s - begin_s)]
    return sorted(shares)


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The smallest of these values that so many percent don't exceed."""
    return ascending[max(0, ceil(percent / 100 * len(ascending)) - 1)]


# what is sent for nothing, or beside the content


def waste(records: Iterable[Record], content_bytes: int) -> float:
    """Bytes of blocks that were held already / the bytes of the content, over all peers together."""
    return (
        sum(record.bytes for record in records if isinstance(record, BlockRecord) and record.verdict == "double")
        / content_bytes
    )


def control_overhead(control_bytes: float, payload_bytes: float) -> float:
    """Bytes that are not payload / payload. (B. Cohen 2003 gives HAVE less than a thousandth.)"""
    return control_bytes / payload_bytes if payload_bytes else 0.0

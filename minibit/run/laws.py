"""What must hold of the records of any run, simulated or real.

A law believes no peer: which peer held what, and which served which, is what the records say. `broken` names every
breach; `LAWS` has the laws one by one. What must hold inside a simulated world, from event to event, is for
`minibit.sim.checkers`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TypeVar

from minibit import inventory
from minibit.content import Content
from minibit.events import TRACKER
from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, ServingRecord

ROUNDING_S = 1e-6  # that adding and subtracting times may cost

R = TypeVar("R", BlockRecord, PeerRecord, SampleRecord, ServingRecord)


@dataclass
class Evidence:
    """The records of one run, and what was known beside them.

    at_start  the inventory of each peer before the first PEDIDO, by name
    slots     neighbours that one peer may serve at once, the guests included
    at_end    the inventories when nothing was under way any more; empty where that moment was not awaited. What
              must hold of totals is asked of these peers only, and their last sample must be of that moment
    clocks_s  seconds by which the clocks of two peers may differ
    """

    content: Content
    records: Iterable[Record]
    at_start: Mapping[str, int]
    slots: int
    at_end: Mapping[str, int] = field(default_factory=dict)
    clocks_s: float = 0.0

    def __post_init__(self) -> None:
        self.records = sorted(self.records, key=lambda record: record.at_s)

    def by_peer(self, kind: type[R], **fields: str) -> defaultdict[str, list[R]]:
        """The records of a kind, with these values in their fields; those of each peer in order of time."""
        rows: defaultdict[str, list[R]] = defaultdict(list)
        for record in self.records:
            if isinstance(record, kind) and all(getattr(record, name) == value for name, value in fields.items()):
                rows[record.peer].append(record)
        return rows

    def useful(self) -> defaultdict[str, list[BlockRecord]]:
        """The blocks that each peer took."""
        return self.by_peer(BlockRecord, verdict="useful")

    def moments(self, event: str) -> defaultdict[str, list[float]]:
        """The seconds at which that happened in the life of each peer."""
        found = self.by_peer(PeerRecord, event=event)
        return defaultdict(list, {peer: [row.at_s for row in rows] for peer, rows in found.items()})


Law = Callable[[Evidence], Iterator[str]]


def a_peer_takes_each_block_that_it_lacked_once(run: Evidence) -> Iterator[str]:
    """A block is useful to a peer that lacks it, and then no more: all that come later are `double`."""
    useful = run.useful()
    for peer in sorted({*useful, *run.at_end}):
        taken = Counter(row.block for row in useful[peer])
        if again := [block for block in taken if taken[block] > 1 or run.at_start.get(peer, 0) >> block & 1]:
            yield f"{peer} took what it held: {sorted(again)}"
        if peer in run.at_end and inventory.of(taken) != run.at_end[peer] & ~run.at_start[peer]:
            yield f"{peer} holds other blocks than it had and took"


def a_block_has_its_bytes_and_the_bytes_add_up(run: Evidence) -> Iterator[str]:
    """Payload received is that of blocks that were useful, double or rejected: nothing else has a payload."""
    arrived, samples = run.by_peer(BlockRecord), run.by_peer(SampleRecord)
    for rows in arrived.values():
        yield from (f"{row.block} has {row.bytes} bytes" for row in rows if row.bytes != run.content.length(row.block))
    for peer in run.at_end:
        if samples[peer][-1].received_bytes != (total := sum(row.bytes for row in arrived[peer])):
            yield f"{peer} received {samples[peer][-1].received_bytes} bytes, and blocks of {total}"


def what_was_sent_was_received(run: Evidence) -> Iterator[str]:
    """No payload is lost or made on the way, once nothing is under way."""
    last = [rows[-1] for peer, rows in run.by_peer(SampleRecord).items() if peer in run.at_end]
    sent, received = sum(row.sent_bytes for row in last), sum(row.received_bytes for row in last)
    if sent != received:
        yield f"{sent} bytes were sent, {received} received"


def a_peer_serves_no_more_neighbours_than_it_has_slots(run: Evidence) -> Iterator[str]:
    """Fixed slots and guest slots together (B. Cohen, "Incentives Build Robustness in BitTorrent", 2003, section 3)."""
    for peer, rows in run.by_peer(ServingRecord).items():
        served: set[str] = set()
        for row in rows:
            (served.discard if row.slot == "none" else served.add)(row.neighbour)
            if len(served) > run.slots:
                yield f"{peer} served {len(served)} at {row.at_s:g} s"


def a_block_comes_from_a_peer_that_held_it_and_served_the_receiver(run: Evidence) -> Iterator[str]:
    """A block has its copy before it is passed on, and a choked neighbour gets none (BEP 3).

    A source that died is left out: the last that it noted is lost with it.
    """
    held_s = {(peer, block): -inf for peer, held in run.at_start.items() for block in inventory.indices(held)}
    held_s |= {(peer, row.block): row.at_s for peer, rows in run.useful().items() for row in rows}
    served_s: dict[tuple[str, str], float] = {}
    for served in run.records:
        if isinstance(served, ServingRecord) and served.slot != "none":
            served_s.setdefault((served.peer, served.neighbour), served.at_s)
    died = run.moments("died")
    for peer, rows in run.by_peer(BlockRecord).items():
        for got in rows:
            before_s = got.at_s + run.clocks_s + ROUNDING_S
            if peer in (got.source, TRACKER):
                yield f"{peer} got {got.block} from {got.source}"
            elif not died[got.source] and held_s.get((got.source, got.block), inf) >= before_s:
                yield f"{peer} got {got.block} from {got.source}, which had not got it yet"
            elif not died[got.source] and served_s.get((got.source, peer), inf) >= before_s:
                yield f"{peer} got {got.block} from {got.source}, which had not served it yet"


def a_peer_is_complete_when_the_last_block_is_there_and_only_then(run: Evidence) -> Iterator[str]:
    """At its start where it lacks none; and once."""
    completed, started, useful = run.moments("completed"), run.moments("started"), run.useful()
    for peer in sorted({*completed, *started, *useful}):
        taken = useful[peer]
        held = run.at_start.get(peer, 0) | inventory.of(row.block for row in taken)
        due = [row.at_s for row in taken][-1:] or started[peer]
        if completed[peer] != (due if held == inventory.full(run.content.block_count) else []):
            yield f"{peer} was complete at {completed[peer]}, with its last block at {due}"


def nothing_comes_before_a_peer_started_or_after_it_left(run: Evidence) -> Iterator[str]:
    """A peer starts once. A block is asked for after that, and arrives before the peer left."""
    started, left = run.moments("started"), run.moments("left")
    arrived = run.by_peer(BlockRecord)
    for peer in sorted({*arrived, *run.by_peer(PeerRecord), *run.at_end}):
        if len(started[peer]) != 1:
            yield f"{peer} started {len(started[peer])} times"
            continue
        first_s, last_s = started[peer][0] - ROUNDING_S, min(left[peer], default=inf)
        yield from (
            f"{peer} got {row.block} at {row.at_s:g} s, {row.took_s:g} s after it asked"
            for row in arrived[peer]
            if not first_s <= row.at_s - row.took_s <= row.at_s <= last_s
        )


def samples_only_grow(run: Evidence) -> Iterator[str]:
    """Blocks are not lost and bytes not unsent; the last sample is of what is held, with nothing under way."""
    for peer, rows in run.by_peer(SampleRecord).items():
        for column in ("held", "sent_bytes", "received_bytes", "control_bytes"):
            values = [getattr(row, column) for row in rows]
            if values != sorted(values):
                yield f"{peer} has less {column} than before"
        if peer in run.at_end and (rows[-1].held, rows[-1].in_flight) != (run.at_end[peer].bit_count(), 0):
            yield f"{peer} ended with {rows[-1].held} blocks and {rows[-1].in_flight} in flight"


LAWS: tuple[Law, ...] = (
    a_peer_takes_each_block_that_it_lacked_once,
    a_block_has_its_bytes_and_the_bytes_add_up,
    what_was_sent_was_received,
    a_peer_serves_no_more_neighbours_than_it_has_slots,
    a_block_comes_from_a_peer_that_held_it_and_served_the_receiver,
    a_peer_is_complete_when_the_last_block_is_there_and_only_then,
    nothing_comes_before_a_peer_started_or_after_it_left,
    samples_only_grow,
)


def broken(run: Evidence) -> list[str]:
    """Every breach of a law, as a line that begins with the law's name."""
    return [f"{law.__name__.replace('_', ' ')}: {breach}" for law in LAWS for breach in law(run)]

"""What happened in one swarm, and what must hold of its records in whatever world it was.

Written once, and used on simulated peers, on nodes in one process and on Ray actors. It believes no peer: who held
what, and who served whom, is what the records say.
"""

from __future__ import annotations

from collections import defaultdict
from math import inf
from typing import NamedTuple

from minibit import inventory
from minibit.content import Content
from minibit.events import TRACKER
from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, ServingRecord


class Story(NamedTuple):
    """A swarm that has come to rest.

    at_start, at_end  the inventory of each peer, by name
    slots             neighbours that one peer may serve at once, the guest's included
    clocks_s          by which the clocks of two peers may differ
    """

    content: Content
    records: list[Record]
    at_start: dict[str, int]
    at_end: dict[str, int]
    slots: int
    clocks_s: float = 0.0

    def of(self, kind: type, peer: str | None = None) -> list:
        """The records of a kind, of one peer or of all, in order of time."""
        found = [one for one in self.records if isinstance(one, kind) and peer in (None, one.peer)]
        return sorted(found, key=lambda one: one.at_s)

    def when(self, peer: str, event: str) -> list[float]:
        """When that happened in the life of a peer."""
        return [one.at_s for one in self.of(PeerRecord, peer) if one.event == event]


def check(story: Story) -> None:
    """Assert all of it."""
    for rule in RULES:
        rule(story)


def every_block_that_a_peer_lacked_was_useful_to_it_exactly_once(story: Story) -> None:
    for peer, held in story.at_end.items():
        useful = [one.block for one in story.of(BlockRecord, peer) if one.verdict == "useful"]
        assert sorted(useful) == list(inventory.indices(held & ~story.at_start[peer])), peer


def the_bytes_received_are_those_that_were_useful_double_or_rejected(story: Story) -> None:
    for peer in story.at_end:
        arrived = story.of(BlockRecord, peer)
        assert all(one.bytes == story.content.length(one.block) for one in arrived)
        assert story.of(SampleRecord, peer)[-1].received_bytes == sum(one.bytes for one in arrived), peer


def what_was_sent_was_received(story: Story) -> None:
    last = [story.of(SampleRecord, peer)[-1] for peer in story.at_end]
    assert sum(one.sent_bytes for one in last) == sum(one.received_bytes for one in last)


def nobody_serves_more_neighbours_than_it_has_slots(story: Story) -> None:
    for peer in story.at_end:
        served: dict[str, str] = {}
        for one in story.of(ServingRecord, peer):
            served[one.neighbour] = one.slot
            assert sum(slot != "none" for slot in served.values()) <= story.slots, one


def blocks_come_from_those_who_served_the_peer_and_held_them(story: Story) -> None:
    held_from: dict[tuple[str, int], float] = {
        (peer, block): -inf for peer, held in story.at_start.items() for block in inventory.indices(held)
    }
    served_from: dict[tuple[str, str], float] = {}
    for one in story.of(BlockRecord):
        if one.verdict == "useful":
            held_from[one.peer, one.block] = one.at_s
    for one in story.of(ServingRecord):
        if one.slot != "none":
            served_from.setdefault((one.peer, one.neighbour), one.at_s)
    for one in story.of(BlockRecord):
        soon_s = one.at_s + story.clocks_s
        assert one.source != one.peer != TRACKER
        assert held_from.get((one.source, one.block), inf) < soon_s, one
        assert served_from.get((one.source, one.peer), inf) < soon_s, one


def a_peer_is_complete_when_the_last_block_is_there_and_only_then(story: Story) -> None:
    everything = inventory.full(story.content.block_count)
    for peer, held in story.at_end.items():
        useful = [one.at_s for one in story.of(BlockRecord, peer) if one.verdict == "useful"]
        due = useful[-1:] or story.when(peer, "started")
        assert story.when(peer, "completed") == (due if held == everything else []), peer


def nothing_comes_before_a_peer_started_or_after_it_left(story: Story) -> None:
    for peer in story.at_end:
        (started_s,) = story.when(peer, "started")
        left_s = min(story.when(peer, "left"), default=inf)
        for one in story.of(BlockRecord, peer):
            assert started_s <= one.at_s - one.took_s <= one.at_s <= left_s, one


def samples_only_grow_and_end_with_what_is_held(story: Story) -> None:
    for peer, held in story.at_end.items():
        samples = story.of(SampleRecord, peer)
        for column in ("held", "sent_bytes", "received_bytes", "control_bytes"):
            values = [getattr(one, column) for one in samples]
            assert values == sorted(values), (peer, column)
        assert (samples[-1].held, samples[-1].in_flight) == (held.bit_count(), 0), peer


RULES = (
    every_block_that_a_peer_lacked_was_useful_to_it_exactly_once,
    the_bytes_received_are_those_that_were_useful_double_or_rejected,
    what_was_sent_was_received,
    nobody_serves_more_neighbours_than_it_has_slots,
    blocks_come_from_those_who_served_the_peer_and_held_them,
    a_peer_is_complete_when_the_last_block_is_there_and_only_then,
    nothing_comes_before_a_peer_started_or_after_it_left,
    samples_only_grow_and_end_with_what_is_held,
)


def fed_by(story: Story) -> dict[str, set[str]]:
    """From whom each peer had its blocks."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in story.of(BlockRecord):
        found[one.peer].add(one.source)
    return dict(found)

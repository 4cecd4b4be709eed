"""The laws of all runs: every world keeps them, and each complains about a breach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from story import SLOTS, Story, simulated

from minibit import inventory
from minibit.records import BlockRecord, PeerRecord, SampleRecord, ServingRecord
from minibit.run import laws
from minibit.run.laws import LAWS, Evidence, Law, broken
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation

Spoil = Callable[[Story], Evidence]


def spoilt(kind: type, number: int, **changes: object) -> Spoil:
    """The same story, but one record says something else."""

    def spoil(story: Story) -> Evidence:
        records = list(story.records)
        index = [index for index, one in enumerate(records) if isinstance(one, kind)][number]
        records[index] = msgspec.structs.replace(records[index], **changes)
        return story._replace(records=records).evidence()

    return spoil


def without(kind: type, **fields: object) -> Spoil:
    """The same story, but nobody noted this."""

    def spoil(story: Story) -> Evidence:
        kept = [
            one
            for one in story.records
            if not (isinstance(one, kind) and all(getattr(one, name) == value for name, value in fields.items()))
        ]
        return story._replace(records=kept).evidence()

    return spoil


BREACHES: list[tuple[Law, Spoil]] = [
    (laws.a_peer_takes_each_block_that_it_lacked_once, spoilt(BlockRecord, 7, verdict="double")),
    (laws.a_peer_takes_each_block_that_it_lacked_once, spoilt(BlockRecord, 7, block=23)),
    (laws.a_block_has_its_bytes_and_the_bytes_add_up, spoilt(BlockRecord, 7, bytes=1)),
    (laws.a_block_has_its_bytes_and_the_bytes_add_up, spoilt(SampleRecord, -1, received_bytes=1)),
    (laws.what_was_sent_was_received, spoilt(SampleRecord, -1, sent_bytes=-1)),
    (laws.a_peer_serves_no_more_neighbours_than_it_has_slots, lambda story: story.evidence(SLOTS - 1)),
    (laws.a_block_comes_from_a_peer_that_held_it_and_served_the_receiver, spoilt(BlockRecord, 0, source="peer-05")),
    (laws.a_block_comes_from_a_peer_that_held_it_and_served_the_receiver, spoilt(BlockRecord, 0, at_s=-1.0)),
    (laws.a_block_comes_from_a_peer_that_held_it_and_served_the_receiver, spoilt(BlockRecord, 0, source="peer-01")),
    (laws.a_block_comes_from_a_peer_that_held_it_and_served_the_receiver, without(ServingRecord, peer="tracker")),
    (laws.a_peer_is_complete_when_the_last_block_is_there_and_only_then, spoilt(BlockRecord, -1, at_s=59.0)),
    (laws.a_peer_is_complete_when_the_last_block_is_there_and_only_then, without(PeerRecord, event="completed")),
    (laws.nothing_comes_before_a_peer_started_or_after_it_left, spoilt(BlockRecord, 0, took_s=9.0)),
    (laws.nothing_comes_before_a_peer_started_or_after_it_left, without(PeerRecord, event="started")),
    (laws.samples_only_grow, spoilt(SampleRecord, 0, held=99)),
]


def test_the_story_breaks_no_law_and_every_law_has_a_breach():
    assert broken(simulated().evidence()) == []
    assert {law for law, _ in BREACHES} == set(LAWS)


@pytest.mark.parametrize(("law", "spoil"), BREACHES)
def test_a_breach_is_named(law: Law, spoil: Spoil):
    evidence = spoil(simulated())
    assert list(law(evidence))
    assert any(line.startswith(law.__name__.replace("_", " ")) for line in broken(evidence))


WORLDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"behave": "free-rider=3,liar=2,corrupter=2,slow=2"}, {}),
    ({"initial": "0.2+1", "leave": "complete", "preset": "classic"}, {"arrivals": {"pattern": "poisson", "rate": 2.0}}),
    ({"teams": "random+none=5,sequential=5", "slots": 2}, {"faults": [{"kind": "dies", "at": "2s", "peers": 4}]}),
    ({"neighbours": 6}, {"faults": [{"kind": "cut", "at": "1s", "lasts": "3s", "probability": 0.3},
                                    {"kind": "corrupt", "at": "1s", "peers": 2, "share": 0.3},
                                    {"kind": "pauses", "at": "2s", "lasts": "4s", "peers": 3},
                                    {"kind": "leaves", "at": "3s", "peers": 2}]}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "table"), WORLDS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_simulated_run_breaks_a_law_whatever_goes_wrong(given: dict[str, Any], table: dict[str, Any], seed: int):
    usual = {"peers": 20, "size": "2MiB", "block_size": "32KiB", "upload": "128KiB/s", "timeout": "10m"}
    options = Options.build(**{**usual, **given, "seed": seed, "world": "sim"})
    simulation = Simulation(options, Scenario.build(table, options.peers))
    summary = simulation.run()
    at_start = {
        row["peer"]: inventory.from_hex(row["held_at_start"], simulation.content.block_count)
        for row in simulation.ledger.about(summary)["peers"]
    }
    unchoked = any("none" in team for team in options.teams)
    slots = options.peers if unchoked else options.rules.slots + options.rules.guests
    assert broken(Evidence(simulation.content, simulation.records, at_start, slots)) == []

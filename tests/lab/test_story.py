"""Stories say what the records say, and no more."""

from __future__ import annotations

import pytest
from lab_runs import came, event, serves, simulated, written

from minibit.errors import LocalError
from minibit.records import LinkRecord


def told(text: str) -> list[str]:
    return text.splitlines()


def test_the_life_of_a_peer():
    run = written(
        event(0.0, "peer-02", "started"),
        LinkRecord(0.1, "peer-02", "peer-01", "listed"),
        LinkRecord(0.2, "peer-02", "peer-03", "announced"),
        LinkRecord(0.3, "peer-02", "peer-01", "linked"),
        LinkRecord(0.3, "peer-02", "tracker", "linked"),
        serves(0.4, "tracker", "peer-02", "guest"),
        serves(0.4, "peer-01", "peer-02", "fixed"),
        came(1.0, "peer-02", 3, "tracker"),
        came(2.0, "peer-02", 1, "peer-01"),
        came(2.5, "peer-02", 1, "peer-01", "double"),
        came(3.0, "peer-02", 0, "peer-03", "rejected"),
        event(3.0, "peer-03", "banned", "by peer-02"),
        LinkRecord(3.0, "peer-02", "peer-01", "lost"),
        came(4.0, "peer-01", 3, "peer-02"),
        event(5.0, "peer-01", "completed"),
        event(6.0, "peer-02", "completed"),
        event(7.0, "peer-02", "left", "complete"),
        held={"peer-02": 0b101},
    )
    assert told(run.story(peer=2)) == [
        "peer-02 joined at 0.00 s with 2 blocks.",
        "The tracker named it 2 peers; it was linked with 2 neighbours, and 1 link stood at the end.",
        "Its first block was 3, from tracker at 1.00 s, as a guest.",
        "It got 2 blocks from 2 neighbours, 1 in fixed slots and 1 as a guest; "
        "the most from peer-01 (1) and tracker (1).",
        "Beside these it got 1 that it had already and 1 wrong, from peer-03.",
        "It gave 1 useful block to 1 neighbour, 0.25 times what it got; the most to peer-01 (1).",
        "It banned peer-03.",
        "It was complete at 6.00 s, number 2 of 2.",
        "It left at 7.00 s: complete.",
    ]


def test_a_peer_that_got_and_gave_nothing_and_died_before_it_was_complete():
    run = written(
        event(0.0, "peer-01", "started"),
        event(4.0, "peer-01", "died", "killed"),
        faults=[{"at_s": 4.0, "what": "dies", "who": "peer-01, peer-02", "until_s": None}],
    )
    assert told(run.story(peer="peer-01")) == [
        "peer-01 joined at 0.00 s without a block.",
        "It got no block.",
        "It gave nothing to anybody.",
        "A fault was planned for it at 4.00 s: dies.",
        "It was never complete: it had 0 of 4 blocks.",
        "It died at 4.00 s: killed.",
    ]


def test_a_peer_that_gave_only_wrong_blocks_and_was_banned():
    run = written(
        came(1.0, "peer-01", 3, "peer-03", "rejected"),
        came(2.0, "peer-02", 3, "peer-03", "rejected"),
        event(2.0, "peer-03", "banned", "by peer-01"),
        event(3.0, "peer-03", "banned", "by peer-02"),
    )
    story = told(run.story(peer=3))
    assert "It gave 200 B to 2 neighbours, and not one useful block." in story
    assert "It was banned by peer-01 and peer-02, first at 2.00 s." in story


def test_the_seed_is_told_in_copies_of_the_content():
    run = written(*(came(float(block), "peer-01", block) for block in range(4)), came(5.0, "peer-02", 0))
    assert told(run.story(peer="tracker")) == [
        "tracker is the seed: it had all 4 blocks.",
        "It gave 5 useful blocks to 2 neighbours, 1.25 copies of the content; the most to peer-01 (4) and peer-02 (1).",
    ]


def test_the_way_of_a_block():
    run = written(
        *(came(0.5, "peer-03", block) for block in (0, 1, 3)),
        came(2.0, "peer-01", 2),
        came(3.0, "peer-02", 2, "peer-01"),
        came(3.5, "peer-03", 2, "peer-01", "rejected"),
        end_s=10.0,
    )
    assert told(run.story(block=2)) == [
        "Block 2 of 4 (counted from 0), 100 B.",
        "At the start only the seed had it.",
        "     2.00 s  tracker -> peer-01",
        "     3.00 s  peer-01 -> peer-02",
        "1 copy was wrong and thrown away.",
        "It was last among the rarest blocks at about 1.95 s, with 0 copies: from then on others were rarer.",
    ]


def test_a_block_that_nobody_got_and_one_that_somebody_had():
    run = written(came(1.0, "peer-01", 0), held={"peer-02": 0b1})
    assert told(run.story(block=0))[1:3] == [
        "At the start peer-02 had it beside the seed.",
        "     1.00 s  tracker -> peer-01",
    ]
    assert told(run.story(block=1))[1:] == [
        "At the start only the seed had it.",
        "Nobody got a copy.",
        "It was among the rarest blocks to the end, with 0 copies.",
    ]


def test_of_many_copies_the_first_are_listed_and_the_last_is_named():
    run, _ = simulated(peers=20)
    story = told(run.story(block=5))
    assert sum("->" in line for line in story) == 12
    assert any(line.startswith("  and 8 more copies, the last at ") for line in story)


def test_a_block_that_there_is_not_is_refused_with_those_that_are():
    for wrong in (4, -1, "0"):
        with pytest.raises(LocalError, match="it has 4, counted from 0"):
            written().story(block=wrong)


def test_a_story_shows_itself():
    story = written().story(peer=1)
    assert repr(story) == str(story)
    assert story._repr_html_().startswith("<div><div>peer-01 joined")

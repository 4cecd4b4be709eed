"""What a push would do, before it does it."""

from __future__ import annotations

import msgspec

from minibit.delivery.outlook import NodeOutlook, Outlook

GB = 10**9

AHEAD = Outlook(
    dest="/data/model",
    content_bytes=7 * GB,
    block_bytes=4 << 20,
    least=4,
    nodes=(
        NodeOutlook(host="10.0.0.1", node_id="a", there="copy", free_bytes=100 << 30),
        NodeOutlook(host="10.0.0.2", node_id="b", there="partial", free_bytes=100 << 30),
        NodeOutlook(host="10.0.0.3", node_id="c"),
        NodeOutlook(host="10.0.0.4", node_id="d", free_bytes=1 << 30, why="it has room for 1 GiB"),
    ),
    expected_s=75.0,
)


def test_nodes_that_have_it_give_and_those_that_can_have_none_get_nothing() -> None:
    assert (AHEAD.lacking, AHEAD.sources, AHEAD.moves_bytes) == (2, 1, 14 * GB)
    assert AHEAD.bound_s is not None and 56 < AHEAD.bound_s < 57


def test_the_node_of_the_source_gets_its_copy_from_no_other() -> None:
    here = NodeOutlook(host="10.0.0.9", node_id="h", there="source")
    found = msgspec.structs.replace(AHEAD, nodes=(here, *AHEAD.nodes[1:3]))
    assert (found.lacking, found.sources) == (2, 1)
    assert "0 have it, 3 would get it, 13 GiB would be moved" in found.sentence


def test_the_bound_falls_with_every_node_that_has_it() -> None:
    more = (*AHEAD.nodes, NodeOutlook(host="10.0.0.5", node_id="e", there="copy"))
    assert msgspec.structs.replace(AHEAD, nodes=more).bound_s < AHEAD.bound_s
    done = msgspec.structs.replace(AHEAD, nodes=AHEAD.nodes[:1], least=1)
    assert (done.bound_s, done.moves_bytes, done.exit_code) == (None, 0, 0)


def test_it_is_told_as_a_table_and_a_sentence() -> None:
    assert AHEAD.table().splitlines() == [
        "node      there now    room     why not",
        "10.0.0.1  a copy       100 GiB",
        "10.0.0.2  part of one  100 GiB",
        "10.0.0.3  nothing",
        "10.0.0.4  nothing      1 GiB    it has room for 1 GiB",
    ]
    assert AHEAD.sentence == (
        "6.52 GiB for 4 nodes at /data/model: 1 has it, 2 would get it, 13 GiB would be moved in about "
        "1 min 15 s (a simulation's estimate, with 119 MiB/s of each node, which is assumed), and not in less than "
        "56 s"
    )
    plain = msgspec.structs.replace(AHEAD, expected_s=None)
    assert plain.sentence.endswith(
        "13 GiB would be moved in no less than 56 s (with 119 MiB/s of each node, which is assumed)"
    )
    assert (AHEAD.exit_code, AHEAD.blame) == (4, "10.0.0.4: it has room for 1 GiB")


def test_it_shows_itself_where_python_shows_a_value() -> None:
    assert repr(AHEAD).splitlines() == [AHEAD.sentence, *AHEAD.table().splitlines()]
    shown = AHEAD._repr_html_()
    assert "13 GiB would be moved" in shown and "<td>part of one</td>" in shown


def test_a_machine_gets_what_follows_too() -> None:
    found = AHEAD.as_dict()
    assert (found["moves_bytes"], found["bound_s"], found["expected_s"]) == (
        14 * GB,
        round(AHEAD.bound_s or 0, 4),
        75.0,
    )
    assert found["nodes"][1]["there"] == "partial"

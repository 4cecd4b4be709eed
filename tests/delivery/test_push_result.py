"""What a push came to: for a machine, for a person, in a notebook, and as an exit code."""

from __future__ import annotations

import json

import msgspec
from pushed import DONE, FAILED, node

from minibit.delivery.result import PushError, PushResult


def test_the_json_object_has_every_node_and_six_digits() -> None:
    found = json.loads(DONE.to_json())
    assert found["nodes"][1] == {
        "host": "10.0.0.2", "node_id": DONE.nodes[1].node_id, "path": "/data/model", "status": "done", "why": "",
        "seconds": 1.23457, "bytes_moved": 104857600,
    }  # fmt: skip
    assert list(found["seconds"]) == ["checking", "hashing", "transfer", "verifying", "total"]
    assert found["bytes"] == {"moved": 146800640, "had": 167772160, "seed_sent": 104857600}
    assert found["bound_s"] == 1.12346
    assert msgspec.convert(found, PushResult).nodes[0] == DONE.nodes[0]


def test_a_line_for_each_node_and_a_sentence() -> None:
    assert DONE.table().splitlines() == [
        "node      status   time    moved",
        "10.0.0.1  had",
        "10.0.0.2  done     1.23 s  100 MiB",
        "10.0.0.3  resumed  1.1 s   40 MiB",
    ]
    assert DONE.sentence == (
        "3 of 3 nodes have /data/model (100 MiB): 1 had it, 1 done, 1 resumed, 140 MiB moved in 1.23 s (at best "
        "1.12 s), 2.5 s in all"
    )
    assert repr(DONE) == f"{DONE.sentence}\n{DONE.table()}"
    assert (DONE.exit_code, DONE.blame) == (0, "")


def test_nodes_of_one_address_are_told_apart_by_their_ids() -> None:
    twins = (node("10.0.0.1", "done"), msgspec.structs.replace(node("10.0.0.1", "had"), node_id="f" * 56))
    lines = msgspec.structs.replace(DONE, nodes=twins).table().splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["10.0.0.1/10.0.0.1", "10.0.0.1/ffffffff"]


def test_a_failure_has_its_reason_and_what_to_do() -> None:
    assert "10.0.0.3  failed                   no room" in FAILED.table()
    assert FAILED.exit_code == 4
    assert FAILED.blame == (
        "10.0.0.3: no room; 10.0.0.4: the node is gone; mend that and push again: what is there is not moved again"
    )
    assert "2 of 4 nodes have /data/model (100 MiB): 1 had it, 1 done, 2 failed" in FAILED.sentence
    error = PushError("too few", FAILED)
    assert (error.exit_code, error.result, str(error)) == (4, FAILED, "too few")


def test_enough_nodes_are_enough() -> None:
    assert msgspec.structs.replace(FAILED, least=2).exit_code == 0
    assert msgspec.structs.replace(FAILED, timed_out=True).exit_code == 5
    assert "the time limit came first" in msgspec.structs.replace(FAILED, timed_out=True).sentence
    changed = msgspec.structs.replace(FAILED, source_changed="a.bin has another size")
    assert changed.exit_code == 3
    assert changed.blame.startswith("the source changed: a.bin has another size; ")


def test_many_nodes_that_fail_alike_are_counted() -> None:
    many = tuple(node(f"10.0.0.{number}", "failed", why="no room") for number in range(20))
    blame = msgspec.structs.replace(FAILED, nodes=many).blame
    assert "10.0.0.5 and 14 more: no room" in blame


def test_a_notebook_shows_a_table_in_which_nothing_is_a_tag() -> None:
    odd = msgspec.structs.replace(FAILED, nodes=(node("10.0.0.1", "failed", why="<b>\n"),))
    assert "<td>&lt;b&gt;\\n</td>" in odd._repr_html_()
    assert odd._repr_html_().startswith("<div>0 of 1 node has /data/model")

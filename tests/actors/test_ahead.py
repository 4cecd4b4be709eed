"""What a push would do: what lies on each node, from what the nodes say, without moving anything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from minibit.actors.disk.survey import DestSurvey, NodeSurvey, versions
from minibit.actors.driver.ahead import PushAhead
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.preflight import Surveyed
from minibit.delivery.nodes import NodeRow
from minibit.delivery.order import Order
from minibit.delivery.outlook import Outlook

BYTES = 1000
ROOM = 1 << 40
ORDER = Order(dest="/data/model")
Look = Callable[..., Outlook]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(bytes(BYTES))
    return tmp_path / "model"


@pytest.fixture
def look(source: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """What a push would do, of a cluster whose nodes say this of the destination; the source lies on the first."""

    def made(*dests: dict[str, Any] | None, order: Order = ORDER, alike: int = 0) -> Outlook:
        nodes = [NodeRow(f"{number:056x}", f"10.0.0.{number}") for number in range(1, len(dests) + 1)]
        found, lost = {}, {}
        for row, told in zip(nodes, dests, strict=True):
            node = ClusterNode(row.node_id, row.host)
            if told is None:
                lost[node] = "there is no Minibit"
                continue
            shares = tuple(one.node_id for one in nodes[-alike:]) if alike and row in nodes[-alike:] else ()
            dest = DestSurvey(**{"path": order.dest, "state": "absent", "free_bytes": ROOM, **told})
            found[node] = NodeSurvey(
                versions=versions(), system="", python="", open_files=(1024, 1024), dest=dest, shares_with=shares
            )

        def checked(push: PushAhead) -> tuple[int, int, NodeRow, Surveyed]:
            push._nodes = nodes
            return BYTES, 2, nodes[0], Surveyed(found, lost)

        monkeypatch.setattr(PushAhead, "_connected", lambda push: nullcontext())
        monkeypatch.setattr(PushAhead, "_checked", checked)
        return PushAhead.look(source, order, lambda seen: None)

    return made


def ours(source: Path, **more: Any) -> dict[str, Any]:
    """A copy of the source, as a node tells of it."""
    found = PushAhead(source, ORDER, lambda seen: None)._hashed()
    digests = {"digest": found.digest, "bytes_digest": found.bytes_digest}
    return {"state": "ours", **digests, "content_bytes": BYTES, "untouched": True, **more}


def test_each_node_is_told_of(look: Look, source: Path) -> None:
    found = look({}, ours(source), {"partial_bytes": 300}, {}, {"free_bytes": 10}, {"state": "other"}, None)
    assert [node.there for node in found.nodes] == [
        "source", "copy", "partial", "nothing", "nothing", "other", "nothing",
    ]  # fmt: skip
    assert [node.why.partition(":")[0] for node in found.nodes] == [
        "", "", "", "", "no room in ", "/data/model is there already and is other content", "there is no Minibit",
    ]  # fmt: skip
    assert (found.lacking, found.moves_bytes, found.sources, found.least) == (2, 2 * BYTES, 1, 7)
    assert (found.exit_code, found.nodes[6].free_bytes) == (4, None)


def test_a_copy_of_the_same_size_is_known_by_its_digest_and_a_touched_one_is_no_whole_copy(
    look: Look, source: Path
) -> None:
    found = look(
        {"state": "source", "untouched": True},
        ours(source, untouched=False),
        ours(source, digest="blake3:00"),
        order=Order(dest="/data/model", replace=True, upload_bps=1e9),
    )
    assert [node.there for node in found.nodes] == ["copy", "partial", "older"]
    assert (found.lacking, found.exit_code, found.upload_bps, found.assumed) == (2, 0, 1e9, False)


def test_nothing_is_hashed_where_no_copy_of_a_push_is(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PushAhead, "_hashed", lambda push: pytest.fail("hashed"))
    assert look({}, {"state": "other", "content_bytes": BYTES + 1}).nodes[1].there == "other"


def test_a_file_system_of_several_nodes_is_written_once(look: Look) -> None:
    found = look({}, {}, {}, {}, alike=3)
    assert [node.there for node in found.nodes] == ["source", "nothing", "shared", "shared"]
    assert found.lacking == 1

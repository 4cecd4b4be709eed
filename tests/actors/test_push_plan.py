"""What a push knows before it moves anything: which nodes get a copy, which write for others, and what stops all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minibit.actors.disk import files
from minibit.actors.disk.survey import DestSurvey, NodeSurvey
from minibit.actors.driver import preflight, push
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.plan import Plan
from minibit.actors.driver.preflight import Surveyed
from minibit.actors.driver.push import Push
from minibit.delivery.nodes import NodeRow
from minibit.delivery.order import Order
from minibit.delivery.progress import PushProgress
from minibit.delivery.result import PushResult

A, B, C = (NodeRow(str(digit) * 56, f"10.0.0.{digit}") for digit in (1, 2, 3))
CONTENT_BYTES = 5000


class Cluster:
    """Three nodes, and what a survey says of them; the first is ours."""

    def __init__(self, tmp_path: Path) -> None:
        self.source = files.make(tmp_path / "film", CONTENT_BYTES, seed=1)
        self.dest = str(tmp_path / "copies" / "film")
        self.alive = [A, B, C]
        self.lost: dict[ClusterNode, str] = {}
        self.dests: dict[str, dict[str, Any]] = {row.node_id: {} for row in (A, B, C)}
        self.shares: dict[str, tuple[str, ...]] = {}

    def surveyed(self, nodes: list[ClusterNode], dest: str, **_: Any) -> Surveyed:
        found = {}
        for node in nodes:
            if node in self.lost:
                continue
            there = DestSurvey(**{"path": dest, "state": "absent", "free_bytes": 1 << 30, **self.dests[node.node_id]})
            found[node] = NodeSurvey(
                versions=preflight.versions(),
                system="Linux x86_64",
                python="python",
                open_files=(1024, 1024),
                dest=there,
                shares_with=self.shares.get(node.node_id, (node.node_id,)),
            )
        return Surveyed(found, {node: why for node, why in self.lost.items() if node in nodes})

    def plan(
        self, tell: Any = lambda seen: None, began_s_ago: float = 0.0, beside: bool = False, **order: Any
    ) -> Plan | PushResult:
        made = Push(self.source, Order.build(dest=self.dest, **order), tell)
        made._began_at -= began_s_ago
        return made._plan(beside=beside)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(tmp_path)
    monkeypatch.setattr(push.CONNECTION.head, "ask", lambda what, limit_s=0.0: what())
    monkeypatch.setattr(push.cluster, "rows", lambda: made.alive)
    monkeypatch.setattr(preflight, "survey_nodes", made.surveyed)
    monkeypatch.setattr(Push, "_here", lambda self: A)
    return made


def whys(found: Plan | PushResult) -> dict[str, str]:
    assert isinstance(found, PushResult)
    return {node.host: node.why for node in found.nodes}


def test_all_nodes_by_address_are_asked_and_the_copy_here_is_made_from_the_source(cluster):
    plan = cluster.plan()
    assert [node.host for node in plan.nodes] == [A.host, B.host, C.host]
    members = plan.members()
    assert [(one.name, one.wants, one.local) for one in members] == [
        (A.host, True, True),
        (B.host, True, False),
        (C.host, True, False),
        ("source", False, False),
    ]


def test_a_fault_of_one_node_stops_all_before_anything_is_hashed_unless_fewer_nodes_are_enough(cluster):
    cluster.dests[B.node_id] = {"fault": "can't write in /data"}
    seen: list[PushProgress] = []
    assert whys(cluster.plan(seen.append)) == {
        A.host: "nothing was moved, because other nodes can't get a copy",
        B.host: "can't write in /data",
        C.host: "nothing was moved, because other nodes can't get a copy",
    }
    assert {one.phase for one in seen} == {"checking"} or not seen
    plan = cluster.plan(min_nodes=2)
    assert plan.faults == {B.node_id: "can't write in /data"}


def test_other_content_in_the_way_stops_all_whatever_is_enough_unless_it_may_be_replaced(cluster):
    cluster.dests[B.node_id] = {"state": "other", "content_bytes": 7}
    assert "is there already" in whys(cluster.plan(min_nodes=1))[B.host]
    assert not cluster.plan(replace=True).faults


def test_another_version_in_the_way_stops_all_too(cluster):
    cluster.dests[B.node_id] = {"state": "ours", "digest": "ab" * 32, "bytes_digest": "cd" * 32, "content_bytes": 7}
    assert "another version" in whys(cluster.plan(min_nodes=1))[B.host]
    assert not cluster.plan(replace=True).faults


@pytest.mark.parametrize(
    ("there", "order", "beside"),
    [
        ({}, {}, True),
        ({A.node_id: {"state": "source"}}, {}, True),
        ({C.node_id: {"partial_bytes": 4096}}, {}, False),
        ({B.node_id: {"state": "ours", "digest": "ab" * 32}}, {"replace": True}, False),
        ({B.node_id: {"state": "other", "content_bytes": 7}}, {"replace": True}, False),
    ],
)
def test_the_source_is_hashed_beside_the_transfer_only_where_nothing_must_be_compared(
    cluster, monkeypatch, there, order, beside
):
    monkeypatch.setattr(push, "BESIDE_BYTES", CONTENT_BYTES)
    for node_id, dest in there.items():
        cluster.dests[node_id] = dest
    plan = cluster.plan(beside=True, **order)
    assert plan.hashed is not beside
    assert plan.manifest.known == (0 if beside else 1)
    assert cluster.plan(**order).hashed  # an actor that goes on by itself can't hash it
    monkeypatch.setattr(push, "BESIDE_BYTES", CONTENT_BYTES + 1)
    assert cluster.plan(beside=True, **order).hashed


def test_all_faults_are_said_together(cluster):
    cluster.dests[B.node_id] = {"fault": "can't write in /data"}
    cluster.dests[C.node_id] = {"free_bytes": 10}
    found = whys(cluster.plan())
    assert found[B.host] == "can't write in /data"
    assert "no room" in found[C.host]


def test_of_nodes_that_share_a_file_system_the_first_that_can_writes(cluster):
    shared = (B.node_id, C.node_id)
    cluster.shares = dict.fromkeys(shared, shared)
    assert cluster.plan().writers == {C.node_id: B.node_id}
    assert [one.name for one in cluster.plan().members() if one.writer] == [C.host]


def test_a_source_in_its_place_on_a_shared_file_system_is_the_copy_of_all_that_share_it(cluster):
    shared = (A.node_id, B.node_id)
    cluster.shares = dict.fromkeys(shared, shared)
    cluster.dests[A.node_id] = {"state": "source"}
    plan = cluster.plan()
    assert (plan.in_place, plan.writers) == (True, {B.node_id: A.node_id})
    assert [(one.name, one.seeds) for one in plan.members()] == [(A.host, True), (B.host, False), (C.host, False)]


def test_a_node_that_died_while_it_was_asked_is_no_node_any_more_unless_it_was_named(cluster):
    cluster.lost = {ClusterNode(C.node_id, C.host): "it gave no answer"}

    def dead(nodes: list[ClusterNode], dest: str, **more: Any) -> Surveyed:
        cluster.alive = [A, B]
        return cluster.surveyed(nodes, dest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "survey_nodes", dead)
        assert [node.host for node in cluster.plan().nodes] == [A.host, B.host]
    cluster.alive = [A, B, C]
    assert whys(cluster.plan(nodes=[B.host, C.host]))[C.host] == "it gave no answer"


def test_the_time_limit_holds_before_anything_moves(cluster):
    found = cluster.plan(timeout="5s", began_s_ago=6.0)
    assert isinstance(found, PushResult)
    assert (found.timed_out, found.exit_code) == (True, 5)
    assert set(whys(found).values()) == {"the time limit of 5 s came first"}

"""The rival plays: a small libtorrent swarm completes, is checked from outside, and leaves nothing behind."""

from __future__ import annotations

import multiprocessing
import random
from pathlib import Path

import libtorrent_swarm
import pytest
from against_libtorrent import compared
from libtorrent_swarm import RivalError, RivalResult, graph, share
from summaries import DONE

from minibit.actors.disk.files import make

MIB = 1 << 20


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return make(tmp_path / "source" / "content", MIB, seed=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("processes", "tuned"), [(1, True), (4, False)])
def test_every_session_has_a_copy_that_is_the_content(content: Path, folder: Path, processes: int, tuned: bool) -> None:
    result = share(content, folder, peers=3, piece_bytes=64 << 10, processes=processes, tuned=tuned, timeout_s=60)
    assert result.verified == 3
    assert all(path.read_bytes() == content.read_bytes() for path in folder.glob("*/content"))
    assert len(list(folder.glob("*/content"))) == 3
    assert result.goodput_bps == pytest.approx(3 * MIB / result.transfer_s)
    assert not multiprocessing.active_children()


def test_a_swarm_that_is_too_slow_is_ended_with_all_its_processes(content: Path, folder: Path) -> None:
    with pytest.raises(RivalError, match="time limit"):
        share(content, folder, peers=3, timeout_s=0)
    assert not multiprocessing.active_children()


def test_a_copy_that_differs_is_found(content: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = libtorrent_swarm._digest
    monkeypatch.setattr(libtorrent_swarm, "_digest", lambda path: b"another" if "2" in path.parts else digest(path))
    with pytest.raises(RivalError, match="is not the content"):
        share(content, folder, peers=3, piece_bytes=64 << 10, timeout_s=60)


@pytest.mark.parametrize(("nodes", "neighbours"), [(2, 20), (4, 20), (51, 20), (51, 2), (200, 5)])
def test_the_graph_is_in_one_piece_and_nobody_has_too_many_neighbours(nodes: int, neighbours: int) -> None:
    edges = graph(nodes, neighbours, random.Random(1))
    assert len({frozenset(edge) for edge in edges}) == len(edges)
    known = [{other for edge in edges if node in edge for other in edge} - {node} for node in range(nodes)]
    assert max(map(len, known)) <= neighbours
    assert sum(map(len, known)) >= 0.95 * nodes * min(neighbours, nodes - 1)
    reached, found = {0}, {0}
    while found := {other for node in found for other in known[node]} - reached:
        reached |= found
    assert reached == set(range(nodes))


def test_the_rival_s_best_pieces_and_the_medians_of_both_count() -> None:
    def result(piece_bytes: int, goodput_bps: float) -> RivalResult:
        return RivalResult(2, piece_bytes, 1.0, 0.1, 5.0, goodput_bps, 2)

    ours = [DONE.as_dict() | {"goodput_bps": goodput_bps} for goodput_bps in (50.0, 300.0, 60.0)]
    small, large = ([result(size, bps) for bps in rates] for size, rates in ((1, (30, 20, 90)), (2, (40, 41, 10))))
    found = compared({1: small, 2: large}, ours)
    assert found["best_piece_bytes"] == 2
    assert found["ratio"] == 60.0 / 40.0
    assert found["ratios"] == [50 / 40, 300 / 41, 60 / 10]

"""Bare sockets, beside which goodput is measured: every peer has the content in the end, and nothing stays."""

from __future__ import annotations

import tempfile
from pathlib import Path

import bare_trees
import pytest
from bare_trees import Schedule

from minibit.errors import LocalError


@pytest.mark.parametrize("peers", [1, 2, 3, 50])
def test_every_tree_reaches_every_peer_once_and_nobody_sends_to_more_than_two(peers: int):
    found = bare_trees.trees(peers)
    assert len(found) == bare_trees.TREES
    for tree in found:
        reached, ahead = [], [bare_trees.SEED]
        while ahead:
            children = tree[ahead.pop()]
            reached += children
            ahead += children
        assert sorted(reached) == list(range(1, peers + 1))
        assert len(tree[bare_trees.SEED]) == 1
        assert max(map(len, tree.values())) <= 2


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_every_copy_is_whole_and_nothing_stays(ray_cluster: str, temporary: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bare_trees, "CHUNK_BYTES", 4096)
    assert bare_trees.share(4, size_bytes=100_001, schedule=Schedule(8, 8192), timeout_s=60) > 0
    assert list(temporary.iterdir()) == []


def test_what_takes_too_long_is_given_up(ray_cluster: str, temporary: Path):
    with pytest.raises(LocalError, match="did not bring the content to all"):
        bare_trees.share(2, size_bytes=1 << 20, schedule=Schedule(2, 8192), timeout_s=0.001)
    assert list(temporary.iterdir()) == []

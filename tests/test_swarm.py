"""The handle: launch, look, act, wait, close; on the shared cluster."""

from __future__ import annotations

import pytest

from actors import Swarm

pytestmark = pytest.mark.ray


def test_a_swarm_gives_every_peer_a_verified_copy(ray_cluster, tmp_path):
    with Swarm.launch(peers=3, size="1MiB", out=tmp_path / "run") as swarm:
        summary = swarm.wait(timeout_s=60)
    assert (summary.completed, summary.verified, summary.exit_code) == (3, 3, 0)
    assert (tmp_path / "run" / "run.json").exists()

"""The original's four media by the original's rules: every copy opens, in far less than the original's time."""

from __future__ import annotations

from pathlib import Path

import pytest
from classic import ORIGINALS, shared
from media import MEDIA

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.mark.parametrize("kind", MEDIA)
def test_every_peer_ends_with_a_copy_that_opens_whole(kind: str, tmp_path: Path) -> None:
    row = shared(kind, tmp_path, peers=5)
    assert row["opened"] == 5
    assert row["seconds"] < 30
    if kind in ORIGINALS:
        assert row["blocks"] == pytest.approx(ORIGINALS[kind].blocks, rel=0.05)
        assert row["messages_a_peer"] < 5 * row["blocks"]

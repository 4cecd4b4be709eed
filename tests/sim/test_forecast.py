"""How long a push would take: an estimate near the bound, in seconds, however large the push is."""

from __future__ import annotations

import pytest

from minibit.rules import Rules
from minibit.run import bounds
from minibit.run.bounds import Capacity
from minibit.sim import forecast
from minibit.sim.forecast import expected_s, simulated

GB, MIB = 10**9, 1 << 20
RULES = Rules(choker="none")


def bound_s(content_bytes: int, block_bytes: int, nodes: int, upload_bps: float) -> float:
    found = bounds.makespan(content_bytes, block_bytes, [Capacity(upload_bps)] * nodes, seed_upload_bps=upload_bps)
    assert found is not None
    return found


CASES = [(1, GB, 1e8), (5, 200 * MIB, 5e7), (40, 70 * GB, 1.25e9)]


@pytest.mark.parametrize(("nodes", "content_bytes", "upload_bps"), CASES)
def test_it_is_not_below_the_bound_and_not_far_above_it(nodes: int, content_bytes: int, upload_bps: float) -> None:
    best_s = bound_s(content_bytes, 4 * MIB, nodes, upload_bps)
    found = expected_s(content_bytes, 4 * MIB, nodes=nodes, upload_bps=upload_bps, rules=RULES)
    assert found is not None and best_s <= found <= 2 * best_s


def test_a_part_of_the_blocks_says_it_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_them = expected_s(GB, 4 * MIB, nodes=8, upload_bps=1e8, rules=RULES)
    monkeypatch.setattr(forecast, "DELIVERIES", 800)
    part = expected_s(GB, 4 * MIB, nodes=8, upload_bps=1e8, rules=RULES)
    assert all_of_them is not None and part == pytest.approx(all_of_them, rel=0.2) and part != all_of_them


def test_a_part_of_the_nodes_says_it_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    all_of_them = expected_s(GB, 4 * MIB, nodes=40, upload_bps=1e8, rules=RULES)
    monkeypatch.setattr(forecast, "NODES_MAX", 10)
    part = expected_s(GB, 4 * MIB, nodes=40, upload_bps=1e8, rules=RULES)
    assert all_of_them is not None and part == pytest.approx(all_of_them, rel=0.2)


def test_large_blocks_leave_no_uplink_idle_that_small_ones_would_use() -> None:
    small, large = (
        simulated(100 * each, each, nodes=25, upload_bps=100.0 * each, source_bps=100.0 * each, rules=RULES)
        for each in (MIB, 16 * MIB)
    )
    assert large.seconds.transfer == pytest.approx(small.seconds.transfer)


def test_more_sources_make_it_shorter() -> None:
    one, three = (expected_s(GB, 4 * MIB, nodes=4, sources=sources, upload_bps=1e8, rules=RULES) for sources in (1, 3))
    assert one is not None and three is not None and three < one


def test_where_nothing_moves_there_is_no_time() -> None:
    assert expected_s(GB, MIB, nodes=0, upload_bps=1e8, rules=RULES) is None
    assert expected_s(0, MIB, nodes=5, upload_bps=1e8, rules=RULES) is None

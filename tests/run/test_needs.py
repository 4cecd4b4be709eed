"""A run that needs more memory than there is, is refused before any of it is spent."""

from __future__ import annotations

import pytest

from minibit.errors import OptionError
from minibit.lab import machine
from minibit.run import needs
from minibit.run.options import Options


def test_a_run_that_has_room_gets_its_block_size():
    options = Options.build(peers=50)
    for free_bytes in (None, 4 << 30):
        assert needs.block_bytes_for(options, free_bytes)(64 << 20) == options.block_bytes_for(64 << 20)


@pytest.mark.parametrize(
    ("given", "free_bytes", "said"),
    [
        (
            {"peers": 100_000},
            3 << 30,
            "peers: 100,000 peers and 64 blocks take about 2.86 TiB of memory, and 3 GiB is free: give fewer peers",
        ),
        (
            {"peers": 1000, "world": "sim", "block_size": "16B"},
            1 << 30,
            "peers: 1,000 peers and 65,536 blocks take about 15.3 GiB of memory, and 1 GiB is free: "
            "give fewer peers, or larger blocks",
        ),
    ],
)
def test_one_that_has_none_is_told_what_it_needs_what_is_free_and_what_to_give(given, free_bytes, said):
    with pytest.raises(OptionError) as refused:
        needs.block_bytes_for(Options.build(**given), free_bytes)(1 << 20)
    assert str(refused.value) == said


def test_more_blocks_than_a_manifest_may_have_are_refused_in_both_worlds():
    for world in ("ray", "sim"):
        with pytest.raises(OptionError, match="64 MiB in blocks of 1 B are 67,108,864 blocks, and 262,144 is the most"):
            needs.block_bytes_for(Options.build(block_size=1, world=world), None)(64 << 20)


def test_free_memory_is_that_of_the_container_where_this_is_less(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4000 kB\n")
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "GROUP", tmp_path)
    assert machine.free_memory_bytes() == 4_096_000
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_memory_bytes() == 4_096_000
    (tmp_path / "memory.max").write_text("5000\n")
    assert machine.free_memory_bytes() == 4000


def test_where_the_system_says_nothing_nothing_is_refused_and_all_processors_count(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(machine, "GROUP", tmp_path / "none")
    assert machine.free_memory_bytes() is None
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert machine.processors() >= 1

"""Benches of goodput: their tables, the sections that they write, and whether the machine was quiet."""

from __future__ import annotations

import json
import os
from pathlib import Path

import against_libtorrent
import bench
import growth
import networks
import page
import psutil
import pytest
import quiet
import start
from click.testing import CliRunner, Result
from quiet import Quiet

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quiet, "SETTLE_S", 0)
    monkeypatch.setattr(quiet, "LOOK_S", 0.01)


# was it quiet?


def told(busy: list[float], monkeypatch: pytest.MonkeyPatch) -> dict[str, float | bool]:
    shares = iter(busy)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: next(shares))
    loads = iter([0.25, 3.0])
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 0, 0))
    looking = Quiet()
    for _ in busy:
        looking.rest()
    return looking.figures()


def test_a_machine_on_which_little_else_ran_was_quiet(monkeypatch: pytest.MonkeyPatch):
    found = told([2.0, 4.0, 90.0], monkeypatch)
    assert found == {"load_before": 0.25, "load_after": 3.0, "busy_at_rest": 0.04, "busy_at_most": 0.9, "quiet": True}
    assert Quiet.shown(found) == (
        "load average 0.2 before, 3.0 after; others kept 4 % of the processors busy between the runs"
    )


def test_a_machine_that_others_used_was_not(monkeypatch: pytest.MonkeyPatch):
    found = told([60.0, 50.0], monkeypatch)
    assert found["quiet"] is False
    assert "others kept 55 % of the processors busy" in Quiet.shown(found)
    assert "NOT QUIET" in Quiet.shown(found)


# pages


def test_a_section_is_written_at_the_end_and_then_again_in_its_place(tmp_path: Path):
    into = tmp_path / "docs" / "page.md"
    page.put(into, "one", "old")
    page.put(into, "other", "stays")
    into.write_text(into.read_text() + "\nThe end.\n")
    page.put(into, "one", r"new \1")
    sections = ["<!-- one -->", "new \\1", "<!-- end of one -->", "<!-- other -->", "stays", "<!-- end of other -->"]
    assert into.read_text() == "\n\n".join(sections) + "\n\nThe end.\n"


def test_a_picture_has_the_same_bytes_for_the_same_figures(tmp_path: Path):
    groups = {"8 x 1 MiB": {"ours": 2.0, "theirs": 1.0}, "9 x 1 MiB": {"ours": 0.5}}
    pictures = []
    for name in ("a", "b"):
        page.bars(tmp_path / name / "same.svg", groups, "goodput", ours="ours")
        pictures.append((tmp_path / name / "same.svg").read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[0].count(b"<svg") == 1


# against libtorrent


def test_both_play_in_turn_and_the_page_gets_its_table_and_its_picture(tmp_path: Path):
    into = tmp_path / "speed.md"
    done = CliRunner().invoke(
        against_libtorrent.main,
        ["--peers", "1,2", "--size", "300KiB", "--piece-size", "64KiB", "--json", "--into", str(into)],
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(swarm["peers"], swarm["content_bytes"]) for swarm in found["swarms"]] == [(1, 300 << 10), (2, 300 << 10)]
    for swarm in found["swarms"]:
        assert swarm["ratios"] == [swarm["ratio"]]
        assert swarm["minibit"]["verified"] == swarm["libtorrent"][0]["verified"] == swarm["peers"]
    text = into.read_text()
    assert text.count("| Minibit |") == text.count("| libtorrent |") == 2
    assert "Warm: all write over the same files" in text
    assert "load average" in text
    assert (tmp_path / "img" / "against-libtorrent.svg").exists()


# bare sockets


def test_goodput_is_measured_beside_bare_sockets(tmp_path: Path):
    into = tmp_path / "speed.md"
    done = CliRunner().invoke(
        bench.main,
        ["--json", "growth", "--peers", "2,3", "--size", "300KiB", "--bare-block", "64KiB", "--into", str(into)],
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [row["peers"] for row in found["runs"]] == [2, 3]
    for row in found["runs"]:
        assert row["ratio"] == pytest.approx(row["goodput_bps"] / row["bare_bps"])
        assert row["bare_schedule"] == "2 trees, 64 KiB"
    assert "Warm: all write over the same files" in into.read_text()


def test_the_spread_is_the_distance_between_the_extremes_over_the_mean():
    assert growth.spread([1.0, 2.0, 3.0]) == 1.0


# control


def test_ways_of_control_are_compared(tmp_path: Path):
    into = tmp_path / "speed.md"
    options = ["--peers", "2", "--size", "300KiB", "--block-size", "64KiB", "--into", str(into)]
    done = CliRunner().invoke(bench.main, ["--json", "control", *options])
    assert done.exit_code == 0, done.output
    links, actors = json.loads(done.stdout)["runs"]
    assert (links["control"], actors["control"], links["ratio"]) == ("links", "actors", 1.0)
    assert actors["ratio"] == pytest.approx(actors["goodput_bps"] / links["goodput_bps"])
    assert links["actor_calls"] < actors["actor_calls"]
    assert "Warm: all write over the same files" in into.read_text()
    assert (tmp_path / "img" / "control.svg").exists()


# networks


def run_networks(*arguments: str) -> Result:
    return CliRunner().invoke(bench.main, ["--json", "networks", *arguments])


def test_the_defaults_run_beside_each_preset_and_setting_in_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small = networks.NetworkCell("small", 2, "300KiB", "2MiB/s", "2MiB/s")
    monkeypatch.setitem(networks.CELLS, "small", small)
    into = tmp_path / "speed.md"
    done = run_networks("--cells", "small", "--setting", "--block-size 64KiB", "--repeat", "1", "--into", str(into))
    assert done.exit_code == 0, done.output
    (cell,) = json.loads(done.stdout)["cells"]
    assert list(cell["transfer_s"]) == ["defaults", "bittorrent", "--block-size 64KiB"]
    assert 0 < cell["ratio"] <= 1
    assert cell["bound_s"] == pytest.approx(300 / 2048)
    assert "of the bound" in into.read_text()
    assert (tmp_path / "img" / "networks.svg").exists()


def test_the_medians_count_and_the_best_is_perfect():
    cell = networks.CELLS["loopback-8"]
    found = networks.compared(cell, {"defaults": [2.0, 9.0, 4.0], "lan": [3.0, 5.0, 1.0], "x": [8.0, 8.0, 8.0]})
    assert (found["best"], found["ratio"], found["bound_s"]) == ("lan", 0.75, None)
    best = networks.compared(cell, {"defaults": [1.0], "lan": [3.0]})
    assert (best["best"], best["ratio"]) == ("defaults", 1.0)


def test_the_bound_of_hosts_counts_each_wire_once():
    bits = (200 << 20) * 8
    assert networks.CELLS["hosts-400"].bound_s == pytest.approx(bits / 400e6)
    assert networks.CELLS["upload"].bound_s == pytest.approx(16)
    assert networks.CELLS["upload-fast-seed"].bound_s is networks.CELLS["loopback-1"].bound_s is None


@pytest.mark.parametrize("cells", ["", "loopback", "loopback-1,x"])
def test_what_is_no_cell_is_refused(cells: str):
    done = run_networks("--cells", cells)
    assert done.exit_code == 2
    assert "no cell is called" in done.output


# the start


def test_the_start_is_told_in_parts_beside_that_without_a_fork_server(tmp_path: Path):
    into = tmp_path / "speed.md"
    options = ["--peers", "2", "--size", "300KiB", "--repeat", "1", "--into", str(into)]
    done = CliRunner().invoke(bench.main, ["--json", "start", *options])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found["total_s"]) == ["without fork server", "now"]
    for name, parts in found["parts_s"].items():
        assert all(took_s >= 0 for took_s in parts.values())
        assert found["total_s"][name] == pytest.approx(sum(parts.values()))
    assert "| starting the actors |" in into.read_text()
    assert (tmp_path / "img" / "start.svg").exists()


def test_pairs_are_compared_pair_by_pair():
    def run(took_s: float) -> dict[str, float]:
        return dict.fromkeys(start.PARTS.values(), took_s)

    found = start.compared({"before": [run(2.0), run(10.0), run(4.0)], "now": [run(1.0), run(9.0), run(1.0)]})
    assert found["ratio"] == 0.5
    assert found["total_s"] == {"before": 4.0 * len(start.PARTS), "now": 1.0 * len(start.PARTS)}

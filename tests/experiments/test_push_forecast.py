"""A push to many nodes, simulated to its end: what `push_forecast.py` tells, and the section that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import push_forecast
import pytest
from click.testing import CliRunner

SMALL = ["--nodes", "2,3", "--size", "8MiB"]


def test_each_push_stands_beside_its_bound_and_beside_what_a_dry_run_says():
    done = CliRunner().invoke(push_forecast.main, [*SMALL, "--json"])
    assert done.exit_code == 0, done.output
    runs = json.loads(done.stdout)["runs"]
    assert [run["nodes"] for run in runs] == [2, 3]
    for run in runs:
        assert run["blocks"] * run["block_bytes"] == 8 << 20
        assert run["ratio"] == pytest.approx(run["transfer_s"] / run["bound_s"]) and run["ratio"] >= 1
        assert run["dry_run_s"] == pytest.approx(run["transfer_s"])  # it simulates all of so small a push
        assert run["source_copies"] >= 1


def test_the_table_is_a_section_of_a_page(tmp_path: Path):
    page = tmp_path / "push.md"
    page.write_text("# Push\n")
    done = CliRunner().invoke(push_forecast.main, [*SMALL, "--into", str(page)])
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert text.startswith("# Push\n\n<!-- push-forecast -->\n\n| nodes | transfer | lower bound |")
    assert "\n\n8MiB in " in text and " KiB, uplinks of 10Gbit/s, " in text


def test_what_can_be_no_size_is_refused_before_anything_is_simulated():
    done = CliRunner().invoke(push_forecast.main, ["--size", "much"])
    assert done.exit_code == 2
    assert "much" in done.output

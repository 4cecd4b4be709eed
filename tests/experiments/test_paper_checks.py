"""The ten checks in small: each law shows where it should, the table and the page say so, mistakes are explained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest
from checks import (
    blocks_and_slots,
    bound,
    clustering,
    degree,
    diversity,
    flash_crowd,
    free_riders,
    missing_block,
    page,
    rounds,
    seed_economy,
    transfer,
)
from checks.check import Check, CheckRow, Scale, Task, ascending, at_least, at_most, between
from checks.runs import figures, run, standard
from click.testing import CliRunner
from paper_checks import CHECKS, main

ROOT = Path(__file__).parents[2]
SMALL = {"peers": 12, "blocks": 32}


# the laws


@pytest.mark.parametrize(("dimensions", "blocks"), [(1, 1), (2, 3), (3, 5), (4, 10), (5, 50)])
def test_the_hypercube_needs_the_least_rounds(dimensions, blocks):
    assert rounds.by_hypercube(dimensions, blocks) == rounds.least(2**dimensions - 1, blocks)


def test_in_rounds_rarest_first_is_close_to_the_least_and_random_is_not():
    least = rounds.least(63, 64)
    rarest, random = (rounds.with_picker(picker, 63, 64, 1) for picker in ("rarest-first", "random"))
    assert least <= rarest.rounds <= 1.06 * least < 1.1 * least <= random.rounds
    assert rarest.seed_rounds == 64 < random.seed_rounds


@pytest.mark.parametrize("sort", bound.SORTS)
def test_no_swarm_beats_its_bound_and_no_byte_is_lost_or_made(sort):
    found = bound.swarm(1, {"peers": 8, "blocks": 24} | bound.SORTS[sort])
    assert found["over_bound"] is None or found["over_bound"] >= 1
    assert found["sent_bytes"] == found["received_bytes"] + found["lost_bytes"]


def test_with_rarest_first_the_seed_sends_less_than_with_random_blocks():
    rarest, random = (seed_economy.one(1, picker, 2, SMALL)["copies"] for picker in ("rarest-first", "random"))
    assert 1 <= rarest < random


def test_a_sequential_picker_spreads_badly():
    rarest, sequential = (seed_economy.one(1, picker, 1, SMALL) for picker in ("rarest-first", "sequential"))
    assert sequential["over_bound"] > 1.5 * rarest["over_bound"]


def test_peers_trade_with_those_of_their_own_speed():
    found = clustering.one(1, "fast seed", 100)
    assert mean(found[f"{name} own"] for name in clustering.CLASSES) > 0.38  # by chance it is a third
    assert found["fast s"] < found["medium s"] < found["slow s"]
    assert [sum(row) for row in found["shares"]] == pytest.approx([1, 1, 1])


def test_a_free_rider_gets_less_where_peers_choke():
    choked, free = (free_riders.one(1, choker, 20, 40)["share"] for choker in free_riders.CHOKERS)
    assert 0.1 < choked < 0.85 < free  # six random seeds: 0.60 to 0.74, and 1.0


def test_many_blocks_are_faster_than_few_and_the_start_up_counts_in_blocks():
    few, many = (blocks_and_slots.one(1, 12, blocks, 4) for blocks in (16, 64))
    assert few["over_bound"] > 1.2 * many["over_bound"]
    assert few["startup_tau"] == pytest.approx(many["startup_tau"], rel=0.5)


def test_three_neighbours_are_too_few_and_are_no_more_than_three():
    three, twenty = (degree.one(1, 24, 32, most) for most in (3, 20))
    assert three["efficiency"] < twenty["efficiency"]
    assert three["links"] <= 3


def test_eight_times_as_many_peers_do_not_take_eight_times_as_long():
    few, many = (flash_crowd.one(1, peers, 16)["makespan_s"] for peers in (4, 32))
    assert few < many < 3 * few


def test_the_seed_gives_new_blocks_away_at_nearly_its_rate_and_then_all_are_common():
    found = diversity.one(1, 16, 32)
    assert 0.6 < found["fall"] <= 1
    alone = [alone for _, alone, *_ in found["curve"]]
    assert alone == sorted(alone, reverse=True)
    assert alone[-1] == 0
    assert found["interest"] == sorted(found["interest"])


def test_peers_gather_where_they_come_faster_than_the_seed_gives():
    few, many = (missing_block.one(1, rate, 30, 40.0) for rate in (missing_block.STABLE, missing_block.UNSTABLE))
    assert few["there"] < 30 < many["there"]
    assert few["seed_use"] > 0.9
    assert many["seed_use"] > 0.9


def test_the_simulated_half_of_the_last_check_gives_what_is_compared():
    (limits,) = transfer.QUICK.values()
    found = transfer.simulated({"peers": 6, "seed": 1, **limits, **transfer.RULES})
    assert found["incomplete"] == 0
    assert found["over_bound"] >= 1
    assert found["median_s"] == pytest.approx(mean(found["completed_s"][2:4]))
    assert 0 <= found["reciprocity"] <= 1


def test_a_run_is_a_function_of_its_seed():
    one, same, other = (figures(*run(standard(seed, peers=6, blocks=12))) for seed in (1, 1, 2))
    assert one == same
    assert one != other


# the table


def test_a_verdict_is_good_where_the_figure_is_in_the_range():
    assert at_least("what", 2.0, 2.0) == CheckRow("what", "≥ 2", "2", True)
    assert at_most("what", 2.5, 2.0) == CheckRow("what", "≤ 2", "2.5", False)
    assert between("what", 0.25, 0.18, 0.32).good
    assert not between("what", 0.33, 0.18, 0.32).good
    assert ascending("what", [1.0, 2.0, 3.0]).good
    assert not ascending("what", [1.0, 3.0, 3.0]).good


@pytest.mark.parametrize("differs", [False, True])
def test_the_exit_code_says_whether_a_row_differs_and_small_forms_judge_what_they_can(monkeypatch, differs):
    rows = [at_least("large: that", 1.0, 2.0), at_least("this", 1.0, 2.0 if differs else 0.5)]
    check = Check("Some Law", "It holds.", lambda scale: [], lambda found: rows, None, large=("large",))  # type: ignore[arg-type]
    monkeypatch.setattr("paper_checks.CHECKS", {"degree": check})
    result = CliRunner().invoke(main, ["--quick", "degree"])
    assert result.exit_code == (9 if differs else 0), result.output
    assert "large: that" not in result.stdout
    assert "rows that small forms can't judge: 1;" in result.stderr


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_small_forms_have_a_run_of_every_kind_and_fewer_runs(check: Check):
    small, real = check.tasks(Scale(quick=True)), check.tasks(Scale())
    assert 0 < len(small) < len(real) or {task.case for task in small} == {task.case for task in real}
    assert len(check.tasks(Scale(seeds=7))) >= len(real)


def test_the_page_has_a_section_and_a_picture_for_each_check(tmp_path):
    def draw(found, figure):
        figure.subplots().plot([1, 2], found["case"][0]["points"])

    def tasks(scale: Scale) -> list[Task]:
        return []

    check = Check("Some Law", "It holds.", tasks, lambda found: [], draw, "Because of this.")
    rows = [at_least("that", 1.0, 0.5), at_most("this", 2.0, 1.0)]
    pictures = []
    for _ in range(2):
        page.write(tmp_path, {"law": check}, {"law": rows}, {"law": {"case": [{"points": [3, 4]}]}}, 90.0)
        pictures.append((tmp_path / "img" / "check-law.svg").read_bytes())
    text = (tmp_path / "paper-checks.md").read_text()
    assert "| [1. Some Law](#1-some-law) | 1 of 2 | differs |" in text
    assert "## 1. Some Law" in text
    assert "| this | ≤ 1 | 2 | **differs** |" in text
    assert "Because of this." in text
    assert "](img/check-law.svg)" in text
    assert pictures[0] == pictures[1]


def paper_checks(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "experiments" / "paper_checks.py"
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)


def test_the_command_runs_a_check_and_prints_its_table(tmp_path):
    found = paper_checks("--quick", "--jobs", "1", "--out", str(tmp_path / "out"), "degree")
    assert found.returncode == 0, found.stdout
    assert "degree: bound / makespan, 3 neighbours" in found.stdout
    assert "differs" not in found.stdout
    assert found.stderr.endswith("rows that small forms can't judge: 3; leave --quick out for them\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["no-such"], "bound"), (["--seeds", "0"], "seeds"), (["--write", "--out", "/nowhere"], "leave --write out")],
)
def test_mistakes_are_explained_without_a_traceback(arguments, told):
    found = paper_checks(*arguments)
    assert found.returncode in (1, 2)
    assert told in found.stderr
    assert "Traceback" not in found.stderr

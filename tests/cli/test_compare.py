"""Many runs side by side: what is run, what is kept, how it goes on, and what the table says of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from click.testing import CliRunner, Result

from minibit.cli import compare
from minibit.compare import one_run
from minibit.compare.columns import Estimate, estimate, of_groups, shown, t_975
from minibit.compare.grid import load
from minibit.compare.results import ResultsFolder
from minibit.records import PeerRecord

ROOT = Path(__file__).parents[2]
GRIDS = sorted((ROOT / "experiments" / "grids").glob("*.toml"))
SOON_S = 20

OPTIONS = """
[options]
peers = 4
size = "256KiB"
block_size = "32KiB"
upload = "64KiB/s"
seed_upload = "128KiB/s"
"""
TWO_BY_TWO = f"""
title = "Two by two"
repeats = 2
{OPTIONS}
[grid]
picker = ["rarest-first", "random"]
"""

THEIRS = """
import os
from pathlib import Path
from minibit.picker import RarestFirst

HERE = Path("FOLDER")

class Held(RarestFirst):
    def pick(self, choices, availability):
        if (HERE / "begun").exists():
            (HERE / "begun").write_text(str(os.getpid()))
            (HERE / "never").read_text()
        return super().pick(choices, availability)

class Deadly(RarestFirst):
    def pick(self, choices, availability):
        if (HERE / "fuse").exists():
            os.kill(os.getpid(), 9)
        return super().pick(choices, availability)

class Quitter(RarestFirst):
    def pick(self, choices, availability):
        if (HERE / "fuse").exists():
            raise SystemExit(3)
        return super().pick(choices, availability)

class Broken(RarestFirst):
    def pick(self, choices, availability):
        raise ZeroDivisionError("three sheep")

class Last(RarestFirst):
    def pick(self, choices, availability):
        return choices.bit_length() - 1
"""

Ran = Callable[..., Result]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ran]:
    """Compare in this process what a grid file says: `ran(text, "--json")`; `theirs` has strategies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    on_sigterm = signal.getsignal(signal.SIGTERM)
    (tmp_path / "theirs.py").write_text(THEIRS.replace("FOLDER", str(tmp_path)))

    def go(text: str, *arguments: object) -> Result:
        (tmp_path / "g.toml").write_text(text)
        return CliRunner().invoke(
            compare.main, ["g.toml", "--out", "out", *map(str, arguments)], prog_name="minibit compare"
        )

    yield go
    signal.signal(signal.SIGTERM, on_sigterm)
    sys.modules.pop("theirs", None)


def pickers(*names: str) -> str:
    """A grid of these pickers, each run once."""
    return f'title = "Pickers"\nrepeats = 1\n{OPTIONS}\n[grid]\npicker = {list(names)}\n'


def kept() -> list[dict[str, Any]]:
    """All results, by seed and cell, whichever ended first."""
    results = [json.loads(line) for line in Path("out/results.jsonl").read_text().splitlines()]
    return sorted(results, key=lambda one: (one["seed"], *one["cell"].values()))


# the table


def test_every_cell_runs_with_every_seed_and_has_its_row(ran: Ran) -> None:
    result = ran(TWO_BY_TWO, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "Two by two"
    assert re.split(r"  +", lines[2].strip())[:4] == ["picker", "runs", "transfer s", "mean s"]
    assert [line.split()[:2] for line in lines[3:]] == [["rarest-first", "2"], ["random", "2"]]
    assert [(one["seed"], one["cell"]["picker"]) for one in kept()] == [
        (1, "random"),
        (1, "rarest-first"),
        (2, "random"),
        (2, "rarest-first"),
    ]


def test_the_table_is_kept_for_people_and_for_programs(ran: Ran) -> None:
    told = json.loads(ran(TWO_BY_TWO, "--json").stdout)
    frame = pl.read_parquet("out/table.parquet")
    assert frame["picker"].to_list() == ["rarest-first", "random"]
    assert frame["transfer_s"].to_list() == [cell["measures"]["transfer_s"]["mean"] for cell in told["cells"]]
    assert frame["efficiency:runs"].to_list() == [2, 2]
    text = Path("out/table.md").read_text()
    assert text.startswith("# Two by two\n\n| picker ")
    assert len({len(line) for line in text.splitlines()[2:]}) == 1


def test_the_means_are_those_of_the_runs(ran: Ran) -> None:
    told = json.loads(ran(TWO_BY_TWO, "--json").stdout)
    transfers_s = [one["summary"]["seconds"]["transfer"] for one in kept() if one["cell"]["picker"] == "random"]
    assert told["cells"][1]["measures"]["transfer_s"]["mean"] == pytest.approx(sum(transfers_s) / 2, rel=1e-5)
    assert told["cells"][1]["measures"]["transfer_s"]["runs"] == 2


def test_the_same_run_is_the_same_wherever_it_runs(ran: Ran) -> None:
    ran(TWO_BY_TWO)
    first = load(Path("g.toml")).runs()[0]
    again = one_run.run(first.options, first.scenario)
    assert [again["figures"]] == [one["figures"] for one in kept() if one["key"] == first.key]


def test_cases_change_several_keys_together_and_multiply_the_grid(ran: Ran) -> None:
    text = (
        TWO_BY_TWO.replace("repeats = 2", "repeats = 1")
        + """
    [[cases]]
    name = "crowd"
    slots = 2
    scenario.arrivals = { pattern = "crowd", within = "2s" }
    [[cases]]
    name = "plain"
    """
    )
    told = json.loads(ran(text, "--json").stdout)
    assert [tuple(cell["cell"].values()) for cell in told["cells"]] == [
        ("crowd", "rarest-first"),
        ("crowd", "random"),
        ("plain", "rarest-first"),
        ("plain", "random"),
    ]
    slots = {one["cell"]["case"]: one["parameters"]["options"]["rules"]["slots"] for one in kept()}
    patterns = {one["cell"]["case"]: one["parameters"]["scenario"]["arrivals"]["pattern"] for one in kept()}
    assert (slots, patterns) == ({"crowd": 2, "plain": 4}, {"crowd": "crowd", "plain": "together"})


def test_a_key_of_the_grid_may_stand_deep_in_the_scenario(ran: Ran) -> None:
    text = f"""
    title = "Deep"
    repeats = 1
    measures = ["mean_s.class.slow", "transfer_s"]
    {OPTIONS}
    [[scenario.classes]]
    name = "slow"
    peers = 2
    [grid]
    scenario.classes.0.upload = ["16kB/s", "64kB/s"]
    """
    result = ran(text, "--quiet")
    headings, *rows = [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()[2:]]
    assert headings == ["classes.0.upload", "runs", "slow mean s", "transfer s"]
    assert [row[0] for row in rows] == ["16kB/s", "64kB/s"]
    assert float(rows[0][3]) > float(rows[1][3])


def test_free_riders_are_shown_beside_the_honest_where_there_are_any(ran: Ran) -> None:
    text = TWO_BY_TWO + "behave.free-rider = [0, 1]\n"
    told = json.loads(ran(text, "--json").stdout)
    without, with_one = (cell["measures"] for cell in told["cells"][:2])
    assert "mean_s.free-rider" not in without
    assert without["mean_s.honest"] == without["mean_s"]
    assert (4 * with_one["mean_s"]["mean"]) == pytest.approx(
        3 * with_one["mean_s.honest"]["mean"] + with_one["mean_s.free-rider"]["mean"]
    )
    assert "free-rider / honest" in ran(text).stdout


def test_a_peer_that_joins_late_is_timed_from_its_own_start() -> None:
    records = [
        PeerRecord(0.0, "tracker", "started"),
        PeerRecord(0.0, "tracker", "completed"),
        PeerRecord(1.0, "peer-01", "started"),
        PeerRecord(5.0, "peer-02", "started"),
        PeerRecord(7.0, "peer-02", "completed"),
    ]
    assert one_run.completions(records) == {"peer-02": 2.0}


# means and intervals


def test_a_run_in_which_nothing_is_missing_has_figures_too():
    outcome = one_run.run({"world": "sim", "peers": 3, "size": "1MiB", "initial": 1, "behave": "slow=1"}, {})
    assert outcome["figures"]["mean_s.slow"] == outcome["figures"]["transfer_s"] == 0
    assert "slowdown.slow" not in outcome["figures"]


def test_the_interval_is_student_s() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])  # s = 1.5811, t(4) = 2.7764: 2.7764 x 1.5811 / sqrt(5)
    assert (found.mean, found.runs) == (3.0, 5)
    assert found.half == pytest.approx(1.9632, abs=1e-4)


@pytest.mark.parametrize(
    ("freedom", "t"),
    [(1, 12.706), (2, 4.303), (9, 2.262), (10, 2.228), (15, 2.131), (30, 2.042), (60, 2.000), (120, 1.980)],
)
def test_student_s_t_is_that_of_the_tables(freedom: int, t: float) -> None:
    assert t_975(freedom) == pytest.approx(t, abs=6e-4)


def test_what_some_runs_lack_is_the_mean_of_the_others_and_says_so() -> None:
    assert estimate([None, None]) == Estimate(None, None, 0)
    assert estimate([4.0, None]) == Estimate(4.0, None, 1)
    assert shown("mean_s", estimate([4.0, None]), 2) == "4 (1 of 2)"
    assert shown("mean_s", estimate([]), 0) == "-"


@pytest.mark.parametrize(
    ("name", "found", "text"),
    [
        ("transfer_s", Estimate(138.246, 2.13, 5), "138.2 ± 2.1"),
        ("transfer_s", Estimate(138.246, 213.0, 5), "138 ± 213"),
        ("transfer_s", Estimate(12345.6, None, 5), "12346"),
        ("goodput_bps", Estimate(2.5 * 2**20, 0.1 * 2**20, 5), "2.50 ± 0.10"),
        ("wasted_share", Estimate(0.0213, 0.0011, 5), "2.13 ± 0.11"),
        ("wasted_share", Estimate(0.0, 0.0, 5), "0"),
        ("slowdown.free-rider", Estimate(1.5, 0.25, 5), "1.50 ± 0.25"),
    ],
)
def test_a_figure_has_two_digits_of_doubt(name: str, found: Estimate, text: str) -> None:
    assert shown(name, found, 5) == text


def test_only_behaviours_are_compared_with_the_honest() -> None:
    assert of_groups(["honest", "liar", "class.fast"]) == [
        "mean_s.honest",
        "mean_s.liar",
        "mean_s.class.fast",
        "slowdown.liar",
    ]
    assert of_groups(["liar"]) == ["mean_s.liar"]


def test_teams_are_groups_as_classes_are(ran: Ran) -> None:
    text = f'title = "Teams"\nrepeats = 1\n{OPTIONS}teams = {{ "random" = 2, "free-rider+none" = 2 }}\n'
    (cell,) = json.loads(ran(text, "--json").stdout)["cells"]
    groups = ["honest", "free-rider", "class.random", "class.free-rider+none"]
    assert load(Path("g.toml")).cells[0].groups == groups
    assert all(cell["measures"][f"mean_s.{group}"]["mean"] > 0 for group in groups)


# what is kept, and how it goes on


def test_started_again_only_what_is_missing_runs(ran: Ran) -> None:
    ran(TWO_BY_TWO)
    before = kept()
    result = ran(TWO_BY_TWO.replace("repeats = 2", "repeats = 3"))
    assert "runs to do: 2 of 6" in result.stderr
    assert kept()[:4] == before
    assert [one["seed"] for one in kept()[4:]] == [3, 3]


def test_the_same_value_in_another_unit_is_the_same_run(ran: Ran) -> None:
    ran(TWO_BY_TWO)
    assert "runs to do: 0 of 4" in ran(TWO_BY_TWO.replace('"64KiB/s"', "65536")).stderr


def test_a_line_that_was_cut_is_ignored_and_its_run_runs_again(ran: Ran) -> None:
    ran(TWO_BY_TWO)
    path = Path("out/results.jsonl")
    path.write_bytes(path.read_bytes()[:-100])
    result = ran(TWO_BY_TWO)
    assert "results.jsonl has lines that are cut or not ours, and ignored: 1" in result.stderr
    assert "runs to do: 1 of 4" in result.stderr
    assert "runs to do: 0 of 4" in ran(TWO_BY_TWO).stderr


def test_a_grid_that_changed_is_noticed_and_what_is_not_in_it_does_not_count(ran: Ran) -> None:
    ran(TWO_BY_TWO)
    result = ran(TWO_BY_TWO.replace('"random"', '"sequential"'))
    assert "the grid has changed: results still of use: 2, no longer in it: 2" in result.stderr
    assert "random" not in result.stdout
    assert "changed" not in ran(TWO_BY_TWO.replace('"random"', '"sequential"')).stderr


def test_runs_of_another_program_are_told(ran: Ran) -> None:
    ran(TWO_BY_TWO)
    path = Path("out/results.jsonl")
    path.write_text(re.sub(r'"program":"\w+"', '"program":"older"', path.read_text()))
    assert "results of another state of the program: 4" in ran(TWO_BY_TWO).stderr
    assert "runs to do: 4 of 4" in ran(TWO_BY_TWO, "--fresh").stderr
    assert len(kept()) == 4


def test_two_comparisons_never_write_in_one_folder(ran: Ran) -> None:
    with ResultsFolder(Path("out")):
        result = ran(TWO_BY_TWO)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "minibit compare: another comparison runs in out: wait for it, or give another --out\n"


def test_lost_runs_are_named_take_no_other_along_and_are_tried_again(ran: Ran) -> None:
    Path("fuse").touch()
    text = pickers("random", "theirs:Deadly", "theirs:Quitter", "sequential")
    result = ran(text, "--quiet")
    assert result.exit_code == 4
    assert [line.removeprefix("minibit compare: lost: picker = theirs:") for line in result.stderr.splitlines()] == [
        "Deadly, seed = 1: its process was killed, perhaps because memory ran out: give fewer --jobs, or smaller runs",
        "Quitter, seed = 1: its process ended with exit code 3",
    ]
    rows = {line.split()[0]: line.split()[1:4] for line in result.stdout.splitlines()[3:]}
    assert rows["theirs:Deadly"] == ["0", "of", "1"]
    assert rows["random"][0] == rows["sequential"][0] == "1"
    Path("fuse").unlink()
    result = ran(text)
    assert "runs to do: 2 of 4" in result.stderr
    assert "lost" not in result.stderr


def test_a_run_that_raises_is_lost_and_says_what_was_raised_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def simulation(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(one_run, "Simulation", simulation)
    outcome = one_run.run({"world": "sim"}, {})
    assert re.fullmatch(r"MemoryError: no room \(test_compare\.py, line \d+\)", outcome["lost"])


def test_peers_that_never_complete_are_counted_and_say_why(ran: Ran) -> None:
    result = ran(pickers("random", "theirs:Broken"), "--quiet")
    assert result.exit_code == 0
    assert result.stderr == (
        "minibit compare: incomplete: picker = theirs:Broken: 4 peers in all runs together, e.g. "
        "picker theirs:Broken raised ZeroDivisionError: three sheep\n"
    )
    assert [one["figures"]["transfer_s"] is None for one in kept()] == [False, True]


class Script:
    """The script as a process whose second run has begun and is held."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        (folder / "theirs.py").write_text(THEIRS.replace("FOLDER", str(folder)))
        (folder / "g.toml").write_text(pickers("random", "theirs:Held"))
        for pipe in ("begun", "never"):
            os.mkfifo(folder / pipe)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minibit", "compare", "g.toml", "--out", "out", "--jobs", "1", *arguments],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.run = psutil.Process(int((folder / "begun").read_text()))
        for pipe in ("begun", "never"):
            (folder / pipe).unlink()  # from now on no other run is held

    def end(self, number: int) -> str:
        """What it said, when it was ended by this signal, and its run is gone too."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=SOON_S)
        assert psutil.wait_procs([self.run], timeout=SOON_S)[1] == []
        return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_ended_and_leaves_no_process(tmp_path: Path, ran: Ran, number: int) -> None:
    script = Script(tmp_path)
    said = script.end(number)
    assert script.process.returncode == 128 + number
    assert said.endswith(
        "minibit compare: interrupted: what ended is kept in out; the same command goes on from there\n"
    )
    assert "Traceback" not in said
    assert [one["cell"]["picker"] for one in kept()] == ["random"]


def test_after_a_kill_no_run_goes_on_and_the_next_start_does_the_rest(tmp_path: Path, ran: Ran) -> None:
    Script(tmp_path).end(signal.SIGKILL)
    assert [one["cell"]["picker"] for one in kept()] == ["random"]
    result = ran(pickers("random", "theirs:Held"))
    assert result.exit_code == 0
    assert "runs to do: 1 of 2" in result.stderr
    assert [one["cell"]["picker"] for one in kept()] == ["random", "theirs:Held"]


# wrong input


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = x", "g.toml is no TOML: Invalid value (at line 1, column 9)"),
        ("repeats = 3", "g.toml: title: must be given"),
        ("title = 'x'\nrepeat = 3", "g.toml: repeat: there is no such key: give repeats"),
        ("title = 'x'\nrepeats = 0", "g.toml: repeats: give a whole number >= 1"),
        ("title = 'x'\nrepeats = 'two'", "g.toml: repeats: give a whole number, not a text"),
        ("title = 'x'\nmeasures = ['transfer']", "g.toml: measures: there is no 'transfer': give transfer_s"),
        ("title = 'x'\n[options]\npickr = 'random'", "g.toml: there is no option 'pickr': did you mean picker?"),
        (
            "title = 'x'\n[options]\nblock_size = '3 foo'",
            "g.toml: block_size: '3 foo' is no size: give e.g. 64MiB, 500kB",
        ),
        ("title = 'x'\n[options]\nseed = 3", "g.toml: seed: leave it out: repeats sets it"),
        ("title = 'x'\n[grid]\nslots = 3", "g.toml: grid.slots: 3 won't do: give a list of values"),
        ("title = 'x'\n[grid]\nslots = []", "g.toml: grid.slots: [] won't do: give a list of values"),
        (
            "title = 'x'\n[grid]\nslots = [4, -1]",
            "g.toml: slots: -1 won't do: give 0 to 10000 (cell slots = -1)",
        ),
        (
            "title = 'x'\n[grid]\nbehave.free-rider = [3, 11]",
            "g.toml: behave: {'free-rider': 11} needs 11 peers in all, and there are 10: "
            "give more peers, or fewer of these (cell behave.free-rider = 11)",
        ),
        (
            "title = 'x'\n[options]\npeers = 3\n[grid]\npeers.x = [1]",
            "g.toml: peers.x: there is no table to set that in (cell peers.x = 1)",
        ),
        ("title = 'x'\n[[cases]]\nslots = 3", "g.toml: cases: name: give each case a name, as a text"),
        (
            "title = 'x'\n[scenario]\nlatncy = '3s'",
            "g.toml: scenario: latncy: there is no such key: give latency",
        ),
        (
            "title = 'x'\n[scenario]\nlatency = '3x'",
            "g.toml: scenario: latency: '3x' is no duration: give e.g. 10s, 250ms, 2m, 1h",
        ),
        (
            "title = 'x'\n[options]\nworld = 'ray'\n[scenario]\nlatency = '1s'",
            'g.toml: scenario: real actors have none: leave it out, or give world = "sim"',
        ),
    ],
)
def test_a_wrong_grid_is_one_line_that_names_the_key_and_nothing_runs(ran: Ran, text: str, said: str) -> None:
    result = ran(text)
    assert (result.exit_code, result.stderr, result.stdout) == (2, f"minibit compare: {said}\n", "")
    assert not Path("out").exists()


def test_a_fault_of_a_peer_that_is_not_there_is_found_before_anything_runs(ran: Ran) -> None:
    result = ran(TWO_BY_TWO + "scenario.faults = [[], [{ kind = 'dies', peers = ['peer-99'] }]]")
    assert result.exit_code == 2
    assert "there is no peer 'peer-99'" in result.stderr
    assert not Path("out").exists()


def test_a_grid_that_is_not_there_is_said(ran: Ran, tmp_path: Path) -> None:
    result = CliRunner().invoke(compare.main, ["nothing.toml"], prog_name="minibit compare")
    assert result.exit_code == 2
    assert result.stderr == (
        "minibit compare: nothing.toml can't be read (No such file or directory): "
        "give a grid file, e.g. one of experiments/grids/\n"
    )


# tables in documents


def test_a_table_is_renewed_where_a_page_has_its_place(ran: Ran) -> None:
    page = Path("page.md")
    page.write_text("before\n<!-- table g -->\nold\n<!-- end -->\nafter\n")
    ran(TWO_BY_TWO, "--into", page)
    table = Path("out/table.md").read_text().removeprefix("# Two by two\n\n")
    assert page.read_text() == f"before\n<!-- table g -->\n\n{table}\n<!-- end -->\nafter\n"


def test_a_page_without_a_place_is_found_before_anything_runs(ran: Ran) -> None:
    Path("page.md").write_text("<!-- table h -->\n<!-- end -->\n")
    result = ran(TWO_BY_TWO, "--into", "page.md")
    assert result.exit_code == 2
    assert "page.md has no place for g: add the lines" in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_shipped_grid_is_right_asks_its_question_and_has_its_table(path: Path) -> None:
    grid = load(path)
    assert grid.text.startswith("# ")
    assert grid.text.split("\n\n")[0].count("?") >= 1
    assert compare.marked(ROOT / "docs" / "compare.md", path.stem).group().count("\n| ") == len(grid.cells) + 2


# on a Ray cluster


@pytest.mark.ray
def test_on_a_cluster_each_run_is_a_task_and_strategies_travel(ran: Ran, ray_cluster: str) -> None:
    Path("fuse").touch()
    result = ran(pickers("theirs:Last", "random", "theirs:Deadly"), "--address", ray_cluster, "--quiet")
    assert result.exit_code == 4
    assert "lost: picker = theirs:Deadly, seed = 1: WorkerCrashedError: " in result.stderr.splitlines()[-1]
    on_the_cluster = {one["cell"]["picker"]: one["figures"] for one in kept() if "figures" in one}
    assert ran(pickers("theirs:Last", "random"), "--fresh").exit_code == 0
    assert {one["cell"]["picker"]: one["figures"] for one in kept()} == on_the_cluster


@pytest.mark.ray
def test_an_interrupt_ends_the_tasks_of_a_cluster_too(tmp_path: Path, ran: Ran, ray_cluster: str) -> None:
    script = Script(tmp_path, "--address", ray_cluster)
    assert "Traceback" not in script.end(signal.SIGINT)
    assert script.process.returncode == 130
    assert [one["cell"]["picker"] for one in kept()] == ["random"]


@pytest.mark.ray
def test_swarms_of_real_actors_are_compared_too(ran: Ran, ray_cluster: str) -> None:
    text = f'title = "Twins"\nrepeats = 1\n{OPTIONS}\nbehave.free-rider = 1\n[grid]\nworld = ["ray", "sim"]\n'
    told = json.loads(ran(text, "--address", ray_cluster, "--json").stdout)
    real, simulated = (cell["measures"] for cell in told["cells"])
    assert real.keys() == simulated.keys()
    assert real["transfer_s"]["mean"] > 0
    assert real["incomplete"]["mean"] == 0

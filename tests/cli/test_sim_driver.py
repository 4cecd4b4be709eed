"""`--world sim`: the same command, summary, folder and exit codes as with real actors, in virtual time."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from summaries import DONE
from terminal import Clock, Terminal

from minibit.actors.disk import files
from minibit.cli import swarm
from minibit.cli.progress import Progress
from minibit.lab.archive import RunFolder
from minibit.records import TABLES, BlockRecord
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation
from minibit.sim.journal import Journal
from minibit.sim.simulation import EVENTS_AT_ONCE

SCRIPT = Path(__file__).parents[2] / "experiments" / "run_swarm.py"
SMALL = ("--peers", "4", "--size", "1MiB", "--block-size", "64KiB")
ENOUGH_S = 60

Ran = Callable[..., Result]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ran:
    """Run a simulation with the script, in this process and a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return lambda *arguments, world="sim": CliRunner().invoke(
        swarm.main, ["--world", world, "--no-report", *map(str, arguments)], prog_name="run_swarm.py"
    )


def summary_of(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# what comes out


def test_each_line_of_progress_is_told_once(ran):
    told = ran(*SMALL, "--upload", "1MiB/s", "--out", "run").stderr.splitlines()
    assert sorted(set(told)) == sorted(told)
    assert "records in run" in told


def test_the_summary_and_the_folder_are_those_of_a_real_run(ran, tmp_path):
    result = ran(*SMALL, "--upload", "1MiB/s", "--seed-upload", "1MiB/s", "--out", "run", "--name", "tuesday", "--json")
    summary = summary_of(result)
    assert result.exit_code == 0
    assert list(summary) == list(json.loads(DONE.to_json()))
    assert (summary["run"], summary["world"], summary["completed"], summary["failed"]) == ("tuesday", "sim", 4, [])
    assert (summary["seconds"]["spawn"], summary["seconds"]["verify"]) == (0, 0)
    assert 1 < summary["seconds"]["transfer"] == summary["seconds"]["last"] <= summary["seconds"]["total"] < 10
    assert 0 < summary["efficiency"] <= 1
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["summary"], run["scenario"], run["options"]["upload_bps"]) == (summary, {}, 1 << 20)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        ["run.json", *(f"{name}.parquet" for name in TABLES)]
    )
    blocks = pl.read_parquet(tmp_path / "run" / "blocks.parquet")
    assert tuple(blocks.columns) == BlockRecord.__struct_fields__
    assert blocks.filter(verdict="useful").height == 4 * 16
    assert blocks["at_s"].is_sorted()


def test_a_run_without_a_name_gets_a_folder_of_its_own(ran, tmp_path):
    first, second = (summary_of(ran(*SMALL, "--json"))["run"] for _ in range(2))
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted({first, second})


def test_a_person_gets_a_table_of_what_has_a_meaning(ran):
    result = ran(*SMALL)
    assert "in virtual time" in result.stdout
    assert "verif" not in result.stdout
    assert "actor calls" not in result.stdout


def test_the_time_on_the_wall_is_told_to_who_watches_and_stays_out_of_the_summary(ran):
    result = ran(*SMALL, "--json")
    assert "64 blocks, " in result.stderr
    assert " a second\n" in result.stderr
    assert "4 of 4 peers complete" in result.stderr
    assert ran(*SMALL, "--json", "--quiet").stderr == ""


def test_the_same_seed_gives_the_same_bytes_whatever_the_hashes_of_the_process(tmp_path):
    scenario = tmp_path / "scenario.toml"
    scenario.write_text('[[faults]]\nkind = "dies"\nat = "1s"\npeers = 1\n\n[arrivals]\nwithin = "5s"\n')
    written = []
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        folder.mkdir()
        arguments = [*SMALL, "--upload", "256KiB/s", "--name", "twin", "--quiet", "--no-report", "--journal", "peer-02"]
        subprocess.run(
            [sys.executable, SCRIPT, "--world", "sim", *arguments, "--scenario", scenario],
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.DEVNULL,
            timeout=ENOUGH_S,
            check=False,
        )
        files = {path.name: path.read_bytes() for path in (folder / "runs" / "twin").iterdir()}
        files["run.json"] = re.sub(rb'"written": ".*"', b"", files["run.json"])
        written.append(files)
    assert len(written[0]) == len(TABLES) + 2
    assert written[0] == written[1]


def test_ray_is_not_imported_and_its_address_in_the_environment_is_not_our_business(tmp_path):
    program = f"""
import atexit, runpy, sys
atexit.register(lambda: print("ray loaded:", "ray" in sys.modules))
sys.argv = ["run_swarm.py", "--world", "sim", "--peers", "2", "--size", "64KiB"]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "RAY_ADDRESS": "192.0.2.1:6379"},
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("ray loaded: False\n")


# what goes in


def test_a_file_gives_its_name_size_and_digest_and_not_its_bytes(ran, tmp_path):
    film = tmp_path / "film.bin"
    film.write_bytes(os.urandom(300_001))
    found = summary_of(ran(film, "--peers", "3", "--block-size", "64KiB", "--json"))["content"]
    assert found == {
        "name": "film.bin",
        "bytes": 300_001,
        "blocks": 5,
        "block_bytes": 65536,
        "digest": files.scan(film, 65536).digest,
    }


def test_an_empty_file_is_complete_at_once(ran, tmp_path):
    (tmp_path / "nothing").write_bytes(b"")
    result = ran("nothing", "--peers", "3", "--json")
    assert (result.exit_code, summary_of(result)["seconds"]["transfer"], summary_of(result)["completed"]) == (0, 0, 3)


def test_a_file_that_is_not_there_is_exit_code_3_and_leaves_nothing(ran, tmp_path):
    result = ran("nothing")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        "run_swarm: there is no nothing: give a file or a folder, or leave it out to share made content\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["--control", "actors"], ["--address", "auto"], ["--data-ports", "20000-20100"], ["--keep"], ["--live"]],
    ids=" ".join,
)
def test_what_has_no_meaning_in_the_simulation_is_a_usage_error(ran, tmp_path, arguments):
    result = ran(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"run_swarm: {arguments[0]} has a meaning with --world ray only: leave it out, or give that\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--scenario", "faults.toml"], ["--journal", "peer-01"]], ids=" ".join)
def test_what_has_no_meaning_with_real_actors_is_a_usage_error(ran, arguments):
    result = ran(*arguments, world="ray")
    assert result.exit_code == 2
    assert result.stderr == (
        f"run_swarm: {arguments[0]} has a meaning with --world sim only: leave it out, or give that\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, " can't be read (No such file or directory): give a TOML file, as in docs/simulation.md"),
        ("latency = ", " is no TOML: "),
        ("\xff", " can't be read (it is no UTF-8 at byte 0): "),
        ("latencey = 3", ": latencey: there is no such key: give latency"),
        ("[[classes]]\nname = 'slow'\npeers = 99", ": classes: 99 peers in classes, and 10 in all"),
        ("[[classes]]\nname = 'slow'\npeers = 'many'", ": classes[0].peers: give a whole number, not a text"),
        ("[[classes]]\nname = 'a'\npeers = 1\nbehaviour = 'saint'", ": classes[0].behaviour: "),
        ("latency = 'long'", ": latency: 'long' is no duration: give e.g. 10s, 250ms, 2m, 1h"),
        ("[arrivals]\npattern = 'rare'", ": arrivals.pattern: 'rare' won't do: give together, poisson, crowd"),
        ("[[faults]]\nkind = 'dies'\nprobability = 2.0", ": faults[0].probability: "),
        ("[[faults]]\nkind = 'dies'\npeers = ['peer-99']", ": faults[0].peers: there is no peer 'peer-99'"),
        ("[[faults]]\npeers = 2", ": faults[0].kind: must be given"),
    ],
)
def test_a_wrong_scenario_names_the_file_the_key_and_what_it_takes(ran, tmp_path, text, said):
    path = tmp_path / "lived.toml"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    result = ran("--scenario", path.name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"run_swarm: --scenario lived.toml{said}")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_journals_of_peers_lie_in_the_runs_folder(ran, tmp_path):
    assert ran(*SMALL, "--journal", "peer-01,tracker", "--journal", "peer-03", "--out", "run").exit_code == 0
    kept = sorted((tmp_path / "run").glob("*.journal"))
    assert [path.name for path in kept] == ["peer-01.journal", "peer-03.journal", "tracker.journal"]
    assert [Journal.decode(path.read_bytes()).head.peer for path in kept] == ["peer-01", "peer-03", "tracker"]


def test_a_journal_of_nobody_is_a_usage_error(ran, tmp_path):
    result = ran(*SMALL, "--journal", "peer-01,peer-7")
    assert result.exit_code == 2
    assert (
        result.stderr == "run_swarm: --journal: there is no peer 'peer-7': there are tracker, and peer-01 to peer-04\n"
    )
    assert list(tmp_path.iterdir()) == []


# how it ends


def test_the_time_limit_is_of_virtual_time_and_names_also_who_never_came(ran, tmp_path):
    (tmp_path / "late.toml").write_text('[arrivals]\nalready = 1\nwithin = "10h"\n')
    result = ran(*SMALL, "--seed-upload", "1KiB/s", "--timeout", "2m", "--scenario", "late.toml", "--json")
    summary = summary_of(result)
    assert (result.exit_code, summary["timed_out"]) == (5, True)
    assert (summary["seconds"]["transfer"], summary["seconds"]["total"]) == (120, 120)
    assert (summary["peers"], [failure["peer"] for failure in summary["failed"]]) == (
        *(4,),
        ["peer-01", "peer-02", "peer-03", "peer-04"],
    )


def test_blocks_that_nobody_holds_any_more_end_the_run_and_are_named_with_who_waits(ran, tmp_path):
    (tmp_path / "orphans.toml").write_text('[[faults]]\nkind = "dies"\nat = "3s"\npeers = ["tracker"]\n')
    result = ran(*SMALL, "--upload", "64KiB/s", "--seed-upload", "128KiB/s", "--scenario", "orphans.toml", "--json")
    summary = summary_of(result)
    assert (result.exit_code, summary["completed"], summary.get("timed_out")) == (4, 0, None)
    blocks = pl.read_parquet(next((tmp_path / "runs").glob("*/blocks.parquet")))
    lost = sorted(set(range(16)) - set(blocks["block"]))
    assert lost
    some = ", ".join(map(str, lost[:10])) + (", ..." if len(lost) > 10 else "")
    assert f"nobody holds {len(lost)} blocks any more ({some})" in result.stderr
    assert all(f"peer-0{number}" in result.stderr.split("incomplete:", 1)[1] for number in range(1, 5))


def test_a_picker_that_raises_fails_every_peer_by_its_name_as_in_a_real_run(ran, tmp_path):
    (tmp_path / "broken_in_sim.py").write_text(
        "from minibit.picker import Picker\n"
        "class Broken(Picker):\n"
        "    def pick(self, choices, availability):\n"
        "        raise RuntimeError('a bug')\n"
    )
    result = ran(*SMALL, "--picker", "broken_in_sim:Broken", "--json")
    assert result.exit_code == 4
    assert {failure["why"] for failure in summary_of(result)["failed"]} == {
        "picker broken_in_sim:Broken raised RuntimeError: a bug"
    }


def test_ctrl_c_is_130_and_leaves_no_folder(tmp_path):
    arguments = ["--peers", "300", "--size", "64MiB", "--upload", "64KiB/s"]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--world", "sim", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "simulating the tracker and 300 peers\n"
        assert "300 peers complete" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=ENOUGH_S)
    finally:
        process.kill()
    assert (process.returncode, stdout) == (130, "")
    assert stderr.endswith("run_swarm: interrupted\n")
    assert "Traceback" not in stderr
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("name", ["peers.parquet", "run.json"])
def test_a_run_that_is_interrupted_while_it_is_written_leaves_no_half_folder(monkeypatch, tmp_path, name):
    folder = RunFolder.create(out=tmp_path / "run")
    write = Path.write_bytes

    def interrupted(path: Path, data: bytes) -> int:
        if path.name == f".{name}.new":
            raise KeyboardInterrupt
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.write({}, [])
    folder.remove_if_empty()
    assert list(tmp_path.iterdir()) == []


# progress


def test_progress_is_asked_for_often_however_rare_samples_are():
    simulation = Simulation(
        Options.build(peers=10, size="8MiB", block_size="16KiB", upload="64KiB/s"),
        Scenario.build({"sample": "1h"}, 10),
    )
    seen = []
    simulation.run(lambda it: seen.append((it.world.now, it.ledger.held)))
    assert 10 <= len(seen) <= simulation.world.clock.planned // EVENTS_AT_ONCE
    assert seen == sorted(seen)
    assert len({held for _, held in seen}) > len(seen) / 2  # the books are up to date


def test_lines_come_by_the_clock_on_the_wall_and_say_both_times():
    file, clock = io.StringIO(), Clock()
    with Progress(file=file, clock=clock) as progress:
        due = []
        for call in range(120):
            clock.now = 100 + call / 10
            due.append(progress.due)
            progress.update(completed=0, peers=5, held=call, total=200, rate_bps=1024, virtual_s=call * 60.04)
    assert file.getvalue().splitlines() == [
        "0 s simulated in 0 s: 0 % of the blocks, 0 of 5 peers complete, 1 KiB/s",
        "50 min 02 s simulated in 5 s: 25 % of the blocks, 0 of 5 peers complete, 1 KiB/s, 15 s to go",
        "1 h 40 min simulated in 10 s: 50 % of the blocks, 0 of 5 peers complete, 1 KiB/s, 10 s to go",
    ]
    assert [call for call, was_due in enumerate(due) if was_due] == [0, 50, 100]


def test_bars_are_drawn_some_times_a_second_and_say_the_virtual_time(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    file, clock = Terminal(), Clock()
    with Progress(file=file, clock=clock) as progress:
        drawn = 0
        for call in range(1000):
            clock.now = 100 + call / 1000
            if progress.due:
                drawn += 1
                progress.update(completed=2, peers=5, held=50, total=100, rate_bps=3 << 20, virtual_s=90)
    assert 4 <= drawn <= 6
    assert "1 min 30 s simulated" in file.getvalue()


def test_quiet_is_never_due():
    assert not Progress(quiet=True).due


# what the line of a peer is


def test_a_peer_without_a_limit_has_a_line_of_a_gigabit_and_the_help_says_so(ran):
    assert "1 Gbit/s" in " ".join(ran("--help").stdout.split())
    seconds = summary_of(ran("--peers", "1", "--size", "125MB", "--block-size", "1MB", "--json"))["seconds"]
    assert 1 < seconds["transfer"] < 1.5


def test_a_class_that_lacks_a_block_that_there_is_not_is_refused(ran, tmp_path):
    (tmp_path / "odd.toml").write_text('classes = [{ name = "odd", peers = 1, lacks = [16] }]\n')
    result = ran(*SMALL, "--scenario", "odd.toml")
    assert result.exit_code == 2
    assert "'odd' lacks block 16, and there are 16, counted from 0" in result.stderr


def test_what_a_strategy_raises_is_told_without_a_word_of_a_scenario(ran, tmp_path):
    (tmp_path / "odd_picker.py").write_text(
        "from minibit.picker import RarestFirst\n"
        "class Odd(RarestFirst):\n"
        "    def __init__(self, rng): raise KeyError('mine')\n"
    )
    result = ran("--picker", "odd_picker:Odd")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "run_swarm: strategy KeyError: 'mine' (odd_picker:Odd, tit-for-tat)\n"

"""The fuzzer: a sample of random worlds with every checker on, and what it does with one that fails."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import fault_worlds
import fuzz_swarm as fuzz
import pytest
from click.testing import CliRunner, Result

from minibit import events
from minibit.errors import LocalError
from minibit.pipeline import Pipeline
from minibit.sim.checkers import Checker
from minibit.sim.machine import Machine
from minibit.sim.simulation import Simulation
from minibit.sim.watcher import Watcher
from minibit.sim.world import World

SCRIPT = Path(__file__).parents[2] / "experiments" / "fuzz_swarm.py"
WORLDS = 25


def ran(*arguments: object) -> Result:
    return CliRunner().invoke(fuzz.main, [str(one) for one in arguments])


@pytest.mark.parametrize("index", range(WORLDS))
def test_a_random_world_has_nothing_wrong(index: int):
    outcome = fuzz.run_world(fault_worlds.random_world(f"tests/{index}", 16))
    assert not outcome.text, f"{outcome.text}\n{fuzz.command(outcome.world)}"
    assert outcome.events > 0


# worlds


def test_a_world_follows_from_its_seed_and_is_plain_data():
    world = fault_worlds.random_world("1/1", 40)
    assert world == fault_worlds.random_world("1/1", 40)
    assert world != fault_worlds.random_world("1/2", 40)
    assert json.loads(json.dumps(world)) == world


def test_worlds_are_of_every_kind():
    worlds = [fault_worlds.random_world(str(index), 40) for index in range(400)]
    for world in worlds:
        fuzz.build(world)
    faults = [fault for world in worlds for fault in world["scenario"]["faults"]]
    assert {fault["kind"] for fault in faults} == {
        *("dies", "leaves", "pauses", "cut", "split", "slow", "delayed", "corrupt", "tracker-gone"),
    }
    peers = {world["options"]["peers"] for world in worlds}
    assert (min(peers), max(peers) > 35) == (2, True)
    assert {type(fault.get("peers")) for fault in faults} == {int, list, type(None)}
    sizes = {-(-world["options"]["size"] // world["options"]["block_size"]) for world in worlds}
    assert min(sizes) == 1
    assert max(sizes) > 50
    for option in ("choker", "slots", "guests", "neighbours", "announce", "leave", "initial", "behave", "download"):
        assert len({json.dumps(world["options"].get(option)) for world in worlds}) > 1


def test_a_run_of_a_world_is_the_same_each_time():
    world = fault_worlds.random_world("tests/again", 10)
    assert fuzz.run_world(world) == fuzz.run_world(world)


@pytest.mark.parametrize("index", range(WORLDS))
def test_a_world_goes_the_same_way_whether_somebody_watches_or_not(index: int):
    options, scenario = fuzz.build(fault_worlds.random_world(f"tests/watched/{index}", 24))
    names = [f"peer-{number + 1:02}" for number in range(options.peers)]
    told = []
    for watchers in ((), (Watcher(),)):
        simulation = Simulation(options, scenario, watchers=watchers, journal=names)
        summary = simulation.run()
        journals = {name: journal.encode() for name, journal in simulation.journals.items()}
        told.append((summary, list(simulation.records), journals))
    assert told[0] == told[1]


# failures


@pytest.fixture
def greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers that ask for everything again and again."""
    ask = Pipeline.ask

    def forgetful(self: Pipeline, *facts: Any) -> Any:
        self.in_flight = 0
        return ask(self, *facts)

    monkeypatch.setattr(Pipeline, "ask", forgetful)


def test_what_fails_is_made_smaller_and_shown_as_a_command_that_shows_it_again(greedy: None):
    result = ran("--runs", 3, "--seed", 1, "--jobs", 1, "--peers-max", 12)
    assert result.exit_code == 1
    said, command, *_, total = result.stdout.splitlines()
    assert said.startswith(("FAILED PeersAgree: ", "FAILED BlocksAreAskedOnce: "))
    assert "3 worlds" in total
    python, script, option, world = shlex.split(command)
    assert (python, script, option) == ("python", "experiments/fuzz_swarm.py", "--world")
    small = json.loads(world)
    assert small["options"]["peers"] <= 3
    assert not any(small["scenario"].values())
    again = ran("--world", world)
    assert again.exit_code == 1
    assert again.stdout.splitlines() == [said]


def test_what_raises_in_the_core_is_a_failure_with_its_trace(monkeypatch: pytest.MonkeyPatch):
    def broken(*facts: object) -> None:
        raise ZeroDivisionError("never")

    monkeypatch.setattr(Pipeline, "ask", broken)
    outcome = fuzz.run_world({"options": {"peers": 2, "size": 4000, "block_size": 1000, "seed": 1}})
    assert outcome.kind == "ZeroDivisionError in broken"
    assert "Traceback" in outcome.text


def test_a_world_that_takes_too_long_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    world = {"options": {"peers": 2, "size": 4000, "block_size": 1000, "upload": 100, "seed_upload": 100}}
    monkeypatch.setattr(fuzz, "MOST_EVENTS", 20)
    assert "does not end: 21 events" in fuzz.run_world(world).text
    monkeypatch.setattr(fuzz, "MOST_EVENTS", 10**6)
    monkeypatch.setattr(fuzz, "MOST_VIRTUAL_S", 5.0)
    assert re.search(r"at \d+\.\d+ s: it does not end", fuzz.run_world(world).text)


def test_a_world_that_hangs_within_one_event_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    class Hangs(Checker):
        def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
            while True:
                pass

    monkeypatch.setattr(fuzz, "all_checkers", lambda: (Hangs(),))
    outcome = fuzz.run_world({"options": {"peers": 2}}, 0.1)
    assert outcome.kind == "RunsEnd"
    assert "does not end" in outcome.text


def test_a_world_is_not_smaller_because_less_time_is_left_for_it(monkeypatch: pytest.MonkeyPatch):
    def lasts(world: fuzz.Plain, most_s: float = fuzz.MOST_WORLD_S) -> fuzz.Outcome:
        return fuzz.Outcome(world, 0, 2, 1.0, 9, "RunsEnd" if most_s < fuzz.MOST_WORLD_S else "")

    monkeypatch.setattr(fuzz, "run_world", lasts)
    options = {"peers": 4, "size": 4000, "block_size": 1000, "seed": 1}
    failed = fuzz.Outcome({"options": options, "scenario": {}}, 0, 4, 1.0, 9, "RunsEnd")
    assert fuzz.shrink(failed, 1.0) == failed


# usage


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("{", "give the JSON"),
        ("[]", "an object of"),
        ('{"options": 3}', "are objects"),
        ('{"world": {}}', "an object of"),
        ('{"options": {"peers": 0}}', "peers: 0 won't do"),
        ('{"options": {"peeers": 3}}', "did you mean peers"),
        ('{"scenario": {"faults": [{"kind": "tired"}]}}', "faults"),
        ('{"options": {"peers": 2}, "scenario": {"faults": [{"kind": "dies", "peers": ["bia"]}]}}', "no peer 'bia'"),
    ],
)
def test_a_world_that_is_none_is_refused_with_what_to_give(given: str, what: str):
    result = ran("--world", given)
    assert result.exit_code == 2
    assert what in result.output
    assert "Traceback" not in result.output


def test_a_world_with_nothing_wrong_says_so():
    result = ran("--world", '{"options": {"peers": 2, "size": 2000, "block_size": 1000}}')
    assert result.exit_code == 0
    assert result.stdout.startswith("nothing wrong: 2 of 2 complete")


@pytest.mark.parametrize("arguments", [("--runs", 0), ("--jobs", 0), ("--peers-max", 1), ("--seed", "x")])
def test_numbers_that_make_no_sense_are_refused(arguments: tuple[object, ...]):
    assert ran(*arguments).exit_code == 2


def test_build_refuses_what_is_no_world():
    with pytest.raises(LocalError):
        fuzz.build({"options": {"slots": -1}})


def test_ctrl_c_ends_it_cleanly_and_at_once():
    program = [sys.executable, str(SCRIPT), "--runs", "100000", "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent)}
    with subprocess.Popen(
        program, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("100000 worlds")
        os.killpg(process.pid, signal.SIGINT)
        try:
            stdout, stderr = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 130
    assert "Traceback" not in stderr + stdout
    assert stderr.splitlines()[-1] == "fuzz_swarm: interrupted"

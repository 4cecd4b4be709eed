"""Tournaments: the contestants, their ranks, and what is said of those that fail."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import strategies_example
from click.testing import CliRunner, Result

from minibit import inventory
from minibit.availability import Availability
from minibit.choker import NeighbourRow
from minibit.cli import tournament

ROOT = Path(__file__).parents[2]
EXAMPLES = [f"strategies_example:{name}" for name in ("Stream", "Credit", "Modest")]
QUICK = [
    *("--peers", "3", "--size", "2MiB", "--block-size", "64KiB", "--upload", "64KiB/s", "--round", "2s"),
    *("--seeds", "2", "--quiet"),
]

THEIRS = """
from minibit.choker import Serving, TitForTat
from minibit.picker import RarestFirst

class Broken(RarestFirst):
    def pick(self, choices, availability):
        raise ZeroDivisionError("three sheep")

class Quitter(RarestFirst):
    def pick(self, choices, availability):
        raise SystemExit(3)

class Greedy(TitForTat):
    def round(self, rows, seeding):
        return Serving(tuple("abcdefghi"), ())

class Stillborn(TitForTat):
    def __init__(self, slots, guests, guest_rounds, rng):
        raise ValueError("not today")
"""

Ran = Callable[..., Result]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ran]:
    """A quick tournament of these contestants; `theirs` has some that fail."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    on_sigterm = signal.getsignal(signal.SIGTERM)
    (tmp_path / "theirs.py").write_text(THEIRS)
    yield lambda *arguments: CliRunner().invoke(
        tournament.main, [*QUICK, *map(str, arguments)], prog_name="minibit tournament"
    )
    signal.signal(signal.SIGTERM, on_sigterm)
    sys.modules.pop("theirs", None)


# ranking


def test_the_surely_better_comes_first_and_those_that_cant_be_told_apart_share_a_rank():
    times = {"slow": [20.0, 30.0, 41.0], "fast": [10.0, 20.0, 30.0], "same": [10.5, 19.0, 30.5]}
    assert tournament.ranks(times, dict.fromkeys(times, 0)) == {"slow": 3, "fast": 1, "same": 1}


def test_it_is_differences_within_a_run_that_count():
    times = {"slower": [11.0, 101.0, 1001.1], "fast": [10.0, 100.0, 1000.0]}
    assert tournament.ranks(times, dict.fromkeys(times, 0)) == {"slower": 2, "fast": 1}


def test_of_a_single_run_the_figures_decide():
    times = {"b": [2.0], "a": [1.0], "c": [3.0]}
    assert tournament.ranks(times, dict.fromkeys(times, 0)) == {"a": 1, "b": 2, "c": 3}


def test_a_contestant_with_incomplete_peers_comes_after_those_without():
    times: dict[str, list[float | None]] = {"none": [None, None], "some": [1.0, None], "all": [9.0, 9.0]}
    assert tournament.ranks(times, {"none": 8, "some": 3, "all": 0}) == {"all": 1, "some": 2, "none": 3}


# tournaments


def test_free_riders_come_last_and_share_nothing(ran: Ran):
    result = ran("rarest-first", "free-rider", "--peers", 8, "--slots", 2, "--seeds", 4, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert told["title"] == "2 contestants with 8 peers each in one swarm, runs: 4, simulated"
    assert (told["left_out"], told["lost"]) == ({}, {})
    first, last = told["standings"]
    assert [first[key] for key in ("contestant", "rank", "share_rank", "peers")] == ["rarest-first", 1, 1, 32]
    assert [last[key] for key in ("contestant", "rank", "share_rank", "incomplete", "why")] == [
        *("free-rider", 2, 2, 0, None)
    ]
    assert last["measures"]["gave"]["mean"] == last["measures"]["share"]["mean"] == 0
    assert last["measures"]["took"]["mean"] >= 1
    assert first["measures"]["mean_s"]["mean"] < last["measures"]["mean_s"]["mean"]


def test_the_same_tournament_again_says_the_same(ran: Ran):
    once, again = (ran("random+none", "sequential", *EXAMPLES[:2], "--json").stdout for _ in range(2))
    assert once == again
    assert len(json.loads(once)["standings"]) == 4


def test_the_table_has_a_row_for_each_contestant_and_goes_into_a_page(ran: Ran, tmp_path: Path):
    (tmp_path / "page.md").write_text("# Here\n<!-- table tournament -->\n<!-- end -->\n")
    result = ran("random", "none", "--into", "page.md")
    head, *rows = result.stdout.splitlines()[2:5]
    columns = ["contestant", "rank", "mean s", "median s", "gave", "took", "share ratio", "rank by share"]
    assert re.split(r"\s{2,}", head.strip()) == columns
    assert {row.split()[0] for row in rows} == {"random", "none"}
    page = (tmp_path / "page.md").read_text()
    assert [cell.strip() for cell in page.splitlines()[3].strip("|").split("|")] == columns
    assert page.count("| random ") == page.count("| none ") == 1


def test_without_contestants_all_that_are_built_in_compete():
    fit, out = tournament.admitted(tournament.BUILT_IN)
    assert (len(fit), out) == (10, {})
    assert {"rarest-first+tit-for-tat", "sequential+none", "free-rider"} < set(fit)


# contestants that fail


def test_a_contestant_that_raises_is_named_and_the_others_go_on(ran: Ran):
    result = ran("honest", "theirs:Broken", "theirs:Greedy", "theirs:Stillborn", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    first, *others = told["standings"]
    assert (first["contestant"], first["rank"], first["incomplete"]) == ("honest", 1, 0)
    whys = {one["contestant"]: (one["rank"], one["incomplete"], one["why"]) for one in others}
    assert whys == {
        "theirs:Broken": (2, 6, "picker theirs:Broken raised ZeroDivisionError: three sheep"),
        "theirs:Greedy": (2, 6, "choker theirs:Greedy gave 9 slots and has 5"),
    }
    assert told["left_out"].keys() == {"theirs:Stillborn"}
    assert "left out: theirs:Stillborn: strategy ValueError: not today" in result.stderr
    assert "incomplete: theirs:Broken: 6 of 6 peers, e.g. picker theirs:Broken raised" in result.stderr


def test_runs_that_are_lost_are_told_and_no_table_is_shown_of_none(ran: Ran):
    result = ran("honest", "theirs:Quitter", "--seeds", 1)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "minibit tournament: lost: seed = 1: its process ended with exit code 3\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["honest"], "it takes two contestants: give another, e.g. rarest-first, tit-for-tat or free-rider"),
        (["random", "theirs:Stillborn"], "it takes two contestants: "),
        (["random", "random"], "random is there twice: give each contestant once"),
        (["random", "rand"], "strategy 'rand' is unknown: a team takes rarest-first, random, "),
        (["random", "theirs:Nobody"], "strategy 'theirs:Nobody' can't be imported (AttributeError: "),
        (["random", "none+rarity"], "team 'none+rarity' has two of a kind, none and rarity: give one choker"),
        (["random", "none", "--world", "moon"], "--world: 'moon' won't do: give ray or sim"),
        (
            ["random", "none", "--upload", "fast"],
            "--upload: 'fast' is no rate: give a number and a unit, e.g. 4MiB/s, 500kB/s, 16Mbit/s",
        ),
        (["random", "none", "--into", "nowhere.md"], "nowhere.md can't be read "),
    ],
)
def test_what_is_wrong_is_answered_with_what_would_be_right(ran: Ran, arguments: list[str], said: str):
    result = ran(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"minibit tournament: {said}")
    assert result.stderr.count("\n") == 1


# elsewhere


@pytest.mark.ray
def test_on_a_cluster_each_simulation_is_a_task_and_contestants_travel(ran: Ran, ray_cluster: str):
    arguments = ("none", "theirs:Broken+free-rider", "--json")
    there = ran(*arguments, "--address", ray_cluster)
    assert (there.exit_code, json.loads(there.stdout)) == (0, json.loads(ran(*arguments).stdout))


@pytest.mark.ray
def test_real_actors_compete_too(ran: Ran, ray_cluster: str):
    real = ("--world", "ray", "--address", ray_cluster, "--seeds", 1, "--peers", 2, "--upload", "1MiB/s")
    result = ran("random", "theirs:Broken", *real, "--json")
    told = json.loads(result.stdout)
    assert told["title"] == "2 contestants with 2 peers each in one swarm, runs: 1, real"
    assert [(one["contestant"], one["rank"], one["incomplete"]) for one in told["standings"]] == [
        ("random", 1, 0),
        ("theirs:Broken", 2, 2),
    ]
    assert told["standings"][0]["measures"]["took"]["mean"] >= 1
    assert told["standings"][1]["why"] == "picker theirs:Broken raised ZeroDivisionError: three sheep"


# the strategies that the page shows


def test_the_page_shows_the_strategies_as_they_are():
    page = (ROOT / "docs" / "strategies.md").read_text()
    shown = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert "\n\n".join(shown) == Path(strategies_example.__file__).read_text()


def test_the_strategies_that_the_page_shows_complete_beside_others(ran: Ran):
    result = ran("honest", *EXAMPLES, "--json")
    standings = json.loads(result.stdout)["standings"]
    assert {one["contestant"]: one["incomplete"] for one in standings} == dict.fromkeys(["honest", *EXAMPLES], 0)


def test_a_streaming_peer_asks_for_the_rarest_of_what_comes_next():
    counts = Availability(40)
    counts.add(inventory.full(40) & ~(1 << 13) & ~(1 << 30))
    stream = strategies_example.Stream(Random(1))
    assert stream.pick(inventory.full(40) & ~0b11, counts) == 13


def test_credit_is_what_was_got_less_what_was_given_over_all_rounds():
    credit = strategies_example.Credit(1, 0, 3, Random(1))
    generous, even = NeighbourRow("a", True, 9.0, 1.0, 0), NeighbourRow("b", True, 5.0, 5.0, 0)
    assert credit.round([generous, even], False).fixed == ("a",)
    now_idle = generous._replace(gave_bps=0.0)
    assert credit.round([now_idle, even._replace(gave_bps=8.0)], False).fixed == ("a",)  # 7 against 3
    assert credit.round([now_idle, even._replace(gave_bps=9.0)], False).fixed == ("b",)  # 6 against 7

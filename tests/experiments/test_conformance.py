"""The conformance sheet: a swarm by the original's rules keeps them all, and each broken one breaks its own.

The swarms here are simulated, with what `classic.py --check` gives them; what no swarm of ours would do is written
into the records of one that keeps the rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from classic import BROKEN, CHECKED, checked, main
from click.testing import CliRunner
from conformance import RULES, SheetRow, sheet
from hindsight import at_least
from verdict import Case, decided

from minibit import inventory
from minibit.availability import Availability
from minibit.choker import NeighbourRow as Neighbour
from minibit.choker import NoChoking, Rarity, Serving
from minibit.errors import LocalError
from minibit.lab import Run, load
from minibit.lab.frames import frames
from minibit.picker import Picker
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation


class Commonest(Picker):
    """One of the blocks that most neighbours hold."""

    def pick(self, choices: int, availability: Availability) -> int:
        return max(inventory.indices(choices), key=availability.count)


class Sixth(NoChoking):
    """The rule of the original, with a fifth fixed slot that the peer doesn't know of."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.own = Rarity(5, 1, 1, self.rng)

    def round(self, rows: Sequence[Neighbour], seeding: bool) -> Serving:
        return self.own.round(rows, seeding)

    def fill(self, rows: Sequence[Neighbour], seeding: bool) -> Serving:
        return self.own.fill(rows, seeding)

    def forget(self, peer: str) -> None:
        self.own.forget(peer)


class Plain(Rarity):
    """The neighbour with the fewest rare blocks keeps its slot."""

    def rank(self, rows: Sequence[Neighbour], seeding: bool) -> list[Neighbour]:
        return super().rank(rows, seeding)[::-1]


class Again(Rarity):
    """A guest whose lease is over is drawn again, as anybody."""

    always_new = False


def simulated(scenario: dict[str, Any] | None = None, **given: Any) -> Run:
    options = Options.build(**{**CHECKED, "world": "sim", **given})
    simulation = Simulation(options, Scenario.build(scenario or {}, options.peers))
    return Run(simulation.ledger.about(simulation.run()), frames(simulation.records))


@cache
def kept() -> Run:
    """A run that keeps the rules; it is never changed."""
    return simulated()


def verdicts(run: Run) -> dict[str, str]:
    return {row.key: row.verdict for row in sheet(run)}


def broken(run: Run) -> set[str]:
    return {key for key, verdict in verdicts(run).items() if verdict == "broken"}


def found(run: Run, key: str) -> SheetRow:
    return next(row for row in sheet(run) if row.key == key)


# a swarm by the rules


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_swarm_by_the_rules_keeps_every_one_of_them(seed: int):
    assert verdicts(simulated(seed=seed)) == dict.fromkeys(RULES, "kept")


def test_the_same_records_give_the_same_sheet_also_from_a_folder(tmp_path: Path):
    run = checked("sim", out=str(tmp_path / "run"), seed=1)
    assert sheet(run) == sheet(kept()) == sheet(load(tmp_path / "run"))


def test_a_swarm_completes_without_the_seed_once_each_block_has_come_to_a_peer():
    run = simulated({"faults": [{"kind": "dies", "at": "40s", "peers": ["tracker"]}]}, leave="never")
    assert run.summary is not None and run.summary["completed"] == run.summary["peers"]
    assert verdicts(run)["exchange"] == "kept"
    assert broken(run) == set()


def test_a_run_that_is_over_before_the_first_round_shows_the_rules_without_rounds_and_no_others():
    run = simulated(upload="8MiB/s", seed_upload="8MiB/s", size="2MiB")
    seen = verdicts(run)
    assert {key for key, verdict in seen.items() if verdict == "not seen"} >= {"rarity", "guest", "round"}
    assert "broken" not in seen.values()
    assert seen["blocks"] == seen["start"] == seen["exchange"] == seen["leaving"] == "kept"


# swarms that break a rule


def shown(value: dict[str, Any] | set[str]) -> str:
    """A name for a case, the same in every process."""
    return str(sorted(value) if isinstance(value, set) else value)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("given", "rules"),
    [
        ({"picker": "random"}, {"rarest"}),
        ({"picker": "sequential"}, {"rarest"}),
        ({"picker": f"{__name__}:Commonest"}, {"rarest"}),
        ({"choker": "tit-for-tat"}, {"rarity", "guest"}),  # it draws the last guest again, too
        ({"choker": "none"}, {"slots"}),
        ({"choker": f"{__name__}:Sixth"}, {"slots"}),
        ({"choker": f"{__name__}:Plain"}, {"rarity"}),
        ({"choker": f"{__name__}:Again"}, {"guest"}),
    ],
    ids=shown,
)
def test_a_strategy_that_is_not_the_original_s_breaks_its_own_rule(given: dict[str, Any], rules: set[str], seed: int):
    assert broken(simulated(**given, seed=seed)) == rules


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        ({"block_size": "64KiB"}, {"blocks"}),
        ({"initial": "0"}, {"start"}),
        ({"initial": "0.1"}, {"start"}),
        ({"slots": 5}, {"slots"}),
        ({"guests": 0}, {"guest"}),
        ({"guest_rounds": 3}, {"guest"}),
        ({"round": "5s"}, {"round"}),
        ({"round": "20s"}, {"round", "guest"}),
        ({"behave": "free-rider=16"}, {"exchange"}),
    ],
    ids=shown,
)
def test_another_setting_breaks_its_own_rule(given: dict[str, Any], rules: set[str]):
    assert broken(simulated(**given)) == rules


def test_a_peer_that_never_leaves_breaks_nothing_and_shows_nothing_of_leaving():
    run = simulated(leave="never")
    assert broken(run) == set()
    assert verdicts(run)["leaving"] == "not seen"


def test_a_peer_that_leaves_before_it_is_complete_breaks_the_rule():
    run = simulated({"faults": [{"kind": "leaves", "at": "20s", "peers": ["peer-03", "peer-08"]}]})
    assert broken(run) == {"leaving"}
    assert found(run, "leaving").evidence.endswith("2 of them incomplete: peer-03, peer-08")


def test_with_a_liar_in_the_swarm_the_rarest_block_cannot_be_told():
    assert verdicts(simulated(behave="liar=1"))["rarest"] == "not seen"


# records that no swarm of ours would leave

Table = Callable[[pl.DataFrame], pl.DataFrame]
LISTED = pl.col("event") == "listed"


def doctored(name: str, change: Table) -> Run:
    run = kept()
    return Run(run.about, {**run.records, name: change(run.records[name])})


def with_answers(named: Callable[[str, set[str]], set[str]]) -> Run:
    """Answers of the tracker: the asker, and the peers named to it."""

    def change(links: pl.DataFrame) -> pl.DataFrame:
        answers: dict[tuple[float, str], set[str]] = {}
        for at_s, peer, neighbour, _ in links.filter(LISTED).iter_rows():
            answers.setdefault((at_s, peer), set()).add(neighbour)
        rows = [
            (at_s, peer, neighbour, "listed")
            for (at_s, peer), those in answers.items()
            for neighbour in sorted(named(peer, those))
        ]
        told = pl.DataFrame(rows, schema=links.schema, orient="row")
        return pl.concat([links.filter(~LISTED), told]).sort("at_s", maintain_order=True)

    return doctored("links", change)


MOST = CHECKED["neighbours"]
EVERYBODY = {"tracker", *(f"peer-{number:02}" for number in range(1, 17))}


@pytest.mark.parametrize(
    ("named", "rules"),
    [
        (lambda asker, those: those | {asker}, {"tracker"}),
        (lambda asker, those: EVERYBODY - {asker} if len(those) == MOST else those, {"tracker"}),
        (lambda asker, those: set(sorted(EVERYBODY - {asker})[:MOST]) if len(those) == MOST else those, {"tracker"}),
        (lambda asker, those: those - {"peer-01"} if len(those) < 5 else those, {"everybody"}),
    ],
    ids=["the asker too", "everybody", "always the same", "not all of few"],
)
def test_a_tracker_that_answers_otherwise_breaks_its_rule(named: Callable[[str, set[str]], set[str]], rules: set[str]):
    assert broken(with_answers(lambda asker, those: those)) == set()
    assert broken(with_answers(named)) == rules


@pytest.mark.parametrize(
    "change",
    [
        lambda blocks: blocks.with_columns(bytes=pl.col("bytes") // 2),
        lambda blocks: blocks.with_columns(block=pl.col("block") + 1),
        lambda blocks: pl.concat([blocks, blocks.tail(1)]),
        lambda blocks: blocks.filter(pl.int_range(pl.len()) != 100),
    ],
    ids=["half the size", "wrong numbers", "one twice", "one never"],
)
def test_blocks_that_are_not_what_they_should_be_break_the_rule(change: Table):
    assert "blocks" in broken(doctored("blocks", change))


def test_a_copy_that_is_wrong_breaks_the_rule():
    run = kept()
    summary = {**run.about["summary"], "verified": 15}
    assert broken(Run({**run.about, "summary": summary}, run.records)) == {"blocks"}


@pytest.mark.parametrize(
    "share",
    [
        lambda number: inventory.full(20),
        lambda number: inventory.full(20) << 11 * number,
        lambda number: inventory.of(range(0, 192, 9)[:20]) << number % 9,
    ],
    ids=["the same", "each its own run", "nine patterns"],
)
def test_shares_that_are_not_drawn_by_chance_break_the_rule(share: Callable[[int], int]):
    run = kept()
    peers = [
        {**one, "held_at_start": inventory.to_hex(share(number))} if one["peer"] != "tracker" else one
        for number, one in enumerate(run.about["peers"], -1)
    ]
    assert found(Run({**run.about, "peers": peers}, run.records), "start").verdict == "broken"


# what a verdict rests on


def test_what_chance_might_do_is_not_decided():
    assert decided([])[0] == "not seen"
    assert decided([Case(False, 0.5)] * 63)[0] == "not seen"
    assert decided([Case(False, 0.5)] * 64)[0] == "kept"
    assert decided([Case(True, 0.5)] * 40 + [Case(False, 0.5)] * 40)[0] == "broken"
    assert decided([Case(False, 0.0)] * 1000)[0] == "not seen"


def test_copies_are_counted_as_peers_count_them():
    inventories = [0b0111, 0b0011, 0b1001]
    counts = Availability(4)
    for held in inventories:
        counts.add(held)
    copies = at_least(inventory.full(4), inventories)
    assert [sum(held >> block & 1 for held in copies[1:]) for block in range(4)] == [
        counts.count(block) for block in range(4)
    ]


def test_of_a_part_of_a_run_there_is_no_sheet():
    with pytest.raises(LocalError, match="can't be checked: There is no links"):
        sheet(Run(kept().about, {}, missing=("There is no links.parquet.",)))
    with pytest.raises(LocalError, match="it has not ended yet"):
        sheet(Run({**kept().about, "summary": None}, kept().records))


# the command


def test_the_command_prints_the_sheet_of_a_simulated_swarm(tmp_path: Path):
    result = CliRunner().invoke(main, ["--check", "--world", "sim", "--json", "--out", str(tmp_path / "run")])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["world"] == "sim"
    assert [rule["verdict"] for rule in told["rules"]] == ["kept"] * len(RULES)
    again = CliRunner().invoke(main, ["--of", str(tmp_path / "run")])
    assert again.exit_code == 0
    assert again.stdout.count("kept") > len(RULES)  # one of the rules says so too


def test_the_command_fails_where_a_rule_is_broken_and_says_where_there_is_no_run(tmp_path: Path):
    checked("sim", out=str(tmp_path / "run"), picker="random")
    result = CliRunner().invoke(main, ["--check", "--of", str(tmp_path / "run")])
    assert result.exit_code == BROKEN
    assert "broken" in result.stdout
    nowhere = CliRunner().invoke(main, ["--check", "--of", str(tmp_path / "nowhere")], prog_name="classic.py")
    assert nowhere.exit_code == LocalError.exit_code
    assert nowhere.stderr.startswith("classic: there is no run in")


# real actors


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_real_actors_break_no_rule_and_keep_those_that_a_short_run_shows(tmp_path: Path):
    run = checked("ray", out=str(tmp_path / "run"), peers=7, size="1MiB", neighbours=6)
    seen = verdicts(run)
    assert "broken" not in seen.values(), sheet(run)
    assert {key for key, verdict in seen.items() if verdict == "kept"} >= {
        "blocks",
        "start",
        "exchange",
        "everybody",
        "slots",
        "leaving",
    }

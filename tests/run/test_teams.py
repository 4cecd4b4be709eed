"""Teams: several strategies in one swarm, simulated and real, and what is said of them afterwards."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minibit.choker import NoChoking, TitForTat
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.picker import RandomBlock, RarestFirst, Sequential
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation
from minibit.sim.journal import Journal, replay

BOUND_S = 60.0
SMALL = {"size": "512KiB", "block_size": "32KiB", "upload": "256KiB/s"}

THEIRS = """
from minibit.picker import RarestFirst

class Last(RarestFirst):
    def pick(self, choices, availability):
        return choices.bit_length() - 1

class Broken(RarestFirst):
    def pick(self, choices, availability):
        raise RuntimeError("somebody's bug")
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of somebody's own, which the actors can't import."""
    (tmp_path / "their_pickers.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("their_pickers", None)


def test_each_simulated_peer_plays_by_the_strategies_of_its_team():
    options = Options.build(world="sim", peers=7, teams="random+none=2,free-rider=2,sequential=1", **SMALL)
    simulation = Simulation(options)
    assert simulation.run().completed == 7
    kinds = {
        "random+none": (RandomBlock, NoChoking, True),
        "free-rider": (RarestFirst, TitForTat, False),
        "sequential": (Sequential, TitForTat, True),
        None: (RarestFirst, TitForTat, True),
    }
    class_of = {seat.name: seat.class_name for seat in simulation.seats}
    for name, machine in simulation.world.machines.items():
        peer = machine.peer
        found = (type(peer.picker), type(peer.choker), peer.behaviour.serves)
        assert found == kinds[class_of[name]]
    assert sorted(filter(None, class_of.values())) == [*["free-rider"] * 2, *["random+none"] * 2, "sequential"]
    assert class_of[TRACKER] is None


def test_the_peers_of_a_class_play_by_its_picker_and_choker():
    classes = [{"name": "readers", "peers": 2, "picker": "sequential", "choker": "none", "upload": "128KiB/s"}]
    options = Options.build(world="sim", peers=3, behave="free-rider=2", **SMALL)
    simulation = Simulation(options, Scenario.build({"classes": classes}, 3))
    assert simulation.run().completed == 3
    accounts = simulation.ledger.accounts
    assert [accounts[f"peer-0{number}"].seat.picker for number in (1, 2, 3)] == ["sequential", "sequential", None]
    assert [accounts[f"peer-0{number}"].seat.choker for number in (1, 2, 3)] == ["none", "none", None]
    assert [account.seat.behaviour for account in simulation.ledger.peers.values()] == [
        "honest",
        "free-rider",
        "free-rider",
    ]
    assert accounts["peer-01"].seat.upload_bps == 128 * 1024


def test_classes_and_teams_at_once_are_refused():
    scenario = Scenario.build({"classes": [{"name": "a", "peers": 1}]}, 4)
    with pytest.raises(LocalError, match="classes: a run has these or teams: give classes a picker, a choker"):
        Simulation(Options.build(peers=4, teams="random=2"), scenario)


def test_a_peer_is_replayed_with_the_strategies_of_its_team(theirs: None):
    options = Options.build(world="sim", peers=4, teams="their_pickers:Last+rarity=4", **SMALL)
    simulation = Simulation(options, journal=["peer-02"])
    simulation.run()
    journal = Journal.decode(simulation.journals["peer-02"].encode())
    assert (journal.head.rules.picker, journal.head.rules.choker) == ("their_pickers:Last", "rarity")
    alone = replay(journal)
    assert alone.snapshot(9.0) == simulation.world.machines["peer-02"].peer.snapshot(9.0)
    assert type(alone.picker).__name__ == "Last"


def test_only_the_peers_of_a_team_that_raises_fail(theirs: None):
    options = Options.build(world="sim", peers=6, teams="their_pickers:Broken=2,random=4", **SMALL)
    simulation = Simulation(options)
    summary = simulation.run()
    broken = sorted(seat.name for seat in simulation.seats if seat.class_name == "their_pickers:Broken")
    why = "picker their_pickers:Broken raised RuntimeError: somebody's bug"
    assert [(failure.peer, failure.why) for failure in summary.failed] == [(name, why) for name in broken]
    assert summary.completed == 4


@pytest.mark.ray
def test_two_teams_of_real_actors_share_one_swarm(ray_cluster: str, tmp_path: Path, theirs: None):
    from minibit.actors import Swarm  # noqa: PLC0415  imports Ray

    teams = {"their_pickers:Last+none": 2, "sequential": 1}
    with Swarm.launch(name="teams", peers=4, size="512KiB", teams=teams, behave="slow=1", out=tmp_path / "r") as swarm:
        assert swarm.wait(timeout=BOUND_S).exit_code == 0
        played = {
            number: swarm[number].peek(lambda peer: (type(peer.picker).__name__, type(peer.choker).__name__))
            for number in range(1, 5)
        }
        assert sorted(played.values()) == [
            *[("Last", "NoChoking")] * 2,
            ("RarestFirst", "TitForTat"),
            ("Sequential", "TitForTat"),
        ]
    told = json.loads((tmp_path / "r" / "run.json").read_text())
    by_peer = {
        peer["peer"]: (peer["class"], peer["picker"], peer["choker"], peer["behaviour"]) for peer in told["peers"]
    }
    assert by_peer.pop(TRACKER) == (None, None, None, "honest")
    assert by_peer["peer-04"] == (None, None, None, "slow")
    assert played[4] == ("RarestFirst", "TitForTat")
    own = {
        "Last": ("their_pickers:Last+none", "their_pickers:Last", "none", "honest"),
        "Sequential": ("sequential", "sequential", None, "honest"),
    }
    assert all(by_peer[f"peer-0{number}"] == own[played[number][0]] for number in (1, 2, 3))
    assert told["options"]["teams"] == teams

"""The launcher: which failures of actors end a launch, and which only their peer. No Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_ray import DEAD, UNREACHABLE, FakeActor, FakeRay, failed
from ray.exceptions import ActorDiedError, RayTaskError

from minibit.actors.driver import calls, launch, own_swarm, spawn
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.launch import Launcher
from minibit.actors.names import machine
from minibit.actors.peer import Opened
from minibit.content import VirtualContent
from minibit.errors import ClusterError, DiskFullError, LocalError
from minibit.events import TRACKER
from minibit.lab.archive import RunFolder
from minibit.messages import PeerAddress
from minibit.run import verdict
from minibit.run.options import Options
from minibit.seat import Seat

READY = Opened(PeerAddress("it", "10.0.0.1", 24000), machine(), 0)
CRASH = failed(ZeroDivisionError("division by zero"))
N1, N2 = "1" * 56, "2" * 56  # nodes, as Ray names them
NAMES = ["peer-01", "peer-02", "peer-03"]
SEATS = [Seat(name=TRACKER, seeds=True), *(Seat(name=name) for name in NAMES)]


class FakeKind:
    """What `ray.remote` makes of an actor class: it starts the actors of a list, one after another, by name."""

    def __init__(self, started: dict[str, list[FakeActor]]) -> None:
        self.started = started
        self.nodes: list[tuple[str, str]] = []

    def options(self, *, name: str, scheduling_strategy: Any, **_: Any) -> FakeKind:
        self.name = name.rsplit(":", maxsplit=1)[-1]
        self.nodes.append((self.name, scheduling_strategy.node_id))
        return self

    def remote(self, *_: Any) -> FakeActor:
        return self.started[self.name].pop(0)


class FakeCluster(FakeRay):
    """A cluster of two nodes, where the names of dead actors are free at once."""

    alive = (N1, N2)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": node, "Alive": node in self.alive} for node in (N1, N2)]

    def put(self, setup: Any) -> Any:
        return setup

    def kill(self, actor: FakeActor) -> None:
        actor.calls.append(("kill", ()))

    def get_actor(self, name: str, namespace: str) -> None:
        raise ValueError(name)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    made = FakeCluster()
    for room in (calls, launch, spawn):
        monkeypatch.setattr(room, "ray", made)
        monkeypatch.setattr(room, "time", made)
    return made


def started(**answers: list[Any]) -> FakeActor:
    return FakeActor(**{"open": [READY], "join": [True], "start": [True], **answers})


def launching(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hosts: int = 2, **peers: list[FakeActor]
) -> tuple[Launcher, FakeKind]:
    """A launcher of a tracker and three peers, whose actors these are; others do as they should."""
    by_name = {name: [started(), started()] for name in [TRACKER, *NAMES]}
    kind = FakeKind({**by_name, **{name.replace("_", "-"): actors for name, actors in peers.items()}})
    monkeypatch.setattr(spawn, "REMOTE", dict.fromkeys(spawn.REMOTE, kind))
    places = [ClusterNode(N1, "10.0.0.1"), ClusterNode(N2, "10.0.0.2")][:hosts]
    content: Any = VirtualContent("film", 400, 100)
    folder = RunFolder("tuesday", tmp_path)
    return Launcher(folder, Options.build(peers=3), tmp_path / "film", content, places), kind


def run(launcher: Launcher) -> dict[str, str]:
    """Start everybody; the peers that are gone, with the reason."""
    launcher.begin(launcher.spawn(SEATS))
    return {name: str(account.gone) for name, account in launcher.ledger.accounts.items() if account.gone}


def test_all_that_open_join_and_start(world, monkeypatch, tmp_path):
    launcher, kind = launching(monkeypatch, tmp_path)
    told: list[int] = []
    names = launcher.spawn(SEATS, told.append)
    launcher.begin(names)
    assert (names, told[-1]) == ([TRACKER, *NAMES], 4)
    for actor in launcher.actors.values():
        assert [method for method, _ in actor.calls] == ["open", "join", "start"]
    assert kind.nodes == [(TRACKER, N1), ("peer-01", N1), ("peer-02", N2), ("peer-03", N1)]


def test_an_actor_that_dies_is_started_once_more_on_the_same_node(world, monkeypatch, tmp_path):
    launcher, kind = launching(monkeypatch, tmp_path, peer_02=[started(open=[DEAD]), started()])
    assert run(launcher) == {}
    assert kind.nodes.count(("peer-02", N2)) == 2


def test_an_actor_whose_node_died_is_started_on_another(world, monkeypatch, tmp_path):
    def die(*_: Any) -> ActorDiedError:
        world.alive = (N1,)
        return DEAD

    launcher, kind = launching(monkeypatch, tmp_path, peer_02=[started(open=[die]), started()])
    assert run(launcher) == {}
    assert kind.nodes[-1] == ("peer-02", N1)


@pytest.mark.parametrize("method", ["open", "join", "start"])
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (DEAD, "The actor died unexpectedly before finishing this task. (on 10.0.0.2)"),
        (CRASH, "ZeroDivisionError: division by zero (on 10.0.0.2)"),
        (UNREACHABLE, "it gave no answer (on 10.0.0.2)"),
        (None, "it gave no answer (on 10.0.0.2)"),
    ],
)
def test_a_peer_that_can_not_be_started_has_failed_and_the_others_run(
    world, monkeypatch, tmp_path, method, answer, why
):
    bad = [started(**{method: [answer]}), started(**{method: [answer]})]
    launcher, _ = launching(monkeypatch, tmp_path, peer_02=bad)
    assert run(launcher) == {"peer-02": f"could not be started: {why}"}
    assert ("kill", ()) in launcher.actors["peer-02"].calls, "it must not appear later"
    for name in ("peer-01", "peer-03"):
        assert launcher.actors[name].calls[-1][0] == "start"


def test_a_network_that_is_cut_for_a_minute_delays_the_start_and_loses_no_peer(world, monkeypatch, tmp_path):
    def answer(*_: Any) -> Any:
        return UNREACHABLE if 10 < world.now < 70 else True

    slow = world.later(11, READY)
    launcher, _ = launching(monkeypatch, tmp_path, peer_02=[started(open=[slow], join=[answer], start=[answer])])
    assert run(launcher) == {}


@pytest.mark.parametrize("answer", [DEAD, CRASH, UNREACHABLE, None])
def test_without_the_seed_there_is_no_run(world, monkeypatch, tmp_path, answer):
    launcher, _ = launching(monkeypatch, tmp_path, tracker=[started(open=[answer])])
    with pytest.raises(ClusterError, match="the tracker could not be started: "):
        launcher.spawn(SEATS)


def test_when_no_peer_can_be_started_there_is_no_run(world, monkeypatch, tmp_path):
    dead = {name.replace("-", "_"): [started(open=[DEAD]), started(open=[DEAD])] for name in NAMES}
    launcher, _ = launching(monkeypatch, tmp_path, **dead)
    with pytest.raises(ClusterError, match="no peer could be started; peer-03 could not be started: The actor died"):
        launcher.spawn(SEATS)


def test_a_peer_that_is_added_and_can_not_be_started_is_told_and_not_waited_for(world, monkeypatch, tmp_path):
    launcher, kind = launching(monkeypatch, tmp_path)
    run(launcher)
    kind.started["peer-04"] = [started(open=[DEAD]), started(open=[DEAD])]
    with pytest.raises(ClusterError, match="no peer could be started; peer-04 could not be started"):
        launcher.spawn([Seat(name="peer-04")])
    assert verdict.waiting(launcher.ledger.accounts) == NAMES


@pytest.mark.parametrize(("hosts", "where"), [(2, " (on 10.0.0.2)"), (1, "")])
def test_what_the_user_must_mend_ends_the_launch_and_names_the_host_where_there_is_more_than_one(
    world, monkeypatch, tmp_path, hosts, where
):
    full = failed(DiskFullError("no room for 2 copies: make room"))
    launcher, _ = launching(monkeypatch, tmp_path, hosts, peer_02=[started(open=[full])])
    with pytest.raises(DiskFullError) as caught:
        launcher.spawn(SEATS)
    assert str(caught.value) == f"no room for 2 copies: make room{where}"
    assert caught.value.exit_code == 8


def test_an_error_of_the_users_ends_the_launch_at_once(world, monkeypatch, tmp_path):
    bad = failed(LocalError("give other ports"))
    launcher, _ = launching(monkeypatch, tmp_path, peer_01=[started(open=[None])], peer_02=[started(open=[bad])])
    with pytest.raises(LocalError, match="give other ports"):
        launcher.spawn(SEATS)
    assert world.now <= 2


def test_a_node_without_minibit_is_named_on_one_line(world, monkeypatch, tmp_path):
    text = "ray::PeerActor.__init__()\n  File x, line 1\n\nModuleNotFoundError: No module named 'minibit'"
    broken = ActorDiedError(RayTaskError("__init__", text, ModuleNotFoundError("No module named 'minibit'")))
    launcher, _ = launching(monkeypatch, tmp_path, peer_02=[started(open=[broken])])
    with pytest.raises(ClusterError) as caught:
        launcher.spawn(SEATS)
    assert str(caught.value) == (
        "there is no Minibit on 10.0.0.2: install it there from the same commit, for the Python that runs `ray start`"
    )


def test_clocks_are_compared_once_for_each_machine(world, monkeypatch, tmp_path):
    elsewhere = Opened(PeerAddress("it", "10.0.0.2", 24000), "another machine", 0)
    there = {
        name: [started(open=[elsewhere], clock=[lambda: world.now - 50.0])]
        for name in ("peer_01", "peer_02", "peer_03")
    }
    launcher, _ = launching(monkeypatch, tmp_path, **there)
    launcher.spawn(SEATS)
    asked = [method for actor in launcher.actors.values() for method, _ in actor.calls if method == "clock"]
    assert len(asked) == calls.OFFSET_TRIES
    accounts = launcher.ledger.accounts
    assert [accounts[name].offset_s for name in [TRACKER, *NAMES]] == pytest.approx([0.0, 50.0, 50.0, 50.0], abs=1e-3)


@pytest.mark.parametrize("method", ["open", "join", "start"])
def test_a_launch_ends_when_the_head_of_the_cluster_is_lost(world, monkeypatch, tmp_path, method):
    def lost(*_: Any) -> None:
        monkeypatch.setattr(CONNECTION.head, "gone", lambda early=0: "the head is lost")

    launcher, _ = launching(monkeypatch, tmp_path, peer_02=[started(**{method: [lost]})])
    with pytest.raises(ClusterError, match="the head is lost: start the cluster again"):
        run(launcher)
    assert world.now <= 2


def test_blocks_are_many_where_members_have_machines_of_their_own_and_few_where_they_share_one(monkeypatch):
    monkeypatch.setattr(own_swarm, "processors", lambda: 2)

    def blocks(peers: int, *hosts: str) -> int:
        places = [ClusterNode(N1, host) for host in hosts]
        return (64 << 20) // own_swarm.block_bytes_for(Options.build(peers=peers, address="auto"), places)(64 << 20)

    assert blocks(11, *"abcdef") == 1024
    assert blocks(11, "a", "a") == 256  # two nodes on one machine
    assert blocks(11) == 256
    assert blocks(1_000) == 64

"""The handle: launch, look, act, wait, close; on the shared cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import pytest

from minibit import inventory, records
from minibit.actors import Swarm
from minibit.actors.disk import files
from minibit.actors.driver import collector, connection, own_swarm
from minibit.actors.driver.handle import PeerHandle
from minibit.actors.driver.own_swarm import OwnSwarm
from minibit.behaviour import Slow
from minibit.errors import ClusterError, LocalError, SourceError
from minibit.lab import load
from minibit.messages import (
    Bloco,
    Bloqueio,
    Desbloqueio,
    Desligamento,
    Estoque,
    ListaPeers,
    NovoPeer,
    Pedido,
    PeerAddress,
    Registro,
)
from minibit.records import TABLES
from minibit.seat import Initial, Seat

pytestmark = pytest.mark.ray

BOUND_S = 60.0
MIB = 1 << 20


def until(done: Callable[[], object]) -> None:
    """Look again and again, until it is so."""
    deadline = time.monotonic() + BOUND_S
    while not done():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def actors_of(name: str) -> list[str]:
    import ray  # noqa: PLC0415

    found = [one["name"] for one in ray.util.list_named_actors(all_namespaces=True)]
    return sorted(one for one in found if one.startswith(f"minibit:{name}:"))


def nothing_is_left_of(name: str) -> bool:
    """Actors of the run end soon after they are killed; its files are gone at once."""
    assert not list(Path(tempfile.gettempdir()).glob(f"minibit-{name}*"))
    until(lambda: not actors_of(name))
    return True


REACHES: dict[str, Callable[[Any], object]] = {
    "peers": lambda swarm: swarm.peers(),
    "blocks": lambda swarm: swarm.blocks(),
    "links": lambda swarm: swarm.links(),
    "mailboxes": lambda swarm: swarm.mailboxes(),
    "snapshot": lambda swarm: swarm.snapshot(),
    "watch": lambda swarm: swarm.watch(),
    "kill": lambda swarm: swarm.kill(1),
    "remove": lambda swarm: swarm.remove(1),
    "limit": lambda swarm: swarm.limit(upload=None),
    "__getitem__": lambda swarm: swarm[1],
    "__iter__": list,
    "check_open": lambda swarm: swarm.check_open(),
    "add": lambda swarm: swarm.add(1),
    "wait": lambda swarm: swarm.wait(1),
}
"""Each public method of a swarm that reaches an actor."""

AT_REST = {"__init__", "__enter__", "__exit__", "__repr__", "__contains__", "__len__", "close", "in_reach"}
AT_REST |= {"launch", "attach", "start", "summary", "run", "records", "report", "live"}
"""What a swarm has beside them. After its end these say what was known."""

REACHES_ONE: dict[str, Callable[[Any], object]] = {
    "snapshot": lambda one: one.snapshot(),
    "mailbox": lambda one: one.mailbox(),
    "peek": lambda one: one.peek(lambda peer: peer.name),
    "tell": lambda one: one.tell(Bloqueio()),
    "ask": lambda one: one.ask("clock"),
}
"""The same of one peer."""


def public(*kinds: type) -> set[str]:
    """The methods and properties of these classes that a user sees."""
    names = {name for kind in kinds for name in vars(kind)}
    special = {name for name in names if name.startswith("__") and callable(getattr(kinds[0], name))}
    return {name for name in names if not name.startswith("_")} | special


def refused(says: str, swarm: Swarm, *ones: PeerHandle) -> None:
    """Nothing of that swarm reaches an actor any more, or starts another Ray."""
    for reach in REACHES.values():
        with pytest.raises(LocalError, match=says):
            reach(swarm)
    for one in ones:
        for look in REACHES_ONE.values():
            with pytest.raises(LocalError, match=says):
                look(one)


@pytest.fixture(scope="module")
def done(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    """A swarm of three that is complete, and stays for who wants to look; its peers keep their files."""
    folder = tmp_path_factory.mktemp("done")
    film = files.make(folder / "film", MIB - 5, seed=3)
    with Swarm.launch(film, name="done", peers=3, block_size="32KiB", out=folder / "run", keep=True) as swarm:
        swarm.wait(timeout=BOUND_S)
        yield swarm


# a run from its launch to its end


def test_every_public_method_is_known_to_reach_an_actor_or_not_to():
    assert public(OwnSwarm, Swarm) == REACHES.keys() | AT_REST
    assert public(PeerHandle) - {"__init__", "__repr__"} == REACHES_ONE.keys()


def test_a_swarm_gives_every_peer_a_verified_copy(done):
    summary = done.summary
    assert (summary.peers, summary.completed, summary.verified, summary.failed, summary.exit_code) == (3, 3, 3, [], 0)
    assert (summary.run, summary.world, summary.nodes, summary.timed_out) == ("done", "ray", 1, False)
    assert (summary.content.name, summary.content.bytes, summary.content.blocks) == ("film", MIB - 5, 32)
    assert 0 < summary.seconds.first <= summary.seconds.median <= summary.seconds.last <= summary.seconds.transfer
    assert summary.seconds.transfer + summary.seconds.spawn < summary.seconds.total
    assert summary.bytes.moved == 3 * (MIB - 5) + summary.bytes.wasted
    assert MIB - 5 <= summary.bytes.seed_sent <= summary.bytes.moved
    assert summary.messages.BLOCO >= summary.messages.PEDIDO * 0.9 >= 0.9 * 3 * 32
    assert summary.messages.REGISTRO >= 4
    assert 0 < summary.fairness_jain <= 1


def test_to_wait_again_gives_the_same_summary(done):
    assert done.wait() is done.wait(timeout=0.001) is done.summary


def test_kept_files_lie_in_the_runs_folder_one_folder_for_each_peer(done):
    run = done._folder.path
    original = (run.parent / "film").read_bytes()
    assert sorted(path.name for path in (run / "files").iterdir()) == ["peer-01", "peer-02", "peer-03"]
    assert all((run / "files" / f"peer-0{number}" / "film").read_bytes() == original for number in (1, 2, 3))
    assert json.loads((run / "run.json").read_text())["summary"] == json.loads(done.summary.to_json())


# looking


def test_peers_blocks_links_and_mailboxes_are_tables(done):
    peers = done.peers()
    assert peers.columns == [
        *("peer", "behaviour", "held", "blocks", "complete", "leaving", "failure", "host", "port", "pid"),
        *("neighbours", "served"),
    ]
    assert sorted(peers["peer"]) == ["peer-01", "peer-02", "peer-03", "tracker"]
    assert set(peers["held"]) == set(peers["blocks"]) == {32}
    assert len(set(peers["pid"])) == len(set(peers["port"])) == 4
    blocks = done.blocks()
    assert (blocks.columns, list(blocks["block"]), set(blocks["copies"])) == (["block", "copies"], list(range(32)), {3})
    links = done.links()
    assert set(links.columns) >= {"peer", "neighbour", "standing", "slot", "serves_us", "asked", "wanted", "blocks_in"}
    assert links["blocks_in"].sum() >= 3 * 32
    mailboxes = done.mailboxes()
    assert mailboxes.columns == ["peer", "way", "verb", "messages"]
    assert mailboxes.filter(verb="PEDIDO", way="out")["messages"].sum() >= 3 * 32


def test_the_records_are_the_tables_of_the_run(done):
    tables = done.records()
    assert list(tables) == list(TABLES)
    useful = tables["blocks"].filter(verdict="useful")
    assert useful.group_by("peer", "block").len()["len"].to_list() == [1] * 96
    assert useful["at_s"].min() > 0
    life = tables["peers"].filter(peer="peer-01")
    assert life["event"].to_list() == ["started", "completed"]
    assert set(tables["samples"]["peer"]) == {"peer-01", "peer-02", "peer-03", "tracker"}


def test_the_run_of_a_swarm_is_the_one_in_its_folder(done):
    live, kept = done.run, load(done._folder.path)
    assert (kept.missing, kept.name, kept.summary) == ((), done.name, live.summary)
    assert kept.members.equals(live.members)
    assert set(kept.members["node"]) == {"127.0.0.1"}
    for name in ("blocks", "peers"):  # nothing moves any more, but samples are taken at each look
        assert kept.records[name].equals(live.records[name])
    assert live.completion().height == 3
    links = kept.links.group_by("event").len()
    assert dict(links.iter_rows())["linked"] >= 2 * 3
    assert repr(live).startswith(f"Run {done.name} (ray): 3 of 3 peers complete in ")


def test_one_peer_is_found_by_number_or_name_and_shows_its_state(done):
    assert done[2].name == done["peer-02"].name == "peer-02"
    state = done[2].snapshot()
    assert (state.peer, state.held, state.complete, state.failure) == ("peer-02", 32, True, None)
    assert done.snapshot()["peer-02"].inventory == state.inventory
    assert "32 of 32 blocks" in repr(done[2])
    with pytest.raises(LocalError, match="there is no peer 7: there are tracker, peer-01, peer-02, peer-03"):
        done[7]


def test_a_look_is_taken_over_there_at_the_live_peer(done):
    assert done[1].peek(lambda peer: (peer.name, peer.complete, type(peer.picker).__name__)) == (
        *("peer-01", True),
        "RarestFirst",
    )


def test_what_a_look_raises_is_raised_here_with_the_users_own_lines_and_no_others(done):
    def broken(peer):
        return peer.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing") as raised:
        done[1].peek(broken)
    assert {Path(entry.path).name for entry in raised.traceback} <= {"test_swarm.py", "handle.py"}
    note = "".join(raised.value.__notes__)
    assert note.startswith("in peer-01:\n") and "in broken" in note and note.count("File ") == 1


LOCK = Lock()


def look_of_this_module(peer: Any) -> int:
    """It uses what the actors can't import: this module."""
    return len(SOMEBODY_ELSE) + peer.held.bit_count()


SOMEBODY_ELSE = "peer-09"


def test_a_look_may_be_of_a_module_that_the_actors_can_not_import(done):
    assert done[1].peek(look_of_this_module) == 7 + 32


def raises_what_can_not_be_read() -> Callable[[Any], None]:
    """A look that raises an error which pickle can write, and not read."""

    class Odd(Exception):
        def __init__(self, text: str, more: int) -> None:
            super().__init__(text)

    def look(peer: Any) -> None:
        raise Odd("what happened", 1)

    return look


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda one: one.peek(lambda peer: LOCK), "the function can't travel to peer-01: cannot pickle"),
        (lambda one: one.peek(lambda peer: Lock()), "cannot pickle"),
        (lambda one: one.peek(raises_what_can_not_be_read()), r"peer-01 can't be asked now \(.*: try again"),
        (lambda one: one.tell("PEDIDO"), "'PEDIDO' is no message: tell one of minibit.messages"),
        (lambda one: one.tell(Bloco(3)), "comes by a link only"),
        (lambda one: one.ask("no_such_method"), "no_such_method"),
    ],
)
def test_what_can_not_be_asked_or_told_is_an_error_of_one_line(done, capfd, use, says):
    with pytest.raises((LocalError, TypeError, AttributeError), match=says) as raised:
        use(done[1])
    assert "\n" not in str(raised.value)
    assert {Path(entry.path).name for entry in raised.traceback} <= {"test_swarm.py", "handle.py", "actor.py"}
    assert capfd.readouterr().out == ""


def test_a_swarm_is_counted_gone_through_and_asked_for_its_peers(done):
    assert len(done) == 3
    assert [one.name for one in done] == ["peer-01", "peer-02", "peer-03"]
    assert all(peer in done for peer in (1, "peer-02", "tracker", done[3], *done))
    assert not any(peer in done for peer in (4, "peer-04", None, 1.0))


def test_a_swarm_shows_itself_as_text_and_as_html(done):
    assert repr(done).splitlines()[0] == "Swarm done: 3 of 3 peers complete, 1 MiB"
    assert "peer-03" in repr(done)
    assert done._repr_html_().count("<progress") == 4


SOMEBODY = PeerAddress("tracker", "127.0.0.1", 9)
BY_HAND = [
    Registro(peer="tracker", host="127.0.0.1", port=9),
    ListaPeers((SOMEBODY,)),
    NovoPeer((SOMEBODY,)),
    Estoque(new=(1,)),
    Bloqueio(),
    Desbloqueio(),
    Pedido(3),
    Desligamento(why="by hand"),
]


def test_any_message_can_be_told_by_hand(done):
    for message in BY_HAND:
        done[3].tell(message)
    box = done[3].mailbox()
    told = [message for _, way, peer, message in box.last if (way, peer) == ("in", "notebook")]
    assert told == BY_HAND
    assert all(box.incoming[message.verb] >= 1 for message in BY_HAND)
    done[3].tell(Desligamento(why="by hand"), sender="peer-01")  # as if the neighbour had said it
    until(lambda: done[3].snapshot().neighbours["peer-01"].standing in ("known", "dialling", "sharing"))


# from another process

ATTACH = """
import json, sys
from minibit.actors import Swarm
from minibit.errors import LocalError
from minibit.messages import Estoque

swarm = Swarm.attach("done")
refused = {}
for method in ("wait", "records", "add"):
    try:
        getattr(swarm, method)()
    except LocalError as error:
        refused[method] = str(error)
try:
    Swarm.attach("nobody")
except LocalError as error:
    refused["attach"] = str(error)
swarm[1].tell(Estoque(new=(0,)), sender="another process")
found = {"peers": sorted(swarm.peers()["peer"]), "held": swarm[1].peek(lambda peer: peer.held.bit_count()),
         "repr": repr(swarm), "html": swarm._repr_html_(), "refused": refused}
swarm.close()
print(json.dumps(found))
"""


def test_another_process_attaches_looks_and_acts_and_leaves_everything_as_it_is(done, ray_cluster):
    ran = subprocess.run(
        [sys.executable, "-c", ATTACH],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"RAY_ADDRESS": ray_cluster},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["peers"] == ["peer-01", "peer-02", "peer-03", "tracker"]
    assert found["held"] == 32
    assert "3 of 3 peers complete" in found["repr"]
    assert "3 of 3 peers complete" in found["html"]
    assert found["refused"] == {
        "wait": "this handle is attached: the records are with the process that launched the swarm",
        "records": "this handle is attached: the records are with the process that launched the swarm",
        "add": "this handle is attached: only the process that launched the swarm can do that",
        "attach": "there is no swarm 'nobody' on this cluster: there are done",
    }
    assert "another process" in {peer for _, _, peer, _ in done[1].mailbox().last}
    assert len(actors_of("done")) == 4


# acting


def test_peers_can_be_added_killed_and_removed_and_limits_changed_while_it_runs(ray_cluster, tmp_path):
    with Swarm.launch(name="acting", peers=4, size="1MiB", download="64KiB/s", out=tmp_path / "run") as swarm:
        for bad in ("fast", -1):
            with pytest.raises(LocalError):
                swarm.limit(download=bad)
        with pytest.raises(TypeError):
            swarm.limit(uploads=1)
        with pytest.raises(LocalError, match="limit takes upload and download"):
            swarm.limit(4)
        swarm.limit(4, download="32KiB/s")
        swarm.kill(1)
        swarm.remove("peer-02")
        assert swarm.add(1) == ["peer-05"]
        with pytest.raises(LocalError):
            swarm.add(0)
        until(lambda: "peer-01" in repr(swarm) and "gone" in repr(swarm))
        assert "gone" in swarm._repr_html_()
        assert "peer-01" not in list(swarm.peers()["peer"])
        with pytest.raises(LocalError, match="peer-01 is not there any more"):
            swarm[1].snapshot()
        assert repr(swarm[1]) == "<peer-01: peer-01 is not there any more>"
        swarm.limit(download=8 * MIB)  # in bytes a second, for all that are left
        summary = swarm.wait(timeout=BOUND_S)
        assert [(failure.peer, failure.why) for failure in summary.failed] == [
            ("peer-01", "died"),
            ("peer-02", "left (removed)"),
        ]
        assert (summary.peers, summary.completed, summary.verified, summary.exit_code) == (5, 3, 3, 4)
        assert summary.bound_s is None  # nobody knows any more how fast it could have been
        # both ends, the sudden and the announced, leave the same roster
        until(lambda: swarm["tracker"].ask("roster") == ["peer-03", "peer-04", "peer-05", "tracker"])

        swarm.kill(3)  # what is verified stays so
        assert swarm.wait() is summary
        swarm.add(1)
        swarm.limit(download=8 * MIB)  # a newcomer begins with the limit of the launch
        later = swarm.wait(timeout=BOUND_S)
        assert (later.peers, later.completed, later.verified) == (6, 4, 4)
        noted = swarm.records()["peers"]
        assert noted.filter(event="died")["peer"].to_list() == ["peer-01", "peer-03"]
        by_hand = {
            event: list(noted.filter(event=event).select("peer", "why").iter_rows()) for event in records.BY_HAND
        }
        assert by_hand["killed"] == [("peer-01", ""), ("peer-03", "")]
        assert by_hand["added"] == [("peer-05", ""), ("peer-06", "")]
        assert by_hand["limited"][0] == ("peer-04", "download 32 KiB/s")
        assert ("peer-06", "download 8 MiB/s") in by_hand["limited"]
    assert nothing_is_left_of("acting")
    assert not (tmp_path / "run" / "files").exists()


def test_a_peer_killed_before_its_copy_was_verified_has_none(ray_cluster, tmp_path):
    with Swarm.launch(name="robbed", peers=2, size="256KiB", out=tmp_path / "run") as swarm:
        until(lambda: all(swarm.peers().filter(peer="peer-01")["complete"]))
        swarm.kill(1)
        summary = swarm.wait(timeout=BOUND_S)
        assert [failure.peer for failure in summary.failed] == ["peer-01"]
        assert summary.failed[0].why.startswith("died")  # and perhaps how: Ray says later than it kills
        assert (summary.completed, summary.verified, summary.exit_code) == (1, 1, 4)


# how peers start and leave, and what their control costs


def test_peers_start_with_blocks_at_random_and_leave_when_they_are_complete(ray_cluster, tmp_path):
    options = {"size": "640KiB", "block_size": "16KiB", "initial": "0.1+1", "leave": "complete", "seed": 5}
    with Swarm.launch(name="leaving", peers=3, out=tmp_path / "run", **options) as swarm:
        summary = swarm.wait(timeout=BOUND_S)
        assert (summary.completed, summary.verified, summary.exit_code) == (3, 3, 0)
        useful = swarm.records()["blocks"].filter(verdict="useful")
        for name in ("peer-01", "peer-02", "peer-03"):
            given = Seat(name=name, initial=Initial(0.1, 1)).held(40, 5)
            assert given.bit_count() == 5
            assert inventory.of(useful.filter(peer=name)["block"]) == inventory.full(40) & ~given
        until(lambda: swarm["tracker"].ask("roster") == ["tracker"])
        assert set(swarm.peers()["leaving"]) == {None, "complete"}
    assert nothing_is_left_of("leaving")


def test_control_by_links_makes_no_actor_call_for_a_block_and_control_by_actors_does(done, tmp_path):
    def calls(swarm: Swarm) -> int:
        """Of the actors; those of the driver depend on how long it looked on."""
        return sum(account.actor_calls for account in swarm.ledger.accounts.values())

    with Swarm.launch(name="few", peers=3, size="1MiB", block_size="256KiB", out=tmp_path / "few") as swarm:
        assert swarm.wait(timeout=BOUND_S).exit_code == 0
        few = calls(swarm)
    # 8 times as many blocks, 28 more for each peer, and not one call more, but for signs of life now and then
    assert few >= 3  # each peer's REGISTRO
    assert calls(done) < few + 28

    with Swarm.launch(name="actor-model", peers=2, size="256KiB", control="actors", out=tmp_path / "actors") as swarm:
        summary = swarm.wait(timeout=BOUND_S)
        assert (summary.completed, summary.verified, summary.exit_code) == (2, 2, 0)
        said = summary.messages.PEDIDO + summary.messages.ESTOQUE + summary.messages.DESBLOQUEIO
        assert summary.messages.REGISTRO < calls(swarm) < said  # a call carries all that waits for a neighbour
        assert swarm["tracker"].mailbox().incoming["PEDIDO"] >= 16


def test_the_books_know_the_limits_of_everybody(ray_cluster, tmp_path):
    options = {"seed_upload": "16MiB/s", "upload": "1MiB/s", "behave": "slow=1"}
    with Swarm.launch(name="limits", peers=2, size="256KiB", out=tmp_path / "run", **options) as swarm:
        summary = swarm.wait(timeout=BOUND_S)
        accounts = swarm.ledger.accounts
        assert [account.seat.upload_bps for account in accounts.values()] == [16 * MIB, MIB, Slow.upload_bps]
        assert summary.bound_s == pytest.approx(512 / (17 * 1024 + 32))
        assert summary.efficiency is not None


# strategies of somebody's own

STRATEGIES = """
import os
from minibit.behaviour import Honest
from minibit.picker import Picker

class Last(Picker):
    def pick(self, choices, availability):
        return choices.bit_length() - 1

class Broken(Picker):
    def pick(self, choices, availability):
        raise RuntimeError("somebody's bug")

class Dies(Honest):
    def __init__(self, *args):
        os._exit(1)

class DiesOnce(Honest):
    def __init__(self, *args):
        try:
            os.mkdir(PLACE)
        except FileExistsError:
            return super().__init__(*args)
        os._exit(1)
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of somebody's own, which the actors can't import."""
    (tmp_path / "my_pickers.py").write_text(f"PLACE = {str(tmp_path / 'tried')!r}\n{STRATEGIES}")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "my_pickers"


def test_a_picker_of_ones_own_travels_to_the_actors(ray_cluster, tmp_path, mine):
    with Swarm.launch(name="mine", peers=2, size="256KiB", picker=f"{mine}:Last", out=tmp_path / "run") as swarm:
        assert swarm.wait(timeout=BOUND_S).exit_code == 0
        assert swarm[1].peek(lambda peer: type(peer.picker).__name__) == "Last"


def test_a_picker_that_raises_fails_every_peer_by_its_name(ray_cluster, tmp_path, mine):
    with Swarm.launch(name="broken", peers=2, size="256KiB", picker=f"{mine}:Broken", out=tmp_path / "run") as swarm:
        summary = swarm.wait(timeout=BOUND_S)
        why = "picker my_pickers:Broken raised RuntimeError: somebody's bug"
        assert [(failure.peer, failure.why) for failure in summary.failed] == [("peer-01", why), ("peer-02", why)]
        assert (summary.completed, summary.exit_code, summary.timed_out) == (0, 4, False)
        assert why in repr(swarm)


# actors that die while they are started


def test_a_peer_that_dies_at_its_start_is_started_again_and_if_it_dies_again_the_others_run(
    ray_cluster, tmp_path, mine
):
    behave = {f"{mine}:DiesOnce": 1, f"{mine}:Dies": 1}
    with Swarm.launch(name="stillborn", peers=4, size="256KiB", behave=behave, out=tmp_path / "run") as swarm:
        summary = swarm.wait(timeout=BOUND_S)
        assert (summary.peers, summary.completed, summary.verified, summary.exit_code) == (4, 3, 3, 4), summary.failed
        (failure,) = summary.failed
        assert swarm.ledger.accounts[failure.peer].seat.behaviour == f"{mine}:Dies"
        assert failure.why.startswith("could not be started: its worker process has died")
        assert failure.peer not in swarm.snapshot()
    assert load(tmp_path / "run").summary == summary.as_dict()
    assert nothing_is_left_of("stillborn")


# ends


def test_the_time_limit_ends_the_waiting_and_close_the_transfer_and_nothing_is_left(ray_cluster, tmp_path):
    given = {"name": "late", "peers": 2, "size": "1MiB", "seed_upload": "64KiB/s", "timeout": "1s"}
    with Swarm.launch(**given, out=tmp_path / "run") as swarm:
        summary = swarm.wait()
        assert (summary.timed_out, summary.exit_code, summary.completed) == (True, 5, 0)
        assert [failure.peer for failure in summary.failed] == ["peer-01", "peer-02"]
        assert all(failure.why.startswith("the time limit of 1 s came first") for failure in summary.failed)
        assert (summary.bound_s, summary.efficiency) == (16, None)  # not all are complete: there is no time to compare
        assert list(Path(tempfile.gettempdir()).glob("minibit-late-*"))
        one = swarm[1]
        attached = Swarm.attach("late", ray_cluster)
        assert not isinstance(attached, OwnSwarm)
        theirs = attached[1]
        attached.close()
        refused("the swarm late is closed: launch another", attached, theirs)
        assert isinstance(swarm, OwnSwarm)
        swarm.close()
        swarm.close()
    assert nothing_is_left_of("late")
    assert repr(swarm) == "Swarm late: closed"
    assert "closed" in swarm._repr_html_()
    assert swarm.wait() is summary
    assert list(swarm.records()) == list(TABLES)  # what was drained stays
    swarm.summary = None  # so that wait() would wait
    refused("the swarm late is closed: launch another", swarm, one)
    assert repr(one) == "<peer-01: the swarm late is closed: launch another>"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["summary"]["timed_out"] is True


def test_when_the_seed_dies_with_blocks_that_nobody_has_the_run_ends_and_names_them(ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(collector, "HOPELESS_S", 1.0)
    with Swarm.launch(name="orphans", peers=2, size="1MiB", seed_upload="256KiB/s", out=tmp_path / "run") as swarm:
        until(lambda: max(swarm.peers().filter(behaviour="Honest", complete=False)["held"]))
        swarm.kill("tracker")
        summary = swarm.wait(timeout=BOUND_S)
        assert (summary.timed_out, summary.exit_code) == (False, 4)
        lost = [block for block, copies in swarm.blocks().iter_rows() if not copies]
        assert lost
        for failure in summary.failed:
            assert failure.why.startswith("the seed is gone")
            assert f"nobody holds {len(lost)} blocks any more ({', '.join(map(str, lost[:10]))}" in failure.why

        for peer in (1, 2):
            swarm.kill(peer)
        until(lambda: repr(swarm).count("gone") == 3)
        assert swarm._repr_html_().count("gone") == 3
        assert swarm.peers().is_empty()
        assert swarm.links().is_empty()
    assert nothing_is_left_of("orphans")


def test_a_swarm_whose_cluster_the_program_has_left_says_so_and_starts_nothing(ray_cluster, tmp_path, monkeypatch):
    with Swarm.launch(name="left", peers=1, size="64KiB", out=tmp_path / "run") as swarm:
        one = swarm[1]
        with monkeypatch.context() as away:
            for node in (None, "of another cluster"):
                away.setattr(connection, "here", lambda node=node: node)
                refused("this program has left the Ray cluster of the swarm left: launch or attach anew", swarm, one)
                assert "has left the Ray cluster" in repr(swarm)
                assert list(swarm.records()) == list(TABLES)
        assert swarm.wait(timeout="60s").verified == 1
    with pytest.raises(ClusterError, match="there is no swarm to attach to"), monkeypatch.context() as away:
        away.setattr(connection, "here", lambda: None)
        Swarm.attach("left", "local")


def test_a_second_swarm_of_one_name_is_told_at_once_and_the_first_goes_on(ray_cluster, tmp_path, monkeypatch):
    """In the same program, and in another one on the same cluster."""
    with Swarm.launch(name="twice", peers=1, size="64KiB", out=tmp_path / "one") as swarm:
        with pytest.raises(LocalError, match="this program has a swarm twice already: close"):
            Swarm.launch(name="twice", peers=1, size="64KiB", out=tmp_path / "two")
        monkeypatch.setattr(own_swarm, "OPEN", {})
        with pytest.raises(LocalError, match="a swarm twice is running on this cluster already: give another name"):
            Swarm.launch(name="twice", peers=1, size="64KiB", out=tmp_path / "two")
        assert not (tmp_path / "two").exists()
        assert swarm.wait(timeout=BOUND_S).verified == 1
        assert len(list(Path(tempfile.gettempdir()).glob("minibit-twice-*"))) == 2
    assert nothing_is_left_of("twice")


def test_a_thread_that_waits_is_told_when_another_closes_the_swarm(ray_cluster, tmp_path):
    told: list[object] = []

    def wait() -> None:
        try:
            told.append(swarm.wait(progress=lambda *_: waiting.set()))
        except LocalError as error:
            told.append(str(error))

    waiting = Event()
    with Swarm.launch(name="awaited", peers=1, size="1MiB", seed_upload="16KiB/s", out=tmp_path / "run") as swarm:
        thread = Thread(target=wait)
        thread.start()
        assert waiting.wait(BOUND_S)
    thread.join(BOUND_S)
    assert told == ["the swarm awaited is closed: launch another"]


def test_what_was_closed_before_it_was_waited_for_says_so(ray_cluster, tmp_path):
    with Swarm.launch(name="brief", peers=1, size="64KiB", out=tmp_path / "run") as swarm:
        pass
    with pytest.raises(LocalError, match="the swarm brief is closed"):
        swarm.wait()


def test_a_launch_that_can_not_be_leaves_nothing_behind(ray_cluster, tmp_path):
    with pytest.raises(SourceError):
        Swarm.launch(tmp_path / "nothing", name="never", out=tmp_path / "run")
    with pytest.raises(LocalError, match="there is no option 'pears'"):
        Swarm.launch(name="never", pears=3, out=tmp_path / "run")
    with pytest.raises(LocalError, match="give other ports"):
        Swarm.launch(name="never", peers=2, size="64KiB", data_ports=(65535, 65535), out=tmp_path / "run")
    assert nothing_is_left_of("never")
    assert not (tmp_path / "run").exists()

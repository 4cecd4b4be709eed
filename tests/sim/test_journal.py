"""The journal: one peer of a simulated swarm, brought to any moment again, alone."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from table import Blocks

from minibit import events, inventory, messages
from minibit.behaviour import BEHAVIOURS, Honest
from minibit.choker import CHOKERS
from minibit.cli import replay as script
from minibit.errors import LocalError
from minibit.events import TRACKER, Effect, Event
from minibit.manifest import FileEntry, Manifest
from minibit.messages import PeerAddress
from minibit.peer import Peer
from minibit.picker import PICKERS
from minibit.rules import Rules
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation
from minibit.sim.journal import Entry, Journal, replay
from minibit.sim.machine import Machine
from minibit.sim.watcher import Watcher
from minibit.sim.world import World

Moment = tuple[
    float, Event | None, list[Effect], dict[str, Any]
]  # when, what happened, what followed, and the peer then


class Diary(Watcher):
    """All moments of every peer, as the world saw them."""

    def __init__(self) -> None:
        self.moments: dict[str, list[Moment]] = {}
        self._effects: list[Effect] = []

    def did(self, world: World, machine: Machine, effect: Effect) -> None:
        self._effects.append(effect)

    def after(self, world: World, machine: Machine, event: Event | None) -> None:
        moment = (world.now, event, self._effects, machine.peer.snapshot(world.now))
        self.moments.setdefault(machine.name, []).append(moment)
        self._effects = []


def replayed(journal: Journal) -> list[Moment]:
    """All moments of the peer, alone."""
    moments: list[Moment] = []
    replay(journal, watch=lambda peer, entry, effects: moments.append((*entry, effects, peer.snapshot(entry[0]))))
    return moments


class Backwards(PICKERS["sequential"]):  # type: ignore[misc]
    """A picker of somebody's own."""


class Shy(Honest):
    """A behaviour of somebody's own: it says only the half of what it holds."""

    def claims(self, held: int, block_count: int) -> int:
        return held & ((1 << block_count // 2) - 1)


EVERYTHING = {
    "stay": "3s",
    "classes": [
        {"name": behaviour, "peers": 1, "behaviour": behaviour, "upload": "200kB/s"}
        for behaviour in (*BEHAVIOURS, f"{__name__}:Shy")
    ]
    + [{"name": "almost", "peers": 1, "lacks": [0, 7]}],
    "faults": [
        {"kind": "pauses", "at": 2, "lasts": 3, "peers": ["peer-01"]},
        {"kind": "cut", "at": 1, "until": 5, "lasts": 2, "peers": 9},
        {"kind": "tracker-gone", "at": 3, "lasts": 4},
        {"kind": "dies", "at": 6, "peers": ["peer-08"]},
    ],
    "arrivals": {"pattern": "poisson", "rate": 4.0},
}


def simulated(scenario: dict[str, Any], **given: Any) -> tuple[Simulation, Diary]:
    """A run of ten peers with a journal of each, and what was seen of it."""
    given = {"peers": 10, "size": "900kB", "block_size": "16KiB", "upload": "100kB/s", "round": "1s", **given}
    names = [TRACKER, *(f"peer-{index:02}" for index in range(1, given["peers"] + 1))]
    diary = Diary()
    options = Options.build(**given, timeout="30s", world="sim")
    simulation = Simulation(options, Scenario.build(scenario, 10), watchers=[diary], journal=names)
    simulation.run()
    return simulation, diary


@pytest.mark.parametrize(
    "given",
    [{}, *({"choker": choker} for choker in CHOKERS), {"picker": f"{__name__}:Backwards"}, {"preset": "classic"}],
    ids=lambda given: "-".join(given.values()).replace(f"{__name__}:", "") or "usual",
)
def test_a_peer_alone_is_at_any_moment_what_it_was_in_the_world_and_does_the_same(given: dict[str, Any]):
    simulation, diary = simulated(EVERYTHING, **given)
    assert simulation.journals.keys() == diary.moments.keys()
    assert len(diary.moments) == 11
    for name, journal in simulation.journals.items():
        assert replayed(Journal.decode(journal.encode())) == diary.moments[name]


def test_a_replay_ends_when_all_of_its_moment_has_happened():
    simulation, diary = simulated({})
    moments, journal = diary.moments["peer-03"], simulation.journals["peer-03"]
    for until_s in [moments[index][0] for index in range(0, len(moments), 50)]:
        last_s, *_, last = [moment for moment in moments if moment[0] <= until_s][-1]
        assert replay(journal, until_s).snapshot(last_s) == last
    assert replay(journal, 0.0).started
    assert not replay(journal, -1.0).started
    end_s, *_, end = moments[-1]
    assert replay(journal, inf).snapshot(end_s) == replay(journal, journal.end_s).snapshot(end_s) == end


def test_a_journal_is_kept_only_for_peers_that_are_named():
    options = Options.build(peers=3, size="64KiB", world="sim")
    simulation = Simulation(options, journal=["peer-02"])
    simulation.run()
    assert list(simulation.journals) == ["peer-02"]


# the file

BLOCKS = Blocks(8, 1000)
HAPPENINGS = [
    events.Joining(PeerAddress("me", "me", 1)),
    events.Starting(),
    events.Linked(PeerAddress("you", "you", 1), True),
    events.Linked(PeerAddress("he", "he", 1), False, True),
    *(events.Received("you", message) for message in (
        messages.Registro(peer="you", host="you", port=1, alone=True),
        messages.ListaPeers((PeerAddress("she", "she", 1),)),
        messages.NovoPeer(),
        messages.Estoque(whole="ff"),
        messages.Estoque(new=(1, 2)),
        messages.Bloqueio(),
        messages.Desbloqueio(),
        messages.Pedido(3),
        messages.Desligamento(peer="you", why="enough"),
    )),
    events.Arrived("he", 7, False),
    events.Progressed("he"),
    None,
    events.Sent("he", 2),
    events.Unlinked("he", "reset"),
    events.Lost(3),
    events.Known(0b11, 0b1),
    events.Leaving("“enough”\n"),
]  # fmt: skip


def journal_of(happenings: list[Event | None], content: Any = BLOCKS, **made: Any) -> Journal:
    made = {"rules": Rules(), "seed": 1, **made}
    journal = Journal.of(Peer("me", content, **made), made["seed"])
    for index, happening in enumerate(happenings):
        journal.entries.append(Entry(index / 3, happening))
    return journal


def test_every_event_goes_through_a_file_and_its_time_exactly():
    journal = journal_of(HAPPENINGS)
    again = Journal.decode(journal.encode())
    assert (again.head, again.entries) == (journal.head, journal.entries)
    assert [type(entry.event) for entry in again.entries] == [type(happening) for happening in HAPPENINGS]
    assert len(journal.encode().splitlines()) == 1 + len(HAPPENINGS)


def test_the_head_says_all_that_makes_a_peer():
    rules = Rules(picker="random", choker="none", leave="complete", round_s=0.1)
    journal = journal_of([], rules=rules, seed="chance", held=0b1010, behaviour=Shy())
    peer = Journal.decode(journal.encode()).newborn()
    assert (peer.name, peer.rules, peer.held) == ("me", rules, 0b1010)
    assert type(peer.behaviour) is Shy
    assert journal.head.seed == "chance"


@pytest.mark.parametrize("content_bytes", [0, 1, 1000, 1001, 2999, 3000])
def test_the_last_block_is_as_short_as_it_was(content_bytes: int):
    blocks = -(-content_bytes // 1000)
    film = Manifest("film", False, (FileEntry("film", content_bytes, 0o644),), 1000, "blake3", bytes(32 * blocks))
    content = journal_of([], film).newborn().content
    assert content.block_count == blocks
    assert [content.length(block) for block in range(blocks)] == [film.length(block) for block in range(blocks)]


GOOD = journal_of(HAPPENINGS[:4]).encode()
HEAD = GOOD.splitlines()[0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is no journal of a peer: line 1: "),
        (b"\x89PNG\r\n\x1a\n\0", "it is no journal of a peer: line 1: "),
        (b"{}", "it is no journal of a peer: line 1: Object missing required field `peer`"),
        (HEAD.replace(b'"journal"', b'"diary"'), "it is no journal of a peer: line 1: Invalid value 'diary'"),
        (HEAD.replace(b'"held":"0"', b'"held":"fff"'), "it is no journal of a peer: line 1: an inventory with a block"),
        (HEAD.replace(b'"block_bytes":1000', b'"block_bytes":0'), "it is no journal of a peer: line 1: Expected `int`"),
        (GOOD + b'[9.5,"Arrived","you",', "the journal is broken: line 6: Input data was truncated"),
        (GOOD + b"\n", "the journal is broken: line 6: "),
        (GOOD + b'[9.5,"Arrived","you"]', "the journal is broken: line 6: Expected `array` of at least"),
        (
            GOOD + b'[9.5,"Arrived","you",1,true,true,true,1]',
            "the journal is broken: line 6: Expected `array` of at most",
        ),
        (GOOD + b'[9.5,"Arrived","you",1,1]', "the journal is broken: line 6: Expected `bool`, got `int`"),
        (GOOD + b'[9.5,"Received","you",{"tipo":"OI"}]', "the journal is broken: line 6: Invalid value 'OI'"),
        (GOOD + b'[9.5,"Exploded"]', "the journal is broken: line 6: expected a time, the name of an event"),
        (GOOD + b'["now","wake"]', "the journal is broken: line 6: expected a time, the name of an event"),
        (GOOD + b"[]", "the journal is broken: line 6: expected a time, the name of an event"),
        (GOOD + b"{}", "the journal is broken: line 6: expected a time, the name of an event"),
        (GOOD + b'[0.5,"wake"]', "the journal is broken: line 6: 0.5 s is before the line above"),
    ],
)
def test_a_file_that_is_none_or_broken_is_refused_with_the_line(data: bytes, said: str):
    with pytest.raises(LocalError) as refused:
        Journal.decode(data)
    assert str(refused.value).startswith(said)


def test_a_strategy_that_is_gone_is_named():
    journal = journal_of([], behaviour=type("Gone", (Honest,), {})())
    with pytest.raises(LocalError, match=f"behaviour '{__name__}:Gone' can't be imported"):
        journal.newborn()


# the script


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the journal of a peer that completes after six seconds or so."""
    folder = tmp_path_factory.mktemp("journals")
    options = Options.build(
        peers=5, size="640KiB", block_size="16KiB", seed_upload="200kB/s", upload="100kB/s", world="sim"
    )
    simulation = Simulation(options, journal=["peer-02"])
    simulation.run()
    (folder / "peer-02.journal").write_bytes(simulation.journals["peer-02"].encode())
    return folder


def looked_at(*arguments: object) -> tuple[int, str]:
    """How the script ended, and all that it said."""
    result = CliRunner().invoke(script.main, [str(argument) for argument in arguments], prog_name="minibit replay")
    return result.exit_code, result.output


def test_the_script_shows_the_peer_at_a_moment(journals: Path):
    code, shown = looked_at(journals / "peer-02.journal", "--until", "2s")
    assert code == 0
    lines = shown.splitlines()
    assert lines[0] == "peer-02 at 2.000 s"
    assert lines[1] == "honest, rarest-first, tit-for-tat, 4 slots and 1 for guests, seed 1"
    peer = replay(Journal.decode((journals / "peer-02.journal").read_bytes()), 2.0)
    assert lines[2].startswith(f"wants blocks: {peer.held.bit_count()} of 40 blocks, ")
    assert [index for index, sign in enumerate(lines[4]) if sign == "#"] == list(inventory.indices(peer.held))
    assert [index for index, sign in enumerate(lines[4]) if sign == "?"] == sorted(peer.pipeline.requesters)
    assert lines[7] == "5 of 20 links"
    assert [line.split()[0] for line in lines[9:14]] == list(peer.contacts.up)


def test_a_moment_beyond_the_end_is_the_end(journals: Path):
    code, shown = looked_at(journals / "peer-02.journal", "--until", "9h")
    assert code == 0
    assert "where its journal ends\n" in shown
    assert "complete: 40 of 40 blocks\n" in shown
    assert looked_at(journals / "peer-02.journal") == (code, shown)


def test_the_script_shows_so_many_of_the_last_events(journals: Path):
    def shown(count: int) -> list[str]:
        lines = looked_at(journals / "peer-02.journal", "--until", "2s", "--messages", count)[1].splitlines()
        return [line for line in lines if line[:10].strip().replace(".", "").isdigit()]

    assert [len(shown(count)) for count in (0, 1, 7)] == [0, 1, 7]
    assert shown(7)[-1:] == shown(1)


def test_a_long_line_of_blocks_is_drawn_in_groups():
    assert script.blocks_map(0b0111, 0b1000, 5) == ("###?.", "1 block")
    assert script.blocks_map((1 << 150) - 1, 0b11 << 152, 301) == ("#" * 37 + "+?" + "." * 37, "4 blocks")
    assert script.blocks_map(0, 0, 0) == ("", "1 block")


def test_everything_that_can_happen_has_words():
    assert all(script.told(happening) for happening in HAPPENINGS)


def test_what_is_said_to_many_in_a_row_is_one_line():
    news, choke = messages.Estoque(new=tuple(range(9))), messages.Bloqueio()
    effects = [
        *(events.Send(name, news) for name in "abcdefgh"),
        events.Send("a", choke),
        events.SendBlock("b", 3),
        events.Send("b", choke),
    ]
    assert list(script.did(effects)) == [
        "-> a, b, c, d, e, f and 2 more: ESTOQUE +0 1 2 3 4 5 6 7 and 1 more",
        "-> a: BLOQUEIO",
        "-> b: BLOCO 3",
        "-> b: BLOQUEIO",
    ]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("missing.journal", None, "can't be read (No such file or directory): give a file that minibit swarm"),
        ("notes.txt", b"dear diary", ": it is no journal of a peer: line 1: "),
        ("cut.journal", GOOD[:-5], ": the journal is broken: line 5: Input data was truncated: give a file"),
    ],
)
def test_a_file_that_wont_do_is_named_with_what_would(tmp_path: Path, name: str, data: bytes | None, said: str):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    code, shown = looked_at(tmp_path / name)
    assert (code, shown.count("\n")) == (3, 1)
    assert shown.startswith(f"minibit replay: {tmp_path / name}")
    assert said in shown


def test_a_wrong_moment_is_usage(journals: Path):
    assert looked_at(journals / "peer-02.journal", "--until", "soon") == (
        2,
        "minibit replay: --until: 'soon' is no duration: give e.g. 10s, 250ms, 2m, 1h\n",
    )

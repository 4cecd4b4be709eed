"""A swarm, drawn while it runs: who is waited for, when the watching ends, and where it is drawn."""

from __future__ import annotations

import io
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from virtual_clock import Clock

from minibit import inventory
from minibit.actors import Swarm
from minibit.actors.driver import show, tables
from minibit.actors.driver.handle import Answers
from minibit.errors import LocalError
from minibit.snapshots import NeighbourSnapshot, PeerSnapshot

BLOCKS = 80


def state(held: int, **more: Any) -> PeerSnapshot:
    plain = {
        **{"peer": "peer-01", "behaviour": "Honest", "blocks": BLOCKS, "held": held},
        **{"at_s": 0.0, "in_flight": (), "complete": held == BLOCKS, "started": True, "leaving": None},
        **{"picker": "rarest-first", "choker": "tit-for-tat", "round_s": 10.0, "slots": 4, "guest_slots": 1},
        **{"fixed": (), "guests": {}, "neighbours": {}},
    }
    return PeerSnapshot(**{**plain, "inventory": inventory.to_hex(inventory.full(held)), **more})


def end(peer: str, standing: str) -> NeighbourSnapshot:
    return NeighbourSnapshot(
        **{"peer": peer, "standing": standing, "host": "127.0.0.1", "port": 9, "held": 40, "serves_us": True},
        **{"slot": "guest", "asked": (1,), "wanted": (), "sending": None, "interesting": True, "interested": True},
        **{"blocks_in": 7, "blocks_out": 3, "gave_bps": 0.0, "took_bps": 0.0, "strikes": 0, "snubbed": False},
        **{"failures": 0, "trouble": "", "since_s": 1.0, "silent_s": None},
    )


class Wall:
    """A place that remembers what was drawn."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.rows: list[tables.OverviewRow] = []
        self.open = True

    def draw(self, head: str, rows: list[tables.OverviewRow], last: bool) -> None:
        assert self.open
        self.heads.append(head)
        self.rows = rows

    def close(self) -> None:
        self.open = False


def watched(
    looks: Iterator[Answers[PeerSnapshot]],
    timeout_s: float | None = None,
    pause: Callable[[float], object] | None = None,
) -> Wall:
    """What is drawn of a swarm that is found so at one look after the other; a look takes no time."""
    wall, clock = Wall(), Clock()
    show.watch("tuesday", lambda _: next(looks), wall, timeout_s, clock=lambda: clock.now, pause=pause or clock.run_for)
    assert not wall.open
    return wall


def found(slow: tuple[str, ...] = (), gone: tuple[str, ...] = (), **peers: PeerSnapshot) -> Answers[PeerSnapshot]:
    states = {"tracker": state(BLOCKS), **{f"peer-0{name[1:]}": one for name, one in peers.items()}}
    return Answers([*states, *slow, *gone], states, list(slow))


def for_ever(answers: Answers[PeerSnapshot]) -> Iterator[Answers[PeerSnapshot]]:
    while True:
        yield answers


# when it ends


def test_it_is_drawn_until_everybody_is_complete():
    wall = watched(iter([found(p1=state(0), p2=state(20)), found(p1=state(40), p2=state(BLOCKS)),
                         found(p1=state(BLOCKS), p2=state(BLOCKS))]))  # fmt: skip
    assert wall.heads == [
        "Swarm tuesday: 0 of 2 peers complete, 12 % of the blocks",
        "Swarm tuesday: 1 of 2 peers complete, 75 % of the blocks, 256 blocks/s",
        "Swarm tuesday: 2 of 2 peers complete, 100 % of the blocks, 103 blocks/s; over after 1 s",
    ]
    assert [(row.name, row.note) for row in wall.rows] == [
        ("tracker", "seed"), ("peer-01", "complete"), ("peer-02", "complete")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "odd", [{"failure": "disk full"}, {"leaving": "removed"}, {"behaviour": "Corrupter"}, {"behaviour": "Liar"}]
)
def test_nobody_waits_for_one_that_failed_leaves_or_lies(odd):
    assert "; over" in watched(iter([found(p1=state(9, **odd), p2=state(BLOCKS))])).heads[-1]


def test_a_slow_peer_is_waited_for_and_stays_as_it_was_and_one_that_is_gone_is_not():
    looks = [
        found(p1=state(BLOCKS), p2=state(20)),
        found(p1=state(BLOCKS), slow=("peer-02",)),
        found(p1=state(BLOCKS), gone=("peer-02",)),
    ]
    wall = watched(iter(looks[:2] + looks[1:]))
    assert len(wall.heads) == 4
    assert wall.rows[-1] == tables.OverviewRow("peer-02", 0.0, "", "gone")
    rows = tables.overview(["peer-01", "peer-02"], {"peer-02": state(20)}, ["peer-01", "peer-02"])
    assert [(row.share, row.note) for row in rows] == [(0.0, "no answer"), (0.25, "no answer")]


def test_the_time_ends_the_watching_and_the_swarm_goes_on():
    wall = watched(for_ever(found(p1=state(9))), timeout_s=5)
    assert wall.heads[-1].endswith("; watched for 5 s, and it goes on")
    assert len(wall.heads) == 15  # each 0.36 s, and at the end


def test_an_answer_is_waited_for_no_longer_than_the_time_allows():
    given = []

    def ask(timeout_s: float) -> Answers[PeerSnapshot]:
        given.append(timeout_s)
        return found(p1=state(9))

    clock = Clock()
    show.watch("tuesday", ask, Wall(), 3, clock=lambda: clock.now, pause=clock.run_for)
    assert given[0] == 3 and given == sorted(given, reverse=True) and given[-1] == show.LEAST_S


def test_where_nothing_moves_any_more_nobody_watches_for_ever():
    wall = watched(for_ever(found(p1=state(9))))
    assert wall.heads[-1].endswith("; watched until nothing had moved for 120 s")


def test_ctrl_c_ends_the_watching_only():
    wall = watched(for_ever(found(p1=state(9))), pause=lambda _: signal.raise_signal(signal.SIGINT))
    assert wall.heads[1:] == [wall.heads[0] + "; watching was ended, and it goes on"]


# where it is drawn


def test_elsewhere_than_in_a_notebook_or_on_a_terminal_there_is_a_line_once_in_a_while_and_at_the_end():
    clock, file = Clock(), io.StringIO()
    lines = show.Lines(file, lambda: clock.now)
    for head in ("one", "two", "three"):
        lines.draw(head, [], last=False)
        clock.run_for(3)
    lines.draw("end", [], last=True)
    assert file.getvalue().splitlines() == ["one", "three", "end"]
    assert isinstance(show.canvas(), show.Lines)


def test_on_a_terminal_the_rows_are_drawn_over(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal then
    rows = tables.overview(["peer-01"], {"peer-01": state(40)})
    screen = show.Screen()
    for head in ("before", "after"):
        screen.draw(head, rows, last=False)
    screen.close()
    drawn = capsys.readouterr().out
    assert drawn.count("after") >= 1 and "\x1b[1A" in drawn and "50 %" in drawn.split("after")[1]


def test_in_a_notebook_it_has_one_place(monkeypatch):
    pytest.importorskip("IPython", reason="the notebook needs the extra `lab`")
    from IPython import display  # noqa: PLC0415

    drawn: list[dict[str, str]] = []

    class Handle:
        def update(self, data: dict[str, str], raw: bool) -> None:
            drawn.append(data)

    def first(data: dict[str, str], raw: bool, display_id: bool) -> Handle:
        drawn.append(data)
        return Handle()

    monkeypatch.setattr(display, "display", first)
    cell = show.NotebookCell()
    for share in (20, 40, 80):
        cell.draw("<b>", tables.overview(["peer-01"], {"peer-01": state(share)}), last=False)
    assert [data["text/plain"].split()[-2 if at < 2 else -3] for at, data in enumerate(drawn)] == ["25", "50", "100"]
    assert "&lt;b&gt;" in drawn[0]["text/html"] and "█" * 20 + "·" * 20 in drawn[1]["text/html"]


def test_a_share_is_100_per_cent_only_when_all_is_there():
    rows = tables.overview(["peer-01"], {"peer-01": state(BLOCKS * 5 - 1, blocks=BLOCKS * 5)})
    assert " 99 % " in tables.as_text("late", rows) and "99&nbsp;%" in tables.as_html("late", rows)
    assert "; watched" in (head := watched(for_ever(found(p1=state(0), p2=state(1, blocks=1))), timeout_s=1).heads[-1])
    assert "1 % of the blocks" in head


def test_of_many_peers_the_first_are_drawn_and_the_others_counted():
    rows = tables.overview([f"peer-{number}" for number in range(130)], {})
    assert tables.as_text("many", rows).endswith("\n  and 30 more")
    assert tables.as_html("many", rows).count("<tr>") == tables.ROWS_MAX


def test_a_strip_shows_which_blocks_are_held():
    assert tables.strip("5", 4) == "█·█·"
    assert tables.strip("ff3", 80, 10) == "▆▄········"
    assert tables.strip("0", 0) == ""


def test_one_peer_shows_its_neighbours_as_html():
    neighbours = {"peer-02": end("peer-02", "sharing"), "<i>": end("<i>", "lost")}
    html = tables.peer_as_html(state(20, neighbours=neighbours))
    assert "<b>peer-01: 20 of 80 blocks, 1 neighbour</b>" in html
    assert "<td>peer-02</td><td>50&nbsp;%</td><td>yes</td><td>guest</td><td>7</td><td>3</td>" in html
    assert "<i>" not in html


@pytest.mark.ray
def test_a_swarm_is_watched_to_its_end_and_shows_its_peers(ray_cluster, tmp_path, capsys):
    with Swarm.launch(name="watched", peers=3, size="1MiB", block_size="32KiB", out=tmp_path / "run") as swarm:
        swarm.watch(timeout=60)
        assert "3 of 3 peers complete, 100 % of the blocks" in capsys.readouterr().out.splitlines()[-1]
        Swarm.attach("watched", ray_cluster).watch(timeout=60)
        assert "; over after" in capsys.readouterr().out
        assert swarm.wait(timeout=60).completed == 3
        one = swarm[2]
        assert "<b>peer-02: 32 of 32 blocks, 3 neighbours, complete</b>" in one._repr_html_()
        swarm.kill(2)
        deadline = time.monotonic() + 60
        while one._repr_html_() != "<div><b>peer-02: peer-02 is not there any more</b><table></table></div>":
            assert time.monotonic() < deadline
    with pytest.raises(LocalError, match="is closed"):
        swarm.watch()

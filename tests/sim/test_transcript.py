"""A simulated run as a conversation."""

from __future__ import annotations

import re

from minibit.run.options import Options
from minibit.sim import Scenario, Simulation
from minibit.sim.transcript import Transcript


def told(peers: int = 2, faults: tuple[dict[str, object], ...] = (), **given: object) -> Transcript:
    usual = {
        "peers": peers,
        "size": "256KiB",
        "block_size": "32KiB",
        "upload": "32KiB/s",
        "seed_upload": "32KiB/s",
        "world": "sim",
    }
    transcript = Transcript()
    scenario = Scenario.build({"faults": list(faults)}, peers)
    Simulation(Options.build(**{**usual, **given}), scenario, watchers=(transcript,)).run()
    return transcript


def facts(transcript: Transcript, *parts: str) -> list[str]:
    """The lines in which all of `parts` occur, without their times."""
    return [line[10:] for line in transcript.lines if all(part in line for part in parts)]


def test_every_line_has_a_time_and_they_are_in_order():
    lines = told().lines
    assert all(re.fullmatch(r" *\d+\.\d{3}  \S.*", line) for line in lines)
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)


def test_a_block_is_asked_for_and_sent_and_taken():
    lines = [line[10:] for line in told(peers=1).lines]
    for block in range(8):
        said = [
            f"peer-01 -> tracker PEDIDO {block}",
            f"tracker -> peer-01 BLOCO {block}",
            f"peer-01 takes {block} from tracker",
        ]
        assert [lines.count(line) for line in said] == [1, 1, 1]
        assert sorted(map(lines.index, said)) == list(map(lines.index, said))
    assert lines.count("peer-01 is completed") == 1


def test_the_tracker_is_asked_and_answers():
    transcript = told(peers=1)
    assert "peer-01 -> tracker REGISTRO" in facts(transcript, "REGISTRO")
    assert "tracker -> peer-01 LISTA_PEERS tracker" in facts(transcript, "LISTA_PEERS")


def test_a_link_is_told_once_and_its_end_with_the_reason():
    cut = told(faults=({"kind": "cut", "at": "2s", "lasts": "1s", "peers": ["peer-01", "tracker"]},))
    assert facts(cut, "are linked", "peer-01", "tracker") == ["peer-01 and tracker are linked"] * 2
    assert len(facts(cut, "are unlinked: cut", "peer-01", "tracker")) == 1


def test_that_a_peer_left_is_the_reason_for_the_end_of_its_links():
    left = told(faults=({"kind": "leaves", "at": "2s", "peers": ["peer-01"]},))
    assert [line.partition(": ")[2] for line in facts(left, "peer-01", "unlinked")] == ["peer-01 left"] * 2


def test_a_ban_is_told_as_one():
    banned = told(peers=4, behave="corrupter=1", initial="0.5", seed_upload="32KiB/s", block_size="8KiB")
    (first, *_) = facts(banned, "peer-04 is banned")
    banning = first.split()[-1]
    assert facts(banned, banning, "peer-04", "unlinked")[0].endswith("are unlinked: banned")

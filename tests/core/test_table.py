"""Conversations, as golden text: `MINIBIT_WRITE_TRANSCRIPTS=1 pytest tests/core/test_table.py` writes them anew.

A transcript begins with what the test set up: the content, the rules that are not the usual ones, and the seats.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

from msgspec.structs import asdict
from table import Table

from minibit import inventory
from minibit.messages import Desligamento, Pedido
from minibit.neighbour import Standing
from minibit.rules import Rules

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def shown(held: int, everything: int) -> str:
    """An inventory in words: `all`, `0 2 4`, `0-19`."""
    spans: list[list[int]] = []
    for block in inventory.indices(held):
        if spans and spans[-1][-1] == block - 1:
            spans[-1].append(block)
        else:
            spans.append([block])
    return "all" if held == everything else " ".join(f"{one[0]}-{one[-1]}" if one[1:] else str(one[0]) for one in spans)


def setting(name: str, table: Table) -> list[str]:
    """What was set up for this conversation: a line for the table, and one for each seat."""
    usual, blocks = Table(), table.content.block_count
    rules = {field: value for field, value in asdict(table.rules).items() if value != getattr(usual.rules, field)}
    parts = [f"{blocks} block{'s' * (blocks > 1)}"]
    parts += ["no tracker"] * (not table.calls_are_said)
    parts += [f"{field} {str(value).removesuffix('.0')}" for field, value in rules.items()]
    parts += [f"a block takes {table.block_s:g} s"] * (table.block_s != usual.block_s)
    parts += [f"{peer} sends one in {pace_s:g} s" for peer, pace_s in table.pace.items()]
    parts += ["the wire spoils some"] * (table.corrupt is not None)
    seats = []
    for at_s, peer, held, behaviour in table.seats:
        seat = f"seat {peer.name} {shown(held, table.all)}".rstrip()
        seats.append(seat + f", {behaviour}" * (behaviour != "honest") + f", at {at_s:g} s" * (at_s > 0))
    return [f"# {name}: {', '.join(parts)}", *seats, ""]


def golden(name: str, table: Table) -> None:
    """The transcript is, to the letter, the one that is kept under this name."""
    path = TRANSCRIPTS / f"{name}.txt"
    told = "\n".join([*setting(name, table), *table.transcript]) + "\n"
    if os.environ.get("MINIBIT_WRITE_TRANSCRIPTS"):
        path.write_text(told)
    assert told == path.read_text()


def quiet_table(blocks: int, rules: Rules | None = None, **options: float) -> Table:
    """Peers that are linked by hand: no tracker is in the conversation."""
    return Table(blocks, rules, tracker=False, **options)  # type: ignore[arg-type]


def test_joining():
    table = Table(2)
    table.seat_seed()
    table.run(1.0)
    table.seat("ana")
    table.run(2.0)
    table.seat("bia")
    table.run(3.0)
    assert all(peer.complete for peer in table.peers.values())
    golden("joining", table)


def test_rarest_first_with_ties():
    table = quiet_table(5, Rules(pipeline=1))
    table.seat("ana")
    table.seat("bia", {0, 1, 2, 3, 4})
    table.seat("caio", {0, 2, 4})
    table.seat("davi", {0})
    for name in ("davi", "caio", "bia"):
        table.link("ana", name)
    table.run(1.0)
    asked = [int(line.split()[-1]) for line in table.lines("ana -> ", "PEDIDO")]
    assert asked[0] == 0  # davi answers first, and has nothing else
    assert table.peers["ana"].complete
    golden("rarest-first", table)


def test_choke_and_unchoke():
    """One slot, no guest: a neighbour that gave nothing loses it to one that gives."""
    table = quiet_table(40, Rules(slots=1, guests=0, pipeline=1, announce_s=30.0), block_s=1.0)
    table.seat("ana", range(20))
    table.seat("bia")
    table.seat("caio", range(20, 22))
    table.link("ana", "bia")
    table.run(5.0)
    table.link("ana", "caio")
    table.run(12.0)
    assert table.lines("ana -> bia BLOQUEIO")
    assert table.lines("ana -> caio DESBLOQUEIO")
    golden("choke-and-unchoke", table)


def test_the_guest_keeps_its_slot_for_the_whole_lease():
    """Ana serves one for merit and one by chance; nobody gives her anything."""
    table = quiet_table(400, Rules(slots=1, guests=1, round_s=10.0, pipeline=1), block_s=10.0)
    table.seat("ana", range(399))
    for name in ("bia", "caio", "davi"):
        table.seat(name)
        table.link("ana", name)
    table.run(95.0)
    table.transcript = [line for line in table.transcript if " slot" in line or "BLOQUEIO" in line]
    begins = [float(line.split()[0]) for line in table.transcript if "guest slot" in line]
    leases_s = [round(later - sooner) for sooner, later in pairwise(begins)]  # a guest drawn again keeps its slot
    assert leases_s
    assert all(lease_s in (30, 60) for lease_s in leases_s)
    golden("lease-of-the-guest", table)


def test_endgame():
    """Bia is slow: ana asks caio too for the blocks that bia keeps waiting, and calls bia off."""
    table = quiet_table(6)
    table.pace = {"bia": 2.0}
    table.seat("ana")
    table.seat_seed("bia")
    table.seat_seed("caio")
    table.link("ana", "bia")
    table.link("ana", "caio")
    table.run(9.0)
    assert table.peers["ana"].complete
    assert table.lines("ana -> bia ESTOQUE +")
    golden("endgame", table)


def test_a_corrupt_block_is_taken_back():
    """The sender believes that its block was right; untold, it would think ana complete and never serve her again."""
    table = quiet_table(1, Rules(round_s=1.0))
    table.seat("ana")
    table.seat("bia", {0})
    table.seat("caio", {0}, behaviour="free-rider")
    spoilt = iter([True])
    table.corrupt = lambda sender, receiver, block: next(spoilt, False)
    for name in ("bia", "caio"):
        table.link("ana", name)
    table.run(3.0)
    assert table.peers["ana"].complete
    golden("corrupt-block-taken-back", table)


def test_a_corrupt_block():
    """Three strikes and bia is banned; when she comes back, she is refused."""
    table = quiet_table(4)
    table.corrupt = lambda sender, receiver, block: sender == "bia"
    table.seat("ana")
    table.seat_seed("bia")
    table.link("ana", "bia")
    table.run(2.0)
    assert table.peers["ana"].contacts.known["bia"].standing is Standing.BANNED
    table.say("-- bia comes back")
    table.link("bia", "ana")
    table.run(3.0)
    assert not table.linked("ana", "bia")
    golden("corrupt-block", table)


def test_a_lost_neighbour():
    """The link breaks with blocks in flight: ana asks caio for them, none is lost and none comes twice."""
    table = quiet_table(8)
    table.seat("ana")
    table.seat_seed("bia")
    table.seat_seed("caio")
    table.link("ana", "bia")
    table.link("ana", "caio")
    table.run(0.15)
    assert table.peers["ana"].contacts.known["bia"].asked
    table.cut("ana", "bia")
    table.run(0.9)
    assert table.peers["ana"].complete
    assert len(table.blocks(peer="ana")) == 8
    assert not table.blocks("double")
    golden("lost-neighbour", table)


def test_leaving():
    """Bia sends the blocks under way to their end when she leaves; then she says DESLIGAMENTO to all."""
    table = Table(6)
    table.seat_seed("bia")
    table.seat("ana")
    table.seat("caio", {0})
    table.run(0.1)
    table.leave("bia")
    table.run(0.4)
    assert table.peers["bia"].left
    assert "bia" not in table.tracker.roster  # type: ignore[union-attr]
    assert "bia" not in table.peers["ana"].contacts.known
    golden("leaving", table)


def test_a_silent_neighbour():
    """Bia goes silent: after the time-out ana asks caio for her blocks, and uses what bia sends late."""
    table = quiet_table(15, Rules(request_timeout_s=5.0))
    table.pace = {"caio": 1.0}
    table.seat("ana")
    table.seat_seed("bia")
    table.seat_seed("caio")
    table.link("ana", "bia")
    table.link("ana", "caio")
    table.run(0.15)
    table.pause("bia")
    table.run(0.3)
    waiting = set(table.peers["ana"].contacts.known["bia"].asked)
    assert waiting
    table.run(5.3)
    assert not table.peers["ana"].contacts.known["bia"].asked
    table.say("-- ana waits for bia no longer")
    table.run(8.5)
    assert waiting & {int(line.split()[-1]) for line in table.lines("ana -> caio PEDIDO")}
    table.resume("bia")
    table.run(14.0)
    assert table.peers["ana"].complete
    golden("silent-neighbour", table)


def test_a_liar_that_has_one_block():
    """Bia claims all blocks and holds one: ana asks for each of the others before any again, until the one comes."""
    table = quiet_table(6, Rules(picker="sequential", request_timeout_s=5.0, round_s=4.0))
    table.seat("ana")
    table.seat("bia", {4}, behaviour="liar")
    table.link("ana", "bia")
    table.run(25.0)
    asked = [int(line.split()[-1]) for line in table.lines("ana -> bia PEDIDO")]
    assert asked[:6] == [0, 1, 2, 3, 4, 5]
    assert table.peers["ana"].held == 1 << 4
    golden("liar-with-one-block", table)


def test_the_tracker_dies_and_returns():
    """No peer stops; a peer that waits for the tracker asks with growing pauses."""
    table = Table(2, Rules(round_s=1000.0))
    table.seat_seed()
    table.seat("ana")
    table.run(1.0)
    table.kill_tracker()
    table.run(2.0)
    table.seat("bia")
    table.run(30.0)
    assert not table.peers["bia"].complete
    table.restart_tracker()
    table.run(70.0)
    assert table.peers["bia"].complete
    golden("tracker-returns", table)


def test_a_pedido_for_a_block_that_we_lack_is_answered_with_the_true_estoque():
    table = quiet_table(3)
    table.seat("ana", {0})
    table.seat("bia")
    table.link("ana", "bia")
    table.run(0.035)
    table.inject("bia", "ana", Pedido(2))
    table.run(1.0)
    assert table.linked("ana", "bia")
    golden("pedido-for-what-we-lack", table)


def test_a_farewell_without_a_name_ends_the_link_and_not_the_acquaintance():
    table = quiet_table(1)
    table.seat("ana")
    table.seat("bia")
    table.link("ana", "bia")
    table.run(0.5)
    table.inject("bia", "ana", Desligamento(why="full"))
    assert not table.linked("ana", "bia")
    table.run(3.0)
    assert table.linked("ana", "bia")

"""The standing of a neighbour: its moves; and the diagrams in the docs, which are made from the tables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest

from minibit.life import STEPS, Life
from minibit.messages import PeerAddress
from minibit.neighbour import MOVES, UP, Move, Neighbour, Slot, Standing
from minibit.snapshots import NeighbourSnapshot

DOCS = Path(__file__).parents[2] / "docs"


def neighbour(standing: Standing = Standing.KNOWN) -> Neighbour:
    made = Neighbour(PeerAddress("bia", "host", 1), 20.0)
    made.standing = standing
    return made


def diagram(first: str, moves: Iterable[tuple[str, str, str]]) -> str:
    """A mermaid diagram of moves: from, to, by what."""
    lines = [f"    {before} --> {after}: {move}" for before, after, move in moves]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {first}", *lines, "```"])


STANDINGS = diagram(
    Standing.KNOWN.value, [(before.value, after.value, move.value) for (before, move), after in MOVES.items()]
)
LIVES = diagram(Life.NEW.value, [(before.value, after.value, step.__name__) for (before, step), after in STEPS.items()])

PAGE = f"""# States

## The standing of a neighbour

Made from `MOVES` in `minibit/neighbour.py`.

{STANDINGS}

## The life of a peer

Made from `STEPS` in `minibit/life.py`. What the table lacks changes nothing.

{LIVES}
"""


@pytest.mark.parametrize(("before", "move"), MOVES)
def test_a_neighbour_moves_by_the_table(before: Standing, move: Move):
    bia = neighbour(before)
    bia.move(move)
    assert bia.standing is MOVES[before, move]


@pytest.mark.parametrize(("before", "move"), [pair for pair in product(Standing, Move) if pair not in MOVES])
def test_a_move_that_the_table_lacks_is_a_bug_of_ours(before: Standing, move: Move):
    with pytest.raises(KeyError):
        neighbour(before).move(move)


def test_every_standing_can_be_reached_and_only_a_ban_is_for_ever():
    reached = {Standing.KNOWN}
    for _ in Standing:
        reached |= {after for (before, _), after in MOVES.items() if before in reached}
    assert reached == set(Standing)
    assert set(Standing) - {before for before, _ in MOVES} == {Standing.BANNED}


@pytest.mark.parametrize("before", UP)
@pytest.mark.parametrize("move", [Move.LOSE, Move.BAN])
def test_what_belongs_to_a_link_goes_with_the_link(before: Standing, move: Move):
    bia = neighbour(before)
    bia.theirs, bia.told, bia.asked, bia.wanted = 0b11, 0b1, {0: 1.0}, [1]
    bia.serves_us, bia.slot, bia.sending, bia.uninvited, bia.late = True, Slot.GUEST, 0, 9, 0b1
    bia.strikes, bia.blocks_in = 2, 7
    bia.move(move)
    bia.check()
    assert (bia.theirs, bia.told, bia.serves_us, bia.sending, bia.uninvited, bia.late) == (0, 0, False, None, 0, 0)
    assert (bia.strikes, bia.blocks_in) == (2, 7)


def test_its_snapshot_is_a_frozen_value():
    bia = neighbour(Standing.SHARING)
    bia.theirs, bia.asked, bia.slot = 0b101, {2: 1.0, 0: 2.0}, Slot.FIXED
    shown = NeighbourSnapshot.of(bia, held=0b001, missing=0b110, now=1.0)
    assert (shown.standing, shown.held, shown.asked, shown.slot) == ("sharing", 2, (0, 2), "fixed")
    assert (shown.interesting, shown.interested, shown.snubbed) == (True, False, False)
    assert (shown.gave_bps, shown.took_bps) == (0.0, 0.0)


def test_the_diagrams_in_the_docs_are_made_from_the_tables():
    path = DOCS / "neighbour-states.md"
    if os.environ.get("MINIBIT_WRITE_TRANSCRIPTS"):
        path.write_text(PAGE)
    assert path.read_text() == PAGE


def test_where_the_architecture_shows_the_diagram_it_is_the_same():
    path = DOCS / "architecture.md"
    told = path.read_text() if path.exists() else ""
    assert f"{Standing.KNOWN.value} --> {Standing.DIALLING.value}" not in told or STANDINGS in told

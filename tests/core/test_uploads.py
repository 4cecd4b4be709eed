"""Serving: slots as the choker says, one block at a time to each neighbour."""

from __future__ import annotations

from random import Random

from minibit.availability import Availability
from minibit.behaviour import Corrupter, FreeRider, Honest
from minibit.choker import NoChoking, TitForTat
from minibit.events import SendBlock
from minibit.messages import Bloqueio, Desbloqueio, PeerAddress
from minibit.neighbour import Neighbour, Slot, Standing
from minibit.rules import Rules
from minibit.uploads import MOST_WANTED, Changes, Uploads

HELD, MISSING = 0b0111, 0b1000


def neighbours(*inventories: int) -> list[Neighbour]:
    made = [Neighbour(PeerAddress(f"p{index}", "h", 1), 20.0) for index in range(len(inventories))]
    for neighbour, theirs in zip(made, inventories, strict=True):
        neighbour.standing, neighbour.theirs = Standing.SHARING, theirs
    return made


def uploads(slots: int = 2, guests: int = 1, behaviour: Honest | None = None) -> Uploads:
    rules = Rules(slots=slots, guests=guests)
    return Uploads(rules, TitForTat(slots, guests, 3, Random(1)), behaviour or Honest(), Availability(4), Random(2))


def do(made: Uploads, what: str, up: list[Neighbour], missing: int = MISSING, held: int = HELD) -> Changes:
    made._availability = Availability(4)
    for neighbour in up:
        made._availability.add(neighbour.theirs)
    return getattr(made, what)(up, held, missing, 1.0)  # type: ignore[no-any-return]


def served(up: list[Neighbour]) -> list[str]:
    return [neighbour.peer for neighbour in up if neighbour.slot is not Slot.NONE]


def told(changes: Changes) -> list[tuple[str, type]]:
    """What the exchange tells the neighbours: nothing if one rises from guest to fixed."""
    return [
        (neighbour.peer, Bloqueio if neighbour.slot is Slot.NONE else Desbloqueio)
        for neighbour, before in changes
        if Slot.NONE in (before, neighbour.slot)
    ]


def test_free_slots_are_given_at_once_to_neighbours_that_lack_something_that_we_hold():
    up = neighbours(0, HELD, MISSING)
    changes = do(uploads(), "fill", up)
    assert served(up) == ["p0", "p2"]
    assert told(changes) == [("p0", Desbloqueio), ("p2", Desbloqueio)]
    assert len(changes) == 2


def test_where_nobody_waits_nothing_is_decided():
    made, up = uploads(), neighbours(0, 0)
    do(made, "fill", up)
    assert do(made, "fill", up) == []
    up[0].theirs = HELD
    assert do(made, "fill", up) == []


def test_no_more_are_served_than_there_are_slots():
    up = neighbours(*[0] * 9)
    made = uploads(slots=2, guests=1)
    for _ in range(30):
        do(made, "round", up)
        do(made, "fill", up)
        assert len(served(up)) == 3


def test_slots_are_taken_before_they_are_given():
    made, up = uploads(slots=1, guests=0), neighbours(0, 0)
    do(made, "round", up[:1])
    up[1].gave.add(9999, 0.5)
    changes = do(made, "round", up)
    assert told(changes) == [("p0", Bloqueio), ("p1", Desbloqueio)]


def test_a_guest_that_rises_to_a_fixed_slot_hears_nothing_of_it():
    made, up = uploads(slots=1, guests=1), neighbours(0, 0)
    do(made, "fill", up)
    guest = next(neighbour for neighbour in up if neighbour.slot is Slot.GUEST)
    guest.gave.add(9999, 0.5)
    changes = do(made, "round", up)
    assert (guest, Slot.GUEST) in changes
    assert told(changes) == []
    assert guest.slot is Slot.FIXED


def test_a_free_rider_serves_nobody():
    up = neighbours(0, 0)
    made = uploads(behaviour=FreeRider())
    assert do(made, "round", up) == do(made, "fill", up) == []


def test_without_choking_there_is_no_bound():
    made, up = (
        Uploads(Rules(slots=1), NoChoking(1, 1, 3, Random(1)), Honest(), Availability(4), Random(2)),
        neighbours(*[0] * 40),
    )
    do(made, "fill", up)
    assert len(served(up)) == 40


def ask(made: Uploads, neighbour: Neighbour, *blocks: int, rarer: bool = False, own: int = 0) -> list[int]:
    """The blocks that go out, once these were asked for."""
    for block in blocks:
        made.wanted(neighbour, block, rarer)
    return out(made, own)


def out(made: Uploads, own: int = 0, now: float = 1.0) -> list[int]:
    return [effect.block for effect in made.advance(own, now) if isinstance(effect, SendBlock)]


def sent(made: Uploads, neighbour: Neighbour, own: int = 0) -> list[int]:
    """The blocks that go out, once the network took the last one."""
    if neighbour.sending is not None:
        neighbour.theirs |= 1 << neighbour.sending
        made._availability.add(1 << neighbour.sending)
    made.sent(neighbour, 9, 1.0)
    return out(made, own)


def test_one_block_at_a_time_is_under_way_to_a_neighbour():
    made, (bia,) = uploads(), neighbours(0)
    bia.slot = Slot.FIXED
    assert ask(made, bia, 0, 1, 2) == [0]
    assert sent(made, bia) == [1]
    assert (bia.sending, bia.blocks_out) == (1, 1)
    assert bia.took.bps(1.0) > 0


def test_a_second_pedido_for_the_same_block_changes_nothing():
    made, (bia,) = uploads(), neighbours(0)
    for block in (0, 0, 1, 1, 0):
        ask(made, bia, block)
    assert (bia.sending, list(bia.wanted)) == (0, [1])


def test_pedidos_are_remembered_up_to_a_bound():
    made, (bia,) = uploads(), neighbours(0)
    ask(made, bia, *range(MOST_WANTED + 50))
    assert len(bia.wanted) == MOST_WANTED - 1


def test_a_neighbour_that_is_choked_loses_what_was_not_begun_and_gets_what_was():
    made, (bia, caio) = uploads(slots=1, guests=0), neighbours(0, 0)
    do(made, "fill", [bia])
    ask(made, bia, 0, 1)
    changes = made.close([bia, caio])
    assert told(changes) == [("p0", Bloqueio)]
    assert (bia.sending, bia.wanted) == (0, {})
    assert sent(made, bia) == []
    assert bia.sending is None


def test_a_corrupter_spoils_what_it_sends():
    made, (bia,) = uploads(behaviour=Corrupter()), neighbours(0)
    made.wanted(bia, 0)
    assert made.advance(0, 1.0) == [SendBlock("p0", 0, True)]


# what a seed gives


def test_a_seed_gives_a_block_that_nobody_has_instead_of_one_that_others_have():
    made, (bia, caio) = uploads(), neighbours(0, 0b0111)
    made._availability.add(caio.theirs)
    assert ask(made, bia, 0, rarer=True, own=0b1111) == [3]
    assert bia.wanted == {}
    assert sent(made, bia) == []


def test_no_block_is_given_instead_of_one_that_nobody_has_or_where_that_was_not_allowed():
    made, (bia, caio) = uploads(), neighbours(0, 0b0011)
    made._availability.add(caio.theirs)
    assert ask(made, bia, 2, rarer=True, own=0b1111) == [2]
    assert ask(made, bia, 0, rarer=False, own=0b1111) == []
    assert sent(made, bia, 0b1111) == [0]


def test_of_several_that_were_asked_for_one_that_nobody_has_goes_first():
    made, (bia, caio) = uploads(), neighbours(0, 0b0011)
    made._availability.add(caio.theirs)
    assert ask(made, bia, 0, 1, 3, rarer=True, own=0b1111) == [3]
    assert list(bia.wanted) == [0, 1]


def test_a_seed_gives_no_block_twice_while_it_has_one_that_nobody_has():
    made, up = uploads(slots=9), neighbours(0, 0, 0)
    given = [block for neighbour in up for block in ask(made, neighbour, 0, rarer=True, own=0b1111)]
    for _ in range(3):
        for neighbour in up:
            if neighbour.sending is not None:
                made.wanted(neighbour, 0, True)
                given += sent(made, neighbour, 0b1111)
    assert sorted(given[:4]) == [0, 1, 2, 3]


def test_who_asks_for_the_block_that_is_under_way_instead_still_waits_for_the_first():
    made, (bia, caio) = uploads(), neighbours(0, 0b0111)
    made._availability.add(caio.theirs)
    assert ask(made, bia, 0, rarer=True, own=0b1111) == [3]
    assert ask(made, bia, 3, rarer=True, own=0b1111) == []
    assert list(bia.wanted) == [0]

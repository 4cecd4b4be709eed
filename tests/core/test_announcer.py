"""What neighbours are told of our inventory, and when."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit import announcer, inventory
from minibit.announcer import LONGEST_S, MESSAGE_S, PATIENCE, SHARE, STRETCH, Announcer
from minibit.messages import Estoque, PeerAddress
from minibit.neighbour import Neighbour, Slot, Standing

MANY = 1000


def neighbour(name: str = "bia", theirs: int = 0, told: int = 0, slot: Slot = Slot.FIXED) -> Neighbour:
    made = Neighbour(PeerAddress(name, "h", 1), 20.0)
    made.standing, made.theirs, made.told, made.slot = Standing.SHARING, theirs, told, slot
    return made


def test_the_first_news_after_a_pause_goes_at_once_and_the_next_is_gathered():
    ours = Announcer(0.5)
    assert ours.due_s(1, 7.0) == 7.0
    ours.news([neighbour()], 0b1, 7.0)
    assert ours.due_s(1, 7.2) == 7.5
    assert ours.due_s(1, 9.0) == 9.0


def test_news_takes_a_small_share_of_a_processor_however_many_neighbours_hear_it():
    ours = Announcer(None)
    for neighbours in (1, 20):
        assert ours.gather_s(neighbours) * SHARE == pytest.approx(neighbours * MESSAGE_S)
    assert ours.gather_s(20_000) == LONGEST_S


def test_news_is_gathered_for_longer_where_wakes_come_late_and_not_where_they_do_no_more():
    ours, given = Announcer(None), Announcer(0.02)
    for late_s in [0.05] * 100:
        ours.woken(late_s)
        given.woken(late_s)
    assert ours.gather_s(20) == pytest.approx(STRETCH * 0.05, rel=0.01)
    assert given.gather_s(20) == 0.02
    for _ in range(100):
        ours.woken(0.0)
    assert ours.gather_s(20) == Announcer(None).gather_s(20)


def test_news_goes_once_to_everybody_that_needs_it():
    bia, caio = neighbour("bia"), neighbour("caio", told=0b11)
    ours = Announcer(0.5)
    assert [to.peer for to, _ in ours.news([bia, caio], 0b11, 0.0)[0]] == ["bia"]
    assert ours.news([bia, caio], 0b11, 9.0)[0] == []


def test_a_neighbour_that_we_do_not_serve_is_told_later_and_with_more():
    bia, caio = neighbour("bia"), neighbour("caio", slot=Slot.NONE)
    ours = Announcer(0.5)
    ours.news([bia, caio], 0b1, 0.0)
    told, again_s = ours.news([bia, caio], 0b11, 0.5)
    assert [to.peer for to, _ in told] == ["bia"]
    assert again_s == 0.5 * PATIENCE
    told, again_s = ours.news([bia, caio], 0b111, again_s)
    assert {to.peer: to.told for to, _ in told} == {"bia": 0b111, "caio": 0b111}
    assert again_s == inf


def test_everybody_is_told_at_once_when_it_matters():
    ours, caio = Announcer(0.5), neighbour(slot=Slot.NONE)
    ours.news([], 0b1, 0.0)
    assert len(ours.news([caio], 0b11, 0.1, everybody=True)[0]) == 1


def test_a_block_that_a_neighbour_holds_is_no_news_to_it():
    few = neighbour(theirs=0b0011)
    assert announcer.untold(few, 0b0001) is None
    assert announcer.untold(few, 0b0101) == Estoque(whole="5")


def test_what_was_withheld_is_told_when_we_want_nothing_any_more():
    bia = neighbour(theirs=0b0011)
    assert announcer.untold(bia, 0b0001) is None
    assert announcer.untold(bia, 0b0011) == Estoque(whole="3")
    assert announcer.untold(bia, 0b0011) is None


def test_little_news_goes_as_indices_and_much_as_the_whole():
    claims = inventory.full(MANY)
    bia = neighbour(told=claims & ~(1 << 7) & ~(1 << 900))
    assert announcer.untold(bia, claims) == Estoque(new=(7, 900))
    assert announcer.untold(neighbour(), claims) == Estoque(whole=inventory.to_hex(claims))


def test_a_whole_inventory_takes_back_what_was_told():
    bia = neighbour(told=0b111)
    assert announcer.whole(bia, 0b001) == Estoque(whole="1")
    assert bia.told == 0b001


@given(st.integers(0, 255), st.integers(0, 255), st.lists(st.integers(0, 255), max_size=5))
def test_a_neighbour_always_knows_what_it_lacks_and_we_hold_and_whether_we_want_something(
    theirs: int, first: int, gains: list[int]
):
    bia = neighbour(theirs=theirs)
    announcer.whole(bia, first)
    claims = known = first
    for gain in gains:
        claims |= gain
        if (estoque := announcer.untold(bia, claims)) is not None:
            known = int(estoque.whole, 16) if estoque.whole is not None else known | inventory.of(estoque.new)
        assert known == bia.told
        assert not known & ~claims
        assert not claims & ~theirs & ~known
        assert bool(theirs & ~known) == bool(theirs & ~claims)


def test_a_neighbour_that_sent_a_block_knows_that_we_hold_it():
    bia = neighbour(theirs=0b11)
    announcer.knows(bia, 1)
    assert bia.told == 0b10


def test_a_neighbour_whose_block_may_cross_an_estoque_that_denies_it_does_not_know():
    bia = neighbour(theirs=0b11)
    bia.asked[0], bia.late = 1.0, 0b10
    announcer.whole(bia, 0b100)
    assert bia.crossed == 0b11
    announcer.knows(bia, 1)
    assert bia.told == 0b100


def test_a_single_block_is_told_of_and_counts_as_told():
    bia = neighbour(told=0b1)
    assert announcer.single(bia, 2) == Estoque(new=(2,))
    assert bia.told == 0b101

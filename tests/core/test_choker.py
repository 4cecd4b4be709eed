"""Chokers, as functions: rows of numbers in, names out."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibit.choker import CHOKERS, Choker, NeighbourRow, NoChoking, Rarity, TitForTat

NAMES = [f"p{index}" for index in range(8)]
ROWS = st.lists(
    st.builds(
        NeighbourRow,
        st.sampled_from(NAMES),
        st.booleans(),
        st.sampled_from([0.0, 1.0, 5.0]),
        st.floats(0, 9),
        st.integers(0, 3),
    ),
    max_size=8,
    unique_by=lambda row: row.peer,
)
STEPS = st.lists(st.tuples(st.sampled_from(["round", "round", "fill", "forget"]), ROWS, st.booleans()), max_size=12)


def row(peer: str, gave: float = 0.0, took: float = 0.0, rare: int = 0, interested: bool = True) -> NeighbourRow:
    return NeighbourRow(peer, interested, gave, took, rare)


def rows(count: int, **changes: float) -> list[NeighbourRow]:
    return [row(f"p{index}", **changes) for index in range(count)]


def tit_for_tat(slots: int = 4, guests: int = 1, guest_rounds: int = 3, seed: int = 1) -> TitForTat:
    return TitForTat(slots, guests, guest_rounds, Random(seed))


# what holds for all of them


@pytest.mark.parametrize("name", ["tit-for-tat", "rarity"])
@pytest.mark.parametrize("slots", [0, 1, 2, 1000])
@settings(max_examples=40)
@given(guests=st.integers(0, 2), guest_rounds=st.integers(1, 3), steps=STEPS)
def test_slots_are_never_exceeded_and_nobody_has_two(
    name: str, slots: int, guests: int, guest_rounds: int, steps: list[tuple[str, list[NeighbourRow], bool]]
):
    choker = CHOKERS[name](slots, guests, guest_rounds, Random(1))
    for step, present, seeding in steps:
        if step == "forget":
            for gone in present:
                choker.forget(gone.peer)
            continue
        served = getattr(choker, step)(present, seeding)
        wanting = {one.peer for one in present if one.interested}
        assert len(served.fixed) <= slots
        assert len(served.guests) <= guests
        assert len({*served.fixed, *served.guests}) == len(served.fixed) + len(served.guests)
        if wanting - {*served.fixed, *served.guests}:  # somebody waits: then nothing is free, nor kept by the idle
            assert {*served.fixed, *served.guests} <= wanting
            assert (len(served.fixed), len(served.guests)) == (slots, guests)
        if step == "round":
            assert {*served.fixed, *served.guests} <= wanting


@pytest.mark.parametrize("name", ["tit-for-tat", "rarity"])
@settings(max_examples=40)
@given(present=ROWS, seeding=st.booleans())
def test_filling_takes_no_slot_from_a_neighbour_that_wants_it(name: str, present: list[NeighbourRow], seeding: bool):
    choker = CHOKERS[name](2, 1, 3, Random(1))
    before = choker.round(present, seeding)
    everybody = [row(peer) for peer in NAMES]
    after = choker.fill(everybody, seeding)
    assert after.fixed[: len(before.fixed)] == before.fixed
    assert after.guests[: len(before.guests)] == before.guests


@pytest.mark.parametrize("name", ["tit-for-tat", "rarity"])
@settings(max_examples=40)
@given(STEPS)
def test_the_same_chance_decides_the_same(name: str, steps: list[tuple[str, list[NeighbourRow], bool]]):
    one, other = (CHOKERS[name](2, 1, 2, Random(5)) for _ in range(2))
    for step, present, seeding in steps:
        if step != "forget":
            assert getattr(one, step)(present, seeding) == getattr(other, step)(present, seeding)


# the guest


def test_the_guest_keeps_its_slot_for_the_whole_lease_even_at_rate_zero():
    choker = tit_for_tat(slots=1, guests=1, guest_rounds=3)
    present = [row("best", gave=9.0), *rows(6)]
    guests = [choker.round(present, False).guests for _ in range(12)]
    assert all(len(guest) == 1 for guest in guests)
    leases = [guests[at : at + 3] for at in range(0, 12, 3)]
    assert all(lease[0] == lease[1] == lease[2] for lease in leases)
    assert len({lease[0] for lease in leases}) > 1


def test_a_lease_goes_on_while_others_come_and_give_more():
    choker = tit_for_tat(slots=1, guests=1, guest_rounds=3)
    (guest,) = choker.round([row("best", gave=9.0), row("p0")], False).guests
    for gave in (1.0, 2.0):
        present = [row("best", gave=9.0), row("p0"), row("p1", gave=gave), row("p2", gave=gave)]
        assert choker.fill(present, False).guests == (guest,)
        assert choker.round(present, False).guests == (guest,)


def test_a_guest_that_gives_more_than_the_fixed_rises_and_its_slot_goes_to_another():
    choker = tit_for_tat(slots=1, guests=1, guest_rounds=3)
    choker.round([row("p0", gave=1.0)], False)
    assert choker.fill([row("p0", gave=1.0), row("p1")], False).guests == ("p1",)
    served = choker.round([row("p0", gave=1.0), row("p1", gave=5.0)], False)
    assert served == (("p1",), ("p0",))


def test_a_guest_that_leaves_or_has_enough_makes_room():
    for gone in (True, False):
        choker = tit_for_tat(slots=0, guests=1, guest_rounds=3)
        (guest,) = choker.round(rows(2), False).guests
        if gone:
            choker.forget(guest)
        left = [one for one in rows(2) if one.peer != guest]
        idle = [] if gone else [row(guest, interested=False)]
        assert choker.fill([*left, *idle], False).guests == (left[0].peer,)


def test_every_neighbour_is_a_guest_some_day():
    choker = tit_for_tat(slots=1, guests=1, guest_rounds=1)
    present = [row("best", gave=9.0), *rows(8)]
    assert {choker.round(present, False).guests[0] for _ in range(100)} == {one.peer for one in rows(8)}


# tit for tat


def test_those_that_give_most_are_served():
    choker = tit_for_tat(slots=3, guests=0)
    present = [row(f"p{gave}", gave=float(gave)) for gave in range(9)]
    assert set(choker.round(present, False).fixed) == {"p8", "p7", "p6"}


def test_a_neighbour_that_has_a_slot_wins_a_draw():
    choker = tit_for_tat(slots=2, guests=0)
    first = choker.round(rows(2), False).fixed
    for _ in range(20):
        assert set(choker.round(rows(8), False).fixed) == set(first)


def test_a_neighbour_that_is_not_interested_gets_nothing():
    served = tit_for_tat().round([row("p0", gave=9.0, interested=False), row("p1")], False)
    assert served == (("p1",), ())


def test_between_rounds_the_idle_keep_their_slots_until_somebody_wants_them():
    choker = tit_for_tat(slots=1, guests=0)
    choker.round([row("p0")], False)
    idle = row("p0", interested=False)
    assert choker.fill([idle], False).fixed == ("p0",)
    assert choker.fill([idle, row("p1")], False).fixed == ("p1",)


def test_between_rounds_only_as_many_idle_ones_lose_their_slot_as_are_needed():
    choker = tit_for_tat(slots=3, guests=1)
    choker.round(rows(4), False)
    idle = [row(f"p{index}", interested=False) for index in range(4)]
    served = choker.fill([*idle, row("q0")], False)
    assert len(served.fixed) + len(served.guests) == 4
    assert "q0" in served.fixed + served.guests
    few = tit_for_tat(slots=3, guests=1)
    few.round(rows(2), False)
    assert set(few.fill([*idle[:2], row("q0")], False).fixed) == {"p0", "p1", "q0"}


def test_a_seed_serves_everybody_in_turn():
    choker = tit_for_tat(slots=2, guests=0)
    took = dict.fromkeys(NAMES, 0.0)
    served = []
    for _ in range(16):
        fixed = choker.round([row(peer, took=took[peer]) for peer in NAMES], True).fixed
        for peer in NAMES:
            took[peer] = took[peer] / 2 + 5.0 * (peer in fixed)
        served += fixed
    assert {served.count(peer) for peer in NAMES} == {4}


def test_a_seed_changes_one_slot_a_round_and_the_oldest():
    choker = tit_for_tat(slots=3, guests=0)
    present = rows(8)
    before = choker.round(present, True).fixed
    for _ in range(10):
        after = choker.round(present, True).fixed
        assert after[:2] == before[1:]
        before = after


def test_a_seed_with_room_for_all_changes_nothing():
    choker = tit_for_tat(slots=4, guests=0)
    assert len({choker.round(rows(4), True).fixed for _ in range(9)}) == 1


# the rule of the original


def rarity(slots: int = 2) -> Rarity:
    return Rarity(slots, 1, 1, Random(1))


def test_a_guest_with_rarer_blocks_takes_the_slot_of_the_weakest():
    choker = rarity()
    choker.round([row("p0", rare=3), row("p1", rare=1)], False)
    present = [row("p0", rare=3), row("p1", rare=1), row("p2", rare=2)]
    assert choker.fill(present, False).guests == ("p2",)
    assert choker.round(present, False) == (("p0", "p2"), ("p1",))


def test_only_a_guest_rises():
    choker = rarity()
    choker.round([row("p0"), row("p1")], False)
    present = [row("p0"), row("p1"), row("p2"), row("p3", rare=9)]
    (guest,) = choker.fill(present, False).guests
    if guest == "p3":
        present[2:] = [row("p2", rare=9), row("p3")]
    assert set(choker.round(present, False).fixed) == {"p0", "p1"}


def test_with_the_rule_of_the_original_a_guest_stays_one_round():
    choker = rarity()
    present = [row("p0", rare=2), row("p1", rare=2), *[row(f"q{index}") for index in range(6)]]
    choker.round(present[:2], False)
    guests = [choker.round(present, False).guests[0] for _ in range(60)]
    assert set(guests) == {f"q{index}" for index in range(6)}


def test_with_the_rule_of_the_original_every_round_has_a_new_guest_if_anybody_else_waits():
    choker = rarity()
    fixed = [row("p0", rare=2), row("p1", rare=2)]
    choker.round(fixed, False)
    guests = [choker.round([*fixed, row("q0"), row("q1")], False).guests[0] for _ in range(20)]
    assert guests in (["q0", "q1"] * 10, ["q1", "q0"] * 10)
    assert {choker.round([*fixed, row("q0")], False).guests[0] for _ in range(3)} == {"q0"}


# no choking


def test_without_choking_all_that_want_are_served():
    choker: Choker = NoChoking(0, 0, 1, Random(1))
    assert choker.round([*rows(50), row("idle", interested=False)], False).fixed == tuple(one.peer for one in rows(50))


def test_without_choking_a_neighbour_that_has_enough_for_now_is_not_choked_between_rounds():
    choker: Choker = NoChoking(0, 0, 1, Random(1))
    choker.round(rows(2), False)
    assert choker.fill([row("p0", interested=False), row("p1"), row("p2")], False).fixed == ("p0", "p1", "p2")
    assert choker.round([row("p0", interested=False), row("p1"), row("p2")], False).fixed == ("p1", "p2")

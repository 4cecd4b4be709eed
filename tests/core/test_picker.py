"""Pickers, as functions."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit import inventory
from minibit.availability import Availability
from minibit.picker import PICKERS, RandomBlock, RarestFirst, Sequential

COUNT = 10
ALL = inventory.full(COUNT)


def counts_of(*counts: int) -> Availability:
    """Block i is held by as many neighbours as `counts[i]` says."""
    availability = Availability(len(counts))
    for level in range(max(counts)):
        availability.add(inventory.of(block for block, count in enumerate(counts) if count > level))
    return availability


@pytest.mark.parametrize("name", PICKERS)
@given(st.lists(st.integers(0, ALL), max_size=6), st.integers(1, ALL), st.integers())
def test_a_picker_takes_one_of_the_choices(name: str, inventories: list[int], choices: int, seed: int):
    availability = Availability(COUNT)
    for blocks in inventories:
        availability.add(blocks)
    assert choices >> PICKERS[name](Random(seed)).pick(choices, availability) & 1


def test_the_lowest_count_wins():
    assert RarestFirst(Random(1)).pick(ALL, counts_of(3, 3, 3, 3, 1, 3, 3, 3, 2, 2)) == 4


def test_what_is_no_choice_is_not_picked_however_rare():
    assert RarestFirst(Random(1)).pick(0b1100, counts_of(1, 1, 3, 2)) == 3


def test_among_equals_every_candidate_appears_in_100_draws_and_never_a_commoner_one():
    picker, availability = RarestFirst(Random(1)), counts_of(5, 1, 2, 1, 9, 1, 2, 1, 1, 2)
    drawn = Counter(picker.pick(ALL, availability) for _ in range(100))
    assert set(drawn) == {1, 3, 5, 7, 8}
    assert all(times > 8 for times in drawn.values())


def test_two_peers_with_chances_of_their_own_pick_differently():
    availability = counts_of(*[1] * COUNT)
    ana, bia = RarestFirst(Random("ana")), RarestFirst(Random("bia"))
    assert [ana.pick(ALL, availability) for _ in range(9)] != [bia.pick(ALL, availability) for _ in range(9)]


def test_the_random_picker_is_blind_to_counts():
    picker, availability = RandomBlock(Random(1)), counts_of(1, 9, 9, 9)
    drawn = Counter(picker.pick(0b1111, availability) for _ in range(400))
    assert all(70 < times < 130 for times in drawn.values())


def test_the_sequential_picker_takes_the_first():
    assert Sequential(Random(1)).pick(0b1100, counts_of(1, 1, 3, 2)) == 2

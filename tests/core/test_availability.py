"""Counts of holders, against a naive Counter."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit import inventory
from minibit.availability import Availability

COUNT = 12
INVENTORIES = st.lists(st.integers(0, inventory.full(COUNT)), max_size=12)


def naive(inventories: list[int]) -> Counter[int]:
    counts = Counter(dict.fromkeys(range(COUNT), 0))
    for blocks in inventories:
        counts.update(inventory.indices(blocks))
    return counts


@given(INVENTORIES, st.data())
def test_counts_are_those_of_a_naive_counter(inventories: list[int], data: st.DataObject):
    availability, added = Availability(COUNT), []
    for blocks in inventories:
        if added and data.draw(st.booleans()):
            availability.remove(added.pop(data.draw(st.integers(0, len(added) - 1))))
        availability.add(blocks)
        added.append(blocks)
        availability.check(added)
        counts = naive(added)
        assert all(availability.count(block) == counts[block] for block in range(COUNT))
        assert list(inventory.indices(availability.nobody)) == [block for block in range(COUNT) if not counts[block]]
    for blocks in added:
        availability.remove(blocks)
    availability.check([])
    assert availability.nobody == inventory.full(COUNT)


@given(INVENTORIES, st.integers(1, inventory.full(COUNT)))
def test_the_rarest_are_all_those_with_the_lowest_count(inventories: list[int], choices: int):
    availability = Availability(COUNT)
    for blocks in inventories:
        availability.add(blocks)
    counts = {block: naive(inventories)[block] for block in inventory.indices(choices)}
    lowest = min(counts.values())
    rarest = [block for block, count in counts.items() if count == lowest]
    assert availability.rarest(choices) == (lowest, inventory.of(rarest))


@given(INVENTORIES, st.integers(0, inventory.full(COUNT)))
def test_frequencies_come_in_decreasing_order(inventories: list[int], choices: int):
    availability = Availability(COUNT)
    for blocks in inventories:
        availability.add(blocks)
    counts = naive(inventories)
    expected = sorted((-counts[block], block) for block in inventory.indices(choices))
    assert availability.frequencies(choices) == [(-count, block) for count, block in expected]


def test_a_count_never_goes_below_zero():
    availability = Availability(4)
    availability.add(0b0011)
    with pytest.raises(AssertionError, match="below zero"):
        availability.remove(0b0110)


def test_a_content_without_blocks_has_counts_too():
    availability = Availability(0)
    availability.add(inventory.EMPTY)
    availability.remove(inventory.EMPTY)
    assert availability.frequencies(inventory.full(0)) == []


def test_the_check_sees_a_wrong_count():
    availability = Availability(4)
    availability.add(0b0011)
    with pytest.raises(AssertionError):
        availability.check([0b0001])

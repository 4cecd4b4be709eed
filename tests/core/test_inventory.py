"""Inventories: sets of blocks as integers, and their text."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit import inventory
from minibit.errors import RemoteError

BLOCKS = st.frozensets(st.integers(0, 200))


@given(BLOCKS)
def test_an_inventory_is_the_set_of_its_blocks(blocks: frozenset[int]):
    assert list(inventory.indices(inventory.of(blocks))) == sorted(blocks)


@given(BLOCKS.filter(bool))
def test_the_lowest_is_the_first(blocks: frozenset[int]):
    assert inventory.lowest(inventory.of(blocks)) == min(blocks)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 1000])
def test_a_full_inventory_holds_every_block(count: int):
    assert list(inventory.indices(inventory.full(count))) == list(range(count))


@given(BLOCKS.filter(bool), st.integers())
def test_a_choice_is_one_of_the_blocks(blocks: frozenset[int], seed: int):
    assert inventory.choice(inventory.of(blocks), Random(seed)) in blocks


@pytest.mark.parametrize("blocks", [[0], [7], [0, 1], [0, 1, 2], [3, 64, 65, 900], range(33), [5, *range(100, 110)]])
def test_each_block_is_as_likely_to_be_chosen(blocks: list[int]):
    rng = Random(1)
    drawn = Counter(inventory.choice(inventory.of(blocks), rng) for _ in range(500 * len(blocks)))
    assert sorted(drawn) == list(blocks)
    assert all(400 < times < 600 for times in drawn.values()) or len(blocks) == 1


@given(st.integers(0, 300), st.data())
def test_what_is_read_from_the_text_is_what_was_written(count: int, data: st.DataObject):
    held = data.draw(st.integers(0, inventory.full(count)))
    assert inventory.from_hex(inventory.to_hex(held), count) == held


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "-1", "+1", "1_1", "0x1", "g", "é", "٣", "1\n", "100", "00000", "f" * 1_000_000]
)
def test_a_text_that_is_no_inventory_of_eight_blocks_is_refused(text: str):
    with pytest.raises(RemoteError):
        inventory.from_hex(text, 8)


@given(st.text(max_size=8), st.integers(0, 40))
def test_a_text_gives_a_valid_inventory_or_a_remote_error(text: str, count: int):
    try:
        held = inventory.from_hex(text, count)
    except RemoteError:
        return
    assert 0 <= held <= inventory.full(count)
    assert text.lstrip("0").lower() == inventory.to_hex(held).lstrip("0")

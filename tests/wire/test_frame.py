"""A frame is judged by its first bytes, and arbitrary bytes are a frame, the beginning of one, or a RemoteError."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit.errors import RemoteError
from minibit.messages import Bloco, Bloqueio, Desbloqueio, Desligamento, Estoque, Message, Pedido, Registro
from minibit.wire import frame
from minibit.wire.carriage import PREFIX_BYTES


class Blocks:
    """Ten blocks of 100 bytes, and a last one of 7."""

    block_count = 11
    length_max = 100

    def length(self, block: int) -> int:
        return 7 if block == 10 else 100


class NoBlocks:
    block_count = 0
    length_max = 0

    def length(self, block: int) -> int:
        raise AssertionError("there is no block")


CONTENT = Blocks()
LIMIT = frame.header_limit(CONTENT.block_count)

blocks = st.integers(0, 10)
printable = st.characters(codec="utf-8", exclude_categories=("Cc",))
control: st.SearchStrategy[Message] = st.one_of(
    st.builds(Pedido, blocks),
    st.builds(Estoque, new=st.lists(blocks).map(tuple)),
    st.builds(Desligamento, peer=st.text(printable, max_size=20), why=st.text(printable, max_size=100)),
    st.builds(Registro, peer=st.text(printable, min_size=1, max_size=20), alone=st.booleans()),
    st.sampled_from([Bloqueio(), Desbloqueio()]),
)


def parse(data: bytes, limit: int = LIMIT, lacking_bytes: int = 0) -> frame.Frame | None:
    return frame.parse(memoryview(data), limit, CONTENT, lacking_bytes)


def prefix(header_bytes: int, payload_bytes: int) -> bytes:
    return struct.pack("<II", header_bytes, payload_bytes)


@given(control, st.binary(max_size=50))
def test_decode_is_the_inverse_of_encode_whatever_follows(message: Message, after: bytes) -> None:
    data = frame.encode(message)
    assert parse(data + after) == (message, len(data), 0)


@given(blocks, st.integers(0, 101))
def test_a_bloco_announces_its_block_or_the_first_part_of_it(block: int, payload_bytes: int) -> None:
    data = frame.encode(Bloco(block), payload_bytes)
    if 1 <= payload_bytes <= CONTENT.length(block):
        assert parse(data) == (Bloco(block), len(data), payload_bytes)
    else:
        with pytest.raises(RemoteError):
            parse(data)


@given(st.integers(0, 101), st.integers(0, 100), st.binary(max_size=50))
def test_a_frame_without_a_header_goes_on_with_the_block_under_way(
    payload_bytes: int, lacking_bytes: int, after: bytes
) -> None:
    data = frame.encode_next(payload_bytes)
    assert len(data) == PREFIX_BYTES
    if 1 <= payload_bytes <= lacking_bytes:
        assert parse(data + after, lacking_bytes=lacking_bytes) == (None, len(data), payload_bytes)
    else:
        with pytest.raises(RemoteError):
            parse(data, lacking_bytes=lacking_bytes)


@given(control, st.binary(max_size=50))
def test_any_message_without_a_payload_may_stand_between_the_parts_of_a_block(message: Message, after: bytes) -> None:
    data = frame.encode(message)
    assert parse(data + after, lacking_bytes=50) == (message, len(data), 0)


@given(control | st.integers(1, 100))
def test_a_head_that_is_cut_anywhere_is_none_yet_and_says_what_it_lacks(what: Message | int) -> None:
    data = frame.encode_next(what) if isinstance(what, int) else frame.encode(what)
    have = 0
    while have < len(data):
        assert parse(data[:have], lacking_bytes=100) is None
        lacks = frame.missing(memoryview(data[:have]), LIMIT)
        assert 0 < lacks <= len(data) - have  # never over what belongs to this head
        have += lacks
    assert have == len(data)


@given(st.binary(max_size=200), st.integers(0, 100))
def test_arbitrary_bytes_are_a_frame_or_none_yet_or_a_remote_error(data: bytes, lacking_bytes: int) -> None:
    try:
        found = parse(data, lacking_bytes=lacking_bytes)
    except RemoteError:
        return
    assert found is None or found.head_bytes <= len(data)
    if found is not None and found.message is None:
        assert 0 < found.payload_bytes <= lacking_bytes


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (prefix(0xFFFFFFFF, 0), "over the limit"),
        (prefix(LIMIT + 1, 0), "over the limit"),
        (prefix(2, 101), "longer than any block"),
        (prefix(2, 0) + b"{}", "not a message"),
        (prefix(0, 0), "neither header nor payload"),
        (prefix(0, 5), "5 more bytes for no block"),
        (prefix(0, 0xFFFFFFFF), "4294967295 more bytes for no block"),
        (prefix(17, 0) + b'{"tipo":"NADA!!"}', "not a message"),
        (prefix(29, 0) + b'{"tipo":"PEDIDO","block":"1"}', "not a message"),
        (frame.encode(Pedido(1), 100), "a PEDIDO with a payload of 100 bytes"),
        (frame.encode(Bloco(1), 0), "0 bytes for block 1, which has 100"),
        (frame.encode(Bloco(10), 100), "100 bytes for block 10, which has 7"),
        (frame.encode(Bloco(11), 7), "block 11, where there are 11"),
    ],
)
def test_what_breaks_the_rule_is_a_remote_error(data: bytes, why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        parse(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (prefix(0, 0), "neither header nor payload"),
        (prefix(0, 51), "51 more bytes for a block that lacks 50"),
        (frame.encode(Bloco(2), 100)[:8], "another block, where the one under way lacks 50 bytes"),
        (frame.encode(Bloco(1), 50)[:8], "another block"),
        (frame.encode(Bloco(1), 0), "0 bytes for block 1"),
        (prefix(LIMIT + 1, 0), "over the limit"),
    ],
)
def test_what_does_not_belong_between_the_parts_of_a_block_is_a_remote_error(data: bytes, why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        parse(data, lacking_bytes=50)


def test_a_header_at_the_limit_passes_and_a_whole_inventory_fits() -> None:
    block_count = 100_000
    whole = frame.encode(Estoque(whole="f" * (block_count // 4)))
    assert parse(whole, frame.header_limit(block_count)) is not None
    exact = frame.encode(Desligamento(why="x" * 100))
    assert parse(exact, len(exact) - PREFIX_BYTES) is not None


def test_content_without_blocks_has_no_payload() -> None:
    with pytest.raises(RemoteError, match="longer than any block"):
        frame.parse(memoryview(prefix(2, 1)), LIMIT, NoBlocks())
    with pytest.raises(RemoteError, match="block 0, where there are 0"):
        frame.parse(memoryview(frame.encode(Bloco(0))), LIMIT, NoBlocks())

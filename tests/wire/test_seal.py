"""Whatever is done to a stream of sealed heads on its way, nothing behind the first change is read."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit.errors import RemoteError
from minibit.messages import Bloqueio, Desbloqueio, Estoque, Message, Pedido
from minibit.wire import frame
from minibit.wire.carriage import SEAL_BYTES
from minibit.wire.seal import Seal

KEY = bytes(range(32))


class Nothing:
    block_count = 0
    length_max = 0

    def length(self, block: int) -> int:
        raise AssertionError


def sealed(said: list[Message], key: bytes = KEY) -> list[bytes]:
    seal = Seal(key)
    return [(head := frame.encode(message)) + seal.over(head) for message in said]


def heard(frames: list[bytes]) -> list[Message]:
    """What the other end reads, up to the first wrong seal or the first head that never ends."""
    seal, data, found = Seal(KEY), memoryview(b"".join(frames)), []
    try:
        while (one := frame.parse(data, 4096, Nothing(), seal=seal)) is not None:
            assert one.message is not None
            found.append(one.message)
            data = data[one.head_bytes :]
    except RemoteError:
        pass
    return found


SAID: list[Message] = [Desbloqueio(), Pedido(7), Estoque(new=(1, 2)), Pedido(7), Bloqueio()]
messages = st.lists(st.sampled_from(SAID), min_size=1, max_size=8)


@given(messages)
def test_what_is_sealed_is_heard_as_it_was_said(said: list[Message]) -> None:
    assert heard(sealed(said)) == said


@given(messages, st.data())
def test_of_a_stream_with_one_bit_changed_only_what_came_before_is_heard(said: list[Message], data: st.DataObject):
    frames = sealed(said)
    which = data.draw(st.integers(0, len(frames) - 1))
    changed = bytearray(frames[which])
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    frames[which] = bytes(changed)
    assert heard(frames) == said[:which]


@pytest.mark.parametrize(
    ("tamper", "count"),
    [
        pytest.param(lambda frames: [frames[0], *sealed([Estoque()], b"x" * 32), *frames[1:]], 1, id="forged"),
        pytest.param(lambda frames: [frames[0], frames[0], *frames[1:]], 1, id="repeated"),
        pytest.param(lambda frames: [frames[1], frames[0], *frames[2:]], 0, id="out of order"),
        pytest.param(lambda frames: frames[1:], 0, id="left out"),
        pytest.param(lambda frames: [frames[0], frames[3], *frames[2:]], 1, id="the same words from another place"),
        pytest.param(lambda frames: [frames[0][:-SEAL_BYTES], *frames[1:]], 0, id="without a seal"),
        pytest.param(
            lambda frames: [*frames[:2], frame.encode(Estoque()) + bytes(SEAL_BYTES)], 2, id="a seal of zeros"
        ),
    ],
)
def test_a_head_that_was_not_said_there_is_not_heard_nor_anything_behind_it(tamper, count: int) -> None:
    assert heard(tamper(sealed(SAID))) == SAID[:count]


def test_a_wrong_seal_says_so() -> None:
    (one,) = sealed([Pedido(1)], b"another key of thirty-two bytes.")
    with pytest.raises(RemoteError, match="changed on its way"):
        frame.parse(memoryview(one), 4096, Nothing(), seal=Seal(KEY))


def test_a_head_lacks_its_seal_as_it_lacks_its_header() -> None:
    (one,) = sealed([Pedido(1)])
    assert frame.missing(memoryview(one[:-1]), 4096, sealed=True) == 1
    assert frame.parse(memoryview(one[:-1]), 4096, Nothing(), seal=Seal(KEY)) is None


@given(st.binary(min_size=1, max_size=100), st.integers(0, 99), st.lists(st.integers(0, 100)))
def test_a_seal_covers_the_bytes_that_were_added_before_however_they_were_cut(
    payload: bytes, place: int, cuts: list[int]
) -> None:
    whole, parts, other = Seal(KEY), Seal(KEY), Seal(KEY)
    whole.add(payload)
    ends = [0, *sorted(cuts), len(payload)]
    for begin, end in pairwise(ends):
        parts.add(payload[begin:end])
    changed = bytearray(payload)
    changed[place % len(payload)] ^= 1
    other.add(bytes(changed))
    assert parts.over(b"head") == whole.over(b"head") != other.over(b"head")

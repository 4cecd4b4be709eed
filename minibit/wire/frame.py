"""The frame: how messages, and the bytes of blocks, stand on a link.

A frame is two little-endian u32 (bytes of the header, bytes of the payload), the message as JSON, and the raw
payload. Only a BLOCO has a payload: its block, or the first part of it. A frame without a header has the next
part of the block that is under way; frames without a payload may stand between. Prefix and header are the *head*;
on a proven link a seal (`minibit.wire.seal`) follows it. `parse` judges a frame by its first bytes, before anything
is allocated for it; a frame that breaks the rule is a `RemoteError`. This room does no I/O and holds no payload:
`parse` says where it begins and how long it is, and the link puts it in its place.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from minibit import messages
from minibit.content import Content
from minibit.errors import RemoteError
from minibit.messages import Bloco, Message
from minibit.wire.carriage import PREFIX_BYTES, SEAL_BYTES
from minibit.wire.seal import Seal

HEADER_BYTES_MIN = 4096  # every verb fits; the limit until the other end has proved the key

_PREFIX = struct.Struct("<II")


class Frame(NamedTuple):
    """A message, the bytes of head and seal that said it, and the bytes of payload that follow.

    Without a message, the payload is the next part of the block under way.
    """

    message: Message | None
    head_bytes: int
    payload_bytes: int


def header_limit(block_count: int) -> int:
    """The longest header, in bytes, in a swarm with `block_count` blocks: a whole inventory in hex fits."""
    return HEADER_BYTES_MIN + block_count // 2


def encode(message: Message, payload_bytes: int = 0) -> bytes:
    """Prefix and header of `message`; the `payload_bytes` of a BLOCO are to follow."""
    header = messages.encode(message)
    return _PREFIX.pack(len(header), payload_bytes) + header


def encode_next(payload_bytes: int) -> bytes:
    """The head of a frame with the next `payload_bytes` of the block under way."""
    return _PREFIX.pack(0, payload_bytes)


def missing(data: memoryview, limit: int, sealed: bool = False) -> int:
    """How many bytes `data` lacks to complete a prefix or, once that is there, the rest of a head and its seal."""
    have = len(data)
    if have < PREFIX_BYTES:
        return PREFIX_BYTES - have
    header_bytes: int = _PREFIX.unpack_from(data)[0]
    return PREFIX_BYTES + min(header_bytes, limit) + SEAL_BYTES * sealed - have


def parse(
    data: memoryview, limit: int, content: Content, lacking_bytes: int = 0, seal: Seal | None = None
) -> Frame | None:
    """The frame at the beginning of `data`; None while its head or its seal is incomplete.

    `lacking_bytes` is how much the block under way lacks, 0 if none is under way. `seal` judges the seals of this
    direction; without one there are none. Raises `RemoteError` for a wrong seal, for a header over `limit` bytes or one
    that is no message, for a BLOCO of a block that doesn't exist or before the block under way is whole, and for a
    payload that is missing, too long, or part of no block.
    """
    if len(data) < PREFIX_BYTES:
        return None
    header_bytes, payload_bytes = _PREFIX.unpack_from(data)
    if header_bytes > limit:
        raise RemoteError(f"a header of {header_bytes} bytes, over the limit of {limit}")
    head_bytes = end_bytes = PREFIX_BYTES + header_bytes
    if seal is not None:
        end_bytes += SEAL_BYTES
        if len(data) < end_bytes:
            return None
        seal.check(data[:head_bytes], data[head_bytes:end_bytes])
    if not header_bytes:
        if not payload_bytes:
            raise RemoteError("a frame with neither header nor payload")
        if payload_bytes > lacking_bytes:
            lacks = f"a block that lacks {lacking_bytes}" if lacking_bytes else "no block"
            raise RemoteError(f"{payload_bytes} more bytes for {lacks}")
        return Frame(None, end_bytes, payload_bytes)
    if payload_bytes and payload_bytes > content.length_max:
        raise RemoteError(f"a payload of {payload_bytes} bytes, longer than any block")
    if payload_bytes and lacking_bytes:
        raise RemoteError(f"another block, where the one under way lacks {lacking_bytes} bytes")
    if len(data) < end_bytes:
        return None
    message = messages.decode(data[PREFIX_BYTES:head_bytes])
    _check_payload(message, payload_bytes, content)
    return Frame(message, end_bytes, payload_bytes)


def _check_payload(message: Message, payload_bytes: int, content: Content) -> None:
    """`RemoteError` unless the payload is one that belongs to the message."""
    if type(message) is Bloco:
        block = message.block
        if block >= content.block_count:
            raise RemoteError(f"block {block}, where there are {content.block_count}")
        if not 0 < payload_bytes <= content.length(block):
            raise RemoteError(f"{payload_bytes} bytes for block {block}, which has {content.length(block)}")
    elif payload_bytes:
        raise RemoteError(f"a {message.verb} with a payload of {payload_bytes} bytes")

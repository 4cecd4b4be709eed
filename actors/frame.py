"""The frame: how messages, and the bytes of blocks, stand on a link.

Two little-endian u32 (bytes of the header, bytes of the payload), the message as JSON, the raw payload.
Only a BLOCO has a payload, and it is exactly the block. What a frame claims is judged from its first
bytes, before anything is allocated for it; what breaks the rule is a `RemoteError`. No I/O here, and no
payload: `parse` says where it begins and how long it is, and the link puts it in its place.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from minibit import messages
from minibit.content import Content
from minibit.errors import RemoteError
from minibit.messages import Bloco, Message

PREFIX_BYTES = 8
HEADER_BYTES_MIN = 4096  # room that any verb has; also all that a stranger has

_PREFIX = struct.Struct("<II")


class Frame(NamedTuple):
    """A message, the bytes of prefix and header that said it, and the bytes of payload that follow."""

    message: Message
    head_bytes: int
    payload_bytes: int


def header_limit(block_count: int) -> int:
    """The longest header, in bytes, among those who share `block_count` blocks: a whole inventory in hex fits."""
    return HEADER_BYTES_MIN + block_count // 2


def encode(message: Message, payload_bytes: int = 0) -> bytes:
    """Prefix and header of `message`; the `payload_bytes` of a BLOCO are to follow."""
    header = messages.encode(message)
    return _PREFIX.pack(len(header), payload_bytes) + header


def missing(data: memoryview, limit: int) -> int:
    """How many bytes `data` lacks to complete a prefix or, once that is there, a header."""
    have = len(data)
    if have < PREFIX_BYTES:
        return PREFIX_BYTES - have
    header_bytes: int = _PREFIX.unpack_from(data)[0]
    return PREFIX_BYTES + min(header_bytes, limit) - have


def parse(data: memoryview, limit: int, content: Content) -> Frame | None:
    """The frame whose head `data` begins with; None while its head is incomplete.

    Raises `RemoteError` for a header over `limit` bytes, one that is no message, a BLOCO for a block that
    isn't there, and a payload that isn't exactly the block's.
    """
    if len(data) < PREFIX_BYTES:
        return None
    header_bytes, payload_bytes = _PREFIX.unpack_from(data)
    if header_bytes > limit:
        raise RemoteError(f"a header of {header_bytes} bytes, over the limit of {limit}")
    if payload_bytes and payload_bytes > (content.length(0) if content.block_count else 0):
        raise RemoteError(f"a payload of {payload_bytes} bytes, longer than any block")
    head_bytes = PREFIX_BYTES + header_bytes
    if len(data) < head_bytes:
        return None
    message = messages.decode(data[PREFIX_BYTES:head_bytes])
    if type(message) is Bloco:
        block = message.block
        if block >= content.block_count:
            raise RemoteError(f"block {block}, where there are {content.block_count}")
        if payload_bytes != content.length(block):
            raise RemoteError(f"{payload_bytes} bytes for block {block}, which has {content.length(block)}")
    elif payload_bytes:
        raise RemoteError(f"a {message.verb} with a payload of {payload_bytes} bytes")
    return Frame(message, head_bytes, payload_bytes)

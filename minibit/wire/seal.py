"""The seal: a few bytes behind each head on a proven link, which nobody without the link's key can make.

A seal is a MAC (keyed BLAKE3, cut to `SEAL_BYTES`) over all that its end has said on the link so far, from its last
REGISTRO on: so a head that was forged, changed, left out, repeated or moved is found before it is read, and so is
everything behind it. Each direction has its own key, and each link has new ones.

The bytes of blocks have their digests in the manifest, so seals leave them out, unless the two ends agreed on
*sealed blocks*: then the next seal covers them too, and a block counts once that came. No I/O.
"""

from __future__ import annotations

from hmac import compare_digest

from blake3 import blake3

from minibit.errors import RemoteError
from minibit.wire.carriage import SEAL_BYTES


class Seal:
    """One direction of a link, at either end: what was said in it, under its `key` of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._said = blake3(key=key)

    def add(self, data: bytes | memoryview) -> None:
        """Let the next seal cover `data` too."""
        self._said.update(data)

    def over(self, head: bytes | memoryview) -> bytes:
        """The seal that follows `head`."""
        return self._said.update(head).digest(SEAL_BYTES)

    def check(self, head: memoryview, seal: memoryview) -> None:
        """`RemoteError` unless `seal` is the one that follows `head`. It is nobody's fault: the path may lie."""
        if not compare_digest(self.over(head), seal):
            raise RemoteError("a wrong seal: something was changed on its way")

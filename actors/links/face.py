"""Two faces: what a link asks of its node (`Owner`), and what a node asks of a link (`Wire`)."""

from __future__ import annotations

from typing import Protocol

from minibit.content import SharedContent
from minibit.messages import Desligamento, Message, PeerAddress


class Wire(Protocol):
    """A link to one neighbour, from `Owner.on_linked` on."""

    peer: str
    address: PeerAddress  # where the neighbour's server listens
    dialled: bool  # by us
    alone: bool  # the end that dialled has no other neighbour that can feed it
    busy: bool  # what the BLOCO of its last block said
    sealed: bool  # its blocks are sealed: a wrong one is its own fault, and not that of the path

    @property
    def traffic(self) -> tuple[int, int, int]:
        """The bytes of blocks sent, those of blocks received, and all other bytes sent."""

    def send(self, message: Message) -> None:
        """Send a message, after the block that is being sent or into it (`carriage.PASSING`)."""

    def send_block(self, block: int, spoil: bool = False, busy: bool = False) -> None:
        """Send a block after those already asked for; `spoil` sends a wrong byte, `busy` is for its BLOCO."""

    def close(self, why: str, farewell: Desligamento | None = None) -> None:
        """Close, after the `farewell` if there is one, unless that would cut a block; `on_unlinked` follows."""


class Owner(Protocol):
    """The node that owns the links.

    The event loop makes its callbacks, never `send`, `send_block` or `close`; but `send_block` may call `read`
    at once. A `RemoteError` from any of them closes the link with that text. Any other exception closes it with
    `internal error` and goes to the loop's handler.
    """

    me: PeerAddress
    key: bytes

    @property
    def manifest(self) -> SharedContent: ...

    def on_linked(self, link: Wire) -> None:
        """Both ends proved the key. An exception refuses the link, and then no `on_unlinked` follows."""

    def on_message(self, link: Wire, message: Message) -> None:
        """A message of any verb but BLOCO came."""

    def on_block(self, link: Wire, block: int, data: memoryview) -> None:
        """A whole block came, not yet verified; `data` is valid during the call only."""

    def on_progress(self, link: Wire) -> None:
        """More bytes of an unfinished block came; called at most once a second."""

    def on_sent(self, link: Wire, block: int) -> None:
        """The network took the whole block, and can take the next."""

    def on_unlinked(self, link: Wire, why: str) -> None:
        """The link is closed, whichever end closed it."""

    def read(self, block: int, offset: int, length: int) -> bytes:
        """Those bytes of a block that the node holds."""

"""What a link asks of the node that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from minibit.content import Content
from minibit.messages import Message, PeerAddress

if TYPE_CHECKING:
    from minibit.actors.links.link import Link


class Manifest(Content, Protocol):
    """What links must know of the content."""

    @property
    def digest(self) -> str: ...


class Host(Protocol):
    """The node that links belong to.

    Its callbacks come from the event loop, never from within `send`, `send_block` or `close`; all but
    `read`, which `send_block` may call at once. A `RemoteError` from any of them closes the link with
    that text; any other exception closes it with `internal error` and goes to the loop's handler.
    """

    @property
    def me(self) -> PeerAddress: ...

    @property
    def key(self) -> bytes: ...

    @property
    def manifest(self) -> Manifest: ...

    def on_linked(self, link: Link) -> None:
        """Both ends proved the key. An exception from here refuses the link, and no `on_unlinked` follows."""

    def on_message(self, link: Link, message: Message) -> None:
        """A message came, of any verb but BLOCO."""

    def on_block(self, link: Link, block: int, data: memoryview) -> None:
        """A whole block came, not yet verified; `data` is valid during the call only."""

    def on_progress(self, link: Link) -> None:
        """More bytes of an unfinished block came; told at most once a second."""

    def on_sent(self, link: Link, block: int) -> None:
        """The whole block was handed to the network, which can take the next."""

    def on_unlinked(self, link: Link, why: str) -> None:
        """The link is closed, whoever closed it."""

    def read(self, block: int, offset: int, length: int) -> bytes:
        """Those bytes of a block that the host holds."""
        raise NotImplementedError

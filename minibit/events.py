"""What happens to a peer or to the tracker (events), and what the world must then do (effects).

Both are plain frozen facts; the core takes events in and gives effects out, and does nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

from minibit.messages import Desligamento, Message, PeerAddress
from minibit.records import Record

TRACKER = "tracker"  # the id of the tracker, and of the seed that lives with it

# events


class Joining(NamedTuple):
    """Our block server listens at `address`: enter the swarm."""

    address: PeerAddress


class Starting(NamedTuple):
    """PEDIDOs are allowed from now on."""


class Leaving(NamedTuple):
    """Leave the swarm in good order."""

    why: str


class Received(NamedTuple):
    """A control message came from `sender`, by whichever carrier."""

    sender: str
    message: Message


class Linked(NamedTuple):
    """A link to `address.peer` stands and is proven; `alone` is what its REGISTRO said."""

    address: PeerAddress
    dialled: bool
    alone: bool = False


class Unlinked(NamedTuple):
    """The link to `peer` is gone, or the dial failed."""

    peer: str
    why: str


class Arrived(NamedTuple):
    """All bytes of a block came from `sender`; `ok` is the verdict of its hash."""

    sender: str
    block: int
    ok: bool


class Progressed(NamedTuple):
    """Bytes of a block keep coming from `sender`."""

    sender: str


class Sent(NamedTuple):
    """The network took the last byte of a block for `peer`."""

    peer: str
    block: int


Event = Joining | Starting | Leaving | Received | Linked | Unlinked | Arrived | Progressed | Sent

# effects


class Dial(NamedTuple):
    """Connect to `address`; answered by Linked or by Unlinked."""

    address: PeerAddress
    alone: bool


class HangUp(NamedTuple):
    """Close the link to `peer`, after what was sent to it before, and after a farewell unless it said its own."""

    peer: str
    farewell: Desligamento | None


class Call(NamedTuple):
    """Say this to the tracker."""

    message: Message


class Send(NamedTuple):
    """Carry a control message to `peer`: by its link, or, said by the tracker, by an actor call."""

    peer: str
    message: Message


class SendBlock(NamedTuple):
    """Carry a block to `peer`; answered by Sent. `spoil` is the corrupter's: send wrong bytes."""

    peer: str
    block: int
    spoil: bool = False


class Note(NamedTuple):
    """Keep this record."""

    record: Record


class Finish(NamedTuple):
    """Every block is held: give the content its final name."""


class Left(NamedTuple):
    """Nothing more will come from us: stop."""

    why: str


Effect = Dial | HangUp | Call | Send | SendBlock | Note | Finish | Left

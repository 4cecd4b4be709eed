"""What happens to a peer or to the tracker (events), and what the world must then do (effects).

Both are plain frozen facts. The core takes events in and gives effects out, and does nothing else.
"""

from __future__ import annotations

import msgspec

from minibit.messages import Desligamento, Message, PeerAddress
from minibit.records import Record

TRACKER = "tracker"  # the id of the tracker, and of the seed in the same process


class Fact(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of all events and effects. `gc=False`: a simulation makes millions, and none is in a reference cycle."""


# events


class Joining(Fact, frozen=True):
    """Our block server listens at `address`: enter the swarm."""

    address: PeerAddress


class Starting(Fact, frozen=True):
    """PEDIDOs are allowed from now on."""


class Leaving(Fact, frozen=True):
    """Leave the swarm in good order."""

    why: str


class Received(Fact, frozen=True):
    """A control message came from `sender`, by its link or by an actor call."""

    sender: str
    message: Message


class Linked(Fact, frozen=True):
    """A link to `address.peer` stands and is proven; `alone` is what its REGISTRO said."""

    address: PeerAddress
    dialled: bool
    alone: bool = False


class Unlinked(Fact, frozen=True):
    """The link to `peer` is gone, or the dial failed."""

    peer: str
    why: str


class Arrived(Fact, frozen=True):
    """All bytes of a block came from `sender`; `ok` is False if its hash was checked and is wrong.

    The world asks `Peer.expects` first, and handles no other event between the two. If the peer expects the block, the
    world hashes it, and stores it if the hash is right. If not, nobody hashes it, and `ok` is True: the peer counts the
    block as double, whatever its bytes are. `sealed`: these are the bytes that were sent; otherwise they may have been
    changed on their way, and a wrong block is no proof against its sender. `busy` is what its BLOCO said.
    """

    sender: str
    block: int
    ok: bool
    sealed: bool = True
    busy: bool = False


class Progressed(Fact, frozen=True):
    """Bytes of a block keep coming from `sender`."""

    sender: str


class Sent(Fact, frozen=True):
    """The network took the last byte of a block for `peer`."""

    peer: str
    block: int


class Lost(Fact, frozen=True):
    """Our own disk no longer has `block`, which can't be had again: it is neither served nor asked for from now on."""

    block: int


class Known(Fact, frozen=True):
    """The digests of the blocks `known` (an inventory, which only grows) are known: no others can be asked for.

    `held` are the blocks that our own store holds: those of a source are held once their digests are known.
    """

    known: int
    held: int


Event = Joining | Starting | Leaving | Received | Linked | Unlinked | Arrived | Progressed | Sent | Lost | Known

# effects


class Dial(Fact, frozen=True):
    """Connect to `address`; the world answers Linked or Unlinked. `alone` goes into our REGISTRO on the link."""

    address: PeerAddress
    alone: bool


class HangUp(Fact, frozen=True):
    """Close the link to `peer` once all before this is sent, and our farewell too, unless the peer sent one first."""

    peer: str
    farewell: Desligamento | None


class Call(Fact, frozen=True):
    """Send this message to the tracker."""

    message: Message


class Send(Fact, frozen=True):
    """Carry a control message to `peer`: by its link; if the tracker sends it, by an actor call."""

    peer: str
    message: Message


class SendBlock(Fact, frozen=True):
    """Carry a block to `peer`; the world answers Sent. `spoil`: send wrong bytes, as a corrupter does.

    `busy` is for its BLOCO.
    """

    peer: str
    block: int
    spoil: bool = False
    busy: bool = False


class Note(Fact, frozen=True):
    """Keep this record."""

    record: Record


class Finish(Fact, frozen=True):
    """Every block is held: give the content its final name. If that fails, what is noted after this does not hold."""


class Left(Fact, frozen=True):
    """Nothing more will come from this peer: stop."""

    why: str


Effect = Dial | HangUp | Call | Send | SendBlock | Note | Finish | Left

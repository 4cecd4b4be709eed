"""The post: the messages of a node that go to its neighbours by actor calls, with `--control actors`.

An actor call costs as much processor time as a megabyte of blocks. So each call carries a *parcel*: all messages that
wait for one neighbour. One call at a time goes to each neighbour; what is said meanwhile waits for the next. The answer
is a parcel too. It brings what waits for the caller at that moment.

A *talk* is what two neighbours say to each other while one link between them stands. Each end numbers its messages from
0. A parcel says how many messages of the other end were heard, and carries all own messages that the other end has not
confirmed. The other end skips those that came already. So the order never depends on which call or answer is quicker,
not even if both ends call at once. A call whose answer was lost is made again: nothing is lost, or heard twice. A
parcel of another link is ignored. One that comes before its receiver knows the link confirms nothing; its messages come
again with the answer to the receiver's whole inventory, with which every link begins.

News can wait. An ESTOQUE, unless it is the first message of a link, waits for company: for a message that is in a
hurry, or for a call of that neighbour. It goes alone when the calls that carry nothing but news take no more than
`NEWS_SHARE` of this node's time, by how long calls take just now; and after `PATIENCE_S` at the latest. So there are
fewer and fuller calls where each is slow: on a crowded machine.

Invariant: at most one call to each neighbour is under way, and at most `MOST_UNHEARD` messages wait for it: a neighbour
that leaves more unheard is dropped, as by an outbox. What waits for a neighbour goes with its link.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any
from weakref import WeakKeyDictionary

import msgspec

from minibit.actors.links.link import Link
from minibit.actors.links.pairs import Links
from minibit.errors import RemoteError
from minibit.messages import Estoque, Message, Token

MOST_UNHEARD = 4096
NEWS_SHARE = 0.1
PATIENCE_S = 2.0
CALL_S = 0.003  # what a call takes on a quiet machine: the first guess
SMOOTHING = 0.1  # weight of the newest call in the mean

Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Carry = Callable[[str, bytes], Awaitable[bytes | None]]
"""Take a parcel to that neighbour; its answer, or None if it is gone."""


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """What one call or one answer carries of the talk of a link.

    link      the name that both ends have for it
    heard     the messages of the receiver that its sender has heard
    first     the number of the first of `messages`
    """

    link: Token
    heard: Number
    first: Number
    messages: tuple[Message, ...] = ()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Parcel)


class Talk:
    """One end of a talk."""

    __slots__ = ("_heard", "_link", "_packed", "_said", "hurries", "unheard")

    def __init__(self, link: str) -> None:
        self.unheard: deque[Message] = deque()  # of what was said: what the other end has not confirmed
        self.hurries = False  # whether the other end should be called at once
        self._link = link
        self._heard = 0  # messages of the other end
        self._said = 0
        self._packed = 0  # of these: were in a parcel

    @property
    def waits(self) -> bool:
        """Whether anything was said that was in no parcel yet."""
        return self._packed < self._said

    def say(self, message: Message) -> None:
        """One more message for the other end."""
        self.hurries = self.hurries or not self._said or type(message) is not Estoque
        self._said += 1
        self.unheard.append(message)

    def pack(self) -> bytes:
        """The next parcel."""
        self._packed, self.hurries = self._said, False
        return _encoder.encode(Parcel(self._link, self._heard, self._said - len(self.unheard), tuple(self.unheard)))

    def unpack(self, data: bytes) -> tuple[Message, ...]:
        """The messages of a parcel that are new; `RemoteError` if it is none."""
        try:
            parcel = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RemoteError(f"not a parcel: {error}") from None
        if parcel.link != self._link:
            return ()
        if parcel.heard > self._said or parcel.first > self._heard:
            raise RemoteError("a parcel from a talk that we never had")
        while self._said - len(self.unheard) < parcel.heard:
            self.unheard.popleft()
        new = parcel.messages[self._heard - parcel.first :]
        self._heard += len(new)
        return new


class Post:
    """The talks of one node. `carry` makes the calls, and `do` runs a task of the node."""

    def __init__(self, links: Links, carry: Carry, do: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._links = links
        self._carry = carry
        self._do = do
        self._talks: WeakKeyDictionary[Link, Talk] = WeakKeyDictionary()  # each ends with its link
        self._calling: set[str] = set()
        self._patient: set[str] = set()  # the neighbours for which news waits
        self._call_s = CALL_S  # the mean

    def say(self, peer: str, message: Message) -> None:
        """Say this to a neighbour; if no link to it stands, to nobody."""
        if (talk := self._talk(peer)) is None:
            return
        talk.say(message)
        if len(talk.unheard) > MOST_UNHEARD:
            self._links[peer].close(f"it left {MOST_UNHEARD} messages unheard")
        elif not talk.hurries:
            self._start(self._be_patient, self._patient, peer)
        else:
            self._start(self._call, self._calling, peer)

    def hear(self, peer: str, parcel: bytes) -> bytes:
        """Take the parcel of a neighbour's call; what to answer."""
        self._take(peer, parcel)
        talk = self._talk(peer)
        return b"" if talk is None else talk.pack()

    def _start(self, work: Callable[[str], Coroutine[Any, Any, None]], busy: set[str], peer: str) -> None:
        """Do this for a neighbour, but once at a time. It begins later: what is said in the same step goes with it."""
        if peer not in busy:
            busy.add(peer)
            self._do(work(peer))

    async def _call(self, peer: str) -> None:
        """Call a neighbour, again as long as anything that is said meanwhile is in a hurry."""
        try:
            while (talk := self._talk(peer)) is not None and talk.waits:
                called_at = time.monotonic()
                if (answer := await self._carry(peer, talk.pack())) is None:
                    return
                self._call_s += SMOOTHING * (time.monotonic() - called_at - self._call_s)
                self._take(peer, answer)
                if not talk.hurries:
                    return
        finally:
            self._calling.discard(peer)

    async def _be_patient(self, peer: str) -> None:
        """Call a neighbour for which news waits, once it has waited long enough."""
        try:
            while (talk := self._talk(peer)) is not None and talk.waits:
                await asyncio.sleep(min(len(self._links) * self._call_s / NEWS_SHARE, PATIENCE_S))
                if talk.waits:
                    self._start(self._call, self._calling, peer)
        finally:
            self._patient.discard(peer)

    def _talk(self, peer: str) -> Talk | None:
        if peer not in self._links:
            return None
        link = self._links[peer]
        if (talk := self._talks.get(link)) is None:
            talk = self._talks[link] = Talk(link.greeting.name)
        return talk

    def _take(self, peer: str, parcel: bytes) -> None:
        """Let the node hear a parcel. A fault in it is blamed on its sender, as if it had come by the link."""
        if parcel and (talk := self._talk(peer)) is not None:
            link = self._links[peer]
            link.attempt(self._hear_all, link, talk, parcel)

    def _hear_all(self, link: Link, talk: Talk, parcel: bytes) -> None:
        for message in talk.unpack(parcel):
            if not link.closed:  # by what it said before
                self._links.owner.on_message(link, message)

"""What a peer does with its linked neighbours: inventories, PEDIDOs, blocks, slots.

`Peer` knows the neighbours and its own life; the exchange knows what is held, asked, given and told. It sees only
neighbours whose link stands. A neighbour that breaks the protocol, or sent a wrong block too many, is a `RemoteError`,
and the peer drops it.

Invariant (`check`): a block in flight is not held, and exactly the blocks in flight are asked of neighbours; no more
neighbours are served than there are slots, and none waits for a slot that is not used; only blocks that are held are
announced, unless the peer is a liar; only blocks whose digests are known are held or asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from random import Random
from typing import Any

from minibit import announcer, inventory, strategies
from minibit.announcer import Announcer
from minibit.availability import Availability
from minibit.behaviour import Honest
from minibit.content import Content
from minibit.errors import RemoteError
from minibit.events import Arrived, Note, Send
from minibit.life import LEAVING, TRADING, Lifetime
from minibit.messages import NEWS, Bloco, Bloqueio, Desbloqueio, Estoque, Message, Pedido
from minibit.neighbour import SHARING, UNSERVED, Move, Neighbour
from minibit.pipeline import Pipeline
from minibit.records import BlockRecord, Record, ServingRecord
from minibit.rules import Rules
from minibit.uploads import Changes, Uploads

MOST_STRIKES = 3  # wrong blocks, or words that only the tracker may say, after which a neighbour is banned
ASKED_BYTES = 384 << 20  # one block of each neighbour that is asked at once: most wait in its line
FEWEST_ASKED = 4  # neighbours that are asked at once, however large blocks are
MOST_UNINVITED = 256  # messages that had no place (`Neighbour.uninvited`) after which a neighbour is dropped


class Exchange:
    """The blocks of one peer, and its dealings with the neighbours that are `up`.

    `up` and `life` are the peer's own live objects: it reads the first, and writes timers and effects into the second.
    """

    def __init__(
        self,
        content: Content,
        rules: Rules,
        chance: Callable[[str], Random],
        life: Lifetime,
        up: dict[str, Neighbour],
        held: int,
        behaviour: Honest,
        known: int | None = None,
    ) -> None:
        self.held = held
        self.lost = inventory.EMPTY  # by our own disk, for good
        self.all = inventory.full(content.block_count)
        self.known = self.all if known is None else known  # the blocks whose digests are known
        self.availability = Availability(content.block_count)
        self.announcer = Announcer(rules.announce_s)
        self.picker, self.choker = strategies.make(rules, chance)
        # if blocks are large, and all that are asked send at once, all but a few wait for our memory
        most = max(FEWEST_ASKED, ASKED_BYTES // max(1, content.length_max))
        self._crowded = most < rules.neighbours
        self.pipeline = Pipeline(life.name, rules, self.picker, self.availability, chance("holder"), most)
        self.uploads = Uploads(rules, self.choker, behaviour, self.availability, chance("uploads"))
        self._rarer = rules.economy == "on" and self.picker.rarest  # what our PEDIDOs say
        self._content = content
        self._rules = rules
        self._behaviour = behaviour
        self._up = up
        self._life = life
        self._timers = life.timers
        self._effects = life.effects

    @property
    def missing(self) -> int:
        """The inventory of the blocks that are not held, and can be had."""
        return self.known & ~self.held & ~self.lost

    @property
    def claims(self) -> int:
        """The inventory that is announced."""
        return self._behaviour.claims(self.held, self._content.block_count)

    def expects(self, neighbour: Neighbour, block: int) -> bool:
        """Whether the bytes of `block` are to be verified and stored: it is missing, and answers one of our PEDIDOs."""
        return bool(self.missing >> block & 1) and self.pipeline.expects(neighbour, block, self._rarer)

    # beginning and end

    def close(self, now: float) -> None:
        """Ask and serve no more; blocks under way to neighbours go out whole."""
        self._say(self.uploads.close(self._up.values()), now)
        for neighbour in self._up.values():
            self.pipeline.void_all(neighbour)

    def welcome(self, neighbour: Neighbour) -> None:
        """The link of the neighbour stands."""
        self._send(neighbour, announcer.whole(neighbour, self.claims))

    def unlink(self, neighbour: Neighbour, now: float) -> None:
        """Its link is gone: the blocks asked of it and its slot are free again, and its inventory counts no more."""
        self.availability.remove(neighbour.theirs)
        self.pipeline.void_all(neighbour)
        self.uploads.forget(neighbour)
        if neighbour.slot is not UNSERVED:
            self._note(ServingRecord(now, self._life.name, neighbour.peer, "none"))

    # messages

    def receive(self, neighbour: Neighbour, message: Message, now: float) -> None:
        """A control message of a linked neighbour."""
        _ON_MESSAGE[type(message)](self, neighbour, message, now)

    def _on_estoque(self, neighbour: Neighbour, message: Estoque, now: float) -> None:
        count = self._content.block_count
        if len(message.new) > count:
            raise RemoteError(f"{len(message.new)} new blocks of {count} in an ESTOQUE")
        if message.new and max(message.new) >= count:
            raise RemoteError(f"block {max(message.new)} of {count} in an ESTOQUE")
        news = inventory.of(message.new)
        if message.whole is None and neighbour.standing is SHARING:
            self._on_news(neighbour, news & ~neighbour.theirs, now)
            return
        theirs = neighbour.theirs if message.whole is None else inventory.from_hex(message.whole, count)
        gone = neighbour.theirs & ~(theirs | news)
        self._holds(neighbour, theirs | news)
        neighbour.move(Move.ESTOQUE)
        if gone:
            self.pipeline.refused(neighbour)
            self._tell(neighbour)  # blocks that were no news while it held them
            self.pump(now)
        self.uploads.called_off(neighbour)
        self._ask(neighbour, now)
        self.serve(now)

    def _on_news(self, neighbour: Neighbour, news: int, now: float) -> None:
        """A neighbour holds more than before. This comes twenty times for every block in the swarm."""
        if news:
            self.availability.add(news)
            neighbour.theirs |= news
            if neighbour.serves_us and news & ~self.held:
                self._ask(neighbour, now)
            if neighbour.slot is not UNSERVED:  # or it has no PEDIDOs here
                self.uploads.called_off(neighbour)
                if not self.held & ~neighbour.theirs:
                    self.serve(now)  # its interest ended; that of other neighbours is as it was

    def _on_bloqueio(self, neighbour: Neighbour, message: Bloqueio, now: float) -> None:
        self.pipeline.served(neighbour, False, now)
        self.pump(now)

    def _on_desbloqueio(self, neighbour: Neighbour, message: Desbloqueio, now: float) -> None:
        self.pipeline.served(neighbour, True, now)
        self.pipeline.forgive((neighbour,), self.missing)
        self._ask(neighbour, now)

    def _on_pedido(self, neighbour: Neighbour, message: Pedido, now: float) -> None:
        block = message.block
        if block >= self._content.block_count:
            raise RemoteError(f"a PEDIDO for block {block} of {self._content.block_count}")
        if neighbour.slot is UNSERVED:  # it may not have heard yet that it is choked
            _uninvited(neighbour, "PEDIDOs while choked")
        elif not self.held >> block & 1:
            if not self.claims >> block & 1:  # to refuse is to send the true inventory
                _uninvited(neighbour, "PEDIDOs for blocks that we lack")
                self._send(neighbour, announcer.whole(neighbour, self.held))
        else:
            self._holds(neighbour, neighbour.theirs & ~(1 << block))
            self.uploads.wanted(neighbour, block, message.rarer)
            self.advance(now)

    def _on_bloco(self, neighbour: Neighbour, message: Bloco, now: float) -> None:
        raise RemoteError("a BLOCO without its bytes")

    def _on_news_of_peers(self, neighbour: Neighbour, message: Message, now: float) -> None:
        neighbour.strikes += 1  # it would send us to addresses of its choice
        raise RemoteError(f"a {message.verb}, which a neighbour must not say")

    def _holds(self, neighbour: Neighbour, theirs: int) -> None:
        if gone := neighbour.theirs & ~theirs:
            self.availability.remove(gone)
        if new := theirs & ~neighbour.theirs:
            self.availability.add(new)
        neighbour.theirs = theirs

    # blocks

    def sent(self, neighbour: Neighbour, block: int, now: float) -> None:
        """The network took the last byte of `block` for the neighbour."""
        if neighbour.sending == block:
            self._holds(neighbour, neighbour.theirs | 1 << block)
            self.uploads.sent(neighbour, self._content.length(block), now)
            self.advance(now)
            if not self.held & ~neighbour.theirs:
                self.serve(now)  # its interest ended

    def lose(self, block: int, now: float) -> None:
        """`block` is held no more, and the neighbours that were told of it hear so."""
        self.held &= ~(1 << block)
        self.lost |= 1 << block
        for neighbour in self._up.values():
            self.uploads.lost(neighbour, block, now)
            if neighbour.told & ~self.claims:
                self._send(neighbour, announcer.whole(neighbour, self.claims))
        self.serve(now)  # perhaps it was all that a neighbour wanted

    def arrived(self, neighbour: Neighbour, event: Arrived, now: float) -> None:
        """All bytes of a block came from it."""
        block, ok = event.block, event.ok
        took_s = self.pipeline.arrived(neighbour, block, now, rarer=self._rarer, busy=event.busy)
        double = took_s is None or (ok and not self.missing >> block & 1)
        verdict: Any = "double" if double else "useful" if ok else "rejected"
        length_bytes = self._content.length(block)
        self._note(BlockRecord(now, self._life.name, block, neighbour.peer, took_s or 0.0, verdict, length_bytes))
        if took_s is None:
            _uninvited(neighbour, "blocks that nobody asked for")
        elif not ok and not event.sealed:  # the next link's blocks are sealed, which shows whose fault it is
            raise RemoteError(f"block {block} came wrong")
        elif not ok:
            self._reject(neighbour, block, now)
        else:
            neighbour.blocks_in += 1
            neighbour.gave.add(length_bytes, now)
            if not double:
                self._take(neighbour, block, now)
            elif not self.held >> block & 1:  # its digest isn't known yet. But its sender believes that we hold it
                self._send(neighbour, announcer.whole(neighbour, self.claims))
            self._ask(neighbour, now)
            self.serve(now)

    def _take(self, neighbour: Neighbour, block: int, now: float) -> None:
        """`block` is held from now on."""
        self.held |= 1 << block
        announcer.knows(neighbour, block)
        called_off = self.pipeline.call_off(block, now)
        # neighbours that may still send a block that we gave up: tell them that we hold it
        for other in self._up.values() if self.pipeline.late >> block & 1 else ():
            if other.serves_us and other.late >> block & 1 and not other.told >> block & 1:
                self._send(other, announcer.single(other, block))
        for other in called_off:
            self._ask(other, now)  # perhaps nothing else will come from it that makes us ask
        due_s = self.announcer.due_s(len(self._up), now)
        if self.held == self.all:
            self.announce(now, everybody=True)
        elif due_s <= now:
            self.announce(now)
        else:
            self._timers.set_earlier("announce", due_s)

    def _reject(self, neighbour: Neighbour, block: int, now: float) -> None:
        neighbour.strikes += 1
        if neighbour.strikes >= MOST_STRIKES:
            raise RemoteError("banned")
        self._send(neighbour, announcer.whole(neighbour, self.claims))  # it believes that we hold what it sent
        if self.availability.count(block) > 1:
            self.pipeline.doubt(neighbour, 1 << block)
        self.pump(now)

    def know(self, known: int, held: int, now: float) -> None:
        """The digests of these blocks are known from now on, and our store holds `held`."""
        self.known |= known
        self.held |= held
        self.announce(now, everybody=True)
        self.serve(now)
        self.pump(now)

    # telling

    def announce(self, now: float, *, everybody: bool = False) -> None:
        """Tell the news to the neighbours for which it is due, or to all."""
        news, again_at = self.announcer.news(self._up.values(), self.claims, now, everybody=everybody)
        for neighbour, estoque in news:
            self._send(neighbour, estoque)
        if again_at < inf:
            self._timers.set("announce", again_at)

    def _tell(self, neighbour: Neighbour) -> None:
        if (estoque := announcer.untold(neighbour, self.claims)) is not None:
            self._send(neighbour, estoque)

    # asking

    def pump(self, now: float) -> None:
        """Ask all neighbours that serve us for blocks."""
        self._ask_of(self._up.values(), now)

    def _ask(self, neighbour: Neighbour, now: float) -> None:
        """Ask this neighbour, the only one for which something has changed."""
        if neighbour.serves_us and self.pipeline.has_room(neighbour, now):
            self._ask_of((neighbour,), now)

    def _ask_of(self, neighbours: Iterable[Neighbour], now: float) -> None:
        missing = self.missing
        if not missing or self._life.stage is not TRADING:
            return
        if self._crowded:  # the place of one that has nothing more is for any other
            neighbours = self._up.values()
        self._send_pedidos(self.pipeline.ask(neighbours, missing, now), now)
        if self.known == self.all and not missing & ~self.pipeline.in_flight:
            self._send_pedidos(self.pipeline.ask_again(self._up.values(), now), now)
            if "endgame" not in self._timers:
                self._await_overdue(now)

    def endgame(self, now: float) -> None:
        """Every missing block is in flight: ask other neighbours for those that take too long."""
        if self.missing & ~self.pipeline.in_flight:
            self.pump(now)
            return
        self._send_pedidos(self.pipeline.ask_again(self._up.values(), now), now)
        self._await_overdue(now)

    def _await_overdue(self, now: float) -> None:
        if (at_s := self.pipeline.next_overdue(now)) < inf:
            self._timers.set("endgame", at_s)

    def _send_pedidos(self, asks: list[tuple[Neighbour, int]], now: float) -> None:
        for neighbour, block in asks:
            self._send(neighbour, Pedido(block, self._rarer))
        if asks:
            self._timers.set_earlier("requests", now + self._rules.request_timeout_s)

    def check_requests(self, now: float) -> None:
        """Give up PEDIDOs that wait too long."""
        again_at = self.pipeline.give_up(self._up.values(), now)
        if again_at < inf:
            self._timers.set("requests", again_at)
        self.pump(now)

    # serving

    def round(self, now: float) -> None:
        """The choker's round, and the pipeline's."""
        self.pipeline.forgive(self._up.values(), self.missing)
        self._decide(self.uploads.round, now)
        self.pump(now)

    def serve(self, now: float) -> None:
        """Give free slots at once, and send blocks."""
        self._decide(self.uploads.fill, now)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Send the next blocks in line. A seed chooses them itself while it has some that nobody else has."""
        self._effects += self.uploads.advance(inventory.EMPTY if self.missing else self.held, now)
        if (due_s := self.uploads.line.due_s(now)) < inf:
            self._timers.set_earlier("line", due_s)

    def _decide(self, decide: Callable[[Iterable[Neighbour], int, int, float], Changes], now: float) -> None:
        if self._life.stage is not LEAVING:
            self._say(decide(self._up.values(), self.held, self.missing, now), now)

    def _say(self, changes: Changes, now: float) -> None:
        """Tell the neighbours whose slot has changed, and note it."""
        for neighbour, before in changes:
            slot = neighbour.slot
            self._note(ServingRecord(now, self._life.name, neighbour.peer, slot.value))
            if slot is UNSERVED:
                self._send(neighbour, Bloqueio())
            elif before is UNSERVED:
                neighbour.uninvited = 0
                self._tell(neighbour)  # it should know what it may ask for
                self._send(neighbour, Desbloqueio())

    def _send(self, neighbour: Neighbour, message: Message) -> None:
        self._effects.append(Send(neighbour.peer, message))

    def _note(self, record: Record) -> None:
        self._effects.append(Note(record))

    def check(self) -> None:
        """Assert the invariants."""
        self.pipeline.check(self._up.values())
        assert not self.held & self.pipeline.in_flight
        assert not (self.held | self.pipeline.in_flight) & ~self.known
        self.availability.check(neighbour.theirs for neighbour in self._up.values())
        if self._life.stage is not LEAVING:
            self.uploads.check(self._up.values(), self.held)
        assert all(not neighbour.told & ~self.claims for neighbour in self._up.values())


def _uninvited(neighbour: Neighbour, what: str) -> None:
    neighbour.uninvited += 1
    if neighbour.uninvited > MOST_UNINVITED:
        raise RemoteError(f"{neighbour.uninvited} {what}")


_ON_MESSAGE: dict[type, Callable[..., None]] = {
    Estoque: Exchange._on_estoque,
    Bloqueio: Exchange._on_bloqueio,
    Desbloqueio: Exchange._on_desbloqueio,
    Pedido: Exchange._on_pedido,
    Bloco: Exchange._on_bloco,
    **dict.fromkeys(NEWS, Exchange._on_news_of_peers),
}

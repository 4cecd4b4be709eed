"""How a peer gets into the swarm and finds neighbours: the calls to the tracker, and the dials.

A REGISTRO counts as lost until a LISTA_PEERS comes, so the peer repeats it after a pause that doubles. A peer that
needs other neighbours (`Need`) tells the tracker so, more often, and dials though half of its links stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from minibit import events
from minibit.contacts import LONGEST_DIAL_S, Contacts, Need
from minibit.life import LEAVING, TRADING, Lifetime
from minibit.messages import ListaPeers, Message, NovoPeer, PeerAddress, Registro
from minibit.neighbour import SHARING, Move, Neighbour
from minibit.records import LinkRecord
from minibit.rules import Rules

LONGEST_PAUSE_S = 60.0  # between two tries to reach the tracker


class Membership:
    """The membership of a peer, which misses `missing` (an inventory) at first.

    `to_spare` says whether the peer is complete and could serve more neighbours.
    """

    def __init__(
        self, rules: Rules, contacts: Contacts, life: Lifetime, missing: int, to_spare: Callable[[], bool]
    ) -> None:
        self._address: PeerAddress | None = None
        self._rules = rules
        self._contacts = contacts
        self._life = life
        self._timers = life.timers
        self._effects = life.effects
        self._missing = missing  # in the last round
        self._to_spare = to_spare
        self._alone_rounds = 0
        self._hungry_rounds = 0
        self._called_at = -inf
        self._pause_s = rules.retry_s
        self._offered: Neighbour | None = None  # the last peer that was dialled to serve it
        self._offer_pause_s = 0.0
        self._offer_at = -inf  # the next isn't dialled before, unless it was listed since
        self._offered_at = self._listed_at = -inf  # the last try; the last LISTA_PEERS

    # need

    @property
    def need(self) -> Need:
        """How much this peer needs other neighbours."""
        if self._hungry_rounds > 2 * (self._rules.guest_rounds + 1):  # as long as two guests keep their slot
            return Need.HUNGRY
        return Need.ALONE if self._alone_rounds > 1 else Need.NONE

    def need_of(self, link: events.Linked) -> Need:
        """How much a new link is needed: by us if we are hungry or dialled it, or by the neighbour."""
        need = self.need
        if need is Need.HUNGRY:
            return need
        return Need.ALONE if link.alone or (link.dialled and need is Need.ALONE) else Need.NONE

    def fed(self) -> None:
        """A hungry peer has a new neighbour, which gets as long to give it something."""
        self._hungry_rounds = 0

    def round(self, missing: int, unheld: int, now: float) -> None:
        """A choker round has passed; `unheld` are the blocks that no neighbour holds (an inventory)."""
        waits = bool(missing) and self._life.started
        self._alone_rounds = self._alone_rounds + 1 if waits and not missing & ~unheld else 0
        self._hungry_rounds = self._hungry_rounds + 1 if waits and missing == self._missing else 0
        self._missing = missing
        if self.need is not Need.NONE:
            self._timers.set_earlier("tracker", max(now, self._called_at + self._pause_s))

    # the tracker

    def join(self, address: PeerAddress, now: float) -> None:
        """Our block server listens at `address`: tell the tracker."""
        self._address = address
        self.call(now)

    def call(self, now: float) -> None:
        """Say REGISTRO to the tracker."""
        if (me := self._address) is None:  # not joined yet: a LISTA_PEERS from a notebook has set the timer
            return
        alone = self.need is not Need.NONE
        if alone:  # one neighbour a call; all at once would flood a large swarm at its start, when every peer is alone
            self.dial(now, one_more=True)
        self._effects.append(events.Call(Registro(peer=me.peer, host=me.host, port=me.port, alone=alone)))
        self._called_at = now
        self._timers.set("tracker", now + self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def hear(self, message: Message, now: float) -> None:
        """One of `NEWS` came."""
        if isinstance(message, Registro):
            self._contacts.learn([PeerAddress(message.peer, message.host, message.port)])
        elif isinstance(message, ListaPeers | NovoPeer):
            if listed := isinstance(message, ListaPeers):
                self._listed_at = now
                if self.need is Need.NONE:
                    self._pause_s = self._rules.retry_s
                self._timers.set("tracker", now + self._rules.tracker_s)
            self.note((address.peer for address in message.peers), "listed" if listed else "announced", now)
            self._contacts.learn(message.peers)
        self.dial(now)

    # neighbours

    def dial(self, now: float, *, one_more: bool = False) -> None:
        """Connect to neighbours, if links are short; `one_more`: to at least one."""
        if self._life.stage is LEAVING or self._address is None:
            return
        neighbours, again_at = self._contacts.to_dial(now, one_more=one_more)
        alone = bool(neighbours) and (self.need is not Need.NONE or self._offers)
        for neighbour in neighbours:
            self._connect(neighbour, alone, now)
        if again_at is not None:
            self._timers.set_earlier("dial", again_at)

    def offer(self, now: float) -> None:
        """We are complete, and have room for neighbours to serve: find one, ever more rarely while none wants us."""
        last, contacts = self._offered, self._contacts
        waits = contacts.dialling or (last is not None and last.up and last.standing is not SHARING)  # for its ESTOQUE
        if waits or self._address is None or not self._offers:
            return
        if last is not None and last.up and not last.sated:
            self._offer_pause_s, self._offer_at = 0.0, now  # it wanted us
        neighbour = contacts.to_serve(now)
        if now < self._offer_at and (neighbour is None or self._listed_at <= self._offered_at):
            self._timers.set_earlier("offer", self._offer_at)
            return
        self._offer_pause_s = min(max(2 * self._offer_pause_s, self._rules.retry_s), LONGEST_PAUSE_S)
        self._offer_at = now + self._offer_pause_s
        self._offered, self._offered_at = neighbour, now
        if neighbour is not None:
            self._connect(neighbour, True, now)
        elif len(contacts.known) >= self._rules.neighbours:  # or the tracker has named all that there are
            self.call(now)

    @property
    def _offers(self) -> bool:
        """Whether we look for neighbours to serve: those that we dial should make room for us."""
        return self._rules.economy == "on" and self._life.stage is TRADING and self._to_spare()

    def _connect(self, neighbour: Neighbour, alone: bool, now: float) -> None:
        self._contacts.move(neighbour, Move.DIAL, now)
        self._effects.append(events.Dial(neighbour.address, alone))
        self._timers.set_earlier("dialling", now + LONGEST_DIAL_S)

    def await_dials(self) -> None:
        """Look again when the next dial that is under way must have been answered."""
        if (due_s := self._contacts.dial_due_s) < inf:
            self._timers.set_earlier("dialling", due_s)

    def note(self, neighbours: Iterable[str], event: Any, now: float) -> None:
        """Record this of each of the neighbours."""
        self._effects += [events.Note(LinkRecord(now, self._life.name, neighbour, event)) for neighbour in neighbours]

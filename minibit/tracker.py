"""The tracker: which peers are in the swarm, and which of them should know each other.

It answers a REGISTRO with a random subset of the roster, and tells some of the other peers of newcomers, many
in one NOVO_PEER. A REGISTRO is also a sign of life: the tracker forgets a peer that is silent for three times
`tracker_s`, and one that says DESLIGAMENTO. It moves no block and knows no inventory.
"""

from __future__ import annotations

from random import Random

from minibit.events import Effect, Received, Send
from minibit.messages import Desligamento, ListaPeers, NovoPeer, PeerAddress, Registro
from minibit.rules import Rules
from minibit.timers import Timers

EVERYBODY_UNDER = 5  # in a smaller swarm, every peer is told of all others
GATHER_S = 0.5  # newcomers within this time go into one NOVO_PEER
MISSED_SIGNS = 3


class Tracker:
    """The roster of one swarm."""

    def __init__(self, rules: Rules, seed: int | str) -> None:
        self._rules = rules
        self._rng = Random(f"{seed}/tracker/roster")
        self._timers = Timers()
        self._newcomers: dict[str, PeerAddress] = {}
        self.roster: dict[str, PeerAddress] = {}
        self._seen_at: dict[str, float] = {}

    def handle(self, event: Received, now: float) -> list[Effect]:
        """A REGISTRO or a DESLIGAMENTO came; other verbs are not for the tracker."""
        message = event.message
        if isinstance(message, Registro):
            return self._on_registro(message, now)
        if isinstance(message, Desligamento):
            self._forget(message.peer or event.sender)
        return []

    def next_wake(self) -> float | None:
        """When `wake` must be called, in the caller's seconds; None for not at all."""
        return self._timers.next

    def wake(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = []
        for name in self._timers.pop(now):
            effects += self._tell_of_newcomers() if name == "newcomers" else self._forget_silent(now)
        return effects

    def snapshot(self) -> dict[str, object]:
        """The roster, as plain values."""
        return {"roster": sorted(self.roster), "newcomers": sorted(self._newcomers)}

    def check(self) -> None:
        """Assert the invariants."""
        assert self.roster.keys() == self._seen_at.keys()
        assert self._newcomers.keys() <= self.roster.keys()

    def _on_registro(self, message: Registro, now: float) -> list[Effect]:
        address = PeerAddress(message.peer, message.host, message.port)
        others = self._others(message.peer)
        if self.roster.get(message.peer) != address:
            self.roster[message.peer] = address
            self._newcomers[message.peer] = address
            self._timers.set_earlier("newcomers", now + GATHER_S)
        self._seen_at[message.peer] = now
        self._timers.set_earlier("silent", now + MISSED_SIGNS * self._rules.tracker_s)
        return [Send(message.peer, ListaPeers(tuple(self._subset(others))))]

    def _others(self, me: str) -> list[PeerAddress]:
        if me not in self.roster:  # a newcomer; a look at every name for each would make the cost of joining quadratic
            return list(self.roster.values())
        return [entry for peer, entry in self.roster.items() if peer != me]

    def _subset(self, entries: list[PeerAddress]) -> list[PeerAddress]:
        if len(entries) < EVERYBODY_UNDER or len(entries) <= self._rules.neighbours:
            return entries
        return self._rng.sample(entries, self._rules.neighbours)

    def _tell_of_newcomers(self) -> list[Effect]:
        newcomers, self._newcomers = list(self._newcomers.values()), {}
        effects: list[Effect] = []
        for receiver in self._subset(list(self.roster.values())):
            if others := [entry for entry in newcomers if entry != receiver]:
                effects.append(Send(receiver.peer, NovoPeer(tuple(self._subset(others)))))
        return effects

    def _forget(self, peer: str) -> None:
        self.roster.pop(peer, None)
        self._seen_at.pop(peer, None)
        self._newcomers.pop(peer, None)

    def _forget_silent(self, now: float) -> list[Effect]:
        patience_s = MISSED_SIGNS * self._rules.tracker_s
        for peer in [peer for peer, seen_at in self._seen_at.items() if seen_at + patience_s <= now]:
            self._forget(peer)
        if self._seen_at:
            self._timers.set("silent", min(self._seen_at.values()) + patience_s)
        return []

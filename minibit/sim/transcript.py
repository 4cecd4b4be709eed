"""A simulated run as a conversation: a line for each fact, in the order of time, as in the transcripts of tests.

It is for swarms of a few peers. What happened to one peer of many: `minibit.sim.journal`.
"""

from __future__ import annotations

import sys

from minibit import events
from minibit.events import TRACKER
from minibit.messages import Desligamento, ListaPeers, Message, NovoPeer, in_words
from minibit.records import BlockRecord, PeerRecord, ServingRecord
from minibit.sim.machine import Machine
from minibit.sim.watcher import Watcher
from minibit.sim.world import World


class Transcript(Watcher):
    """The `lines` of a run that it watches: `Simulation(options, watchers=[transcript])`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._farewells: dict[frozenset[str], str] = {}  # links that stand -> why one end said goodbye, or ""

    def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
        """News of the tracker, and of links, as they reach a peer; what peers say is told when they say it."""
        match event:
            case events.Received(sender, message) if isinstance(message, ListaPeers | NovoPeer):
                self._say(world, says(sender, machine.name, message))
            case events.Linked(address, True, _):
                self._farewells[frozenset((machine.name, address.peer))] = ""
                self._say(world, f"{machine.name} and {address.peer} are linked")
            case events.Unlinked(peer, why) if frozenset((machine.name, peer)) in self._farewells:
                self._unlink(world, machine.name, peer, why)
            case events.Unlinked(peer, "unreachable"):
                self._say(world, f"{machine.name} can't reach {peer}")

    def did(self, world: World, machine: Machine, effect: events.Effect) -> None:
        """What a peer says, gives, notes."""
        if line := line_of(machine.name, effect):
            self._say(world, line)
        if isinstance(effect, events.HangUp) and (pair := frozenset((machine.name, effect.peer))) in self._farewells:
            if effect.farewell is None:
                self._unlink(world, machine.name, effect.peer, "a farewell")
            else:
                self._farewells[pair] = reason(machine.name, effect.farewell)

    def _unlink(self, world: World, one: str, other: str, why: str) -> None:
        why = self._farewells.pop(frozenset((one, other))) or why
        self._say(world, f"{one} and {other} are unlinked: {why}")

    def _say(self, world: World, line: str) -> None:
        self.lines.append(f"{world.clock.now:8.3f}  {line}")


def line_of(name: str, effect: events.Effect) -> str:
    """What the peer `name` (or the tracker) does, as a line; "" for what a conversation leaves out."""
    match effect:
        case events.Call(message):
            return says(name, TRACKER, message)
        case events.Send(peer, message) | events.HangUp(peer, Desligamento() as message):
            return says(name, peer, message)
        case events.SendBlock(peer, block, _):
            return f"{name} -> {peer} BLOCO {block}"
        case events.Dial(address, alone):
            return f"{name} dials {address.peer}" + " alone" * alone
        case events.Note(BlockRecord(peer=peer, block=block, source=source, verdict="useful")):
            return f"{peer} takes {block} from {source}"
        case events.Note(BlockRecord(peer=peer, block=block, source=source, verdict=verdict)):
            return f"{peer} finds {block} from {source} {verdict}"
        case events.Note(ServingRecord(peer=peer, neighbour=neighbour, slot="fixed" | "guest" as slot)):
            return f"{peer} gives {neighbour} a {slot} slot"
        case events.Note(PeerRecord(peer=peer, event="completed" | "banned" as event, why=why)):
            return f"{peer} is {event} {why}".rstrip()
        case events.Left(why):
            return f"{name} is gone: {why}"
    return ""


def says(sender: str, receiver: str, message: Message) -> str:
    """A message on its way, with all that it says."""
    return f"{sender} -> {receiver} {in_words(message, most=sys.maxsize)}"


def reason(sender: str, farewell: Desligamento) -> str:
    """Why a link ends, by the farewell that one end sent: it left the swarm, or it wants this link no more."""
    return f"{sender} left" if farewell.peer else farewell.why

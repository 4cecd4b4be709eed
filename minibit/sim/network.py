"""The simulated links: a message arrives later, in order, or not at all.

At most one block is under way from one peer to one neighbour. A message waits for its end, but those in `PASSING` pass
between its parts, as on a real link with a limit. The payload is virtual: the sender and the faults decide the verdict
of its hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from random import Random

import msgspec

from minibit import messages
from minibit.content import Content
from minibit.events import Arrived, Event, Linked, Progressed, Received, Sent, Unlinked
from minibit.messages import Bloco, Desligamento, Message, PeerAddress
from minibit.sim.bandwidth import Bandwidth
from minibit.sim.clock import Clock
from minibit.sim.machine import Machine, Way
from minibit.wire.carriage import DIAL_S, FRAME_BYTES, IDLE_S, PASSING

PROGRESS_S = 10.0  # a block under way gives a sign of life at least this often


class Network:
    """All links between `machines`, and the faults of links, also of machines that aren't there yet.

    `tell` brings an event to a machine. `latency_s` is the delay of a message one way, `connect_s` the time from a dial
    to a proven link, `progress_s` the time between two signs of life of a block under way.
    """

    def __init__(
        self,
        clock: Clock,
        machines: Mapping[str, Machine],
        content: Content,
        tell: Callable[[Machine, Event], None],
        *,
        latency_s: float,
        connect_s: float,
        progress_s: float,
        rng: Random,
    ) -> None:
        self.latency_s = latency_s
        self.connect_s = connect_s
        self.progress_s = progress_s
        self.bandwidth = Bandwidth(clock)
        self.arrived_bytes = 0  # payload, at all machines together
        self.lost_bytes = 0  # payload that was sent, and whose link broke before it was there
        self._clock = clock
        self._machines = machines
        self._content = content
        self._tell = tell
        self._rng = rng
        self._cuts: set[frozenset[str]] = set()
        self._ceilings_bps: dict[frozenset[str], float] = {}
        self._delays_s: dict[frozenset[str], float] = {}
        self._sides: dict[str, int] = {}  # the sides of a split network; a name that isn't here is on side 0
        self._corrupts: dict[str, float] = {}  # the share of blocks that arrive wrong, by sender
        self._said = Received("", Desligamento())  # the last message sent, and its size
        self._said_bytes = 0
        self._mail: list[tuple[Way, Event]] = []  # the events sent last
        self._mail_s = -1.0  # when they arrive
        self._mail_number = 0  # the clock's count of actions just after

    # messages and blocks

    def send(self, machine: Machine, peer: str, message: Message) -> None:
        """Carry a message to a neighbour."""
        if (way := machine.ways.get(peer)) is not None:
            machine.sent[type(message)] += 1
            if message is not self._said.message or machine.name != self._said.sender:  # one often goes to many
                self._said = Received(machine.name, message)
                self._said_bytes = len(messages.encode(message)) + FRAME_BYTES
            machine.control_bytes += self._said_bytes
            if way.flow is None or type(message) in PASSING:
                self._carry(way, self._said)
            else:
                way.held.append(self._said)

    def send_block(self, machine: Machine, peer: str, block: int, spoil: bool, busy: bool) -> None:
        """Carry a block to a neighbour; the sender hears once its last byte left."""
        if (way := machine.ways.get(peer)) is not None:
            machine.sent[Bloco] += 1
            machine.control_bytes += len(messages.encode(Bloco(block, busy))) + FRAME_BYTES
            share = self.corrupts(machine.name)
            ok = not (spoil or (share > 0 and self._rng.random() < share))
            arrived = Arrived(machine.name, block, ok, busy=busy)
            size_bytes, ceiling_bps = self._content.length(block), way.ceiling_bps
            way.flow = self.bandwidth.start(
                machine.end, way.receiver.end, size_bytes, self._block_sent, way, arrived, ceiling_bps=ceiling_bps
            )
            if not machine.progressing:
                machine.progressing = True
                self._clock.at(self._clock.now + self.progress_s, self._progress, machine)

    def _progress(self, machine: Machine) -> None:
        """Tell the receivers of all blocks under way from a machine that bytes keep coming, and plan the next time."""
        under_way = [way for way in machine.ways.values() if way.flow is not None]
        for way in under_way:
            if way.flow is not None and way.flow.rate_bps > 0 and way.open:
                self._tell(way.receiver, Progressed(machine.name))
        machine.progressing = bool(under_way)
        if under_way:
            self._clock.at(self._clock.now + self.progress_s, self._progress, machine)

    def _block_sent(self, way: Way, arrived: Arrived) -> None:
        way.flow = None
        way.sender.sent_bytes += self._content.length(arrived.block)
        self._carry(way, arrived)
        for said in way.held:
            self._carry(way, said)
        way.held.clear()
        self._tell(way.sender, Sent(way.receiver.name, arrived.block))

    def _carry(self, way: Way, event: Event) -> None:
        arrives_s = self._clock.now + self.latency_s
        if way.delay_s or way.ready_s:
            way.ready_s = arrives_s = max(arrives_s + way.delay_s, way.ready_s)
        if arrives_s == self._mail_s and self._clock.planned == self._mail_number:
            self._mail.append((way, event))  # nothing was planned since the last one: one action delivers both
        else:
            self._mail = [(way, event)]
            self._clock.at(arrives_s, self._deliver, self._mail)
            self._mail_s, self._mail_number = arrives_s, self._clock.planned

    def _deliver(self, mail: list[tuple[Way, Event]]) -> None:
        self._mail_s = -1.0  # an event sent from now on needs a new action
        for way, event in mail:
            if way.open:
                if type(event) is Arrived:
                    event = self._arrive(way, event)
                self._tell(way.receiver, event)
            elif type(event) is Arrived:
                self.lost_bytes += self._content.length(event.block)

    def _arrive(self, way: Way, event: Arrived) -> Arrived:
        size_bytes = self._content.length(event.block)
        way.receiver.received_bytes += size_bytes
        self.arrived_bytes += size_bytes
        if event.ok or way.receiver.peer.expects(way.sender.name, event.block):
            return event
        return msgspec.structs.replace(event, ok=True)  # a block that isn't expected isn't hashed (`Arrived`)

    # links begin

    def dial(self, machine: Machine, peer: str, alone: bool) -> None:
        """Connect to a peer; Linked or Unlinked is the answer."""
        self._clock.at(self._clock.now + self.connect_s, self._connect, machine, peer, alone)

    def _connect(self, machine: Machine, peer: str, alone: bool) -> None:
        if peer in machine.ways or not machine.up:
            return
        other = self._machines.get(peer)
        if other is None or machine.name in other.ways or not self.reachable(machine, other):
            self._tell(machine, Unlinked(peer, "unreachable"))
        elif machine.inbox is not None or other.inbox is not None:
            self._clock.at(self._clock.now + DIAL_S, self._give_up, machine, peer)
        else:
            forth, back = Way(machine, other), Way(other, machine)
            forth.back, back.back = back, forth
            machine.ways[peer], other.ways[machine.name] = forth, back
            self._shape(machine.name, peer)
            self._tell(machine, Linked(address(peer), True))
            self._tell(other, Linked(address(machine.name), False, alone))

    def _give_up(self, machine: Machine, peer: str) -> None:
        if peer not in machine.ways:  # it may have dialled us in the meantime
            self._tell(machine, Unlinked(peer, "silent"))

    def reachable(self, one: Machine, other: Machine) -> bool:
        """Whether a link between the two could be made if both were awake."""
        there = one.up and other.up and self.together(one.name, other.name)
        return there and not (self._cuts and frozenset((one.name, other.name)) in self._cuts)

    def together(self, one: str, other: str) -> bool:
        """Whether two names are on the same side of the network; the tracker's name is `tracker`."""
        return not self._sides or self._sides.get(one, 0) == self._sides.get(other, 0)

    # links end

    def hang_up(self, machine: Machine, peer: str, farewell: Desligamento | None) -> None:
        """Close a link after everything sent on it before; with a farewell, unless that would cut a block."""
        if (way := machine.ways.pop(peer, None)) is not None:
            if way.flow is not None:
                farewell = None
            if farewell is not None:
                machine.sent[Desligamento] += 1
            self._end(way, farewell, "hung up")

    def drop_all(self, machine: Machine, why: str) -> None:
        """The machine is gone without a farewell: its neighbours hear that their links are gone."""
        for way in list(machine.ways.values()):
            self._end(way, None, why)
        machine.ways.clear()

    def _end(self, way: Way, farewell: Desligamento | None, why: str) -> None:
        """This end hears nothing from now on; the other end hears of the close after all that was sent."""
        self._shut(way.back)
        self._stop(way)
        arrives_s = max(self._clock.now + self.latency_s + way.delay_s, way.ready_s)
        self._clock.at(arrives_s, self._ended, way, farewell, why)

    def _ended(self, way: Way, farewell: Desligamento | None, why: str) -> None:
        if way.open:
            if farewell is not None:
                self._tell(way.receiver, Received(way.sender.name, farewell))
            way.open = False
            self._lose(way.back, why)

    def _break(self, way: Way, why: str) -> None:
        """A link breaks at once, at both ends."""
        self._shut(way)
        self._shut(way.back)
        self._lose(way, why)
        self._lose(way.back, why)

    def _lose(self, way: Way, why: str) -> None:
        """The sender's end of `way` hears that its link is gone."""
        machine, peer = way.sender, way.receiver.name
        if machine.ways.get(peer) is way:
            del machine.ways[peer]
            self._shut(way)
            self._tell(machine, Unlinked(peer, why))

    def _shut(self, way: Way) -> None:
        way.open = False
        self._stop(way)

    def _stop(self, way: Way) -> None:
        """Cut the block under way, and drop the messages behind it."""
        way.held.clear()
        if way.flow is not None:
            self.bandwidth.stop(way.flow)
            way.flow = None

    # faults

    def silent(self, machine: Machine) -> None:
        """The machine gave no sign of life for `IDLE_S`: its links break."""
        for way in list(machine.ways.values()):
            self._break(way, f"silent for {IDLE_S:g} s")

    def cut(self, one: str, other: str) -> None:
        """Break the link of two peers; it can't be made again until it heals."""
        self._cuts.add(frozenset((one, other)))
        if (way := self._way(one, other)) is not None:
            self._break(way, "cut")

    def heal(self, one: str, other: str) -> None:
        """Let the two reach each other again."""
        self._cuts.discard(frozenset((one, other)))

    def slow(self, one: str, other: str, ceiling_bps: float = inf) -> None:
        """Let the link of two peers carry at most `ceiling_bps` bytes a second each way, from now on."""
        self._ceilings_bps[frozenset((one, other))] = ceiling_bps
        self._shape(one, other)

    def delay(self, one: str, other: str, delay_s: float = 0.0) -> None:
        """Let messages on the link of two peers take `delay_s` longer, from now on."""
        self._delays_s[frozenset((one, other))] = delay_s
        self._shape(one, other)

    def _way(self, one: str, other: str) -> Way | None:
        machine = self._machines.get(one)
        return None if machine is None else machine.ways.get(other)

    def _shape(self, one: str, other: str) -> None:
        """Give both ways of a link, if it stands, the delay and the ceiling of their pair."""
        pair, way = frozenset((one, other)), self._way(one, other)
        for half in () if way is None else (way, way.back):
            half.delay_s = self._delays_s.get(pair, 0.0)
            half.ceiling_bps = self._ceilings_bps.get(pair, inf)
            if half.flow is not None:
                self.bandwidth.cap(half.flow, half.ceiling_bps)

    def split(self, names: Sequence[str], side: int) -> None:
        """Put these peers on that side of the network: their links to other sides break."""
        self._sides.update(dict.fromkeys(names, side))
        for machine in [self._machines[name] for name in names if name in self._machines]:
            for way in list(machine.ways.values()):
                if not self.together(machine.name, way.receiver.name):
                    self._break(way, "split")

    @property
    def slowest_bps(self) -> float:
        """The ceiling of the slowest link of two peers, in bytes a second."""
        return min(self._ceilings_bps.values(), default=inf)

    @property
    def longest_s(self) -> float:
        """The time of a message on the link with the longest delay."""
        return self.latency_s + max(self._delays_s.values(), default=0.0)

    def corrupts(self, name: str) -> float:
        """The share of this peer's blocks that arrive wrong."""
        return self._corrupts.get(name, 0.0)

    def corrupt(self, name: str, share: float) -> None:
        """Let this share of the peer's blocks arrive wrong, from now on."""
        self._corrupts[name] = share


def address(name: str) -> PeerAddress:
    """Where a simulated peer listens."""
    return PeerAddress(name, name, 1)

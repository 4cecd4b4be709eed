"""The links between nodes: what is sent arrives later, in order, or not at all.

A message waits for the block that is under way before it, as on a TCP connection; at most one block is under way
from one peer to one neighbour. The payload is virtual: the verdict of its hash is what the sender and the faults
make it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from random import Random

from minibit import events, messages
from minibit.content import Content
from minibit.events import Event
from minibit.messages import Bloco, Desligamento, Message, PeerAddress
from minibit.sim.bandwidth import Bandwidth, Flow
from minibit.sim.clock import Clock
from minibit.sim.node import Node, Way

FRAME_BYTES = 8  # before the header of every message on a link
SILENT_DIAL_S = 5.0  # after which a dial to a peer that is paused is given up
RESPONSE_S = 10.0  # between two signs of life of a block that is under way


class Network:
    """All links. `tell` brings an event to a node; `latency_s` is one way, `connect_s` from a dial to a proven link."""

    def __init__(
        self,
        clock: Clock,
        content: Content,
        tell: Callable[[Node, Event], None],
        *,
        latency_s: float,
        connect_s: float,
        rng: Random,
    ) -> None:
        self.latency_s = latency_s
        self.connect_s = connect_s
        self.bandwidth = Bandwidth(clock)
        self.arrived_bytes = 0  # payload, over all nodes
        self._clock = clock
        self._content = content
        self._tell = tell
        self._rng = rng
        self._cuts: set[frozenset[str]] = set()
        self._shapes: dict[frozenset[str], tuple[float, float]] = {}  # ceiling and delay of pairs that have one
        self._said = events.Received("", Desligamento())  # the last message sent, and its size
        self._said_bytes = 0
        self._mail: list[tuple[Way, Event]] = []  # what was sent last, and when it arrives
        self._mail_s = -1.0
        self._mail_number = 0

    # messages and blocks

    def send(self, node: Node, peer: str, message: Message) -> None:
        """Carry a message to a neighbour."""
        if (way := node.ways.get(peer)) is not None:
            node.sent[type(message)] += 1
            if message is not self._said.message:  # the same news goes to many
                self._said = events.Received(node.name, message)
                self._said_bytes = len(messages.encode(message)) + FRAME_BYTES
            node.control_bytes += self._said_bytes
            if way.flow is None:
                self._carry(way, self._said)
            else:
                way.held.append(self._said)

    def send_block(self, node: Node, peer: str, block: int, spoil: bool) -> None:
        """Carry a block to a neighbour; the sender hears when its last byte left."""
        if (way := node.ways.get(peer)) is not None:
            node.sent[Bloco] += 1
            node.control_bytes += len(messages.encode(Bloco(block))) + FRAME_BYTES
            ok = not (spoil or (node.corrupts > 0 and self._rng.random() < node.corrupts))
            way.flow = self.bandwidth.start(
                node.end,
                way.receiver.end,
                self._content.length(block),
                self._block_sent,
                way,
                block,
                ok,
                ceiling_bps=way.ceiling_bps,
            )
            self._clock.at(self._clock.now + RESPONSE_S, self._progress, way, way.flow)

    def _progress(self, way: Way, flow: Flow) -> None:
        if flow.done is not None:
            if flow.rate_bps > 0 and way.open:
                self._tell(way.receiver, events.Progressed(way.sender.name))
            self._clock.at(self._clock.now + RESPONSE_S, self._progress, way, flow)

    def _block_sent(self, way: Way, block: int, ok: bool) -> None:
        way.flow = None
        way.sender.sent_bytes += self._content.length(block)
        self._carry(way, events.Arrived(way.sender.name, block, ok))
        for said in way.held:
            self._carry(way, said)
        way.held.clear()
        self._tell(way.sender, events.Sent(way.receiver.name, block))

    def _carry(self, way: Way, event: Event) -> None:
        arrives_s = self._clock.now + self.latency_s
        if way.delay_s or way.ready_s:
            way.ready_s = arrives_s = max(arrives_s + way.delay_s, way.ready_s)
        if arrives_s == self._mail_s and self._clock.planned == self._mail_number:
            self._mail.append((way, event))  # just behind the last: one plan for all
        else:
            self._mail = [(way, event)]
            self._clock.at(arrives_s, self._deliver, self._mail)
            self._mail_s, self._mail_number = arrives_s, self._clock.planned

    def _deliver(self, mail: list[tuple[Way, Event]]) -> None:
        self._mail_s = -1.0  # what is sent now comes later
        for way, event in mail:
            if way.open:
                if type(event) is events.Arrived:
                    event = self._arrive(way, event)
                self._tell(way.receiver, event)

    def _arrive(self, way: Way, event: events.Arrived) -> events.Arrived:
        size_bytes = self._content.length(event.block)
        way.receiver.received_bytes += size_bytes
        self.arrived_bytes += size_bytes
        if event.ok or way.receiver.peer.expects(way.sender.name, event.block):
            return event
        return event._replace(ok=True)  # nobody hashes what nobody asked for

    # links begin

    def dial(self, node: Node, other: Node | None, peer: str, alone: bool) -> None:
        """Connect to a peer; answered by Linked or by Unlinked."""
        self._clock.at(self._clock.now + self.connect_s, self._connect, node, other, peer, alone)

    def _connect(self, node: Node, other: Node | None, peer: str, alone: bool) -> None:
        if peer in node.ways or not node.up:
            return
        if other is None or node.name in other.ways or not self.reachable(node, other):
            self._tell(node, events.Unlinked(peer, "unreachable"))
        elif other.inbox is not None:
            self._clock.at(self._clock.now + SILENT_DIAL_S, self._tell, node, events.Unlinked(peer, "silent"))
        else:
            forth, back = Way(node, other), Way(other, node)
            forth.back, back.back = back, forth
            node.ways[peer], other.ways[node.name] = forth, back
            self._apply_shape(forth)
            self._tell(node, events.Linked(address(peer), True))
            self._tell(other, events.Linked(address(node.name), False, alone))

    def reachable(self, one: Node, other: Node) -> bool:
        """Whether a link between the two could be made, if both were awake."""
        if not (one.up and other.up and one.side == other.side):
            return False
        return not self._cuts or frozenset((one.name, other.name)) not in self._cuts

    # links end

    def hang_up(self, node: Node, peer: str, farewell: Desligamento | None) -> None:
        """Close a link, after what was sent on it before."""
        if (way := node.ways.pop(peer, None)) is not None:
            if farewell is not None:
                node.sent[Desligamento] += 1
            self._end(way, farewell, "hung up")

    def drop_all(self, node: Node, why: str) -> None:
        """The node is gone without a word: its neighbours hear that their links are."""
        for way in list(node.ways.values()):
            self._end(way, None, why)
        node.ways.clear()

    def _end(self, way: Way, farewell: Desligamento | None, why: str) -> None:
        """This end is deaf from now on; the other hears of it behind all that was sent."""
        self._shut(way.back)
        self._stop(way)
        arrives_s = max(self._clock.now + self.latency_s + way.delay_s, way.ready_s)
        self._clock.at(arrives_s, self._ended, way, farewell, why)

    def _ended(self, way: Way, farewell: Desligamento | None, why: str) -> None:
        if way.open:
            if farewell is not None:
                self._tell(way.receiver, events.Received(way.sender.name, farewell))
            way.open = False
            self._lose(way.back, why)

    def _break(self, way: Way, why: str) -> None:
        """A link breaks at once, at both ends."""
        self._shut(way)
        self._shut(way.back)
        self._lose(way, why)
        self._lose(way.back, why)

    def _lose(self, way: Way, why: str) -> None:
        """This end hears that its link is gone."""
        node, peer = way.sender, way.receiver.name
        if node.ways.get(peer) is way:
            del node.ways[peer]
            self._shut(way)
            self._tell(node, events.Unlinked(peer, why))

    def _shut(self, way: Way) -> None:
        way.open = False
        self._stop(way)

    def _stop(self, way: Way) -> None:
        """What is under way is cut."""
        way.held.clear()
        if way.flow is not None:
            self.bandwidth.stop(way.flow)
            way.flow = None

    # what goes wrong

    def cut(self, one: Node, other: Node) -> None:
        """The link of two peers breaks, and can't be made again until it heals."""
        self._cuts.add(frozenset((one.name, other.name)))
        if (way := one.ways.get(other.name)) is not None:
            self._break(way, "cut")

    def heal(self, one: Node, other: Node) -> None:
        """The two can reach each other again."""
        self._cuts.discard(frozenset((one.name, other.name)))

    def shape(self, one: Node, other: Node, ceiling_bps: float = inf, delay_s: float = 0.0) -> None:
        """The link of two peers takes so many bytes a second at most, and so much longer, from now on."""
        self._shapes[frozenset((one.name, other.name))] = ceiling_bps, delay_s
        if (way := one.ways.get(other.name)) is not None:
            self._apply_shape(way)

    def _apply_shape(self, way: Way) -> None:
        if self._shapes and (found := self._shapes.get(frozenset((way.sender.name, way.receiver.name)))):
            for one in (way, way.back):
                one.ceiling_bps, one.delay_s = found
                if one.flow is not None:
                    self.bandwidth.cap(one.flow, one.ceiling_bps)

    def split(self, nodes: Iterable[Node], side: int) -> None:
        """These nodes are on that side of the network from now on: their links to another break."""
        moved = list(nodes)
        for node in moved:
            node.side = side
        for node in moved:
            for way in list(node.ways.values()):
                if way.receiver.side != side:
                    self._break(way, "split")


def address(name: str) -> PeerAddress:
    """Where a simulated peer listens."""
    return PeerAddress(name, name, 1)

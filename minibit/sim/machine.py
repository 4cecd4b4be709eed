"""A simulated machine with one peer on it, and its ends of links."""

from __future__ import annotations

from collections import Counter
from math import inf

from minibit import events
from minibit.peer import Peer
from minibit.records import SampleRecord
from minibit.sim.bandwidth import End, Flow
from minibit.sim.journal import Journal


class Machine:
    """The machine of one peer.

    ways         its direction of each link that it believes to stand, by neighbour
    inbox        the events that it will handle when it goes on; None unless it is paused
    stay_s       seconds after its completion at which it leaves; None: as its rules say
    sent         messages that it has sent, by verb
    journal      its events; None: nobody keeps them
    """

    __slots__ = (
        "alive",
        "awake_bps",
        "control_bytes",
        "end",
        "inbox",
        "journal",
        "name",
        "peer",
        "progressing",
        "received_bytes",
        "sent",
        "sent_bytes",
        "stay_s",
        "wake_s",
        "ways",
    )

    def __init__(self, peer: Peer, end: End, *, stay_s: float | None = None) -> None:
        self.name = peer.name
        self.peer = peer
        self.end = end
        self.awake_bps = end.up_bps  # its uplink, while it is not paused
        self.ways: dict[str, Way] = {}
        self.alive = True
        self.inbox: list[events.Event] | None = None
        self.stay_s = stay_s
        self.wake_s = inf  # the time of its next wake
        self.progressing = False  # whether it will soon report that bytes of its blocks arrived
        self.sent: Counter[type] = Counter()
        self.sent_bytes = 0
        self.received_bytes = 0
        self.control_bytes = 0
        self.journal: Journal | None = None

    @property
    def up(self) -> bool:
        """Whether it is neither dead nor gone; it may be paused."""
        return self.alive and not self.peer.left

    def sample(self, now: float) -> SampleRecord:
        """A sample of how far the peer is."""
        return self.peer.sample(now, self.sent_bytes, self.received_bytes, self.control_bytes)


class Way:
    """One direction of a link: what `sender` sends to `receiver`; `back` is the other."""

    __slots__ = ("back", "ceiling_bps", "delay_s", "flow", "held", "open", "ready_s", "receiver", "sender")

    def __init__(self, sender: Machine, receiver: Machine) -> None:
        self.sender = sender
        self.receiver = receiver
        self.back: Way
        self.open = True  # what was sent arrives
        self.flow: Flow | None = None  # the block that is under way
        self.held: list[events.Received] = []  # messages that wait behind that block
        self.ceiling_bps = inf
        self.delay_s = 0.0  # beyond the usual latency
        self.ready_s = 0.0  # when the last delayed message arrives: no later one overtakes it

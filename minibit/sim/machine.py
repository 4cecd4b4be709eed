"""A simulated machine with one peer on it, and its ends of links."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf

from minibit import events
from minibit.peer import Peer
from minibit.records import SampleRecord
from minibit.sim.bandwidth import End, Flow
from minibit.sim.journal import Journal


@dataclass(slots=True, eq=False)
class Machine:
    """The machine of one peer.

    awake_bps    its uplink, while it is not paused
    ways         its direction of each link that it believes to stand, by neighbour
    inbox        the events that it will handle when it goes on; None unless it is paused
    stay_s       seconds after its completion at which it leaves; None: as its rules say
    wake_s       the time of its next wake
    progressing  whether it will soon report that bytes of its blocks arrived
    sent         messages that it has sent, by verb
    journal      its events; None: nobody keeps them
    """

    peer: Peer
    end: End
    stay_s: float | None = None
    journal: Journal | None = None
    name: str = field(init=False)
    awake_bps: float = field(init=False)
    ways: dict[str, Way] = field(default_factory=dict)
    alive: bool = True
    inbox: list[events.Event] | None = None
    wake_s: float = inf
    progressing: bool = False
    sent: Counter[type] = field(default_factory=Counter)
    sent_bytes: int = 0
    received_bytes: int = 0
    control_bytes: int = 0

    def __post_init__(self) -> None:
        self.name = self.peer.name
        self.awake_bps = self.end.up_bps

    @property
    def up(self) -> bool:
        """Whether it is neither dead nor gone; it may be paused."""
        return self.alive and not self.peer.left

    def sample(self, now: float) -> SampleRecord:
        """A sample of how far the peer is."""
        return self.peer.sample(now, self.sent_bytes, self.received_bytes, self.control_bytes)


@dataclass(slots=True, eq=False)
class Way:
    """One direction of a link: what `sender` sends to `receiver`; `back` is the other."""

    sender: Machine
    receiver: Machine
    back: Way = field(init=False)
    open: bool = True  # what was sent arrives
    flow: Flow | None = None  # the block that is under way
    held: list[events.Received] = field(default_factory=list)  # messages that wait behind that block
    ceiling_bps: float = inf
    delay_s: float = 0.0  # beyond the usual latency
    ready_s: float = 0.0  # when the last delayed message arrives: no later one overtakes it

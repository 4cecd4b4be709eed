"""One story, which every world tells: four peers share a film, one of them says goodbye, a fifth comes.

Here it is told by the simulation. There are fewer slots than neighbours, and the seed is slow, so that the peers need
each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from loopback import FAST
from seats import take_seat

from minibit import inventory
from minibit.content import Content, VirtualContent
from minibit.events import TRACKER
from minibit.records import BlockRecord, PeerRecord, Record
from minibit.run.laws import Evidence, broken
from minibit.sim.world import World

BLOCKS, BLOCK_BYTES = 24, 16384
CONTENT_BYTES = BLOCKS * BLOCK_BYTES - 5
RULES_OF_ALL = msgspec.structs.replace(FAST, slots=2, guests=1)
SLOTS = 3  # the guest's included
SEED_BPS = 1 << 20
ALL = inventory.full(BLOCKS)
AT_START = {TRACKER: ALL, **{f"peer-0{number}": inventory.EMPTY for number in range(1, 6)}}
CLOCKS_S = 0.001  # one clock for all, read by several processes
BOUND_S = 60.0


class Story(NamedTuple):
    """What was recorded, and what each peer held at the end, when nothing was under way."""

    content: Content
    records: list[Record]
    at_end: dict[str, int]

    def evidence(self, slots: int = SLOTS) -> Evidence:
        """For the laws of all runs."""
        return Evidence(self.content, self.records, AT_START, slots, self.at_end, CLOCKS_S)

    def moments(self, peer: str, event: str) -> list[float]:
        """When that happened in the life of a peer."""
        return [
            one.at_s for one in self.records if isinstance(one, PeerRecord) and (one.peer, one.event) == (peer, event)
        ]

    def sources(self, *peers: str) -> set[str]:
        """The peers that sent blocks to any of `peers`."""
        return {one.source for one in self.records if isinstance(one, BlockRecord) and one.peer in peers}

    def check(self) -> None:
        """Assert that all went as the story says, and no law was broken."""
        first = [f"peer-0{number}" for number in range(1, 5)]
        assert self.at_end == dict.fromkeys(AT_START, ALL)
        assert broken(self.evidence()) == []
        (left_s,) = self.moments("peer-01", "left")
        assert max(self.moments(peer, "completed")[0] for peer in first) <= left_s
        assert left_s <= self.moments("peer-05", "started")[0]
        assert "peer-01" not in self.sources("peer-05")
        assert self.sources(*first) - {TRACKER}  # not a star around the seed


def go(world: World, until: Callable[[], object]) -> None:
    """Let the world go on until that is so."""
    while not until():
        assert world.now < BOUND_S, "it never came to that"
        world.clock.step()


def simulated() -> Story:
    """The story, as the simulation tells it."""
    world = World(VirtualContent("film", CONTENT_BYTES, BLOCK_BYTES), RULES_OF_ALL)
    take_seat(world, TRACKER, held=ALL, up_bps=SEED_BPS)
    first = [take_seat(world, f"peer-0{number}", up_bps=SEED_BPS) for number in range(1, 5)]
    go(world, lambda: all(node.peer.complete for node in first))
    world.sample()
    world.leave("peer-01")
    go(world, lambda: first[0].peer.left)
    late = take_seat(world, "peer-05", up_bps=SEED_BPS)
    go(world, lambda: late.peer.complete)
    world.records += [machine.sample(world.now) for machine in world.machines.values()]
    return Story(world.content, world.records, {name: machine.peer.held for name, machine in world.machines.items()})

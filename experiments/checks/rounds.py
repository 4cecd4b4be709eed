"""Synchronous rounds with perfect information: the value of a picker when nothing else matters.

In each round the seed and every peer may send one block, and every peer may receive one. At the start of a round all
know all inventories, and Minibit's own `Availability` counts the copies of each block. Senders act in random order.
Each serves a random peer that wants one of its blocks, and that peer chooses the block with Minibit's own picker. So it
is in the real swarm: the choker decides which peer is served, and the picker only which block. (J. Mundinger, R. Weber
and G. Weiss, "Optimal scheduling of peer-to-peer file dissemination", Journal of Scheduling 11, 2008.)
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from minibit import inventory
from minibit.availability import Availability
from minibit.picker import PICKERS

SEED = 0  # the seed's place; the peers come after it


class Course(NamedTuple):
    """The rounds until all peers hold all blocks, and until every block has left the seed, which sends one a round."""

    rounds: int
    seed_rounds: int


def least(peers: int, blocks: int) -> int:
    """The fewest rounds possible: the last block must still double until all hold it."""
    return blocks + peers.bit_length() - 1


def with_picker(picker: str, peers: int, blocks: int, seed: int) -> Course:
    """The course of a swarm with this picker."""
    chance = Random(f"{seed}/rounds/{picker}")
    picks = PICKERS[picker](chance)
    everything = inventory.full(blocks)
    held = [everything] + [inventory.EMPTY] * peers
    copies = Availability(blocks)
    rounds = seed_rounds = 0
    while wanting := [peer for peer, blocks_held in enumerate(held) if blocks_held != everything]:
        rounds += 1
        seed_rounds += bool(copies.nobody)
        before = held[:]
        givers = [giver for giver, blocks_held in enumerate(before) if blocks_held]
        chance.shuffle(givers)
        taken = []
        for giver in givers:
            if takers := [peer for peer in wanting if before[giver] & ~before[peer]]:
                taker = chance.choice(takers)
                wanting.remove(taker)
                taken.append((taker, picks.pick(before[giver] & ~before[taker], copies)))
        for taker, block in taken:
            held[taker] |= 1 << block
            copies.add(1 << block)
    return Course(rounds, seed_rounds)


def by_hypercube(dimensions: int, blocks: int) -> int:
    """Rounds for `2^dimensions - 1` peers by a plan: in each round all exchange along the next edge of a hypercube.

    The seed sends one block after another, and each peer the newest one that its partner lacks. Nothing is chosen, and
    it takes `least` rounds.
    """
    everything = inventory.full(blocks)
    held = [everything] + [inventory.EMPTY] * ((1 << dimensions) - 1)
    rounds = 0
    while any(blocks_held != everything for blocks_held in held):
        edge = 1 << rounds % dimensions
        before = held[:]
        before[SEED] = 1 << min(rounds, blocks - 1)
        for peer in range(1, len(held)):
            if new := before[peer ^ edge] & ~held[peer]:
                held[peer] |= 1 << new.bit_length() - 1
        rounds += 1
    return rounds

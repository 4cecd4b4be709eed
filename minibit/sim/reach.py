"""What can still come: which blocks are within reach of a peer that lacks them, and how long it may take at most.

Seen from outside, by what the world is like and not by what a peer believes. A peer is fed by those with whom it is
linked or could link: both are up and awake, on the same side, not cut, neither banned the other, and it knows where
the other is or can ask the tracker. What its feeders could get is within its reach too, if they pass it on: honest
and slow peers do; free-riders don't, corrupters are no use, and a liar gives what it holds and gets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from minibit import inventory
from minibit.contacts import LONGEST_RETRY_S, REMEMBERED
from minibit.events import TRACKER
from minibit.membership import LONGEST_PAUSE_S
from minibit.neighbour import Standing
from minibit.sim.machine import Machine
from minibit.sim.world import World
from minibit.wire.carriage import IDLE_S

Reach = dict[str, tuple[str, ...]]  # peers that are there and awake, and whom each is linked with or could dial


def reach(world: World) -> Reach:
    """Who could take from whom."""
    there = [
        machine
        for machine in world.machines.values()
        if machine.up and machine.inbox is None and machine.peer.leaving is None
    ]
    return {
        one.name: tuple(other.name for other in there if other is not one and _could_take(world, one, other))
        for one in there
    }


def within(world: World, links: Reach, *, at_best: bool = False) -> dict[str, int]:
    """The blocks (an inventory) that each peer lacks and could get, for all that lack some.

    `at_best`: also from those of whose blocks some arrive wrong.
    """
    machines = {name: world.machines[name] for name in links}
    pools = {
        name: _gives(world, machine, at_best) for name, machine in machines.items()
    }  # what others could get from it
    relays = [name for name, machine in machines.items() if pools[name] is not None and not lies(machine)]
    before: dict[str, int | None] = {}
    while before != pools:
        before = dict(pools)
        for name in relays:
            pools[name] = _pooled(pools, (name, *links[name]))
    return {
        name: _pooled(pools, links[name]) & machine.peer.missing
        for name, machine in machines.items()
        if machine.peer.missing and not lies(machine) and not machine.peer.behaviour.spoils
    }


def _pooled(pools: dict[str, int | None], names: Iterable[str]) -> int:
    blocks = inventory.EMPTY
    for name in names:
        blocks |= pools[name] or inventory.EMPTY
    return blocks


def lies(machine: Machine) -> bool:
    """Whether it announces blocks that it lacks; so nobody gives it any."""
    return bool(machine.peer.behaviour.claims(inventory.EMPTY, machine.peer.content.block_count))


def patience_s(world: World) -> float:
    """For how long nothing useful need arrive anywhere, though a block is within reach of somebody awake.

    Counted from when the last useful block came, or the world last changed. One hop is enough, from a peer X that
    holds a block to a peer Y that lacks it. In the worst case Y

    meets X     is fed by nobody for two leases of a guest until it says that it is alone, and then tries one more of
                all that it knows every LONGEST_PAUSE_S, X last, which it left alone for LONGEST_RETRY_S before;
    is served   when those that hold the slots and take nothing are gone: they are silent for IDLE_S, or
                guests for a lease;
    asks        those first that are silent or lie, and leaves X alone for as long, if it was silent before; and if X
                lies, for every other block before the one that it has;
    is sent it  on the slowest line, shared by all that its ends serve and are served by at once; two blocks, since
                the one before may be double.
    """
    rules = world.rules
    known = min(len(world.machines), REMEMBERED * rules.neighbours)
    meets_s = 2 * (rules.guest_rounds + 2) * rules.round_s + known * LONGEST_PAUSE_S + LONGEST_RETRY_S
    served_s = max(IDLE_S, rules.guest_rounds * rules.round_s) + rules.round_s
    lied = world.content.block_count if any(lies(machine) for machine in world.machines.values()) else 0
    asks_s = 2 * rules.request_timeout_s * (1 + lied)
    return meets_s + served_s + asks_s + 2 * slowest_block_s(world)


def hasty(world: World) -> bool:
    """Whether a slot may be gone before the PEDIDO for it is there: then nothing is promised.

    So it is where more neighbours want slots than there are, and a round is no longer than a message and its answer.
    """
    rules = world.rules
    there = [machine for machine in world.machines.values() if machine.up]
    slots = min((own for machine in there if (own := machine.peer.uploads.slots) is not None), default=len(there))
    return slots < min(len(there) - 1, rules.neighbours) and rules.round_s <= 2 * world.network.longest_s


def slowest_block_s(world: World) -> float:
    """How long a block may be under way, at the slowest line of all that is there."""
    there = [machine for machine in world.machines.values() if machine.up]
    slots = max((len(there) if (own := machine.peer.uploads.slots) is None else own for machine in there), default=1)
    served = max(1, min(slots, len(there), world.rules.neighbours))
    feeding = max(1, min(len(there), world.rules.neighbours))
    lines_bps = [machine.awake_bps / served for machine in there] + [
        machine.end.down_bps / feeding for machine in there
    ]
    return world.content.length(0) / min(*lines_bps, world.network.slowest_bps, inf)


def _could_take(world: World, one: Machine, other: Machine) -> bool:
    if not world.network.reachable(one, other) or _banned(one, other) or _banned(other, one):
        return False
    asks = world.tracker is not None and world.network.together(one.name, TRACKER)
    return asks or other.name in one.peer.contacts.known


def _banned(by: Machine, other: Machine) -> bool:
    known = by.peer.contacts.known.get(other.name)
    return known is not None and known.standing is Standing.BANNED


def _gives(world: World, machine: Machine, at_best: bool) -> int | None:
    """What others get right from it, at best now and then; None for nothing, ever."""
    behaviour = machine.peer.behaviour
    if not behaviour.serves or behaviour.spoils or machine.peer.uploads.slots == 0:
        return None
    wrong = world.network.corrupts(machine.name)
    return machine.peer.held if wrong == 0 or (at_best and wrong < 1) else None

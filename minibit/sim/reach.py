"""What can still come: which blocks are within reach of a peer that lacks them, and how long they may take at most.

It looks at the whole world from outside. Only two facts are taken from inside the peers, because nothing else holds
them: which neighbours a peer has an address of, and which it banned.

Peer A can be fed by peer B when they are linked or could link: both are up and awake, on the same side of a split, no
cut is between them, neither banned the other, and A has the address of B or can ask the tracker. Blocks that B could
get are within reach of A too, if B passes them on. Honest and slow peers do. Free-riders don't, corrupters are no use,
and a liar gives what it holds and gets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

from minibit import inventory
from minibit.contacts import LONGEST_RETRY_S, REMEMBERED
from minibit.events import TRACKER
from minibit.membership import LONGEST_PAUSE_S
from minibit.neighbour import Standing
from minibit.sim.machine import Machine
from minibit.sim.world import World
from minibit.wire.carriage import IDLE_S

Reach = dict[str, tuple[str, ...]]  # for each peer that is there and awake, the peers that could feed it


def reach(world: World) -> Reach:
    """For each peer, the peers that could feed it."""
    there = [one for one in world.machines.values() if one.up and one.inbox is None and one.peer.leaving is None]
    return {
        one.name: tuple(other.name for other in there if other is not one and _could_take(world, one, other))
        for one in there
    }


def within(world: World, links: Reach, *, at_best: bool = False) -> dict[str, int]:
    """For each peer that lacks blocks, those that it could get (an inventory).

    `at_best`: count peers too whose blocks arrive wrong now and then.
    """
    machines = {name: world.machines[name] for name in links}
    pools = {name: _gives(world, one, at_best) for name, one in machines.items()}  # what others could get from each
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
    return reduce(or_, (pools[name] or inventory.EMPTY for name in names), inventory.EMPTY)


def lies(machine: Machine) -> bool:
    """Whether the peer announces blocks that it lacks; then its neighbours give it none."""
    return bool(machine.peer.behaviour.claims(inventory.EMPTY, machine.peer.content.block_count))


def patience_s(world: World) -> float:
    """The longest time without a useful block anywhere, while a block is still within reach of a peer that is awake.

    It counts from the last useful block, or the last change of the world. One hop is enough: from a peer X that holds
    a block to a peer Y that lacks it. In the worst case

    Y meets X   nobody feeds Y for two leases of a guest, until it says that it is alone; then it dials one more of
                the peers it knows every LONGEST_PAUSE_S, X last; X was not to be dialled for LONGEST_RETRY_S before;
    X serves Y  once the neighbours that hold the slots of X and take nothing are gone: they are silent for
                IDLE_S, or guests for a lease;
    Y asks X    after neighbours that are silent or lie; if X was silent before, Y asks it nothing for as long; if X
                lies, Y asks it for every other block before the one that X has;
    X sends it  on the slowest line, shared by all that both ends serve and are fed by at once; two blocks, since the
                one before may be double.
    """
    rules = world.rules
    known = min(len(world.machines), REMEMBERED * rules.neighbours)
    meets_s = 2 * (rules.guest_rounds + 2) * rules.round_s + known * LONGEST_PAUSE_S + LONGEST_RETRY_S
    served_s = max(IDLE_S, rules.guest_rounds * rules.round_s) + rules.round_s
    lied = world.content.block_count if any(lies(machine) for machine in world.machines.values()) else 0
    asks_s = 2 * rules.request_timeout_s * (1 + lied)
    return meets_s + served_s + asks_s + 2 * slowest_block_s(world)


def hasty(world: World) -> bool:
    """Whether a neighbour may lose its slot before its PEDIDO arrives: then nothing is promised.

    It happens where neighbours want more slots than there are, and a round is no longer than a message and its answer.
    """
    rules = world.rules
    there = [machine for machine in world.machines.values() if machine.up]
    slots = min((own for machine in there if (own := machine.peer.uploads.slots) is not None), default=len(there))
    return slots < min(len(there) - 1, rules.neighbours) and rules.round_s <= 2 * world.network.longest_s


def slowest_block_s(world: World) -> float:
    """How long a block may be under way: on the slowest line of all peers that are there."""
    there = [machine for machine in world.machines.values() if machine.up]
    slots = max((len(there) if (own := machine.peer.uploads.slots) is None else own for machine in there), default=1)
    served = max(1, min(slots, len(there), world.rules.neighbours))
    feeding = max(1, min(len(there), world.rules.neighbours))
    lines_bps = [min(machine.awake_bps / served, machine.end.down_bps / feeding) for machine in there]
    return world.content.length_max / min([*lines_bps, world.network.slowest_bps])


def _could_take(world: World, one: Machine, other: Machine) -> bool:
    if not world.network.reachable(one, other) or _banned(one, other) or _banned(other, one):
        return False
    asks = world.tracker is not None and world.network.together(one.name, TRACKER)
    return asks or other.name in one.peer.contacts.known


def _banned(by: Machine, other: Machine) -> bool:
    known = by.peer.contacts.known.get(other.name)
    return known is not None and known.standing is Standing.BANNED


def _gives(world: World, machine: Machine, at_best: bool) -> int | None:
    """The inventory that others can get from it, with `at_best` now and then; None: nothing, ever."""
    behaviour = machine.peer.behaviour
    if not behaviour.serves or behaviour.spoils or machine.peer.uploads.slots == 0:
        return None
    wrong = world.network.corrupts(machine.name)
    return machine.peer.held if wrong == 0 or (at_best and wrong < 1) else None

"""Faults in a simulated world: it carries out the moments of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from minibit.run.plan import Moment
from minibit.sim.world import World

Action = Callable[[], object]


def put_in(world: World, moments: Iterable[Moment]) -> None:
    """Let each fault begin at its moment, and end when it is over."""
    for moment in moments:
        begin, end = _actions(world, moment)
        world.clock.at(moment.at_s, begin)
        if moment.until_s is not None:
            world.clock.at(moment.until_s, end)


def _nothing() -> None:
    """A peer that died or left does not come back."""


def _actions(world: World, moment: Moment) -> tuple[Action, Action]:
    fault, names, network = moment.fault, moment.names, world.network
    match fault.kind:
        case "dies":
            return lambda: world.kill(*names), _nothing
        case "leaves":
            return lambda: world.leave(*names), _nothing
        case "pauses":
            return lambda: world.pause(*names), lambda: world.resume(*names)
        case "corrupt":
            (name,) = names
            return lambda: network.corrupt(name, fault.share), lambda: network.corrupt(name, 0.0)
        case "cut":
            return lambda: network.cut(*names), lambda: network.heal(*names)
        case "slow":
            one, other = names
            return lambda: network.slow(one, other, fault.rate_bps), lambda: network.slow(one, other)
        case "delayed":
            one, other = names
            return lambda: network.delay(one, other, fault.by_s), lambda: network.delay(one, other)
        case "split":
            side = moment.number + 1  # each split has a side of its own, so two at once are apart from each other
            return lambda: network.split(list(names), side), lambda: network.split(list(names), 0)
        case "tracker-gone":
            return world.kill_tracker, world.restart_tracker

"""Faults in a simulated world: it carries out the moments of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minibit.run.plan import Moment
from minibit.run.scenario import Kind
from minibit.sim.world import World

Action = tuple[Callable[..., object], tuple[Any, ...]]
"""A function and its arguments."""


def put_in(world: World, moments: Iterable[Moment]) -> None:
    """Let each fault begin at its moment, and end when it is over."""
    for moment in moments:
        begin, end = _actions(world, moment)
        for at_s, action in ((moment.at_s, begin), (moment.until_s, end)):
            if at_s is not None and action is not None:
                world.clock.at(at_s, action[0], *action[1])


def _actions(world: World, moment: Moment) -> tuple[Action, Action | None]:
    """How the fault begins and how it ends. A peer that died or left does not come back."""
    fault, names, network = moment.fault, moment.names, world.network
    side = moment.number + 1  # each split has a side of its own, so two at once are apart from each other
    actions: dict[Kind, tuple[Action, Action | None]] = {
        "dies": ((world.kill, names), None),
        "leaves": ((world.leave, names), None),
        "pauses": ((world.pause, names), (world.resume, names)),
        "corrupt": ((network.corrupt, (*names, fault.share)), (network.corrupt, (*names, 0.0))),
        "cut": ((network.cut, names), (network.heal, names)),
        "slow": ((network.slow, (*names, fault.rate_bps)), (network.slow, names)),
        "delayed": ((network.delay, (*names, fault.by_s)), (network.delay, names)),
        "split": ((network.split, (list(names), side)), (network.split, (list(names), 0))),
        "tracker-gone": ((world.kill_tracker, ()), (world.restart_tracker, ())),
    }
    return actions[fault.kind]

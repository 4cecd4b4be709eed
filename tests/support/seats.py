"""Seats for tests, by few words."""

from __future__ import annotations

from typing import Any

import msgspec

from minibit.behaviour import BEHAVIOURS, Honest
from minibit.seat import Seat
from minibit.sim.machine import Machine
from minibit.sim.world import World


def name_of(behaviour: type[Honest]) -> str:
    """The name of one of our behaviours."""
    return next(name for name, kind in BEHAVIOURS.items() if kind is behaviour)


def take_seat(
    world: World,
    name: str,
    *,
    up_bps: float,
    held: int = 0,
    behaviour: type[Honest] = Honest,
    stays: bool = False,
    **more: Any,
) -> Machine:
    """A peer that joins a simulated world now; with `stays` it never leaves by itself."""
    rules = more.pop("rules", world.rules)
    rules = msgspec.structs.replace(rules, leave="never") if stays else rules
    return world.seat(Seat(name=name, rules=rules, behaviour=name_of(behaviour), upload_bps=up_bps, **more), held)

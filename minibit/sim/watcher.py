"""A watcher: an observer that sees everything that happens in a simulated world, and may assert anything.

It is a room of its own because others subclass it: the world may be compiled, and this class never is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minibit.events import Effect, Event

if TYPE_CHECKING:
    from minibit.sim.machine import Machine
    from minibit.sim.world import World


class Watcher:
    """Base of all observers (`minibit.sim.checkers`): each method does nothing."""

    def told(self, world: World, machine: Machine, event: Event | None) -> None:
        """The peer is about to handle an event (None: a wake)."""

    def did(self, world: World, machine: Machine, effect: Effect) -> None:
        """The world is about to carry out this effect of the event."""

    def after(self, world: World, machine: Machine, event: Event | None) -> None:
        """The peer handled the event, and the world carried out all its effects."""

    def over(self, world: World, timed_out: bool) -> None:
        """The run is over: nothing more will come, or its time limit came first."""

"""The real world of Minibit: Ray actors, links, files, and the handle that a driver or a notebook holds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minibit.actors.driver.swarm import Swarm

__all__ = ["Swarm"]


def __getattr__(name: str) -> Any:
    """`Swarm`, imported when it is wanted: peers and `--help` need neither it nor what it imports."""
    if name == "Swarm":
        # in a notebook Ray asks for a package of widgets, which nobody here needs, as soon as it is imported
        logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)

        from minibit.actors.driver.swarm import Swarm  # noqa: PLC0415

        return Swarm
    raise AttributeError(f"module 'minibit.actors' has no attribute {name!r}")

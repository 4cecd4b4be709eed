"""The real world of Minibit: Ray actors, links, files, and the handle that a driver or a notebook holds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minibit.actors.driver.swarm import Swarm

__all__ = ["Swarm"]


def __getattr__(name: str) -> Any:
    """Import `Swarm` when it is first used: peers and `--help` need neither it nor its imports."""
    if name == "Swarm":
        # in a notebook Ray warns about a missing package of widgets, which is not needed here
        logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)

        from minibit.actors.driver.swarm import Swarm  # noqa: PLC0415

        return Swarm
    raise AttributeError(f"module 'minibit.actors' has no attribute {name!r}")

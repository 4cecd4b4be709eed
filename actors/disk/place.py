"""The place of a copy on a disk: its name once it is whole, and the names beside it on the way there.

    NAME.minibit-partial   blocks are written here; this one is locked as long as a store uses it
    NAME.minibit-new       whole, verified and never written again: a push is about to swap it in, or has just swapped
                           the old copy out, which goes
    NAME                   the copy
    NAME.minibit           what is known of it: its manifest, and a mark of each of its files
    NAME.minibit-new-mark  the same of a copy that is about to be swapped in

All lie in one folder, so on one file system, and a rename is one step.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """Where a copy lies: `final`, once it is whole."""

    final: Path

    def _beside(self, suffix: str) -> Path:
        return self.final.with_name(self.final.name + suffix)

    @property
    def partial(self) -> Path:
        """The copy while it lacks blocks."""
        return self._beside(".minibit-partial")

    @property
    def new(self) -> Path:
        """A whole copy that is about to be swapped in, or the old one after that."""
        return self._beside(".minibit-new")

    @property
    def mark(self) -> Path:
        """What is known of the copy."""
        return self._beside(".minibit")

    @property
    def new_mark(self) -> Path:
        """What is known of a copy that is about to be swapped in, until it is in its place."""
        return self._beside(".minibit-new-mark")

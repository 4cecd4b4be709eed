"""The laboratory: records of a run, real or simulated, as tables, pictures and words.

It reads records and computes nothing about the protocol itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minibit.lab.extra import installed

if TYPE_CHECKING:
    from minibit.lab.folder import load
    from minibit.lab.run import Run

__all__ = ["Run", "load"]


def __getattr__(name: str) -> Any:
    """`Run` and `load`, imported when they are used: polars is heavy, and writing a folder needs neither."""
    if name in __all__:
        with installed():
            return getattr(import_module("minibit.lab.run" if name == "Run" else "minibit.lab.folder"), name)
    raise AttributeError(f"module 'minibit.lab' has no attribute {name!r}")

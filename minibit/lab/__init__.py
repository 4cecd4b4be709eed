"""The laboratory: records of a run, real or simulated, as tables, pictures and words.

It reads records and computes nothing about the protocol itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minibit.lab.folder import load
    from minibit.lab.run import Run

__all__ = ["Run", "load"]


def __getattr__(name: str) -> Any:
    """`Run` and `load`, imported when they are used: polars is heavy, and writing a folder needs neither."""
    if name == "Run":
        from minibit.lab.run import Run  # noqa: PLC0415

        return Run
    if name == "load":
        from minibit.lab.folder import load  # noqa: PLC0415

        return load
    raise AttributeError(f"module 'minibit.lab' has no attribute {name!r}")

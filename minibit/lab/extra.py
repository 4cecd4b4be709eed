"""The extra `lab`: what to install where tables or pictures are asked for and can't be made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minibit.errors import MinibitError

LAB = {"polars", "bokeh"}


class ExtraError(MinibitError, ImportError):
    """A package of the extra `lab` is not installed."""


@contextmanager
def installed() -> Iterator[None]:
    """`ExtraError` where a package of the extra can't be imported here."""
    try:
        yield
    except ExtraError:
        raise
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        if module not in LAB:
            raise
        raise ExtraError(f"it needs {module}: pip install 'minibit[lab]'", name=module) from None

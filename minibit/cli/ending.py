"""How a script ends when something goes wrong: one line on standard error, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from minibit.errors import MinibitError

INTERRUPTED = 130


@contextmanager
def ending(script: str, interrupted: str = "interrupted") -> Iterator[None]:
    """End the program when a `MinibitError`, or Ctrl-C, comes out of here; of the latter, `interrupted` is said."""
    try:
        yield
    except MinibitError as error:
        complain(script, str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        complain(script, interrupted)
        sys.exit(INTERRUPTED)


def complain(script: str, text: str) -> None:
    """One line on standard error."""
    click.echo(f"{script}: {' '.join(text.split())}", err=True)

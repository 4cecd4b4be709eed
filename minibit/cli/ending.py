"""How a command ends when something goes wrong: one line on standard error, and an exit code.

The line begins with the command as it was called (`minibit swarm`, `run_swarm` for run_swarm.py), says what happened,
and then what to do.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click
from click.core import ParameterSource

from minibit.errors import MinibitError, OptionError

LAB = {"polars", "bokeh"}  # the modules of the extra `lab` that commands import


@contextmanager
def ending(interrupted: str = "interrupted") -> Iterator[None]:
    """End the program when an error or a signal comes out of here.

    The exit code is that of a `MinibitError`, 2 for wrong usage, 1 without an extra, and 128 + n for the signal n:
    Ctrl-C, SIGTERM or SIGHUP. A signal that the program ignores (`nohup`) stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    caught = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, _interrupt)
    try:
        yield
    except MinibitError as error:
        _end(error.said(_spelled) if isinstance(error, OptionError) else str(error), error.exit_code)
    except click.ClickException as error:
        _end(_usage(error), error.exit_code)
    except ImportError as error:
        if (text := lacking(error)) is None:
            raise
        _end(text, 1)
    except KeyboardInterrupt as error:
        _end(interrupted, 128 + (error.args[0] if error.args else signal.SIGINT))
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def complain(text: str) -> None:
    """One line on standard error."""
    command = click.get_current_context().command_path.replace(".py", "", 1)
    click.echo(f"{command}: {' '.join(text.split())}", err=True)


def lacking(error: ImportError) -> str | None:
    """What to install, if it is an extra of Minibit that can't be imported."""
    module = (error.name or "").partition(".")[0]
    return f"it needs {module}: pip install 'minibit[lab]'" if module in LAB else None


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)


def _end(text: str, code: int) -> NoReturn:
    complain(text)
    sys.exit(code)


def _spelled(name: str) -> str:
    """An option as it was given: `--block-size`, `MINIBIT_BLOCK_SIZE`; or as it is, if the command has none such."""
    context = click.get_current_context()
    option = next((one for one in context.command.params if one.name == name and isinstance(one, click.Option)), None)
    if option is not None and context.get_parameter_source(name) is ParameterSource.ENVIRONMENT:
        return next(variable for variable in option.envvar or () if os.environ.get(variable))
    return option.opts[0] if option is not None else name


def _usage(error: click.ClickException) -> str:
    """What is wrong with the command line."""
    if isinstance(error, click.NoSuchOption):
        nearest = tuple(error.possibilities or ())[:1]
        return OptionError(error.option_name, None, "see --help", nearest).said(str)
    if isinstance(error, click.BadParameter) and error.param and error.message:
        return f"{_spelled(error.param.name or '')}: {error.message.rstrip('.')}"
    text = error.format_message().rstrip(".")
    return text if ": " in text else f"{text[0].lower()}{text[1:]}: see --help"

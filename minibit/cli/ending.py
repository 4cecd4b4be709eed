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
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from click.core import ParameterSource

from minibit.errors import MinibitError, OptionError

LAB = {"polars", "bokeh"}
"""The modules of the extra `lab` that commands import."""


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
        _end(_spelled(error), error.exit_code)
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


def own_modules() -> None:
    """Let modules of the working folder be imported: strategies of one's own are given as module:Class."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)


def _end(text: str, code: int) -> NoReturn:
    complain(text)
    sys.exit(code)


def _spelled(error: MinibitError) -> str:
    """The text of an error, with options as they were given: on the command line, or in the environment."""
    context = click.get_current_context()
    if not isinstance(error, OptionError):
        return str(error)
    parameters = {parameter.name: parameter for parameter in context.command.params}

    def spell(option: str) -> str:
        return spelled(context, parameters[option]) if option in parameters else option

    return error.said(spell)


def spelled(context: click.Context, parameter: click.Parameter) -> str:
    """The name under which a parameter was given: `--block-size`, `MINIBIT_BLOCK_SIZE`, `FILE`."""
    if context.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT:
        names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
        return next(name for name in names if os.environ.get(name))
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(context)


def _usage(error: click.ClickException) -> str:
    """What is wrong with the command line."""
    if isinstance(error, click.NoSuchOption):
        nearest = tuple(error.possibilities or ())[:1]
        return OptionError(error.option_name, None, "see --help", nearest).said(str)
    if isinstance(error, click.BadParameter) and error.ctx and error.param and error.message:
        return f"{spelled(error.ctx, error.param)}: {error.message.rstrip('.')}"
    text = error.format_message().rstrip(".")
    return text if ": " in text else f"{text[0].lower()}{text[1:]}: see --help"

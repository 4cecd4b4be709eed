"""How a command ends when something goes wrong: one line on standard error, and an exit code.

The line begins with the command as it was called (`minibit swarm`, `run_swarm` for run_swarm.py), says what happened,
and then what to do. Nothing that goes wrong is more than that line, not even a fault of ours or of a library: with
MINIBIT_LOG set, its traceback comes before it.

The first signal lets the command end in good order. The second ends it for certain.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread, Timer
from types import FrameType
from typing import NoReturn

import click
from click.core import ParameterSource

from minibit.actors.driver.signals import ENDING, handlers_back, on_signal
from minibit.errors import ClusterError, DiskFullError, MinibitError, OptionError
from minibit.lab.extra import LAB

PATIENCE_S = 5.0  # after a second signal, for a command to end by itself
AGAIN_S = 0.05  # until a signal that was not heard comes again
NO_ROOM = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
CAME: list[int] = []  # signals that ended a wait; Ray, if it waits, raises a KeyboardInterrupt without their number
UNREAD = 141  # the exit code of a program that SIGPIPE ends


@contextmanager
def ending(interrupted: str = "interrupted") -> Iterator[None]:
    """End the program when an error or a signal comes out of here.

    The exit code is that of a `MinibitError`, 2 for wrong usage, 1 without an extra or after an error that nobody
    expected, and 128 + n for the signal n: Ctrl-C, SIGTERM or SIGHUP. A signal that the program ignores (`nohup`) stays
    ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    caught = [one for one in ENDING if signal.getsignal(one) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, _interrupt)
    ignored, sys.unraisablehook = sys.unraisablehook, _unheard
    try:
        yield
    except KeyboardInterrupt as error:
        with handlers_back():
            on_signal(lambda number: None)  # on another signal, before this one is said
            _end(interrupted, 128 + [*error.args, *CAME, signal.SIGINT][0])
    except (click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        if os.environ.get("MINIBIT_LOG"):
            traceback.print_exc()
        _end(*_said(error))
    finally:
        sys.unraisablehook = ignored
        CAME.clear()
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def complain(text: str) -> None:
    """One line on standard error."""
    command = click.get_current_context().command_path.replace(".py", "", 1)
    with suppress(OSError):  # nobody reads it
        click.echo(f"{command}: {' '.join(text.split())}", err=True)


def lacking(error: ImportError) -> str | None:
    """What to install, if it is an extra of Minibit that can't be imported."""
    module = (error.name or "").partition(".")[0]
    return f"it needs {module}: pip install 'minibit[lab]'" if module in LAB else None


class Watch(Thread):
    """From now on a second signal ends this process for certain; from `farewell` on, any.

    Python's own handlers run in the main thread only, which may wait for a library, or for a thread that does not end.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._told, tell = socket.socketpair()
        tell.setblocking(False)
        signal.set_wakeup_fd(tell.detach(), warn_on_full_buffer=False)  # gets the number of each signal as it comes
        self._over = False
        self.start()

    def farewell(self) -> None:
        """The command has ended; what is left is what libraries do at the end of a process."""
        self._over = True
        on_signal(lambda number: None)

    def run(self) -> None:
        """Read signals, and wait for the end of the process."""
        seen: list[int] = []
        while select.select([self._told], [], [], PATIENCE_S if len(seen) > 1 else None)[0]:
            new = [number for number in self._told.recv(1) if number in ENDING]
            seen += new
            if len(seen) > 2 or (new and self._over):
                break
        end_at_once(seen[-1])


def end_at_once(number: int) -> NoReturn:
    """End this process and those below it, as the signal `number` would: nothing is waited for."""
    if cluster := sys.modules.get("minibit.actors.driver.cluster"):
        cluster.end_at_once()
    os._exit(128 + number)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    CAME.append(number)
    raise KeyboardInterrupt(number)


def _unheard(what: sys.UnraisableHookArgs) -> None:
    """A signal came where Python ignores what is raised, in a callback of a library: it comes again, soon after."""
    if isinstance(what.exc_value, KeyboardInterrupt):
        again = Timer(AGAIN_S, os.kill, (os.getpid(), *(what.exc_value.args or (signal.SIGINT,))))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(what)


def _said(error: Exception) -> tuple[str, int]:
    """What is said of an error ("": nothing), and the exit code."""
    if isinstance(error, OSError) and not error.filename:
        # perhaps it is standard output that takes no more: what a library says later would fail at the very end
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    match error:
        case OptionError():
            return error.said(_spelled), error.exit_code
        case MinibitError():
            return str(error), error.exit_code
        case click.ClickException():
            return _usage(error), error.exit_code
        case ImportError() if text := lacking(error):
            return text, 1
        case BrokenPipeError():
            return "", UNREAD
        case OSError(errno=number) if number in NO_ROOM:
            return f"no space left on the disk{_about(error)}: make room there", DiskFullError.exit_code
        case OSError(strerror=str(reason)):
            return f"{reason[0].lower()}{reason[1:]}{_about(error)}: see that it can be read and written", 1
        case MemoryError():
            return "memory ran out: give fewer peers, less content or larger blocks", 1
    if isinstance(cause := getattr(error, "cause", None), Exception):  # it was raised in a process of Ray
        return _said(cause)
    if type(error).__module__.partition(".")[0] == "ray":
        return f"Ray failed: {_first_line(error)}: try again, or look into its logs", ClusterError.exit_code
    steps = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(steps[-1].filename).name}, line {steps[-1].lineno}" if steps else ""
    what = f"{type(error).__name__}{where}: {_first_line(error)}"
    return f"a fault of Minibit: {what}: please report it, with what MINIBIT_LOG=debug shows", 1


def _about(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no more is known").splitlines()[0].rstrip(".: ")


def _end(text: str, code: int) -> NoReturn:
    if text:
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

"""The command line: `minibit SUBCOMMAND`, one room for each subcommand."""

from __future__ import annotations

import signal


def main(subcommand: str | None = None, program: str = "minibit") -> None:
    """Run the command line of this process; `subcommand`: only that one, as a program of its own."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is anything to clean up: end at once, without a word
    from minibit.cli import commands  # noqa: PLC0415  only now: click takes a moment

    try:
        (commands.load(subcommand) if subcommand else commands.main).main(prog_name=program)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is Ray's farewell

"""The command line: `minibit SUBCOMMAND`, one room for each subcommand."""

from __future__ import annotations

import codecs
import os
import signal
import sys


def main(subcommand: str | None = None, program: str = "minibit") -> None:
    """Run the command line of this process; `subcommand`: only that one, as a program of its own."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is anything to clean up: end at once, without a word
    _open_streams()
    from minibit.cli import commands, ending  # noqa: PLC0415  only now: click takes a moment

    watch = ending.Watch()
    try:
        (commands.load(subcommand) if subcommand else commands.main).main(prog_name=program)
    finally:
        watch.farewell()


def _open_streams() -> None:
    """Make the standard streams take every text: one that was closed takes it nowhere, one of ASCII takes escapes."""
    codecs.register_error("escape", _escaped)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which no other file may have
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115
    sys.stdout.reconfigure(errors="escape")  # type: ignore[union-attr]


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Letters that can't be written, as in JSON: `\\u00fc`."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{text[at : at + 2].hex()}" for at in range(0, len(text), 2)), error.end

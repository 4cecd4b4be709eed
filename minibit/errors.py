"""Errors say who is to blame: a neighbour (`RemoteError`) or our caller (`LocalError`).

A block with a wrong hash is a verdict, not an error; a broken invariant of our own is an `assert`.
"""

from __future__ import annotations

from collections.abc import Callable

SAID_MAX = 60  # characters of a wrong value that a message repeats


def said(value: object) -> str:
    """A wrong value as a message repeats it: on one line, and not for ever."""
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python writes; a value of some class with a broken repr
        return f"this {type(value).__name__}"
    return text if len(text) <= SAID_MAX else f"{text[:SAID_MAX]}..."


def printable(text: str) -> str:
    """The text on one line: what can't be printed, as from a file name or a table, is spelled as Python does."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def first_sentence(error: BaseException) -> str:
    """What an error of a library says first, for one of ours that repeats it; its name, if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]


class MinibitError(Exception):
    """Base of every error that Minibit raises on purpose; its text says what to do, on one line."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class RemoteError(MinibitError):
    """A neighbour broke the protocol; it is dropped, with this text as the reason."""


class LocalError(MinibitError):
    """The caller gave something wrong: a value, a strategy that can't be used."""

    exit_code = 2


class OptionError(LocalError):
    """An option has a value that won't do; or, with `nearest`, there is no option of that name.

    option   its name as `Options.build` takes it: `block_size`
    value    what was given
    takes    what is wrong with the value, and what the option takes
    nearest  the names that an unknown one may stand for

    The text names the option as Python does. A caller with names of its own asks for `said`.
    """

    def __init__(self, option: str, value: object, takes: str, nearest: tuple[str, ...] | None = None) -> None:
        super().__init__(option, value, takes, nearest)
        self.option, self.value, self.takes, self.nearest = option, value, takes, nearest

    def __str__(self) -> str:
        return self.said(str)

    def said(self, spell: Callable[[str], str]) -> str:
        """The text, with the names of options as `spell` writes them: `--block-size`, `MINIBIT_BLOCK_SIZE`."""
        if self.nearest is None:
            return printable(f"{spell(self.option)}: {self.takes}")
        hint = f"did you mean {' or '.join(map(spell, self.nearest))}?" if self.nearest else self.takes
        return printable(f"there is no option {spell(self.option)!r}: {hint}")


class SourceError(LocalError):
    """The content to share is missing, unreadable, or changed while it was shared."""

    exit_code = 3


class IntegrityError(MinibitError):
    """A finished copy is not what the manifest says."""

    exit_code = 6


class ClusterError(MinibitError):
    """The Ray cluster can't be reached, or refuses us."""

    exit_code = 7


class StoreError(MinibitError):
    """Our own disk failed, or somebody changed a peer's files; no neighbour is to blame."""


class DiskFullError(MinibitError):
    """The disk has no room for the content."""

    exit_code = 8

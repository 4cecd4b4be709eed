"""How the value of an option is read: from a text or a number to base units.

A reader raises `LocalError` with the value, what is wrong with it, and what would be right. It doesn't name the
option: one reader serves many. Any value may come: what a user types, what a file says, what a script computes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from minibit import strategies
from minibit.errors import LocalError, said
from minibit.seat import Initial

Reader = Callable[[Any], Any]


def wrong(value: object, takes: str) -> LocalError:
    """The error for a value that won't do; `takes` says what would."""
    return LocalError(f"{said(value)} won't do: give {takes}")


def whole(value: Any) -> int:
    """A whole number."""
    number = int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) else value
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise wrong(value, "a whole number")
    return operator.index(number)


def within(parse: Reader, least: str, most: str) -> Reader:
    """What `parse` reads, if it lies between these two, which stand there as a user would write them; or None."""
    lowest, highest = parse(least), parse(most)
    return checked(parse, lambda found: found is None or lowest <= found <= highest, f"{least} to {most}")


def checked(parse: Reader, will_do: Callable[[Any], object], takes: str) -> Reader:
    """What `parse` reads, if it will do; `takes` says what would."""

    def read(value: Any) -> Any:
        found = parse(value)
        if not will_do(found):
            raise wrong(value, takes)
        return found

    return read


def one_of(*names: str) -> Reader:
    """One of these names."""
    return checked(lambda value: value, names.__contains__, " or ".join(names))


def text(value: Any) -> str:
    """A text or a path, which must be written into the records of the run as UTF-8."""
    told = value.__fspath__() if hasattr(value, "__fspath__") else value
    if not isinstance(told, str) or not told or "\0" in told:
        raise wrong(value, "a text that is not empty")
    if told != told.encode(errors="ignore").decode():
        raise wrong(value, "a text in UTF-8")
    return told


def strategy(find: Callable[[str], object]) -> Reader:
    """The name of a strategy that `find` finds: a wrong one fails here, and not in fifty actors."""

    def read(value: Any) -> str:
        found = text(value)
        find(found)
        return found

    return read


flag = checked(lambda value: value, lambda value: isinstance(value, bool), "True or False")
name = checked(
    text, re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}").fullmatch, "letters, digits and . _ - (100 at most)"
)
"""The name of a run, which is that of a folder and of an actor too."""


def auto(parse: Reader) -> Reader:
    """What `parse` reads; None for `auto`."""
    return lambda value: None if isinstance(value, str) and value == "auto" else parse(value)


def initial(value: Any) -> Initial:
    """A share of the blocks, and perhaps a number of blocks beside it."""
    share, plus, blocks = value.partition("+") if isinstance(value, str) else (value, "", "")
    try:
        found = Initial(float(share), int(blocks) if plus else 0)
    except (TypeError, ValueError, OverflowError):
        found = Initial(-1)
    if not (0 <= found.share <= 1 and found.blocks >= 0):
        raise wrong(value, "a share from 0 to 1, e.g. 0.1, or 0.1+1 for one block beside it")
    return found


count_of = within(whole, "0", "100000")


def _counts(value: Any, name_of: Reader, takes: str) -> dict[str, int]:
    """How many peers of each sort, without those of which there are none."""
    pairs = value.items() if isinstance(value, Mapping) else [pair.split("=") for pair in text(value).split(",")]
    counts: dict[str, int] = {}
    for pair in pairs:
        if len(pair) != 2 or pair[0] in counts:
            raise wrong(value, takes)
        counts[name_of(pair[0])] = count_of(pair[1])
    return {name: count for name, count in counts.items() if count}


def behave(value: Any) -> dict[str, int]:
    """How many peers of which behaviour; honest peers are not counted."""
    counts = _counts(value, strategy(strategies.behaviour), "each behaviour once, e.g. free-rider=5,corrupter=1")
    return {behaviour: count for behaviour, count in counts.items() if behaviour != "honest"}


def teams(value: Any) -> dict[str, int]:
    """How many peers of which team."""
    return _counts(value, strategy(strategies.team), "each team once, e.g. honest=10,random+none=5")


port = within(whole, "1", "65535")


def data_ports(value: Any) -> tuple[int, int]:
    """The first and the last port, as a text or a pair."""
    pair = value.split("-") if isinstance(value, str) else value
    try:
        first, last = map(port, pair)
    except (LocalError, TypeError, ValueError):
        first, last = 1, 0
    if first > last:
        raise wrong(value, "the first and the last port, e.g. 20000-20100")
    return first, last

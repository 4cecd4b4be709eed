"""How the value of an option is read: from a text or a number to base units.

A reader raises `LocalError` with the value, what is wrong with it, and what would be right. It doesn't name the
option: one reader serves many.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from minibit import strategies
from minibit.errors import LocalError
from minibit.manifest import BLOCK_BYTES_MAX
from minibit.seat import Initial
from minibit.units import parse_bytes, show_bytes

Reader = Callable[[Any], Any]


def wrong(value: object, takes: str) -> LocalError:
    """The error for a value that won't do; `takes` says what would."""
    return LocalError(f"{value!r} won't do: give {takes}")


def whole(least: int | None = None) -> Reader:
    """A whole number, which is at least `least`."""
    takes = "a whole number" if least is None else f"a whole number from {least}"

    def read(value: Any) -> int:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) else value
        if isinstance(number, bool) or not hasattr(number, "__index__") or (least is not None and number < least):
            raise wrong(value, takes)
        return operator.index(number)

    return read


def checked(parse: Reader, will_do: Callable[[Any], object], takes: str) -> Reader:
    """What `parse` reads, if it will do; `takes` says what would."""

    def read(value: Any) -> Any:
        found = parse(value)
        if not will_do(found):
            raise wrong(value, takes)
        return found

    return read


def above_zero(parse: Reader) -> Reader:
    """What `parse` reads, if it is more than nothing."""
    return checked(parse, lambda quantity: quantity > 0, "more than nothing")


def one_of(*names: str) -> Reader:
    """One of these names."""
    return checked(lambda value: value, names.__contains__, " or ".join(names))


def strategy(find: Callable[[str], object]) -> Reader:
    """The name of a strategy that `find` finds: a wrong one fails here, and not in fifty actors."""

    def read(value: Any) -> str:
        find(str(value))
        return str(value)

    return read


text = checked(str, bool, "a text that is not empty")  # or a path
flag = checked(lambda value: value, lambda value: isinstance(value, bool), "True or False")
name = checked(str, re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}").fullmatch, "letters, digits and . _ - (100 at most)")
"""The name of a run, which is that of a folder and of an actor too."""


def block_size(value: Any) -> int | None:
    """The bytes of a block; None for `auto`."""
    if value == "auto":
        return None
    block_bytes: int = above_zero(parse_bytes)(value)
    if block_bytes > BLOCK_BYTES_MAX:
        raise wrong(value, f"{show_bytes(BLOCK_BYTES_MAX)} or less, or auto")
    return block_bytes


def initial(value: Any) -> Initial:
    """A share of the blocks, and perhaps a number of blocks beside it."""
    share, plus, blocks = value.partition("+") if isinstance(value, str) else (value, "", "")
    try:
        found = Initial(float(share), int(blocks) if plus else 0)
    except (TypeError, ValueError):
        found = Initial(-1)
    if not (0 <= found.share <= 1 and found.blocks >= 0):
        raise wrong(value, "a share from 0 to 1, e.g. 0.1, or 0.1+1 for one block beside it")
    return found


def _counts(value: Any, name_of: Reader, takes: str) -> dict[str, int]:
    """How many peers of each sort, without those of which there are none."""
    pairs = value.items() if isinstance(value, Mapping) else [pair.split("=") for pair in str(value).split(",")]
    counts: dict[str, int] = {}
    for pair in pairs:
        if len(pair) != 2 or pair[0] in counts:
            raise wrong(value, takes)
        counts[name_of(pair[0])] = whole(0)(pair[1])
    return {name: count for name, count in counts.items() if count}


def behave(value: Any) -> dict[str, int]:
    """How many peers of which behaviour; honest peers are not counted."""
    counts = _counts(value, strategy(strategies.behaviour), "each behaviour once, e.g. free-rider=5,corrupter=1")
    return {behaviour: count for behaviour, count in counts.items() if behaviour != "honest"}


def teams(value: Any) -> dict[str, int]:
    """How many peers of which team."""
    return _counts(value, strategy(strategies.team), "each team once, e.g. honest=10,random+none=5")


def data_ports(value: Any) -> tuple[int, int]:
    """The first and the last port, as a text or a pair."""
    pair = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", pair)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise wrong(value, "the first and the last port, e.g. 24000-24100")
    return first, last

"""Sizes, rates and durations: what people write, and what people read.

The program itself knows only base units: bytes, bytes a second, seconds. A number passes as it is, so a script may give
a text or a number. Sizes take decimal (kB, MB) and binary (KiB, MiB) units, spelled just so: `Mb` might be a megabit,
and is refused with an example of what is taken.
"""

from __future__ import annotations

import re
from decimal import Decimal

from minibit.errors import LocalError

SIZES = {
    "": 1,
    "B": 1,
    "kB": 1000,
    "KiB": 1 << 10,
    "MB": 1000**2,
    "MiB": 1 << 20,
    "GB": 1000**3,
    "GiB": 1 << 30,
    "TB": 1000**4,
    "TiB": 1 << 40,
}
DURATIONS = {"": Decimal(1), "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18}) ?([A-Za-z]*)")


def parse_bytes(value: str | int | float) -> int:
    """The bytes that `value` says (`64MiB`, `500kB`, `4096`), rounded to whole ones."""
    takes = "is no size: give e.g. 64MiB, 500kB"
    if isinstance(value, str):
        return round(_quantity(value, value.strip(), SIZES, takes))
    return round(_number(value, takes))


def parse_rate(value: str | int | float) -> float:
    """The bytes a second that `value` says (`4MiB/s`, `500kB/s`, `4096`)."""
    takes = "is no rate: give e.g. 4MiB/s, 500kB/s"
    if not isinstance(value, str):
        return _number(value, takes)
    text = value.strip()
    size = text.removesuffix("/s")
    units = {"": 1} if size == text else SIZES  # 4096 is a rate, 4MiB is a size
    return float(_quantity(value, size, units, takes))


def parse_duration(value: str | int | float) -> float:
    """The seconds that `value` says (`10s`, `250ms`, `2m`, `1h`, `1.5`)."""
    takes = "is no duration: give e.g. 10s, 250ms, 2m, 1h"
    if isinstance(value, str):
        return float(_quantity(value, value.strip(), DURATIONS, takes))
    return _number(value, takes)


def show_bytes(count: float) -> str:
    """`count` bytes in three digits and the binary unit that fits: `3.13 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 999.5:
            return f"{_three_digits(count)} {unit}"
        count /= 1024
    return f"{_three_digits(count)} TiB"


def show_rate(rate_bps: float) -> str:
    """`rate_bps` bytes a second in three digits: `685 MiB/s`."""
    return f"{show_bytes(rate_bps)}/s"


def show_duration(seconds: float) -> str:
    """`seconds` as a person would say them: `250 ms`, `7.31 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 0.9995:
        return f"{_three_digits(seconds * 1000)} ms" if seconds else "0 s"
    if seconds < 59.95:
        return f"{_three_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def _quantity(value: str, text: str, units: dict[str, int] | dict[str, Decimal], takes: str) -> Decimal:
    """`text` as a number in base units; exact, so that 0.1GB is 100,000,000 bytes."""
    found = _QUANTITY.fullmatch(text)
    if not found or found[2] not in units:
        raise LocalError(f"{value!r} {takes}")
    return Decimal(found[1]) * units[found[2]]


def _number(value: object, takes: str) -> float:
    """`value` if it is a number that a quantity can be: finite, not negative, and no bool."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise LocalError(f"{value!r} {takes}")
    return value


def _three_digits(number: float) -> str:
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text

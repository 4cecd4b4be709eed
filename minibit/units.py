"""Sizes, rates and durations: what people write, and what people read.

The program itself knows only base units: bytes, bytes a second, seconds. A number passes as it is, so a script may give
a text or a number. Sizes take decimal (kB, MB) and binary (KiB, MiB) units, spelled just so: `Mb` might be a megabit,
and is refused with an example of what is taken.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from math import floor

from minibit.errors import LocalError

SIZES = {"": Decimal(1), "B": Decimal(1)}
SIZES |= {f"{letter}B": Decimal(1000) ** power for power, letter in enumerate("kMGT", 1)}
SIZES |= {f"{letter}iB": Decimal(1024) ** power for power, letter in enumerate("KMGT", 1)}
RATES = {"": Decimal(1)} | {f"{unit}/s": size for unit, size in SIZES.items()}  # 4096 is a rate, 4MiB is a size
DURATIONS = {"": Decimal(1), "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18}) ?([A-Za-z/]*)")


def parse_bytes(value: str | int | float) -> int:
    """The bytes that `value` says (`64MiB`, `500kB`, `4096`), rounded to whole ones."""
    return round(_quantity(value, SIZES, "is no size: give e.g. 64MiB, 500kB"))


def parse_rate(value: str | int | float) -> float:
    """The bytes a second that `value` says (`4MiB/s`, `500kB/s`, `4096`)."""
    return float(_quantity(value, RATES, "is no rate: give e.g. 4MiB/s, 500kB/s"))


def parse_duration(value: str | int | float) -> float:
    """The seconds that `value` says (`10s`, `250ms`, `2m`, `1h`, `1.5`)."""
    return float(_quantity(value, DURATIONS, "is no duration: give e.g. 10s, 250ms, 2m, 1h"))


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


def show_share(part: float, whole: float, digits: int = 0) -> str:
    """`part` of `whole` in per cent, rounded down: `99 %` until all is there. Of nothing, all is there."""
    share = Fraction(str(part)) / Fraction(str(whole)) if whole else Fraction(1)
    return f"{floor(share * 100 * 10**digits) / 10**digits:.{digits}f} %"


def _quantity(value: object, units: dict[str, Decimal], takes: str) -> Decimal | float:
    """`value` in base units: of a text exactly, so that 0.1GB is 100,000,000 bytes; a number must be finite."""
    if isinstance(value, str):
        if (found := _QUANTITY.fullmatch(value.strip())) and found[2] in units:
            return Decimal(found[1]) * units[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return value
    raise LocalError(f"{value!r} {takes}")


def _three_digits(number: float) -> str:
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text

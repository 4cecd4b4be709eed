"""Sizes, rates and durations: what people write, and what people read.

The program itself knows only base units: bytes, bytes a second, seconds. A number passes as it is, so a script may give
a text or a number. `k`, `M`, `G` and `T` are powers of 1000, `Ki` and its kin powers of 1024, with a `B` behind or
without. Rates are in bits too. `Mb` might be a megabit or a megabyte, and is refused with an example of what is taken.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from math import floor
from sys import float_info

from minibit.errors import LocalError, said

_TIMES = {"": Decimal(1), "K": Decimal(1000)}
_TIMES |= {letter: Decimal(1000) ** power for power, letter in enumerate("kMGT", 1)}
_TIMES |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGT", 1)}
SIZES = {f"{prefix}{unit}": times for prefix, times in _TIMES.items() for unit in ("", "B")}
_BITS = {f"{prefix}bit": times / 8 for prefix, times in _TIMES.items()}
_PER_SECOND = {unit: size for unit, size in (SIZES | _BITS).items() if unit}  # 2 a second might be anything
RATES = _PER_SECOND | {f"{unit}/s": size for unit, size in _PER_SECOND.items()}
RATES |= {f"{prefix}{unit}ps": times / bits for prefix, times in _TIMES.items() for unit, bits in (("b", 8), ("B", 1))}
DURATIONS = {"": Decimal(1), "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18}) ?([A-Za-z/]*)")


def parse_bytes(value: str | int | float) -> int:
    """The bytes that `value` says (`64MiB`, `500kB`, `2G`, `4096`), rounded to whole ones."""
    return round(_quantity(value, SIZES, "is no size: give e.g. 64MiB, 500kB"))


def parse_rate(value: str | int | float) -> float:
    """The bytes a second that `value` says (`4MiB/s`, `500kB/s`, `16Mbit/s`, `2M`); a text must name its unit."""
    return float(_quantity(value, RATES, "is no rate: give a number and a unit, e.g. 4MiB/s, 500kB/s, 16Mbit/s"))


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
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= float_info.max:
        return value
    raise LocalError(f"{said(value)} {takes}")


def _three_digits(number: float) -> str:
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text

"""Files that a user gives or edits, read at one boundary: texts, TOML and JSON.

Whatever is in such a file, its reader gives values, or raises a `LocalError` of one line that names the file. Values of
TOML and JSON are plain; whole numbers have 64 bits at most, and nothing is nested without end.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from minibit.errors import LocalError

TEXT_BYTES_MAX = 8 << 20
JSON_BYTES_MAX = 1 << 30
DEPTH_MAX = 64
WHOLE_MAX = (1 << 63) - 1
BOM = b"\xef\xbb\xbf"  # some editors begin a file with it


def read_bytes(path: str | os.PathLike[str], most_bytes: int, advice: str) -> bytes:
    """What is in the file; `advice` says what to give instead if it can't be read."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(most_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise LocalError(f"{path} can't be read ({why}): give {advice}") from None
    if len(data) > most_bytes:
        raise LocalError(f"{path} can't be read (it has more than {most_bytes >> 20} MiB): give {advice}")
    return data.removeprefix(BOM)


def read_text(path: str | os.PathLike[str], advice: str) -> str:
    """The text in the file, which is UTF-8; its ends of line are those of Unix."""
    try:
        return read_bytes(path, TEXT_BYTES_MAX, advice).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise LocalError(f"{path} can't be read (it is no UTF-8 at byte {error.start}): give {advice}") from None


def parse_toml(text: str, what: object) -> dict[str, Any]:
    """The tables in a text; `what` is named if there are none."""
    try:
        return _plain(tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        raise LocalError(f"{what} is no TOML: {_why(error)}") from None


def parse_json(data: bytes, what: object) -> dict[str, Any]:
    """The object in these bytes; `what` is named if there is none."""
    try:
        return _plain(msgspec.json.decode(data, type=dict[str, Any]))
    except (ValueError, RecursionError) as error:  # ValueError: also what is no UTF-8
        raise LocalError(f"{what} is no JSON: {_why(error)}") from None


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if type(error) is ValueError:  # ours, or that of `int`, which advises to change Python
        return "a whole number has more than 64 bits"
    return " ".join(str(error).split())


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    """The same table, if its values have bounds."""
    level: list[Any] = [table]
    for _ in range(DEPTH_MAX):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict | list):
                inner += value.values() if isinstance(value, dict) else value
            elif isinstance(value, int) and not -WHOLE_MAX <= value <= WHOLE_MAX:
                raise ValueError
        if not inner:
            return table
        level = inner
    raise RecursionError

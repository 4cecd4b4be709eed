"""The options of a push as a caller in Python gives them, typed for editors; a test compares them with the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class PushKeywords(TypedDict, total=False):
    """Every option of a push but its `dest`, as a text like on the command line, or as a number in base units.

    `nodes` also takes a list of addresses, `data_ports` the first and the last port. None means that it is not given.
    """

    nodes: int | str | Sequence[str] | None
    min_nodes: int | str | None
    replace: bool | None
    links: str | None
    verify: str | None
    address: str | None
    upload: float | str | None
    data_ports: str | tuple[int, int] | None
    ship: bool | None
    block_size: int | str | None
    follow: float | str | None
    timeout: float | str | None
    name: str | None
    report: bool | None

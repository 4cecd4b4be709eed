"""What a push is told: which nodes get a copy, where it goes, and how."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec


class Least(NamedTuple):
    """How many nodes must have a copy at the end: so many, or that share of those that were asked for."""

    count: int | None = None
    share: float = 1.0

    def of(self, nodes: int) -> int:
        """Of so many nodes that were asked for, how many must have it; a share is rounded up."""
        return self.count if self.count is not None else -int(-self.share * nodes // 1)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A push, in base units: sizes are bytes, rates bytes a second, times seconds.

    dest       the absolute path of the copy, the same on every node
    nodes      `all`, a number, addresses joined by commas, or LABEL=VALUE
    links      what becomes of links in the source
    replace    whether other content at `dest` gives way
    least      how many nodes must have a copy
    follow_s   for so long nodes are waited for that join later, after the last one was served
    verify     `fast` believes what nobody touched, `full` reads every byte again
    records    whether peers keep records, for a report
    """

    dest: str
    nodes: str = "all"
    links: Literal["follow", "keep", "refuse"] = "follow"
    replace: bool = False
    least: Least = Least()
    follow_s: float = 0.0
    upload_bps: float | None = None
    data_ports: tuple[int, int] | None = None
    block_bytes: int | None = None
    ship: bool = False
    verify: Literal["fast", "full"] = "fast"
    timeout_s: float | None = None
    address: str = "auto"
    name: str | None = None
    records: bool = False

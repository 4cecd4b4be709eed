"""The line: one block after the other, or all at once where one doesn't fill the uplink."""

from __future__ import annotations

from math import inf

import pytest

from minibit.line import PATIENCE, PATIENCE_LEAST_S, WINDOW, Line
from minibit.messages import PeerAddress
from minibit.neighbour import Neighbour
from minibit.rules import Rules


class Uplink:
    """A line with neighbours that always want more, on an uplink of `up_bps`; each takes `down_bps` at most."""

    def __init__(self, neighbours: int, *, up_bps: float = 1.0, down_bps: float = inf, **rules: str) -> None:
        self.line = Line(Rules(**rules))  # type: ignore[arg-type]
        self.neighbours = [Neighbour(PeerAddress(f"p{index}", "h", 1), 20.0) for index in range(neighbours)]
        self.up_bps, self.down_bps = up_bps, down_bps
        self.now = 0.0
        self.left: dict[Neighbour, float] = {}  # bytes of the block that is under way
        for neighbour in self.neighbours:
            self.want(neighbour)

    def want(self, neighbour: Neighbour) -> None:
        neighbour.wanted[len(neighbour.wanted)] = True
        self.line.join(neighbour)

    def begin(self) -> list[str]:
        """Begin what may be begun."""
        begun = []
        while (neighbour := self.line.next(self.now)) is not None:
            neighbour.sending, _ = neighbour.wanted.popitem()
            self.line.begin(neighbour, self.now)
            self.left[neighbour] = 1.0
            begun.append(neighbour.peer)
        return begun

    def end(self, neighbour: Neighbour) -> None:
        """Its block has left, and it wants another."""
        del self.left[neighbour]
        neighbour.sending = None
        self.line.end(neighbour, 1, self.now)
        self.want(neighbour)

    def go_on(self) -> None:
        """Until the next block has left."""
        self.begin()
        rate_bps = min(self.down_bps, self.up_bps / len(self.left))
        first = min(self.left, key=lambda neighbour: self.left[neighbour])
        span_s = self.left[first] / rate_bps
        self.now += span_s
        self.left = {neighbour: left - span_s * rate_bps for neighbour, left in self.left.items()}
        for neighbour in [neighbour for neighbour, left in self.left.items() if left <= 1e-9]:
            self.end(neighbour)

    def widths(self, times: int) -> list[float]:
        """Go on so many times; the width after each."""
        widths = []
        for _ in range(times):
            self.go_on()
            widths.append(self.line.width)
        return widths


def test_blocks_go_out_one_after_the_other_and_each_neighbour_has_its_turn():
    uplink = Uplink(3)
    turns = []
    for _ in range(2):
        for _ in range(3):
            turns += uplink.begin()
            uplink.end(next(iter(uplink.left)))
    assert turns == ["p0", "p1", "p2"] * 2


def test_without_economy_all_go_at_once_and_nobody_is_told_of_others():
    uplink = Uplink(3, economy="off")
    assert uplink.begin() == ["p0", "p1", "p2"]
    assert not uplink.line.busy(uplink.neighbours[0])
    assert uplink.line.due_s(0.0) == inf


def test_a_neighbour_hears_whether_others_wait_behind_it():
    uplink = Uplink(2)
    uplink.begin()
    first, second = uplink.neighbours
    assert uplink.line.busy(first)
    second.wanted.clear()
    assert not uplink.line.busy(first)


def test_where_one_at_a_time_fills_the_uplink_it_stays_at_that():
    widths = Uplink(5).widths(40 * WINDOW)
    assert max(widths) == 2
    assert widths.count(1) > 0.8 * len(widths)


@pytest.mark.parametrize("slower", [2, 5, 100])
def test_where_neighbours_are_slower_than_the_uplink_all_go_at_once(slower: int):
    widths = Uplink(5, up_bps=1.0, down_bps=1.0 / slower).widths(40 * WINDOW)
    assert widths[: 3 * WINDOW].count(inf)
    assert widths.count(inf) > 0.7 * len(widths)


def test_when_the_neighbours_get_faster_one_at_a_time_is_enough_again():
    uplink = Uplink(5, up_bps=1.0, down_bps=0.2)
    assert inf in uplink.widths(4 * WINDOW)
    uplink.down_bps = inf
    uplink.widths(100 * WINDOW)
    assert inf not in uplink.widths(10 * WINDOW)


def test_a_block_that_takes_too_long_holds_up_nobody():
    uplink = Uplink(3, up_bps=1.0)
    for _ in range(3):
        uplink.go_on()
    assert uplink.begin() == ["p0"]
    assert uplink.begin() == []
    due_s = uplink.line.due_s(uplink.now)
    assert uplink.now + PATIENCE_LEAST_S < due_s <= uplink.now + PATIENCE * 2
    uplink.now = due_s
    assert uplink.begin() == ["p1"]


def test_a_neighbour_whose_link_is_gone_is_in_nobody_s_way():
    uplink = Uplink(2)
    uplink.begin()
    uplink.line.leave(uplink.neighbours[0])
    assert uplink.begin() == ["p1"]
    assert uplink.line.under_way == 1 << uplink.neighbours[1].sending  # type: ignore[operator]

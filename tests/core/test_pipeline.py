"""The PEDIDOs that are open: depth, time-outs, endgame, late blocks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit import inventory
from minibit.availability import Availability
from minibit.errors import LocalError
from minibit.messages import PeerAddress
from minibit.neighbour import Neighbour, Standing
from minibit.picker import Picker, RarestFirst, Sequential
from minibit.pipeline import MOST_REQUESTERS, Pipeline, depth
from minibit.rules import Rules


class Scene:
    """A pipeline with neighbours that all serve; `held` gives the inventory of each."""

    def __init__(
        self, blocks: int, *held: int, picker: Picker | None = None, most_asked: int = 1000, **rules: float
    ) -> None:
        self.missing = inventory.full(blocks)
        self.availability = Availability(blocks)
        self.neighbours = [Neighbour(PeerAddress(f"p{index}", "h", 1), 20.0) for index in range(len(held))]
        for neighbour, theirs in zip(self.neighbours, held, strict=True):
            neighbour.standing, neighbour.serves_us, neighbour.theirs = Standing.SHARING, True, theirs
            self.availability.add(theirs)
        self.rules = Rules(**rules)  # type: ignore[arg-type]
        picker = picker or Sequential(Random(1))
        self.pipeline = Pipeline("me", self.rules, picker, self.availability, Random(1), most_asked)

    def ask(self, now: float = 0.0) -> list[tuple[str, int]]:
        asks = self.pipeline.ask(self.neighbours, self.missing, now)
        if not self.missing & ~self.pipeline.in_flight:
            asks += self.pipeline.ask_again(self.neighbours, now)
        self.check()
        return [(neighbour.peer, block) for neighbour, block in asks]

    def arrive(self, index: int, block: int, now: float) -> list[str]:
        assert self.pipeline.expects(self.neighbours[index], block)
        self.pipeline.arrived(self.neighbours[index], block, now)
        self.missing &= ~(1 << block)
        called_off = [neighbour.peer for neighbour in self.pipeline.call_off(block, now)]
        self.check()
        return called_off

    def check(self) -> None:
        asked = [block for neighbour in self.neighbours for block in neighbour.asked]
        assert inventory.of(asked) == self.pipeline.in_flight
        for block, requesters in self.pipeline.requesters.items():
            assert asked.count(block) == len(requesters) <= MOST_REQUESTERS
            assert len({neighbour.peer for neighbour in requesters}) == len(requesters)


def test_of_large_blocks_only_so_many_neighbours_are_asked_at_once():
    scene = Scene(6, *[0b111111] * 5, most_asked=2)
    asks = scene.ask()
    assert len(asks) == 4  # two of each
    first = {peer for peer, _ in asks}
    assert len(first) == 2
    index = int(asks[0][0][1:])
    for block in [block for peer, block in asks if peer == asks[0][0]]:
        scene.arrive(index, block, 1.0)
    scene.neighbours[index].serves_us = False
    (other,) = {peer for peer, _ in scene.ask(1.0)} - first
    assert other != asks[0][0]


def test_two_are_asked_of_a_neighbour_whose_pace_is_unknown():
    assert Scene(9, 0b111111111).ask() == [("p0", 0), ("p0", 1)]


def test_no_block_is_asked_of_two_neighbours_while_others_are_missing():
    scene = Scene(9, *[inventory.full(9)] * 3)
    asks = scene.ask()
    assert len({block for _, block in asks}) == len(asks) == 6
    assert scene.ask(100.0) != asks


def test_a_choked_a_snubbed_and_an_empty_one_are_not_asked():
    scene = Scene(3, 0b111, 0b111, 0)
    scene.neighbours[0].serves_us = False
    scene.neighbours[1].snubbed_until = 5.0
    assert scene.ask(4.0) == []
    assert scene.ask(5.0)


def test_the_pipeline_bound_holds_with_ten_neighbours_at_once():
    scene = Scene(400, *[inventory.full(400)] * 10, pipeline=7)
    for neighbour in scene.neighbours:
        neighbour.depth = 10_001
    assert len(scene.ask()) == 70
    assert {len(neighbour.asked) for neighbour in scene.neighbours} == {7}


@pytest.mark.parametrize(
    ("latency_s", "gap_s", "expected"), [(None, 0.1, 2), (0.1, 0.1, 2), (0.5, 0.1, 6), (9.0, 0.0, 64)]
)
def test_the_depth_follows_latency_and_pace(latency_s: float | None, gap_s: float, expected: int):
    scene = Scene(100, inventory.full(100))
    scene.neighbours[0].depth = depth(gap_s, latency_s)
    assert len(scene.ask()) == expected


def test_of_a_neighbour_whose_blocks_take_long_one_is_asked_at_a_time():
    scene = Scene(9, 0b111111111)
    assert scene.ask(0.0) == [("p0", 0), ("p0", 1)]
    scene.arrive(0, 0, 2.0)
    assert scene.ask(2.0) == []
    scene.arrive(0, 1, 4.0)
    assert scene.ask(4.0) == [("p0", 2)]


@pytest.mark.parametrize(
    ("latency_s", "gap_s", "expected"), [(None, 0.1, 1), (0.1, 0.1, 1), (0.02, 0.1, 1), (0.5, 0.1, 5), (9.0, 0.0, 64)]
)
def test_a_neighbour_that_has_others_to_serve_is_asked_for_no_more_than_it_answers_at_once(
    latency_s: float | None, gap_s: float, expected: int
):
    scene = Scene(100, inventory.full(100))
    scene.neighbours[0].depth = depth(gap_s, latency_s, busy=True)
    assert len(scene.ask()) == expected


def test_a_block_that_comes_instead_answers_the_first_pedido_that_is_open():
    scene = Scene(9, inventory.full(9))
    (p0,) = scene.neighbours
    assert scene.ask(0.0) == [("p0", 0), ("p0", 1)]
    assert scene.pipeline.expects(p0, 7, rarer=True)
    assert not scene.pipeline.expects(p0, 7)
    assert scene.pipeline.arrived(p0, 7, 0.25, rarer=True) == 0.25
    assert list(p0.asked) == [1]
    assert scene.pipeline.arrived(p0, 8, 0.5) is None
    scene.check()


def test_a_block_that_may_be_late_or_come_instead_leaves_no_pedido_open_for_ever():
    scene = Scene(9, inventory.full(9))
    (p0,) = scene.neighbours
    scene.ask(0.0)
    scene.pipeline.void_all(p0)
    scene.missing = 0b1100
    assert scene.ask(1.0) == [("p0", 2), ("p0", 3)]
    assert scene.pipeline.arrived(p0, 0, 1.5, rarer=True) == 0.5
    assert list(p0.asked) == [3]
    assert scene.pipeline.expects(p0, 2)  # if the other was only late
    scene.check()


def test_in_endgame_the_fastest_is_waited_for_though_it_has_no_room_just_now():
    scene = Scene(3, 0b111, 0b100, 0b111, pipeline=1)
    slow, fast, unknown = scene.neighbours
    slow.gap_s, fast.gap_s = 60.0, 0.1
    unknown.serves_us = False
    scene.missing = 0b101
    scene.pipeline._ask(slow, 0, 0.0)
    fast.theirs, unknown.serves_us = 0b111, True
    scene.pipeline._ask(fast, 2, 0.0)
    assert scene.pipeline.ask_again(scene.neighbours, 1.0) == []
    scene.arrive(1, 2, 1.1)
    assert scene.ask(1.1) == [("p1", 0)]


def test_latency_is_measured_by_a_pedido_that_had_none_before_it():
    scene = Scene(9, inventory.full(9))
    scene.ask(0.0)
    scene.arrive(0, 1, 3.0)
    assert scene.neighbours[0].latency_s is None
    scene.arrive(0, 0, 4.0)
    assert scene.neighbours[0].latency_s == 4.0


def test_rarest_first_holds_over_all_that_serve():
    scene = Scene(3, 0b111, 0b011, 0b001, picker=RarestFirst(Random(1)), pipeline=1)
    assert scene.ask() == [("p0", 2), ("p1", 1), ("p2", 0)]


def test_what_waits_too_long_is_asked_elsewhere_and_not_at_once_of_the_same():
    scene = Scene(2, 0b11, 0b11, request_timeout_s=5.0)
    scene.neighbours[1].serves_us = False
    scene.ask(0.0)
    assert scene.pipeline.give_up(scene.neighbours, 4.9) == 5.0
    assert scene.pipeline.give_up(scene.neighbours, 5.0) == 10.0
    scene.check()
    assert scene.ask(5.0) == []
    scene.neighbours[1].serves_us = True
    assert scene.ask(5.0) == [("p1", 0), ("p1", 1)]


def test_a_silent_neighbour_is_asked_for_nothing_more_though_it_is_not_given_up_yet():
    scene = Scene(9, inventory.full(9), request_timeout_s=5.0)
    assert scene.ask(0.0) == [("p0", 0), ("p0", 1)]
    scene.neighbours[0].depth = 3
    assert scene.ask(4.9) == [("p0", 2)]
    scene.neighbours[0].depth = 4
    assert scene.ask(5.0) == []


def test_bytes_that_come_are_a_sign_of_life():
    scene = Scene(2, 0b11, request_timeout_s=5.0)
    scene.ask(0.0)
    scene.neighbours[0].heard_at = 4.0
    assert scene.pipeline.give_up(scene.neighbours, 5.0) == 9.0
    assert scene.neighbours[0].asked


def test_what_is_voided_may_still_come_late():
    scene = Scene(2, 0b11)
    scene.ask()
    scene.pipeline.void_all(scene.neighbours[0])
    scene.check()
    assert scene.neighbours[0].late == 0b11
    assert scene.pipeline.in_flight == 0


def endgame(*gaps_s: float | None, blocks: int = 1) -> Scene:
    """A scene in which p0 was asked for all blocks at 0 s and will not send them; `gaps_s`: the pace of each."""
    scene = Scene(blocks, *[inventory.full(blocks)] * len(gaps_s))
    for neighbour, gap_s in zip(scene.neighbours, gaps_s, strict=True):
        neighbour.gap_s = gap_s
        neighbour.serves_us = neighbour is scene.neighbours[0]
    assert scene.ask() == [("p0", block) for block in range(blocks)]
    for neighbour in scene.neighbours:
        neighbour.serves_us = True
    return scene


def test_in_endgame_a_block_at_a_slow_neighbour_is_asked_at_once_of_a_much_faster_one():
    assert endgame(20.0, 15.0, 0.01).ask(0.1) == [("p2", 0)]


def test_in_endgame_the_blocks_that_would_come_last_are_asked_again_first():
    assert endgame(20.0, 8.0, blocks=2).ask(0.1) == [("p1", 1)]


def test_in_endgame_a_neighbour_that_is_as_fast_is_asked_only_when_the_first_is_far_behind():
    scene = endgame(5.0, 5.0, 5.0)
    assert scene.ask(19.0) == []
    assert scene.pipeline.next_overdue(19.0) == 20.0
    assert len(scene.ask(20.0)) == 1


def test_in_endgame_what_comes_within_half_a_second_is_waited_for():
    scene = endgame(0.4, 0.001)
    assert scene.ask(0.4) == []
    assert scene.ask(0.6) == [("p1", 0)]


def test_in_endgame_a_pace_that_is_known_comes_before_one_that_may_be_as_fast():
    scene = endgame(None, None, 0.2, None)
    scene.pipeline._typical_s = 0.1
    assert scene.ask(3.0) == [("p2", 0)]


def test_in_endgame_a_fast_neighbour_is_asked_though_two_slow_ones_were_and_then_nobody_else():
    scene = endgame(100.0, 20.0, 1.0, 0.001)
    scene.neighbours[2].serves_us = scene.neighbours[3].serves_us = False
    assert scene.ask(0.1) == [("p1", 0)]
    scene.neighbours[2].serves_us = True
    assert scene.ask(0.2) == [("p2", 0)]
    scene.neighbours[3].serves_us = True
    assert scene.ask(99.0) == []
    assert scene.pipeline.next_overdue(99.0) == inf


def test_in_endgame_a_neighbour_that_was_called_off_after_long_is_known_to_be_slow():
    scene = endgame(None, 0.1, blocks=2)
    assert scene.ask(10.0) == [("p1", 1), ("p1", 0)]
    assert scene.arrive(1, 1, 10.1) == ["p0"]
    assert scene.neighbours[0].gap_s == 10.1


def test_in_endgame_the_loser_is_called_off():
    scene = Scene(1, 0b1, 0b1, pipeline=1)
    ((first, _),) = scene.ask(0.0)
    ((second, _),) = scene.ask(100.0)
    assert {first, second} == {"p0", "p1"}
    assert scene.arrive(int(second[1]), 0, 101.0) == [first]
    assert scene.neighbours[int(first[1])].late == 1


def test_in_endgame_no_silent_neighbour_is_asked_again_before_all_others_were():
    """Nothing is left to ask meanwhile: that is no reason to forgive."""
    scene = endgame(*[None] * 9)
    asked = ["p0"]
    for second in range(1, 300):
        if second % 10 == 0:
            scene.pipeline.forgive(scene.neighbours, scene.missing)
        scene.pipeline.give_up(scene.neighbours, second)
        asked += [peer for peer, _ in scene.ask(second)]
    assert len(asked) > 9
    assert len(set(asked[:9])) == 9


def test_there_is_no_endgame_before_every_block_that_can_be_asked_is_in_flight():
    scene = Scene(5, 0b00001, 0b11111, 0b00011, pipeline=1)
    assert len(scene.ask(0.0)) == 3 - (scene.pipeline.in_flight == 0b11)
    assert scene.ask(100.0) == []


@given(st.lists(st.integers(0, 255), min_size=1, max_size=5), st.data())
def test_whatever_happens_what_is_asked_is_what_is_in_flight(held: list[int], data: st.DataObject):
    scene, now = Scene(8, *held, request_timeout_s=5.0, picker=RarestFirst(Random(1))), 0.0
    for _ in range(12):
        now += data.draw(st.sampled_from([0.0, 0.5, 3.0, 6.0]))
        index = data.draw(st.integers(0, len(held) - 1))
        neighbour = scene.neighbours[index]
        match data.draw(st.sampled_from(["ask", "ask", "arrive", "arrive", "choke", "serve", "give up", "wrong"])):
            case "ask":
                scene.ask(now)
            case "arrive" if neighbour.asked:
                scene.arrive(index, data.draw(st.sampled_from(sorted(neighbour.asked))), now)
            case "wrong" if neighbour.asked:
                scene.pipeline.arrived(neighbour, data.draw(st.sampled_from(sorted(neighbour.asked))), now)
            case "choke":
                neighbour.serves_us = False
                scene.pipeline.void_all(neighbour)
            case "serve":
                neighbour.serves_us = True
            case "give up":
                scene.pipeline.give_up(scene.neighbours, now)
        scene.check()
        assert not scene.pipeline.in_flight & ~scene.missing


class Wrong(Picker):
    """Answers `answer`, or raises it."""

    answer: object = None

    def pick(self, choices: int, availability: Availability) -> int:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize("answer", [None, -1, 2, 99, "0", 1.0, [0], ZeroDivisionError("ouch"), RecursionError()])
def test_a_picker_that_errs_is_named(answer: object):
    picker = Wrong(Random(1))
    picker.answer = answer
    scene = Scene(3, 0b011, picker=picker)
    with pytest.raises(LocalError, match="picker rarest-first"):
        scene.ask()


def test_frequencies_and_the_rarest_blocks_are_logged(caplog: pytest.LogCaptureFixture):
    scene = Scene(4, 0b1111, 0b0110, 0b0010, picker=RarestFirst(Random(1)), pipeline=1)
    scene.neighbours[1].serves_us = scene.neighbours[2].serves_us = False
    with caplog.at_level(logging.DEBUG, "minibit.me"):
        scene.ask()
    (line,) = said(caplog)
    assert line in {f"frequencies [(1, 3), (2, 2), (0, 1), (3, 1)] rarest [0, 3] picked {block}" for block in (0, 3)}


def test_nothing_is_logged_unless_it_is_wanted(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        Scene(4, 0b1111).ask()
    assert said(caplog) == []


def said(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_block_that_comes_late_takes_no_time_ends_the_snub_and_is_expected_once():
    scene = Scene(2, 0b11, request_timeout_s=5.0)
    scene.ask(0.0)
    scene.pipeline.give_up(scene.neighbours, 6.0)
    (bia,) = scene.neighbours
    assert (bia.asked, bia.late, bia.snubbed_until) == ({}, 0b11, 11.0)
    assert scene.pipeline.expects(bia, 1)
    assert scene.pipeline.arrived(bia, 1, 7.0) == 0.0
    assert (bia.late, bia.snubbed_until, bia.heard_at) == (0b01, 7.0, 7.0)
    assert not scene.pipeline.expects(bia, 1)


def test_a_block_that_nobody_asked_for_is_heard_and_no_more():
    scene = Scene(2, 0b11)
    (bia,) = scene.neighbours
    assert not scene.pipeline.expects(bia, 1)
    assert scene.pipeline.arrived(bia, 1, 7.0) is None
    assert (bia.heard_at, bia.snubbed_until, bia.gap_s) == (7.0, -inf, None)


def test_a_neighbour_that_chokes_us_may_still_send_what_was_asked_of_it():
    scene = Scene(2, 0b11)
    scene.ask(0.0)
    (bia,) = scene.neighbours
    scene.pipeline.served(bia, False, 0.5)
    assert (bia.serves_us, bia.asked, bia.late) == (False, {}, 0b11)
    assert scene.pipeline.arrived(bia, 0, 0.6) == 0.0


def test_a_neighbour_that_chokes_us_before_anything_came_is_asked_for_other_blocks_first():
    scene = Scene(5, 0b11111)
    (bia,) = scene.neighbours
    assert scene.ask(0.0) == [("p0", 0), ("p0", 1)]
    scene.pipeline.served(bia, False, 0.5)
    scene.pipeline.served(bia, True, 0.5)
    assert scene.ask(0.5) == [("p0", 2), ("p0", 3)]
    scene.arrive(0, 2, 0.6)
    scene.pipeline.served(bia, False, 0.7)  # it does give something
    assert bia.doubted == 0b00011


def test_a_doubted_block_is_asked_again_of_a_neighbour_that_has_nothing_else():
    scene = Scene(2, 0b11)
    (bia,) = scene.neighbours
    scene.pipeline.doubt(bia, 0b01)
    scene.pipeline.forgive([bia], 0b11)
    assert bia.doubted == 0b01  # block 1 is left to ask
    assert scene.ask() == [("p0", 1)]
    scene.pipeline.forgive([bia], 0b11)
    assert scene.ask() == [("p0", 0)]

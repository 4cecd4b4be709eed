"""The turn that a swarm and its live page share."""

from __future__ import annotations

from threading import Event, Thread

from minibit.actors.driver.turn import Turn

ENOUGH_S = 30.0


class Shared:
    """What two threads use, and whom it saw."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.inside = self.most = 0

    def work(self, depth: int = 1) -> int:
        """Take the turn, and take it again while it is had."""
        with self.turn:
            self.inside += 1
            self.most = max(self.most, self.inside - depth + 1)
            deeper = self.work(depth + 1) if depth < 3 else depth
            self.inside -= 1
            return deeper


def test_a_method_in_turn_runs_alone_gives_its_answer_and_may_call_another():
    shared = Shared()
    threads = [Thread(target=lambda: [shared.work() for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ENOUGH_S)
    assert (shared.work(), shared.inside, shared.most) == (3, 0, 1)


def test_a_pause_lets_others_have_the_turn_however_often_it_was_taken():
    turn, had = Turn(), Event()

    def other() -> None:
        with turn:
            had.set()

    with turn, turn:
        waits = Thread(target=other)
        waits.start()
        assert not had.is_set()
        turn.wait(0.0)
        while not had.is_set():
            turn.wait(0.01)
    waits.join(ENOUGH_S)


def test_a_turn_that_can_not_be_had_in_time_is_said_and_not_waited_for():
    turn, tried = Turn(), []

    def other() -> None:
        with turn.within(0.0) as mine:
            tried.append(mine)

    with turn:
        first = Thread(target=other)
        first.start()
        first.join(ENOUGH_S)
    second = Thread(target=other)
    second.start()
    second.join(ENOUGH_S)
    assert tried == [False, True]
    with turn.within(0.0) as mine:
        assert mine

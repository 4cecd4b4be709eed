"""The head of a cluster is lost: nobody waits for it longer than Ray lets us, and no signal waits for it at all."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from minibit.actors.driver import cluster, head
from minibit.actors.driver.head import LIMIT, ClusterHead
from minibit.errors import ClusterError, LocalError

NEVER = threading.Event()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What a head is to us: somebody that listens. Ray would end this process after 0.4 s without it."""
    monkeypatch.setattr(head, "LOOK_S", 0.02)
    monkeypatch.setenv(LIMIT, "0.4")
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def watched(listener: socket.socket) -> ClusterHead:
    made = ClusterHead(f"127.0.0.1:{listener.getsockname()[1]}")
    made.watch()
    return made


def test_what_needs_a_lost_head_is_given_up_before_ray_ends_this_process(listener: socket.socket) -> None:
    lost = watched(listener)
    assert lost.ask(lambda: "an answer") == "an answer"
    listener.close()
    with pytest.raises(ClusterError, match=r"the head of the cluster, 127.0.0.1:\d+, could not be reached for 0 s"):
        lost.ask(NEVER.wait)
    assert 0 < lost.left_s <= 0.1
    assert lost.gone(), "and nobody waits for it again"
    lost.leave()


def test_a_head_that_is_there_is_never_given_up_and_a_call_without_an_answer_is(listener: socket.socket) -> None:
    there = watched(listener)
    with pytest.raises(ClusterError, match="gave no answer within 1 s"):
        there.ask(NEVER.wait, 0.6)  # longer than a lost one is waited for
    assert (there.gone(), there.lost_s) == ("", 0)
    there.leave()


def test_an_error_of_the_call_is_raised_as_it_is() -> None:
    def fail() -> None:
        raise LocalError("the name is taken")

    with pytest.raises(LocalError, match="the name is taken"):
        ClusterHead().ask(fail)


def test_a_signal_ends_the_waiting_for_a_head() -> None:
    def told_to_end() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        NEVER.wait()

    with pytest.raises(KeyboardInterrupt):
        ClusterHead().ask(told_to_end)


def test_a_limit_that_ray_could_not_read_either_is_its_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "long")
    assert ClusterHead()._limit_s == head.RAYS_LIMIT_S


DEAD_NODE = (
    "The node with node id: 5b83 and address: 10.0.0.3 and node name: x has been marked dead because the detector has "
    "missed too many heartbeats from it. This can happen when a \t(1) raylet crashes unexpectedly (OOM) \n\t(2) .."
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (DEAD_NODE, "Ray gives up the node at 10.0.0.3: it is dead, or could not be reached for too long"),
        ("Raylet is terminated. Termination is unexpected. Possible reasons include: (1) SIGKILL\n  [state-dump]", ""),
        ("WARNING: 40 PYTHON worker processes have been started on node: 1a.\nThis could be", ""),
        ("the disk is full\nand more", "Ray says: the disk is full"),
    ],
)
def test_what_ray_says_of_its_nodes_in_pages_is_a_line_or_nothing(text: str, line: str) -> None:
    assert cluster._in_a_line(text) == line

"""Calls of many actors: which answered, are gone or are silent. There is no Ray: answers stand ready, or come later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from fake_ray import DEAD, UNREACHABLE, FakeActor, FakeRay, Ref, failed
from ray import exceptions
from ray.exceptions import RayError, RayTaskError

from minibit.actors.driver import calls
from minibit.actors.driver.calls import Calls, is_gone
from minibit.actors.driver.handle import ANSWER_S, PeerHandle, ask_all
from minibit.actors.driver.swarm import Swarm
from minibit.errors import LocalError


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    made = FakeRay()
    monkeypatch.setattr(calls, "ray", made)
    monkeypatch.setattr(calls, "time", made)
    monkeypatch.setattr("minibit.actors.driver.handle.ray", made)
    return made


def scripted(**answers: Iterable[Any]) -> tuple[Calls[Any], dict[str, int]]:
    """Calls whose answers come from these scripts, by name; and how often each was asked."""
    scripts = {name: iter(script) for name, script in answers.items()}
    asked: dict[str, int] = defaultdict(int)

    def ask(name: str) -> Any:
        asked[name] += 1
        answer = next(scripts[name])
        return answer if isinstance(answer, Ref) else Ref(answer)

    return Calls(ask), asked


def of_ray() -> list[type[RayError]]:
    """Every error of Ray's that a call may raise."""
    kinds = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, RayError)]
    return [kind for kind in kinds if not issubclass(kind, RayTaskError)]


@pytest.mark.parametrize("kind", of_ray(), ids=lambda kind: str(kind.__name__))
def test_only_what_ray_calls_dead_is_gone(kind: type[RayError]) -> None:
    assert is_gone(kind.__new__(kind)) == (kind.__name__ in {"ActorDiedError", "ActorUnschedulableError"})


@pytest.mark.parametrize("cause", [DEAD, UNREACHABLE, ValueError("no")])
def test_an_error_of_the_method_is_an_answer_also_when_it_names_another_dead_actor(world, cause):
    made, _ = scripted(a=[failed(cause)])
    replies = made.some(["a"], 1)
    assert not is_gone(failed(cause))
    assert (list(replies.failed), replies.gone, replies.silent) == (["a"], {}, [])


def test_each_actor_is_among_those_that_answered_or_are_gone_or_are_silent(world):
    made, _ = scripted(a=[1], b=[DEAD], c=[UNREACHABLE], d=[Ref(None)], e=[failed(ValueError("no"))])
    replies = made.some("abcde", 3)
    assert (replies.found, list(replies.gone), replies.silent, list(replies.failed)) == (
        *({"a": 1}, ["b"], ["c", "d"]),
        ["e"],
    )
    assert world.now == pytest.approx(3), "it waited for the one that gave no answer, and no longer"


def test_a_silent_actor_is_not_waited_for_again_and_not_asked_again_before_it_answered(world):
    made, asked = scripted(a=[1, 2, 3, 4], b=[world.later(7, "late"), "new"])
    assert made.some("ab", 3).silent == ["b"]
    assert made.some("ab", 3).silent == ["b"]
    assert world.now == pytest.approx(3)
    assert made.silent_since == {"b": pytest.approx(3)}
    world.sleep(4)
    assert made.some("ab", 3).found == {"a": 3, "b": "late"}
    assert made.some("ab", 3).found == {"a": 4, "b": "new"}
    assert (asked["b"], made.silent_since, made.count) == (2, {}, 6)


def test_an_actor_that_could_not_be_reached_is_asked_anew(world):
    made, asked = scripted(a=[UNREACHABLE, UNREACHABLE, "at last"])
    assert made.some("a", 1).silent == made.some("a", 1).silent == ["a"]
    assert made.some("a", 1).found == {"a": "at last"}
    assert asked["a"] == 3


def test_all_are_waited_for_until_each_has_answered_or_is_gone(world):
    made, _ = scripted(a=[UNREACHABLE] * 20 + [1], b=[world.later(30, 2)], c=[DEAD])
    counts: list[int] = []
    replies = made.all("abc", 60, look=lambda replies: counts.append(len(replies.found)))
    assert (replies.found, list(replies.gone), replies.silent) == ({"a": 1, "b": 2}, ["c"], [])
    assert world.now == pytest.approx(30, abs=1)
    assert counts[0] == 0 and counts[-1] == 2 and counts == sorted(counts)


def test_the_waiting_ends_with_the_time_or_when_nobody_answered_for_so_long(world):
    made, _ = scripted(a=[Ref(None)], b=[world.later(5, 2)], c=[UNREACHABLE] * 1000)
    replies = made.all("abc", 60, quiet_s=10)
    assert (replies.found, replies.silent) == ({"b": 2}, ["a", "c"])
    assert world.now == pytest.approx(15, abs=2)
    made, _ = scripted(a=[Ref(None)])
    assert made.all("a", 8).silent == ["a"]
    assert world.now == pytest.approx(23, abs=2)


def test_who_looks_on_can_end_the_waiting(world):
    def look(replies: calls.Replies[Any]) -> None:
        if replies.found:
            raise LocalError("seen enough")

    made, _ = scripted(a=[1], b=[Ref(None)])
    with pytest.raises(LocalError, match="seen enough"):
        made.all("ab", 60, look=look)
    assert world.now <= 1 + 1e-3


# those that ask


def test_only_a_dead_actor_is_missing_among_those_that_were_asked(world):
    actors: Any = {
        name: FakeActor(snapshot=[answer]) for name, answer in {"a": 1, "b": DEAD, "c": UNREACHABLE, "d": None}.items()
    }
    answers = ask_all(actors, lambda actor: actor.snapshot.remote(), timeout_s=1)
    assert (answers.names, answers.found, answers.slow) == (["a", "b", "c", "d"], {"a": 1}, ["c", "d"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (DEAD, "is not there any more"),
        (UNREACHABLE, "can't be asked now"),
        (None, "gave no answer within"),
    ],
)
def test_a_handle_tells_a_dead_peer_from_one_that_can_not_be_reached(world, answer, said):
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    actor: Any = FakeActor(snapshot=[answer])
    with pytest.raises(LocalError, match=f"peer-01 {said}"):
        PeerHandle("peer-01", actor, nothing).snapshot()


def test_all_peers_are_limited_at_once_and_those_that_gave_no_answer_are_named(world, monkeypatch):
    monkeypatch.setattr(Swarm, "check_open", lambda self: None)
    answers: dict[str, Any] = {"tracker": True, "peer-01": True, "peer-02": None, "peer-03": DEAD, "peer-04": None}
    actors: Any = {name: FakeActor(limit=[Ref(answer)]) for name, answer in answers.items()}
    with pytest.raises(LocalError, match="from peer-02, peer-04: try again"):
        Swarm("tuesday", actors).limit(upload=None)
    assert world.now == pytest.approx(ANSWER_S, abs=1), "not so long for each of them"
    assert {name: len(actor.calls) for name, actor in actors.items()} == dict.fromkeys(answers, 1) | {"tracker": 0}

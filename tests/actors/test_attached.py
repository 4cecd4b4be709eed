"""A push that goes on by itself, as another process finds it, asks it and waits for it."""

from __future__ import annotations

from typing import Any

import pytest
from fake_ray import DEAD, UNREACHABLE, FakeActor, FakeRay, Ref, failed
from pushed import DONE, moving

from minibit.actors.driver import attached
from minibit.actors.driver.attached import AttachedPush, PushSilentError
from minibit.delivery.progress import PushProgress
from minibit.errors import ClusterError, DiskFullError, LocalError

NAMED = ("minibit:model:push", "minibit:data:push", "minibit:run:peer-01", "minibit:push:tracker", "other")


NOT_YET = object()
"""The answer None, which is no answer at all for the fake."""


class Head:
    """A head that answers at once."""

    @staticmethod
    def ask(what: Any) -> Any:
        return what()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeRay, FakeActor]:
    """A cluster with some actors, of which one is asked."""
    ray, actor = (
        FakeRay(),
        FakeActor(result=[NOT_YET, NOT_YET, DONE], progress=[moving(50)], limit=["set"], cancel=["over"]),
    )

    def get(ref: Ref, timeout: float) -> Any:
        answer = ray.get(ref, timeout)
        return None if answer is NOT_YET else answer

    def get_actor(name: str, namespace: str) -> FakeActor:
        if (name, namespace) not in {(one, "minibit") for one in NAMED}:
            raise ValueError(name)
        return actor

    def list_named_actors(all_namespaces: bool) -> list[dict[str, str]]:
        there = [{"name": name, "namespace": "minibit"} for name in NAMED]
        return [*there, {"name": "minibit:foreign:push", "namespace": "another"}]

    monkeypatch.setattr(attached.CONNECTION, "head", Head)
    monkeypatch.setattr(attached.ray, "get", get)
    monkeypatch.setattr(attached.ray, "get_actor", get_actor)
    monkeypatch.setattr(attached.ray.util, "list_named_actors", list_named_actors)
    monkeypatch.setattr(attached.time, "monotonic", ray.monotonic)
    return ray, actor


def test_pushes_are_found_by_their_names_and_nothing_else_is(cluster: Any) -> None:
    assert AttachedPush.running() == ["data", "model"]
    with pytest.raises(LocalError, match="there is no push 'nothing' on this cluster: there are data, model"):
        AttachedPush("nothing")


def test_one_is_asked_limited_and_ended(cluster: Any) -> None:
    push = AttachedPush("model")
    assert push.progress() == moving(50)
    push.limit(1e6)
    push.cancel()
    assert cluster[1].calls == [("progress", ()), ("limit", (1e6,)), ("cancel", ())]


def test_it_is_waited_for_with_progress(cluster: Any) -> None:
    seen: list[PushProgress] = []
    assert AttachedPush("model").wait(seen.append, cluster[0].sleep) is DONE
    assert seen == [moving(50), moving(50)]


def test_a_push_that_is_silent_for_a_while_is_waited_for(cluster: Any) -> None:
    ray, actor = cluster
    actor.answers["result"] = [UNREACHABLE, UNREACHABLE, DONE]
    assert AttachedPush("model").wait(lambda seen: None, ray.sleep) is DONE


def test_one_that_stays_silent_is_given_up(cluster: Any) -> None:
    ray, actor = cluster
    actor.answers["result"] = [UNREACHABLE]
    with pytest.raises(PushSilentError, match="the push model can't be reached now: try again"):
        AttachedPush("model").wait(lambda seen: None, ray.sleep)
    assert attached.LOST_S <= ray.now <= attached.LOST_S + 5


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (DEAD, ClusterError, "the push model is gone, with the node that it ran on: push again"),
        (failed(DiskFullError("no room")), DiskFullError, "^no room$"),
        (None, PushSilentError, "the push model gave no answer within 10 s: try again"),
    ],
)
def test_what_ended_it_is_said(answer: Any, kind: type[Exception], says: str, cluster: Any) -> None:
    cluster[1].answers["progress"] = [answer]
    with pytest.raises(kind, match=says):
        AttachedPush("model").progress()

"""The two carriers of a message, links and actor calls: the same mailbox, and the same order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from loopback import Loopback, on_uvloop
from ray.exceptions import ActorDiedError, ActorUnavailableError, RpcError

from minibit import messages
from minibit.actors import errands
from minibit.actors.disk import files
from minibit.actors.node import Node
from minibit.actors.peer import PeerActor
from minibit.actors.tracker import TrackerActor
from minibit.events import TRACKER
from minibit.mailbox import Letter
from minibit.messages import (
    Bloqueio,
    Desbloqueio,
    Desligamento,
    Estoque,
    ListaPeers,
    Message,
    NovoPeer,
    Pedido,
    PeerAddress,
    Registro,
)
from minibit.seat import Seat

SOMEBODY = PeerAddress("somebody", "127.0.0.1", 9)
EVERY_VERB = [
    Registro(peer="somebody", host="127.0.0.1", port=9),
    ListaPeers((SOMEBODY,)),
    NovoPeer((SOMEBODY,)),
    Estoque(new=(1,)),
    Bloqueio(),
    Desbloqueio(),
    Pedido(3),
    Desligamento(why="by hand"),
]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return files.make(tmp_path / "film", 4 * 16384, seed=1)


def letters(where: Node, *, sender: str) -> list[Message]:
    """What `sender` told this node, as the mailbox shows it."""
    return [letter.message for letter in where.mailbox.last if (letter.way, letter.peer) == ("in", sender)]


async def linked(swarm: Loopback) -> tuple[Node, Node]:
    """Two peers, not started, that share a link, and both have one with the seed."""
    one, two = [await swarm.seat(name, start=False) for name in ("one", "two")]
    pairs = ((one, "two"), (two, "one"), (one, TRACKER), (two, TRACKER))
    await swarm.until(lambda: all(b in a.links and letters(a, sender=b) for a, b in pairs))
    return one, two


def verb(message: Message) -> str:
    return message.verb


def test_every_verb_but_bloco_has_an_actor_method_of_its_name():
    assert {message.verb for message in EVERY_VERB} | {"BLOCO"} == set(messages.VERBS)
    assert all(callable(getattr(PeerActor, message.verb.lower(), None)) for message in EVERY_VERB)
    assert not hasattr(PeerActor, "bloco")


@pytest.mark.parametrize("message", EVERY_VERB, ids=verb)
@on_uvloop
async def test_both_carriers_put_the_same_message_into_the_same_mailbox(film, tmp_path, message):
    async with Loopback(film, tmp_path / "copies") as swarm:
        one, two = await linked(swarm)
        before = letters(two, sender="one").count(message)
        one.links["two"].send(message)
        await swarm.until(lambda: letters(two, sender="one").count(message) == before + 1)
        actor = PeerActor(Seat(name="two"), SimpleNamespace(run="tuesday"), "")  # type: ignore[arg-type]
        actor.node = two
        assert await getattr(actor, message.verb.lower())("one", message) is None
        assert letters(two, sender="one").count(message) == before + 2
        assert letters(two, sender="one")[-2:] == [message, message]
        assert two.mailbox.last[-1] == Letter(two.mailbox.last[-1].at_s, "in", "one", message)


@on_uvloop
async def test_what_goes_out_is_in_the_mailbox_too_whatever_carries_it(film, tmp_path):
    for by_actor_calls in (False, True):
        async with Loopback(film, tmp_path / str(by_actor_calls), by_actor_calls=by_actor_calls) as swarm:
            await swarm.seat_many(2)
            await swarm.until_complete()
            sent, received = (
                {
                    (letter.peer, node.me.peer, letter.message)
                    if letter.way == "in"
                    else (node.me.peer, letter.peer, letter.message)
                    for node in swarm.nodes.values()
                    for letter in node.mailbox.last
                    if letter.way == way and not isinstance(letter.message, Registro | ListaPeers | NovoPeer)
                }
                for way in ("out", "in")
            )
            assert received <= sent
            assert {type(message).__name__ for _, _, message in received} >= {
                "Estoque",
                "Desbloqueio",
                "Pedido",
                "Bloco",
            }


@on_uvloop
async def test_a_message_by_hand_from_nobody_we_know_is_seen_and_does_no_harm(film, tmp_path):
    async with Loopback(film, tmp_path / "copies") as swarm:
        (peer,) = await swarm.seat_many(1)
        for message in EVERY_VERB:
            peer.receive("notebook", message)
        await swarm.until_complete()
        assert len(letters(peer, sender="notebook")) == len(EVERY_VERB)
        swarm.check()


# calls of other actors: every way out is heard


class Remote:
    """Stands in for the handle of an actor, whose method ends in these ways, one after the other."""

    def __init__(self, *ways: Any) -> None:
        self.ways = list(ways)
        self.heard: list[tuple[Any, ...]] = []
        self.parcel = self.registro = self

    async def remote(self, *said: Any) -> Any:
        self.heard.append(said)
        way = self.ways.pop(0)
        if isinstance(way, Exception):
            raise way
        return way


async def caller(swarm: Loopback) -> PeerActor:
    """The actor around a node."""
    node = await swarm.seat("one", start=False)
    actor = PeerActor(Seat(name="one"), SimpleNamespace(run="tuesday"), "")  # type: ignore[arg-type]
    actor.node = node
    return actor


@on_uvloop
async def test_a_parcel_is_carried_until_it_is_heard_and_other_messages_are_said_once(film, tmp_path, monkeypatch):
    monkeypatch.setattr(errands, "AGAIN_S", 0.0)
    async with Loopback(film, tmp_path / "copies") as swarm:
        actor = await caller(swarm)
        away = [ActorUnavailableError("away", None), RpcError("away"), ActorUnavailableError("away", None)]
        actor.errands._actors["two"] = other = Remote(*away, b"answer")
        assert await actor.errands.carry("two", b"parcel") == b"answer"
        assert (other.heard, actor.errands.count) == ([("one", b"parcel")] * 4, 4)
        actor.errands._actors[TRACKER] = other = Remote(away[0])
        actor.call_tracker(Registro(peer="one"))
        await asyncio.gather(*actor.errands._calls)
        assert other.heard == [("one", Registro(peer="one"))]
        assert actor.node.failure is None


@pytest.mark.parametrize("error", [ActorDiedError(), ValueError("no actor of that name"), RpcError("away")])
@on_uvloop
async def test_a_call_that_finds_nobody_does_the_caller_no_harm(film, tmp_path, error):
    async with Loopback(film, tmp_path / "copies") as swarm:
        actor = await caller(swarm)
        actor.errands._actors[TRACKER] = Remote(error)
        actor.call_tracker(Registro(peer="one"))
        await asyncio.gather(*actor.errands._calls)
        actor.errands._actors["two"] = Remote(error if not isinstance(error, RpcError) else ActorDiedError())
        assert await actor.errands.carry("two", b"parcel") is None
        assert actor.node.failure is None


@on_uvloop
async def test_a_call_that_fails_in_a_way_nobody_thought_of_fails_the_node_with_the_reason(film, tmp_path):
    async with Loopback(film, tmp_path / "copies") as swarm:
        actor = await caller(swarm)
        actor.errands._actors[TRACKER] = Remote(KeyError("odd"))
        actor.call_tracker(Registro(peer="one"))
        await actor.node.stopped.wait()
        assert str(actor.node.failure) == "internal error: KeyError('odd')"


@pytest.mark.parametrize("step", ["handle", "wake"])
@on_uvloop
async def test_a_tracker_that_cannot_go_on_fails_with_the_reason(film, tmp_path, monkeypatch, step):
    def fail(*args: Any) -> None:
        raise KeyError("odd")

    async with Loopback(film, tmp_path / "copies") as swarm:
        tracker = TrackerActor(Seat(name=TRACKER), SimpleNamespace(run="tuesday", seed=1), "", "")  # type: ignore[arg-type]
        tracker.seed.node = node = swarm.nodes[TRACKER]
        setattr(tracker.tracker, step, fail)
        assert step == "wake" or await tracker.registro("two", Registro(peer="two")) is None
        if step == "wake":
            tracker._wake()
        await node.stopped.wait()
        assert str(node.failure) == "internal error: KeyError('odd')"

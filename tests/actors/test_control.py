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
from minibit.actors import errands, node
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


# numbers: async actors promise no order


class Heard:
    """Notes what a node takes from `one`, in which order."""

    def __init__(self, two: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.numbers: list[int] = []

        def take(sender: str, message: Any) -> None:
            if isinstance(message, Pedido):  # and nothing that the tracker says meanwhile
                self.numbers.append(message.block)

        monkeypatch.setattr(two, "_take", take)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 0, 0, 1, 3, 3, 2, 2)])
@on_uvloop
async def test_numbered_messages_are_taken_in_order_and_once(film, tmp_path, monkeypatch, order):
    async with Loopback(film, tmp_path / "copies") as swarm:
        _, two = await linked(swarm)
        heard = Heard(two, monkeypatch)
        for number in order:
            two.receive("one", Pedido(number), number)
        assert heard.numbers == [0, 1, 2, 3]
        assert not two._held_back["one"]


@on_uvloop
async def test_each_sender_has_its_own_numbers(film, tmp_path, monkeypatch):
    async with Loopback(film, tmp_path / "copies") as swarm:
        _, two = await linked(swarm)
        heard = Heard(two, monkeypatch)
        two.receive("one", Pedido(1), 1)
        two.receive(TRACKER, Pedido(7), 0)
        two.receive("one", Pedido(0), 0)
        assert heard.numbers == [7, 0, 1]


@on_uvloop
async def test_a_message_without_a_number_waits_for_nobody(film, tmp_path, monkeypatch):
    async with Loopback(film, tmp_path / "copies") as swarm:
        _, two = await linked(swarm)
        heard = Heard(two, monkeypatch)
        two.receive("one", Pedido(1), 1)
        two.receive("one", Pedido(9))
        assert heard.numbers == [9]


@on_uvloop
async def test_numbered_messages_wait_until_the_link_stands(film, tmp_path):
    async with Loopback(film, tmp_path / "copies") as swarm:
        two = await swarm.seat("two", start=False)
        two.receive("one", Pedido(1), 1)
        two.receive("one", Pedido(0), 0)
        assert letters(two, sender="one") == []
        await swarm.seat("one", start=False)
        await swarm.until(lambda: len(letters(two, sender="one")) >= 2)
        assert letters(two, sender="one")[:2] == [Pedido(0), Pedido(1)]


@on_uvloop
async def test_a_link_that_comes_back_goes_on_with_the_numbers(film, tmp_path):
    async with Loopback(film, tmp_path / "copies", by_actor_calls=True) as swarm:
        one, two = await linked(swarm)
        numbers = one._numbers["two"]
        assert numbers
        transport = one.links["two"]._transport
        assert transport is not None
        transport.abort()
        await swarm.until(lambda: "one" not in two.peer.contacts.up)
        await swarm.until(lambda: "one" in two.peer.contacts.up and one._numbers["two"] > numbers)
        one.start()
        two.start()
        await swarm.until_complete()
        swarm.check_copies()


@on_uvloop
async def test_what_is_held_back_is_bounded_and_the_next_one_is_always_taken(film, tmp_path, monkeypatch):
    monkeypatch.setattr(node, "HELD_BACK_MAX", 10)
    async with Loopback(film, tmp_path / "copies") as swarm:
        _, two = await linked(swarm)
        heard = Heard(two, monkeypatch)
        for number in range(1, 100):
            two.receive("one", Pedido(number), number)
        assert len(two._held_back["one"]) < 10
        two.receive("one", Pedido(0), 0)
        assert heard.numbers == list(range(10))


@on_uvloop
async def test_a_neighbour_is_blamed_for_what_it_says_by_an_actor_call_as_by_its_link(film, tmp_path):
    async with Loopback(film, tmp_path / "copies") as swarm:
        _, two = await linked(swarm)
        two.receive("one", Pedido(99), 0)
        assert "one" not in two.peer.contacts.up
        assert two.mailbox.last[-1].message.why == "a PEDIDO for block 99 of 4"


# calls of other actors: every way out is heard


class Remote:
    """Stands in for the handle of an actor, whose method ends in these ways, one after the other."""

    def __init__(self, *ways: Any) -> None:
        self.ways = list(ways)
        self.heard: list[tuple[Any, ...]] = []
        self.pedido = self.registro = self

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
async def test_a_numbered_message_is_said_until_it_is_heard_and_others_once(film, tmp_path, monkeypatch):
    monkeypatch.setattr(errands, "AGAIN_S", 0.0)
    async with Loopback(film, tmp_path / "copies") as swarm:
        actor = await caller(swarm)
        away = [ActorUnavailableError("away", None), RpcError("away"), ActorUnavailableError("away", None)]
        actor.errands._actors["two"] = other = Remote(*away, None)
        actor.call_peer("two", Pedido(3), 7)
        await asyncio.gather(*actor.errands._calls)
        assert other.heard == [("one", Pedido(3), 7)] * 4
        actor.errands._actors["two"] = other = Remote(away[0])
        actor.call_peer("two", Pedido(3))
        await asyncio.gather(*actor.errands._calls)
        assert other.heard == [("one", Pedido(3), None)]
        assert actor.node.failure is None


@pytest.mark.parametrize("error", [ActorDiedError(), ValueError("no actor of that name"), RpcError("away")])
@on_uvloop
async def test_a_call_that_finds_nobody_does_the_caller_no_harm(film, tmp_path, error):
    async with Loopback(film, tmp_path / "copies") as swarm:
        actor = await caller(swarm)
        actor.errands._actors[TRACKER] = Remote(error)
        actor.call_tracker(Registro(peer="one"))
        await asyncio.gather(*actor.errands._calls)
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

"""The post: messages by actor calls, together, in order and once, whatever becomes of calls and answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
from loopback import LocalOutside, Loopback, on_uvloop

from minibit.actors import post
from minibit.actors.disk import files
from minibit.actors.node import Node
from minibit.actors.post import Talk
from minibit.errors import RemoteError
from minibit.events import TRACKER
from minibit.messages import Bloqueio, Estoque, Message, Pedido

SAID = [Estoque(whole="0"), *map(Pedido, range(8))]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return files.make(tmp_path / "film", 16 * 16384, seed=1)


# a talk


def test_all_that_waits_goes_in_one_parcel_and_what_is_confirmed_in_no_later_one():
    ana, bia = Talk("link"), Talk("link")
    for message in SAID:
        ana.say(message)
    assert bia.unpack(first := ana.pack()) == tuple(SAID)
    ana.say(Bloqueio())
    assert ana.unpack(bia.pack()) == ()
    assert bia.unpack(second := ana.pack()) == (Bloqueio(),)
    assert len(second) < len(first)


def test_what_comes_again_is_skipped():
    ana, bia = Talk("link"), Talk("link")
    ana.say(Pedido(1))
    first = ana.pack()
    ana.say(Pedido(2))
    assert bia.unpack(second := ana.pack()) == (Pedido(1), Pedido(2))
    assert bia.unpack(first) == bia.unpack(second) == ()
    ana.say(Pedido(3))
    assert bia.unpack(ana.pack()) == (Pedido(3),)


def test_a_parcel_of_another_link_says_and_confirms_nothing():
    ana, bia = Talk("new"), Talk("new")
    old = Talk("old")
    old.say(Pedido(1))
    bia.say(Pedido(2))
    assert bia.unpack(old.pack()) == ()
    assert ana.unpack(bia.pack()) == (Pedido(2),)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_becomes_of_parcels_all_is_heard_in_order_and_once(seed):
    rng = Random(seed)
    ends, heard = (Talk("link"), Talk("link")), ([], [])
    said: tuple[list[Message], list[Message]] = ([], [])
    under_way: list[tuple[int, bytes]] = []
    for number in range(400):
        end = rng.randrange(2)
        ends[end].say(message := Pedido(number))
        said[end].append(message)
        if rng.random() < 0.5:
            under_way.append((1 - end, ends[end].pack()))
        if under_way and rng.random() < 0.5:  # any of them comes, and perhaps it comes again; one may never come
            to, parcel = under_way[rng.randrange(len(under_way))]
            heard[to].extend(ends[to].unpack(parcel))
        if len(under_way) > 5:
            under_way.pop(rng.randrange(5))
    for _ in range(2):
        for end in (0, 1):
            heard[1 - end].extend(ends[1 - end].unpack(ends[end].pack()))
    assert (heard[1], heard[0]) == said
    assert [len(end.unheard) for end in ends] == [0, 0]


@pytest.mark.parametrize(
    "parcel",
    [b"", b"{}", b'["link",0,0,[{"tipo":"PEDIDO","block":-1}]]', b'["link",7,0]', b'["link",0,7]', b'["link",0,-1]'],
)
def test_a_parcel_that_no_peer_makes_is_its_senders_fault(parcel):
    with pytest.raises(RemoteError, match="parcel"):
        Talk("link").unpack(parcel)


# the post of a node


class Calls(LocalOutside):
    """Notes whom each call goes to. Until `let_go` is set, calls do not arrive, and get no answer."""

    def __init__(self, swarm: Loopback, name: str) -> None:
        super().__init__(swarm, name)
        self.to: list[str] = []
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.under_way = self.most = 0

    async def carry(self, peer: str, parcel: bytes) -> bytes | None:
        self.to.append(peer)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.let_go.wait()
        answer = await super().carry(peer, parcel)
        self.under_way -= 1
        return answer


class Pair:
    """Peers one and two, which have no blocks and ask for none, with a link; what each hears of the other is noted."""

    def __init__(self, swarm: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: dict[str, list[Message]] = {"one": [], "two": []}
        self.swarm = swarm
        self._monkeypatch = monkeypatch

    async def seat(self) -> tuple[Node, Calls, Node, Calls]:
        one, two = [await self.swarm.seat(name, start=False) for name in ("one", "two")]
        pairs = ((one, "two"), (two, "one"), (one, TRACKER), (two, TRACKER))
        await self.swarm.until(lambda: all(b in a.links and a.mailbox.incoming["ESTOQUE"] == 2 for a, b in pairs))
        for node in (one, two):
            self._monkeypatch.setattr(node, "on_message", self._noted(node))
        for name in ("one", "two"):
            self.calls(name).to.clear()
            self.calls(name).most = 0
        return one, self.calls("one"), two, self.calls("two")

    def calls(self, name: str) -> Calls:
        outside = self.swarm.outsides[name]
        assert isinstance(outside, Calls)
        return outside

    def _noted(self, node: Node) -> Any:
        def note(link: Any, message: Message) -> None:
            if link.peer != TRACKER:
                self.heard[node.me.peer].append(message)
                if message == Bloqueio():  # the one that we answer
                    say(node, link.peer, Pedido(99))

        return note


def say(node: Node, peer: str, *messages: Message) -> None:
    assert node.post is not None
    for message in messages:
        node.post.say(peer, message)


def swarm_of(film: Path, tmp_path: Path) -> Loopback:
    return Loopback(film, tmp_path / "copies", by_actor_calls=True, outside=Calls)


@on_uvloop
async def test_what_is_said_in_one_step_goes_in_one_call_and_what_is_said_meanwhile_in_the_next(
    film, tmp_path, monkeypatch
):
    async with swarm_of(film, tmp_path) as swarm:
        pair = Pair(swarm, monkeypatch)
        one, calls, _, _ = await pair.seat()
        calls.let_go.clear()
        say(one, "two", Pedido(1), Pedido(2))
        await swarm.until(lambda: calls.under_way == 1)
        say(one, "two", Pedido(3))
        await asyncio.sleep(0)
        say(one, "two", Pedido(4))
        await asyncio.sleep(0)
        assert calls.to == ["two"]
        calls.let_go.set()
        await swarm.until(lambda: len(pair.heard["two"]) == 4)
        assert pair.heard["two"] == [Pedido(1), Pedido(2), Pedido(3), Pedido(4)]
        assert (calls.to, calls.most) == (["two", "two"], 1)


@on_uvloop
async def test_the_answer_brings_what_waits_on_the_way_back(film, tmp_path, monkeypatch):
    async with swarm_of(film, tmp_path) as swarm:
        pair = Pair(swarm, monkeypatch)
        one, _, _, others = await pair.seat()
        say(one, "two", Bloqueio())
        await swarm.until(lambda: pair.heard["one"] == [Pedido(99)])
        assert others.to == []


@on_uvloop
async def test_two_that_call_each_other_at_once_wait_for_nobody_and_hear_all_once(film, tmp_path, monkeypatch):
    async with swarm_of(film, tmp_path) as swarm:
        pair = Pair(swarm, monkeypatch)
        one, calls, two, others = await pair.seat()
        calls.let_go.clear()
        say(one, "two", Pedido(1))
        say(two, "one", Pedido(2))
        await swarm.until(lambda: calls.under_way == 1 and not others.under_way)
        assert pair.heard == {"one": [Pedido(2)], "two": [Pedido(1)]}  # the answer overtook the call
        say(one, "two", Pedido(3))
        say(two, "one", Pedido(4))
        await swarm.until(lambda: pair.heard == {"one": [Pedido(2), Pedido(4)], "two": [Pedido(1), Pedido(3)]})
        calls.let_go.set()
        await swarm.until(lambda: not calls.under_way)
        assert pair.heard == {"one": [Pedido(2), Pedido(4)], "two": [Pedido(1), Pedido(3)]}


@on_uvloop
async def test_news_waits_for_company(film, tmp_path, monkeypatch):
    monkeypatch.setattr(post, "PATIENCE_S", 1e6)
    monkeypatch.setattr(post, "NEWS_SHARE", 1e-9)
    async with swarm_of(film, tmp_path) as swarm:
        pair = Pair(swarm, monkeypatch)
        one, calls, two, others = await pair.seat()
        say(one, "two", Estoque(new=(1,)))
        say(two, "one", Estoque(new=(2,)))
        await asyncio.sleep(0)
        assert (calls.to, others.to) == ([], [])
        say(one, "two", Pedido(3))
        await swarm.until(lambda: len(pair.heard["one"]) == 1)
        assert pair.heard == {"one": [Estoque(new=(2,))], "two": [Estoque(new=(1,)), Pedido(3)]}
        assert (calls.to, others.to) == (["two"], [])


@on_uvloop
async def test_news_goes_alone_when_it_has_waited_long_enough(film, tmp_path, monkeypatch):
    monkeypatch.setattr(post, "PATIENCE_S", 0.0)
    async with swarm_of(film, tmp_path) as swarm:
        pair = Pair(swarm, monkeypatch)
        one, calls, _, _ = await pair.seat()
        say(one, "two", Estoque(new=(1,)))
        await swarm.until(lambda: pair.heard["two"] == [Estoque(new=(1,))])
        assert calls.to == ["two"]


@on_uvloop
async def test_what_is_said_before_the_other_end_knows_the_link_is_heard_after_it_does(film, tmp_path, monkeypatch):
    async with swarm_of(film, tmp_path) as swarm:
        pair = Pair(swarm, monkeypatch)
        one, _, two, _ = await pair.seat()
        link = two.links._by_peer.pop("one")  # not yet
        say(one, "two", Pedido(1), Pedido(2))
        await swarm.until(lambda: not one.post._calling)
        assert pair.heard["two"] == []
        two.links._by_peer["one"] = link
        say(two, "one", Bloqueio())
        await swarm.until(lambda: len(pair.heard["two"]) == 3)
        assert pair.heard["two"] == [Pedido(1), Pedido(2), Pedido(99)]


@on_uvloop
async def test_a_link_that_comes_back_begins_anew(film, tmp_path):
    async with swarm_of(film, tmp_path) as swarm:
        one, two = [await swarm.seat(name, start=False) for name in ("one", "two")]
        await swarm.until(lambda: "one" in two.links and "two" in one.links)
        before = one.links["two"]
        assert before._transport is not None
        before._transport.abort()
        await swarm.until(lambda: "two" in one.links and one.links["two"] is not before)
        one.start()
        two.start()
        await swarm.until_complete()
        swarm.check_copies()


@on_uvloop
async def test_a_neighbour_that_leaves_too_much_unheard_is_dropped(film, tmp_path, monkeypatch):
    monkeypatch.setattr(post, "MOST_UNHEARD", 10)
    async with swarm_of(film, tmp_path) as swarm:
        pair = Pair(swarm, monkeypatch)
        one, calls, _, _ = await pair.seat()
        calls.let_go.clear()
        link = one.links["two"]
        said = 0
        while not link.closed:
            say(one, "two", Pedido(said := said + 1))
        assert said in (10, 11)  # our inventory may be unconfirmed too
        assert (link.closed, link.why) == (True, "it left 10 messages unheard")
        calls.let_go.set()


@on_uvloop
async def test_a_neighbour_is_blamed_for_what_its_parcel_says_as_if_it_came_by_the_link(film, tmp_path):
    async with swarm_of(film, tmp_path) as swarm:
        one, two = [await swarm.seat(name, start=False) for name in ("one", "two")]
        await swarm.until(lambda: "one" in two.links and "two" in one.links and two.mailbox.incoming["ESTOQUE"] == 2)
        say(one, "two", Pedido(99), Pedido(1))
        link = two.links["one"]
        await swarm.until(lambda: link.closed)
        assert link.why == "a PEDIDO for block 99 of 16"
        assert two.post is not None
        link = two.links[TRACKER]
        assert two.post.hear(TRACKER, b"nonsense") == b""
        assert link.why.startswith("not a parcel")

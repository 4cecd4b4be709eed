"""What a peer's actor does about lost calls: those that it makes, and those that are made to it again. No Ray runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_ray import DEAD, UNREACHABLE
from loopback import BLOCK_BYTES, KEY, on_uvloop

from minibit import inventory
from minibit.actors import errands
from minibit.actors.disk import files
from minibit.actors.disk.source import Source
from minibit.actors.peer import PeerActor, Setup
from minibit.messages import ListaPeers, Pedido
from minibit.seat import Initial, Seat
from minibit.strategies import Shipment


class FakeTracker:
    """An actor: its methods answer so, one call after another, and the last answer is for all later calls."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def __getattr__(self, method: str) -> FakeRemote:
        return FakeRemote(self, method)


class FakeRemote:
    """A method of it."""

    def __init__(self, actor: FakeTracker, name: str) -> None:
        self.actor, self.name = actor, name

    async def remote(self, *args: Any) -> Any:
        self.actor.calls.append(self.name)
        answers = self.actor.answers[self.name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(*args) if callable(answer) else answer


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "AGAIN_S", 0.001)


@on_uvloop
async def test_a_peer_whose_start_is_asked_for_twice_starts_once(tmp_path: Path) -> None:
    film = files.make(tmp_path / "film", 8 * BLOCK_BYTES, seed=1)
    manifest = files.scan(film, BLOCK_BYTES)
    source = Source(film, manifest)

    def give(blocks: list[int]) -> list[bytes]:
        return [source.read(block, 0, BLOCK_BYTES) for block in blocks]

    tracker = FakeTracker(give=[UNREACHABLE, UNREACHABLE, give], registro=[ListaPeers(())], desligamento=[None])
    setup = Setup(
        **{
            "run": "tuesday",
            "manifest": manifest,
            "key": KEY,
            "seed": 1,
            "by_actor_calls": False,
            "seals": True,
            "data_ports": None,
        },
        **{"folder": str(tmp_path / "copies"), "shipment": Shipment({}, {})},
    )
    actor = PeerActor(Seat(name="ana", initial=Initial(0.5)), setup, "127.0.0.1", tracker)
    try:
        first, again = await asyncio.gather(actor.open(), actor.open())
        assert (first, first.held) == (again, 0)
        await asyncio.gather(actor.take(), actor.take())
        assert actor.node.peer.held == Seat(name="ana", initial=Initial(0.5)).held(8, 1)
        assert inventory.full(8) != actor.node.peer.held
        await asyncio.gather(actor.join(), actor.join())
        await asyncio.gather(actor.start(), actor.start())
        assert tracker.calls == ["give", "give", "give", "registro"]
    finally:
        await actor.stop(erase=True)
        source.close()


@pytest.mark.parametrize(
    ("answers", "calls"), [([UNREACHABLE, UNREACHABLE, None], 3), ([UNREACHABLE, DEAD], 2), ([None], 1)]
)
@on_uvloop
async def test_a_message_that_others_wait_for_is_said_again_until_it_is_heard_or_its_receiver_is_dead(answers, calls):
    actor = PeerActor(Seat(name="ana"), SimpleNamespace(run="tuesday"), "")  # type: ignore[arg-type]
    bia = FakeTracker(pedido=list(answers))
    actor.errands._actors["bia"] = bia
    actor.call_peer("bia", Pedido(1), 7)
    while actor.errands._calls:
        await asyncio.sleep(0)
    assert bia.calls == ["pedido"] * calls

"""What a peer's actor does about lost calls, those that it makes and those that are made to it again, and how it takes
part in a push. No Ray runs.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from fake_ray import DEAD, UNREACHABLE
from loopback import BLOCK_BYTES, KEY, on_uvloop

from minibit import inventory, records
from minibit.actors import errands
from minibit.actors.disk import files, marks
from minibit.actors.disk.place import Place
from minibit.actors.disk.source import Source
from minibit.actors.peer import MemberStanding, PeerActor, Setup
from minibit.actors.tracker import RosterActor
from minibit.errors import SourceError
from minibit.events import TRACKER
from minibit.manifest import Manifest
from minibit.messages import ListaPeers, Registro
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


def direct(actor: Any) -> Any:
    """The handle of an actor that is in this process."""
    methods = ("registro", "desligamento")
    return SimpleNamespace(**{name: SimpleNamespace(remote=getattr(actor, name)) for name in methods})


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(name: str, namespace: str) -> None:
        raise ValueError(name)

    monkeypatch.setattr(errands, "AGAIN_S", 0.001)
    monkeypatch.setattr(errands.ray, "get_actor", nobody)


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
    ("answers", "calls"), [([UNREACHABLE, UNREACHABLE, b"yes"], 3), ([UNREACHABLE, DEAD], 2), ([b"yes"], 1)]
)
@on_uvloop
async def test_a_parcel_is_carried_again_until_it_is_heard_or_its_receiver_is_dead(answers, calls):
    actor = PeerActor(Seat(name="ana"), SimpleNamespace(run="tuesday"), "")  # type: ignore[arg-type]
    bia = FakeTracker(parcel=list(answers))
    actor.errands._actors["bia"] = bia
    assert await actor.errands.carry("bia", b"parcel") == (None if DEAD in answers else b"yes")
    assert bia.calls == ["parcel"] * calls


def push_setup(tmp_path: Path, manifest: Manifest, **more: Any) -> Setup:
    """What the actors of a push to `copies/film` share."""
    dest = str(tmp_path / "copies" / "film")
    return Setup(
        **{"run": "tuesday", "manifest": manifest, "key": KEY, "seed": 1, "by_actor_calls": False, "data_ports": None},
        **{"folder": "", "shipment": Shipment({}, {}), "dest": dest, "records": False, **more},
    )


@on_uvloop
async def test_a_push_puts_its_copy_in_place_as_soon_as_the_last_block_is_there(tmp_path: Path) -> None:
    film = files.make(tmp_path / "film", 8 * BLOCK_BYTES, seed=1)
    setup = push_setup(tmp_path, files.scan(film, BLOCK_BYTES, apart=True))
    tracker = RosterActor(Seat(name="tracker"), setup)
    seed = PeerActor(Seat(name="source", seeds=True), setup, "127.0.0.1", direct(tracker), str(film))
    peer = PeerActor(Seat(name="10.0.0.2"), setup, "127.0.0.1", direct(tracker))
    try:
        assert await peer.standing() == MemberStanding()
        assert ((await seed.open()).held, (await peer.open()).held) == (inventory.full(8), 0)
        first, done = await asyncio.gather(seed.deliver(), peer.deliver())
        assert (first.had, done.had, done.resumed, done.finished) == (True, False, False, True)
        assert (done.held, done.received_bytes) == (inventory.full(8), 8 * BLOCK_BYTES)
        assert (tmp_path / "copies" / "film").read_bytes() == film.read_bytes()
        assert await tracker.roster() == ["10.0.0.2", "source"]
        assert not records.decode((await peer.drain(0)).records)[:-1]  # but the sample of now
    finally:
        await asyncio.gather(seed.stop(erase=False), peer.stop(erase=False))
        await tracker.stop(erase=False)


@on_uvloop
async def test_a_push_begins_before_its_content_is_hashed_and_later_members_know_all(tmp_path: Path) -> None:
    film = files.make(tmp_path / "film", 8 * BLOCK_BYTES, seed=1)
    whole = files.scan(film, BLOCK_BYTES, apart=True)
    setup = push_setup(tmp_path, files.unhashed(film, BLOCK_BYTES, "blake3", apart=True)[0])
    later = msgspec.structs.replace(setup, digests=whole.digests, dest=str(tmp_path / "late" / "film"))
    tracker = RosterActor(Seat(name="tracker"), setup)
    seed = PeerActor(Seat(name="source", seeds=True), setup, "127.0.0.1", direct(tracker), str(film))
    peer = PeerActor(Seat(name="10.0.0.2"), setup, "127.0.0.1", direct(tracker))
    late = PeerActor(Seat(name="10.0.0.3"), later, "127.0.0.1", direct(tracker))
    try:
        assert [(await actor.open()).held for actor in (seed, peer)] == [0, 0]
        served = asyncio.gather(seed.deliver(), peer.deliver())
        for first in (0, 0, 3):
            digests = whole.digests[32 * first : 32 * (first + 5)]
            await peer.learn(first, digests)
            assert (await seed.learn(first, digests)).held == inventory.full(first + 5)
        _, done = await served
        assert (done.held, done.received_bytes, done.finished) == (inventory.full(8), 8 * BLOCK_BYTES, True)
        assert marks.read(Place(tmp_path / "copies" / "film")).manifest == whole
        await late.open()
        assert (await late.deliver()).received_bytes == 8 * BLOCK_BYTES
        assert (tmp_path / "late" / "film").read_bytes() == film.read_bytes()
    finally:
        await asyncio.gather(*(actor.stop(erase=False) for actor in (seed, peer, late)))
        await tracker.stop(erase=False)


@on_uvloop
async def test_a_copy_on_the_machine_of_the_source_is_made_from_it_and_joins_no_swarm(tmp_path: Path) -> None:
    film = files.make(tmp_path / "film", 8 * BLOCK_BYTES, seed=1)
    setup = push_setup(tmp_path, files.scan(film, BLOCK_BYTES, apart=True))
    actor = PeerActor(Seat(name="10.0.0.1"), setup, "127.0.0.1", None, str(film))
    try:
        await actor.open()
        done = await actor.deliver()
        assert (done.finished, done.held, done.received_bytes) == (True, inventory.full(8), 0)
        assert (tmp_path / "copies" / "film").read_bytes() == film.read_bytes()
    finally:
        await actor.stop(erase=False)


@on_uvloop
async def test_a_source_that_changes_while_it_is_copied_is_no_copy(tmp_path: Path) -> None:
    film = files.make(tmp_path / "film", 8 * BLOCK_BYTES, seed=1)
    setup = push_setup(tmp_path, files.scan(film, BLOCK_BYTES, apart=True))
    actor = PeerActor(Seat(name="10.0.0.1"), setup, "127.0.0.1", None, str(film))
    try:
        await actor.open()
        film.write_bytes(b"other" * BLOCK_BYTES)
        with pytest.raises(SourceError, match="changed"):
            await actor.deliver()
        assert not (tmp_path / "copies" / "film").exists()
    finally:
        await actor.stop(erase=False)


@on_uvloop
async def test_a_tracker_that_was_started_anew_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    dead, anew = FakeTracker(registro=[DEAD]), FakeTracker(registro=[ListaPeers(())])
    asked: list[str] = []

    def get_actor(name: str, namespace: str) -> FakeTracker:
        asked.append(name)
        return anew

    monkeypatch.setattr(errands.ray, "get_actor", get_actor)
    heard: list[Any] = []
    ours = errands.Errands("tuesday", "ana", heard.append, heard.append, dead)
    for _ in range(2):
        ours.say(TRACKER, Registro(peer="ana", host="10.0.0.1", port=1))
        while ours._calls:
            await asyncio.sleep(0)
    assert (asked, heard, ours.count) == (["minibit:tuesday:tracker"], [ListaPeers(())], 2)

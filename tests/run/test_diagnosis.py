"""Causes: what keeps a peer from its next block, told from its state alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from minibit.content import VirtualContent
from minibit.events import TRACKER, Joining, Linked, Received, Starting, Unlinked
from minibit.messages import Desbloqueio, Estoque, ListaPeers, NovoPeer, PeerAddress
from minibit.peer import Peer
from minibit.run.diagnosis import causes
from minibit.seat import Seat

CONTENT = VirtualContent("film", 400, 100)
BIA = PeerAddress("bia", "10.0.0.2", 24001)
SEED = PeerAddress(TRACKER, "10.0.0.1", 24000)


def state_after(*events: Any, **changed: Any) -> Any:
    """The state of a peer that lived through these events."""
    peer: Peer = Seat(name="ana").peer(CONTENT, 1, 0)
    for event in (Joining(PeerAddress("ana", "10.0.0.3", 24002)), *events, Starting()):
        peer.handle(event, 0.0)
    return msgspec.structs.replace(peer.snapshot(10.0), **changed)


def cause(*events: Any, **changed: Any) -> str | None:
    return causes({"ana": state_after(*events, **changed)}).get("ana")


KNOWS = Received(TRACKER, ListaPeers((SEED, BIA)))
FULL = Estoque(whole="f")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], "the tracker named no neighbour to it"),
        (
            [KNOWS, Unlinked(TRACKER, "no answer"), Unlinked("bia", "no answer")],
            "it could not reach tracker at 10.0.0.1:24000, bia at 10.0.0.2:24001 (1 try: no answer)",
        ),
        (
            [KNOWS, Unlinked(TRACKER, "no answer"), Linked(BIA, True, False), Received("bia", Estoque())],
            "it could not reach tracker at 10.0.0.1:24000 (1 try: no answer)",
        ),
        (
            [KNOWS, Linked(BIA, True, False), Received("bia", FULL), Received("bia", Desbloqueio())],
            "no byte came from bia at 10.0.0.2:24001 for 10 s, though the link stands",
        ),
        (
            [KNOWS, Linked(BIA, True, False), Received("bia", FULL)],
            "bia had blocks for it and did not serve it",
        ),
        (
            [KNOWS, Linked(BIA, True, False), Received("bia", Estoque())],
            "none of its neighbours holds a block that it lacks",
        ),
        (
            [Linked(BIA, True, False), *[Linked(BIA, True, False), Received("bia", NovoPeer((SEED,)))] * 3],
            "it banned bia",
        ),
    ],
)
def test_the_state_of_a_peer_says_what_it_waits_for(events, told):
    assert cause(*events) == told


def test_a_picker_that_asks_for_nothing_is_named():
    served = [KNOWS, Linked(BIA, True, False), Received("bia", FULL), Received("bia", Desbloqueio())]
    end = state_after(*served).neighbours["bia"]
    idle = {"bia": msgspec.structs.replace(end, asked=(), silent_s=None)}
    assert cause(*served, neighbours=idle) == "its picker rarest-first asks for nothing, though bia would serve it"


def test_only_the_first_of_many_neighbours_are_named():
    others = [PeerAddress(f"peer-{number}", "10.0.0.9", 24000 + number) for number in range(5)]
    lost = [Unlinked(address.peer, "no answer") for address in others]
    told = cause(Received(TRACKER, ListaPeers(tuple(others))), *lost)
    assert told is not None and told.endswith("peer-2 at 10.0.0.9:24002 and 2 more (1 try: no answer)")


def test_a_peer_that_is_complete_or_leaves_waits_for_nothing():
    assert cause(complete=True) is None
    assert cause(leaving="asked to") is None


def test_a_choker_that_serves_nobody_is_told_from_one_that_serves_others():
    waits = state_after(KNOWS, Linked(BIA, True, False), Received("bia", FULL))
    bia = msgspec.structs.replace(waits, peer="bia", complete=True, fixed=(), guests={})
    told = "bia had blocks for it and did not serve it"
    assert causes({"ana": waits, "bia": bia}) == {"ana": f"{told} or anybody"}
    assert causes({"ana": waits, "bia": msgspec.structs.replace(bia, guests={"eva": 1})}) == {"ana": told}

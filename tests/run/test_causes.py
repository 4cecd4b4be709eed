"""Why nothing flows: the causes that the snapshots of peers tell."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from table import Blocks

from minibit import inventory
from minibit.events import Event, Joining, Linked, Received, Starting, Unlinked
from minibit.messages import Desbloqueio, Estoque, ListaPeers, PeerAddress
from minibit.peer import Peer
from minibit.rules import Rules
from minibit.run.causes import causes, obstacles
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation
from minibit.snapshots import PeerSnapshot

BIA = PeerAddress("bia", "10.0.0.7", 7000)


def after(*happened: Event, blocks: int = 4, held: int = 0, now: float = 10.0, **rules: Any) -> PeerSnapshot:
    """The state of ana at `now`, after all this happened at 0 s."""
    ana = Peer("ana", Blocks(blocks), Rules(**rules), held=held)
    for event in (Joining(PeerAddress("ana", "h", 1)), Starting(), *happened):
        ana.handle(event, 0.0)
    return ana.snapshot(now)


def linked(theirs: int, *more: Any) -> list[Event]:
    said = (Estoque(whole=inventory.to_hex(theirs)), *more)
    return [Linked(BIA, True), *(Received("bia", message) for message in said)]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (after(), "ana knows no other peer"),
        (
            after(
                Received("tracker", ListaPeers((BIA,))),
                Unlinked("bia", "no answer from bia at 10.0.0.7:7000 within 5 s"),
            ),
            "ana could not reach bia at 10.0.0.7:7000 (1 try: no answer within 5 s)",
        ),
        (
            after(*linked(0b1111, Desbloqueio())),
            "links of ana to bia at 10.0.0.7:7000 stand, and bring no byte for 10 s",
        ),
        (after(*linked(0b1111, Desbloqueio()), now=1.0), ""),
        (after(*linked(0b1111)), "no neighbour serves ana"),
        (after(*linked(0b0)), "no neighbour of ana holds a block that is missing there"),
        (after(*linked(0b0), held=0b1111, slots=0, guests=0), "choker tit-for-tat of ana serves nobody"),
        (after(*linked(0b0), held=0b1111), ""),
        (after(held=0b1111), ""),
    ],
)
def test_a_peer_says_what_keeps_it_from_blocks(state: PeerSnapshot, said: str):
    assert causes([state]) == said
    assert {one.peer for one in obstacles(state)} <= {"ana"}


def test_a_picker_that_asks_for_nothing_is_named():
    state = msgspec.structs.replace(after(*linked(0b1111, Desbloqueio()), now=1.0), in_flight=())
    assert causes([state]) == "picker rarest-first of ana asks for nothing"


def test_peers_with_the_same_obstacle_are_named_together_and_the_commonest_comes_first():
    alone = [msgspec.structs.replace(after(), peer=f"peer-{number}") for number in range(5)]
    unserved = after(*linked(0b1111))
    assert causes([unserved, *alone]) == (
        "peer-0, peer-1, peer-2 and 2 more know no other peer; no neighbour serves ana"
    )


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            {"kind": "split", "at": "1s", "peers": ["peer-01", "peer-02", "peer-03"]},
            "could not reach tracker at tracker:1 (",
        ),
        ({"kind": "pauses", "at": "1s", "peers": ["tracker"]}, "to tracker at tracker:1 stand, and bring no byte for"),
        ({"kind": "tracker-gone", "at": "0s"}, "peer-01, peer-02, peer-03 know no other peer"),
        ({"kind": "corrupt", "share": 1.0, "peers": ["tracker"]}, "peer-01, peer-02, peer-03 banned tracker"),
    ],
)
def test_a_simulated_run_that_ends_early_says_why_nothing_flows(fault: dict[str, Any], said: str):
    options = Options.build(world="sim", peers=3, size="1MiB", seed_upload="64KiB/s", request_timeout="5s")
    summary = Simulation(options, Scenario.build({"faults": [fault]}, 3)).run()
    assert len(summary.failed) == 3
    assert said in summary.failed[0].why


def test_a_free_rider_serves_nobody_by_its_behaviour_and_not_by_its_choker():
    wanted = after(*linked(0b0), held=0b1111, slots=0, guests=0)
    assert causes([msgspec.structs.replace(wanted, behaviour="FreeRider")]) == ""

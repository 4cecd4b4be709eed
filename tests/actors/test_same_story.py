"""One story in every world: simulated, over links in one process, and as Ray actors with both ways of control.

Four peers share what the tracker seeds, with fewer slots than neighbours. When all are complete, one of them says
goodbye; then a fifth comes. In the end everybody has everything, and the same must hold of the records.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from loopback import Loopback, on_uvloop
from seats import take_seat
from story import BLOCK_BYTES, BLOCKS, BOUND_S, CONTENT_BYTES, RULES_OF_ALL, SEED_BPS, SLOTS, Story, go, simulated

from minibit import inventory
from minibit.actors import Swarm
from minibit.actors.disk import files
from minibit.content import VirtualContent
from minibit.events import TRACKER
from minibit.records import BlockRecord, PeerRecord, SampleRecord, ServingRecord
from minibit.run.laws import Evidence, broken
from minibit.sim.world import World


def as_actors(control: str, folder: Path) -> Story:
    rules = {"slots": 2, "guests": 1, "round": RULES_OF_ALL.round_s, "announce": RULES_OF_ALL.announce_s}
    film = files.make(folder / "film", CONTENT_BYTES, seed=3)
    limits = {"seed_upload": SEED_BPS, "upload": SEED_BPS}
    with Swarm.launch(
        film, name=f"same-{control}", peers=4, control=control, block_size=BLOCK_BYTES, out=folder, **rules, **limits
    ) as swarm:
        assert swarm.wait(timeout=BOUND_S).exit_code == 0
        swarm.remove(1)
        deadline = time.monotonic() + BOUND_S
        while "peer-01" in swarm[TRACKER].ask("roster"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        swarm.add(1)
        assert swarm.wait(timeout=BOUND_S).verified == 5
        held = {name: inventory.from_hex(state.inventory, BLOCKS) for name, state in swarm.snapshot().items()}
        tables = swarm.records()
    kinds = {"blocks": BlockRecord, "serving": ServingRecord, "peers": PeerRecord, "samples": SampleRecord}
    records = [kind(*row) for name, kind in kinds.items() for row in tables[name].iter_rows()]
    return Story(VirtualContent("film", CONTENT_BYTES, BLOCK_BYTES), records, held)


def test_the_story_in_the_simulation():
    simulated().check()


@on_uvloop
async def test_the_story_over_links_in_one_process(tmp_path):
    film = files.make(tmp_path / "film", CONTENT_BYTES, seed=3)
    async with Loopback(film, tmp_path / "copies", rules=RULES_OF_ALL, upload_bps=SEED_BPS) as swarm:
        first = [await swarm.seat(f"peer-0{number}", start=False, upload_bps=SEED_BPS) for number in range(1, 5)]
        for node in first:
            node.start()
        await swarm.until_complete()
        first[0].leave("enough")
        await first[0].stopped.wait()
        await swarm.seat("peer-05", upload_bps=SEED_BPS)
        await swarm.until_complete("peer-05")
        held = {name: node.peer.held for name, node in swarm.nodes.items()}
        Story(swarm.manifest, swarm.records(), held).check()
        swarm.check_copies()


@pytest.mark.ray
@pytest.mark.parametrize("control", ["links", "actors"])
def test_the_story_as_ray_actors(ray_cluster, tmp_path, control):
    as_actors(control, tmp_path).check()


# and without a seed


def test_ten_peers_with_a_block_each_and_no_seed_all_complete_in_the_simulation():
    world = World(VirtualContent("film", 10 * BLOCK_BYTES, BLOCK_BYTES), RULES_OF_ALL)
    at_start = {f"peer-{number:02}": 1 << number - 1 for number in range(1, 11)}
    nodes = [take_seat(world, name, held=held, up_bps=SEED_BPS) for name, held in at_start.items()]
    go(world, lambda: all(node.peer.complete for node in nodes))
    world.sample()
    at_end = {node.name: node.peer.held for node in nodes}
    assert broken(Evidence(world.content, world.records, at_start, SLOTS, at_end)) == []

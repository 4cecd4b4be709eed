"""One story in every world: simulated, over links in one process, and as Ray actors with both ways of control.

Four peers share what the tracker seeds, with fewer slots than neighbours. When all are complete, one of them says
goodbye; then a fifth comes. In the end everybody has everything, and the same must hold of the records.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from loopback import FAST, Loopback, on_uvloop
from seats import take_seat
from story import RULES, Story, check, fed_by

from minibit import inventory
from minibit.actors import Swarm
from minibit.actors.disk import files
from minibit.content import VirtualContent
from minibit.events import TRACKER
from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, ServingRecord
from minibit.sim.world import World

BLOCKS, BLOCK_BYTES = 24, 16384
CONTENT_BYTES = BLOCKS * BLOCK_BYTES - 5
RULES_OF_ALL = msgspec.structs.replace(FAST, slots=2, guests=1)
SEED_BPS = 1 << 20  # so that the peers need each other
ALL = inventory.full(BLOCKS)
AT_START = {TRACKER: ALL, **{f"peer-0{number}": inventory.EMPTY for number in range(1, 6)}}
CLOCKS_S = 0.001  # one clock for all, read by several processes
BOUND_S = 60.0


def everybody_has_everything_and_all_is_in_order(story: Story) -> None:
    assert story.at_end == dict.fromkeys(AT_START, ALL)
    check(story)
    (left_s,) = story.when("peer-01", "left")
    assert max(story.when(f"peer-0{number}", "completed")[0] for number in range(1, 5)) <= left_s
    assert left_s <= story.when("peer-05", "started")[0]
    fed = fed_by(story)
    assert "peer-01" not in fed["peer-05"]
    assert any(fed[f"peer-0{number}"] - {TRACKER} for number in range(1, 5))  # not a star around the seed


def story_of(shared: VirtualContent | files.Manifest, records: list[Record], at_end: dict[str, int]) -> Story:
    return Story(shared, records, AT_START, at_end, slots=3, clocks_s=CLOCKS_S)


# the worlds


def go(world: World, until: Callable[[], object]) -> None:
    while not until():
        assert world.now < BOUND_S, "it never came to that"
        world.clock.step()


def simulated() -> Story:
    world = World(VirtualContent("film", CONTENT_BYTES, BLOCK_BYTES), RULES_OF_ALL)
    take_seat(world, TRACKER, held=ALL, up_bps=SEED_BPS)
    first = [take_seat(world, f"peer-0{number}", up_bps=SEED_BPS) for number in range(1, 5)]
    go(world, lambda: all(node.peer.complete for node in first))
    world.sample()
    world.leave("peer-01")
    go(world, lambda: first[0].peer.left)
    late = take_seat(world, "peer-05", up_bps=SEED_BPS)
    go(world, lambda: late.peer.complete)
    world.records += [machine.sample(world.now) for machine in world.machines.values()]
    return story_of(world.content, world.records, {name: machine.peer.held for name, machine in world.machines.items()})


def as_actors(control: str, folder: Path) -> Story:
    rules = {"slots": 2, "guests": 1, "round": RULES_OF_ALL.round_s, "announce": RULES_OF_ALL.announce_s}
    film = files.make(folder / "film", CONTENT_BYTES, seed=3)
    limits = {"seed_upload": SEED_BPS, "upload": SEED_BPS}
    with Swarm.launch(
        film, name=f"same-{control}", peers=4, control=control, block_size=BLOCK_BYTES, out=folder, **rules, **limits
    ) as swarm:
        assert swarm.wait(timeout_s=BOUND_S).exit_code == 0
        swarm.remove(1)
        deadline = time.monotonic() + BOUND_S
        while "peer-01" in swarm[TRACKER].ask("roster"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        swarm.add(1)
        assert swarm.wait(timeout_s=BOUND_S).verified == 5
        held = {name: inventory.from_hex(state["inventory"], BLOCKS) for name, state in swarm.snapshot().items()}
        tables = swarm.records()
    kinds = {"blocks": BlockRecord, "serving": ServingRecord, "peers": PeerRecord, "samples": SampleRecord}
    records = [kind(*row) for name, kind in kinds.items() for row in tables[name].iter_rows()]
    return story_of(VirtualContent("film", CONTENT_BYTES, BLOCK_BYTES), records, held)


def test_the_story_in_the_simulation():
    everybody_has_everything_and_all_is_in_order(simulated())


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
        everybody_has_everything_and_all_is_in_order(story_of(swarm.manifest, swarm.records(), held))
        swarm.check_copies()


@pytest.mark.ray
@pytest.mark.parametrize("control", ["links", "actors"])
def test_the_story_as_ray_actors(ray_cluster, tmp_path, control):
    everybody_has_everything_and_all_is_in_order(as_actors(control, tmp_path))


# who checks the checker


def spoil(story: Story, kind: type, number: int, **changes: object) -> Story:
    """The same story, with one record that says something else."""
    records = list(story.records)
    index = [index for index, one in enumerate(records) if isinstance(one, kind)][number]
    records[index] = msgspec.structs.replace(records[index], **changes)
    return story._replace(records=records)


@pytest.mark.parametrize(
    ("rule", "spoilt"),
    [
        (0, lambda story: spoil(story, BlockRecord, 7, verdict="double")),
        (0, lambda story: spoil(story, BlockRecord, 7, block=23)),
        (1, lambda story: spoil(story, BlockRecord, 7, bytes=1)),
        (1, lambda story: spoil(story, SampleRecord, -1, received_bytes=1)),
        (2, lambda story: spoil(story, SampleRecord, -1, sent_bytes=-1)),
        (3, lambda story: story._replace(slots=2)),
        (4, lambda story: spoil(story, BlockRecord, 0, source="peer-05")),
        (4, lambda story: spoil(story, BlockRecord, 0, at_s=-1.0)),
        (5, lambda story: spoil(story, BlockRecord, -1, at_s=59.0)),
        (
            5,
            lambda story: story._replace(
                records=[one for one in story.records if getattr(one, "event", "") != "completed"]
            ),
        ),
        (6, lambda story: spoil(story, BlockRecord, 0, took_s=9.0)),
        (7, lambda story: spoil(story, SampleRecord, 0, held=99)),
    ],
)
def test_a_story_that_can_not_be_is_found_out(rule, spoilt):
    story = simulated()
    RULES[rule](story)
    with pytest.raises(AssertionError):
        RULES[rule](spoilt(story))


# and without a seed


def test_ten_peers_with_a_block_each_and_no_seed_all_complete_in_the_simulation():
    world = World(VirtualContent("film", 10 * BLOCK_BYTES, BLOCK_BYTES), RULES_OF_ALL)
    at_start = {f"peer-{number:02}": 1 << number - 1 for number in range(1, 11)}
    machines = [take_seat(world, name, held=held, up_bps=SEED_BPS) for name, held in at_start.items()]
    go(world, lambda: all(machine.peer.complete for machine in machines))
    world.sample()
    check(
        Story(
            world.content, world.records, at_start, {machine.name: machine.peer.held for machine in machines}, slots=3
        )
    )

"""A swarm of nodes in one process: which complete, are banned or fail, and what they leave behind.

After each test no task is left, and no file or socket is open: `on_uvloop` looks.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from types import SimpleNamespace

import msgspec
import pytest
from disk import opened
from loopback import FAST, Loopback, TroubledOutside, on_uvloop

from minibit import inventory
from minibit.actors.disk import files
from minibit.actors.disk.source import Source
from minibit.actors.disk.store import Store
from minibit.actors.links.outbox import Outbox
from minibit.actors.links.pairs import Links
from minibit.actors.peer import PeerActor
from minibit.behaviour import Corrupter, FreeRider, Liar, Slow
from minibit.choker import TitForTat
from minibit.errors import DiskFullError, LocalError, RemoteError
from minibit.events import TRACKER, Call, Progressed
from minibit.messages import Desligamento, NovoPeer, PeerAddress
from minibit.picker import RarestFirst
from minibit.rules import Rules
from minibit.seat import Seat

KIB = 1024


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Forty blocks, the last of them short."""
    return files.make(tmp_path / "film", 40 * 16 * KIB - 77, seed=1)


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def holding(swarm: Loopback, name: str, blocks: Iterable[int]) -> Store:
    """The store of a peer that has these blocks before it joins."""
    store, data = opened(swarm.folder / name, swarm.manifest), swarm.path.read_bytes()
    for block in blocks:
        store.write(block, data[block * 16 * KIB : (block + 1) * 16 * KIB])
    return store


def album(root: Path) -> Path:
    """Files that begin and end in the middle of blocks, empty ones, and every kind of mode."""
    rng = Random(2)
    files = (
        ("a", 20_000, 0o644),
        ("b/empty", 0, 0o600),
        ("b/run", 70_001, 0o755),
        ("c/d/e", 3, 0o444),
        ("z", 0, 0o640),
    )
    for name, size, mode in files:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(rng.randbytes(size))
        file.chmod(mode)
    return root


def of(data: bytes):
    def make(path: Path) -> Path:
        path.write_bytes(data)
        return path

    return make


# every copy is the content


@pytest.mark.parametrize(
    ("make", "blocks"),
    [
        pytest.param(lambda path: files.make(path, 40 * 16 * KIB, 1), 40, id="a file of whole blocks"),
        pytest.param(lambda path: files.make(path, 40 * 16 * KIB - 77, 1), 40, id="a short last block"),
        pytest.param(album, 6, id="a folder"),
        pytest.param(of(b"x"), 1, id="one byte, less than a block"),
        pytest.param(of(b""), 0, id="an empty file"),
        pytest.param(lambda path: album(path).joinpath("b"), 5, id="a folder in a folder"),
    ],
)
@on_uvloop
async def test_every_copy_is_the_content_byte_for_byte(tmp_path, copies, make, blocks):
    source = make(tmp_path / "content")
    async with Loopback(source, copies) as swarm:
        assert swarm.manifest.block_count == blocks
        nodes = await swarm.seat_many(4)
        await swarm.until_complete()
        swarm.check_copies()
        assert all(node.store.verify_all() for node in nodes)
        useful = Counter((record.peer, record.block) for record in swarm.arrivals() if record.verdict == "useful")
        assert useful == {(node.me.peer, block): 1 for node in nodes for block in range(blocks)}


@on_uvloop
async def test_blocks_that_arrive_are_useful_double_or_rejected_and_nothing_else_is_received(film, copies):
    async with Loopback(film, copies) as swarm:
        nodes = await swarm.seat_many(4)
        await swarm.until_complete()
        arrived = Counter[str]()
        for record in swarm.arrivals():
            arrived[record.peer] += record.bytes
        sent_bytes = sum(link.outbox.payload_bytes for node in swarm.nodes.values() for link in node.links)
        assert {node.me.peer: sum(link.payload_bytes_in for link in node.links) for node in nodes} == arrived
        assert sent_bytes == arrived.total()
        swarm.check()


@pytest.mark.parametrize("firsts", [(0, 10, 20, 30), (30, 0, 20, 10, 0)])
@on_uvloop
async def test_blocks_move_as_their_digests_come_in_any_order(film, copies, firsts):
    async with Loopback(film, copies, hashed=False) as swarm:
        nodes = await swarm.seat_many(3)
        known = 0
        for first in firsts:
            digests = swarm.manifest.digests[32 * first : 32 * (first + 10)]
            for node in (*nodes, swarm.nodes[TRACKER]):
                node.learn(first, digests)
            known |= inventory.full(10) << first
            await swarm.until(lambda known=known: all(node.peer.held == known for node in nodes))
            swarm.check()
        await swarm.until_complete()
        swarm.check_copies()
        assert {node.store.manifest.digest for node in nodes} == {swarm.manifest.digest}
        assert all(node.store.verify_all() for node in nodes)


def test_a_source_holds_what_is_hashed_and_no_block_again_that_it_lost(film):
    whole = files.scan(film, 16 * KIB)
    source = Source(film, files.unhashed(film, 16 * KIB, "blake3")[0])
    assert source.held == 0
    source.learn(0, whole.digests[: 32 * 3])
    source.lose(1)
    source.learn(0, whole.digests[: 32 * 3])
    assert source.held == 0b101
    source.learn(3, whole.digests[32 * 3 :])
    assert source.held == inventory.full(40) & ~0b10
    assert source.manifest == whole
    os.utime(film)  # it was touched: blocks are hashed again, and compared with digests that came late
    assert whole.matches(5, source.read(5))
    source.close()


@on_uvloop
async def test_a_block_whose_digest_is_not_known_is_not_kept_even_if_a_neighbour_offers_it(film, copies):
    async with Loopback(film, copies, hashed=False) as swarm:
        (node,) = await swarm.seat_many(1)
        swarm.nodes[TRACKER].learn(0, swarm.manifest.digests)
        await swarm.until(lambda: any(neighbour.theirs for neighbour in node.peer.contacts.up.values()))
        node.learn(0, swarm.manifest.digests[: 32 * 5])
        await swarm.until(lambda: node.peer.held == inventory.full(5))
        swarm.check()
        node.learn(5, swarm.manifest.digests[32 * 5 :])
        await swarm.until_complete()
        swarm.check_copies()


@on_uvloop
async def test_in_the_end_all_know_that_all_hold_everything_and_nobody_keeps_a_slot(film, copies):
    async with Loopback(film, copies) as swarm:
        await swarm.seat_many(4)
        await swarm.until_complete()

        def at_rest() -> bool:
            everybody = [other for node in swarm.nodes.values() for other in node.peer.contacts.up.values()]
            return all(other.theirs == swarm.nodes[TRACKER].peer.held for other in everybody) and not any(
                node.drain()[-1].served for node in swarm.nodes.values()
            )

        await swarm.until(at_rest)


@on_uvloop
async def test_a_late_comer_gets_everything_from_peers_when_the_seed_is_gone(film, copies):
    async with Loopback(film, copies) as swarm:
        await swarm.seat_many(2)
        await swarm.until_complete()
        await swarm.stop(TRACKER)
        await swarm.seat("late")
        await swarm.until_complete("late")
        swarm.check_copies()


@on_uvloop
async def test_ten_peers_with_different_blocks_and_no_seed_complete_each_other(film, copies):
    async with Loopback(film, copies) as swarm:
        for index in range(10):
            name = f"peer-{index}"
            await swarm.seat(name, holding(swarm, name, range(index * 4, index * 4 + 4)), start=False)
        await swarm.stop(TRACKER)
        for node in swarm.nodes.values():
            node.start()
        await swarm.until_complete()
        swarm.check_copies()


# peers that behave badly


@pytest.mark.parametrize("host", ["a" * 70, "127.0.0.1"])
@pytest.mark.parametrize("liar", [TRACKER, "eva"])
@on_uvloop
async def test_a_member_is_not_believed_about_where_peers_are_and_the_swarm_goes_on(film, copies, liar, host):
    """Its links have the seed's id or another, and the host that it tells can be looked up or not."""
    async with Loopback(film, copies) as swarm:
        (ana,) = await swarm.seat_many(1)
        if liar != TRACKER:
            await swarm.seat(liar)
        await swarm.until(lambda: liar in ana.links and ana.me.peer in swarm.nodes[liar].links)
        link = ana.links[liar]
        swarm.nodes[liar].links[ana.me.peer].send(NovoPeer((PeerAddress("nobody", host, 9),)))
        await swarm.until(lambda: link.closed)
        assert "nobody" not in ana.peer.contacts.known
        await swarm.until_complete()
        swarm.check_copies()


@on_uvloop
async def test_a_corrupter_is_banned_and_all_others_have_the_right_bytes(film, copies):
    # the seed is slow, so that the corrupter, which holds half already, must be asked
    async with Loopback(film, copies, upload_bps=800.0 * KIB) as swarm:
        await swarm.seat("bad", holding(swarm, "bad", range(20)), behaviour=Corrupter)
        honest = [node.me.peer for node in await swarm.seat_many(3)]
        await swarm.until_complete(*honest)
        swarm.check_copies(*honest)
        swarm.check()
        rejected = Counter(record.source for record in swarm.arrivals() if record.verdict == "rejected")
        banned = {(record.peer, record.why) for record in swarm.lives("banned")}
        assert set(rejected) == {"bad"}
        assert banned
        assert {peer for peer, _ in banned} == {"bad"}
        for name in {why.removeprefix("by ") for _, why in banned}:
            assert "bad" not in swarm.nodes[name].links
            assert swarm.nodes[name].peer.contacts.known["bad"].standing.value == "banned"


@on_uvloop
async def test_a_liar_a_slow_peer_and_a_free_rider_hold_nobody_up(film, copies):
    async with Loopback(film, copies) as swarm:
        await swarm.seat("liar", behaviour=Liar)
        await swarm.seat("slow", behaviour=Slow)
        await swarm.seat("rider", behaviour=FreeRider)
        await swarm.seat_many(3)
        honest = [
            name for name in swarm.nodes if name != "liar"
        ]  # no peer offers the liar the blocks that it seems to have
        await swarm.until_complete(*honest)
        swarm.check_copies(*honest[1:])
        assert "rider" not in {record.source for record in swarm.arrivals()}
        assert swarm.lives("banned") == swarm.lives("failed") == []


# the path between peers


def tampering(monkeypatch, turns: Callable[[int], bool]) -> Callable[[], int]:
    """On the way from the seed, one bit of each block whose turn it is changes; returns a count of them."""
    write, numbers, changed = Outbox._write, itertools.count(), []

    def change_and_write(self: Outbox, parts: list[bytes]) -> None:
        from_seed = self._read.__self__.me.peer == TRACKER
        for place, part in enumerate(parts):
            if from_seed and len(part) > 8 * KIB and turns(number := next(numbers)):
                changed.append(number)
                parts[place] = bytes((part[0] ^ 1,)) + part[1:]
        write(self, parts)

    monkeypatch.setattr(Outbox, "_write", change_and_write)
    return lambda: len(changed)


@on_uvloop
async def test_for_bits_that_change_on_the_way_nobody_is_struck_or_banned(film, copies, monkeypatch):
    changed_count = tampering(monkeypatch, lambda number: number % 7 == 0)
    async with Loopback(film, copies) as swarm:
        (node,) = await swarm.seat_many(1)
        await swarm.until_complete()
        swarm.check_copies()
        assert changed_count() >= 6
        assert swarm.lives("banned") == swarm.lives("failed") == []
        assert node.peer.contacts.known[TRACKER].strikes == 0
        (rejected,) = [record for record in swarm.arrivals() if record.verdict == "rejected"]
        assert (rejected.peer, rejected.source) == ("peer-1", TRACKER)  # all others had a wrong seal
        assert node.links[TRACKER].sealed


@on_uvloop
async def test_of_a_corrupter_only_wrong_blocks_that_it_sealed_itself_count(film, copies):
    async with Loopback(film, copies, upload_bps=800.0 * KIB) as swarm:
        await swarm.seat("bad", holding(swarm, "bad", range(20)), behaviour=Corrupter)
        node = await swarm.seat("peer-1")
        await swarm.until_complete("peer-1")
        rejected = [record for record in swarm.arrivals() if record.verdict == "rejected"]
        bad = node.peer.contacts.known["bad"]
        assert bad.strikes == len(rejected) - 1
        assert "bad" in node.links.suspects


@on_uvloop
async def test_without_seals_the_path_is_trusted_and_every_wrong_block_is_a_strike(film, copies):
    async with Loopback(film, copies, upload_bps=800.0 * KIB, seals=False) as swarm:
        await swarm.seat("bad", holding(swarm, "bad", range(20)), behaviour=Corrupter)
        node = await swarm.seat("peer-1")
        await swarm.until_complete("peer-1")
        swarm.check_copies()
        rejected = [record for record in swarm.arrivals() if record.verdict == "rejected"]
        assert node.peer.contacts.known["bad"].strikes == len(rejected) > 0
        assert node.links.suspects == set()


# every way out is heard


def raising(error: type[BaseException]):
    def fail(*args, **kwargs):
        for arg in args:
            if isinstance(arg, socket.socket):
                arg.close()
        raise error("out of nowhere")

    return fail


@pytest.mark.parametrize("error", [UnicodeError, OSError, KeyError])
@pytest.mark.parametrize("step", ["_resolve", "_connect"])
@on_uvloop
async def test_a_dial_ends_for_the_core_whatever_it_raises(film, copies, monkeypatch, step, error):
    async with Loopback(film, copies) as swarm:
        node = await swarm.seat("peer-1", start=False)
        await swarm.until(lambda: TRACKER in node.links)
        with monkeypatch.context() as broken:
            broken.setattr(Links, step, raising(error))
            neighbour = node.peer.contacts.known[TRACKER]
            node.links[TRACKER].close("cut")
            await swarm.until(lambda: neighbour.failures >= 2)
            assert node.failure is None
        node.start()
        await swarm.until_complete()
        node.peer.check()


@on_uvloop
async def test_a_dial_that_does_nothing_ends_for_the_core_too(film, copies, monkeypatch):
    async with Loopback(film, copies) as swarm:
        node = await swarm.seat("peer-1", start=False)
        await swarm.until(lambda: TRACKER in node.links)
        node.links._dialling.add(TRACKER)  # as if an earlier dial had not ended yet
        node.links[TRACKER].close("cut")
        await swarm.until(lambda: node.peer.contacts.known[TRACKER].failures >= 2)
        node.links._dialling.clear()
        node.start()
        await swarm.until_complete()


def break_core(node, method):
    setattr(node.peer, method, raising(AssertionError))
    node.handle(Progressed("nobody"))


def break_task(node):
    async def fail() -> None:
        raise AssertionError("out of nowhere")

    node._do(fail())


def break_outside(node):
    node._outside.call_tracker = raising(AssertionError)
    node._decide(lambda now: [Call(Desligamento())])


def break_store(node, method):
    setattr(node.store, method, raising(AssertionError))


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda node: break_core(node, "handle"), id="the core, at an event"),
        pytest.param(lambda node: break_core(node, "wake"), id="the core, at a timer"),
        pytest.param(break_task, id="a task"),
        pytest.param(break_outside, id="a call to the tracker"),
        pytest.param(lambda node: break_store(node, "verify"), id="the judgement of a block"),
        pytest.param(lambda node: break_store(node, "write"), id="the writing of a block"),
        pytest.param(lambda node: break_store(node, "finish"), id="the last step"),
    ],
)
@on_uvloop
async def test_whatever_raises_in_a_node_fails_it_with_the_reason_and_nobody_else(film, copies, harm):
    async with Loopback(film, copies, upload_bps=2000.0 * KIB) as swarm:
        node, _ = await swarm.seat_many(2)
        harm(node)
        await node.stopped.wait()
        assert str(node.failure) == "internal error: AssertionError('out of nowhere')"
        await swarm.until_complete("peer-2")
        swarm.check_copies("peer-2")
        swarm.nodes[TRACKER].peer.check()
        assert [(record.peer, record.why) for record in swarm.lives("failed")] == [("peer-1", str(node.failure))]
        assert swarm.lives("banned") == []


@on_uvloop
async def test_a_seed_that_can_read_no_more_for_whatever_reason_fails_and_says_so(film, copies):
    async with Loopback(film, copies) as swarm:
        seed = swarm.nodes[TRACKER]
        seed.store.read = raising(ValueError)
        (node,) = await swarm.seat_many(1)
        await seed.stopped.wait()
        assert "out of nowhere" in str(seed.failure)
        assert node.failure is None
        assert node.peer.contacts.known.get(TRACKER) is None or not node.peer.contacts.known[TRACKER].strikes


# peers that go


@on_uvloop
async def test_a_node_that_dies_with_blocks_in_flight_costs_nobody_a_block(film, copies):
    async with Loopback(film, copies, upload_bps=400.0 * KIB) as swarm:
        nodes = await swarm.seat_many(4, upload_bps=100.0 * KIB)
        others = [node.me.peer for node in nodes[1:]]

        def asked_of_the_first() -> bool:
            return any(node.peer.contacts.known["peer-1"].asked for node in nodes[1:] if "peer-1" in node.links)

        await swarm.until(asked_of_the_first)
        await swarm.crash("peer-1")
        await swarm.until(lambda: not any("peer-1" in node.links for node in nodes[1:]))
        swarm.check()
        for node in swarm.nodes.values():
            node.limit(upload_bps=None, download_bps=None)
        await swarm.until_complete(*others)
        swarm.check_copies(*others)
        useful = Counter((record.peer, record.block) for record in swarm.arrivals() if record.verdict == "useful")
        assert all(useful[peer, block] == 1 for peer in others for block in range(40))


@on_uvloop
async def test_neighbours_forget_a_peer_that_says_goodbye_and_one_that_dies_alike(film, copies):
    async with Loopback(film, copies) as swarm:
        await swarm.seat_many(3)
        await swarm.until_complete()
        await swarm.stop("peer-1")
        await swarm.crash("peer-2")
        stays = swarm.nodes["peer-3"]
        await swarm.until(lambda: [link.peer for link in stays.links] == [TRACKER])
        assert list(stays.peer.contacts.up) == [TRACKER]
        assert "peer-1" not in swarm.tracker.roster
        swarm.check()


@on_uvloop
async def test_peers_that_leave_when_complete_all_do_with_verified_copies(film, copies):
    async with Loopback(film, copies, rules=msgspec.structs.replace(FAST, leave="complete")) as swarm:
        nodes = await swarm.seat_many(4)
        await swarm.until(lambda: all(node.stopped.is_set() for node in nodes))
        assert all(node.store.verify_all() for node in nodes)
        swarm.check_copies()
        assert {record.peer: record.why for record in swarm.lives("left")} == {
            node.me.peer: "complete" for node in nodes
        }
        await swarm.until(lambda: not list(swarm.nodes[TRACKER].links))
        assert list(swarm.tracker.roster) == [TRACKER]


@on_uvloop
async def test_a_node_that_left_accepts_no_link(film, copies):
    async with Loopback(film, copies) as swarm:
        (node,) = await swarm.seat_many(1)
        await swarm.until_complete()
        node.leave("enough")
        assert (node.drain()[-1].neighbours, node.peer.contacts.up) == (0, {})
        await swarm.until(lambda: "peer-1" not in swarm.nodes[TRACKER].links)
        with pytest.raises((OSError, RemoteError)):
            await swarm.nodes[TRACKER].links.dial(node.me)


# connections without a proof


async def closed_by(port: int, said: bytes) -> bytes:
    """The node's answers at `port` to these bytes, until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(said)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 20, id="garbage"),
        pytest.param(struct.pack("<II", 2**32 - 1, 0), id="a header of 4 GiB"),
        pytest.param(struct.pack("<II", 10, 2**32 - 1), id="a payload of 4 GiB"),
        pytest.param(struct.pack("<II", 19, 0) + b'{"tipo":"DESBLOQU"}', id="an unknown verb"),
        pytest.param(struct.pack("<II", 21, 0) + b'{"tipo":"PEDIDO","bl"', id="no JSON"),
    ],
)
@on_uvloop
async def test_a_stranger_is_shown_out_while_the_swarm_goes_on(film, copies, said):
    async with Loopback(film, copies) as swarm:
        nodes = await swarm.seat_many(3)
        for node in swarm.nodes.values():
            node.links.proof_s = 0.3
        answers = await asyncio.gather(*(closed_by(node.me.port, said) for node in swarm.nodes.values()))
        assert all(b"manifest" not in answer for answer in answers)
        await swarm.until_complete()
        swarm.check_copies()
        assert all(node.failure is None for node in nodes)


@on_uvloop
async def test_a_node_with_another_key_gets_no_block_and_no_link(film, copies):
    async with Loopback(film, copies) as swarm:
        stranger = await swarm.seat("stranger", key=b"another key, also of 32 bytes...")
        nodes = await swarm.seat_many(2)
        await swarm.until_complete("peer-1", "peer-2")
        await swarm.until(lambda: any(n.failures for n in stranger.peer.contacts.known.values()))
        assert stranger.peer.held == inventory.EMPTY
        assert not list(stranger.links)
        assert all("stranger" not in node.links for node in nodes)
        assert "stranger" not in {record.source for record in swarm.arrivals()}


# our own disk


@on_uvloop
async def test_a_peer_whose_disk_is_full_stops_and_says_so_and_the_others_finish(film, copies, monkeypatch):
    async with Loopback(film, copies) as swarm:
        store = opened(copies / "poor", swarm.manifest)
        write, room = store.write, iter(range(10))

        def write_while_there_is_room(block: int, data: memoryview) -> None:
            if next(room, None) is None:
                raise DiskFullError("no room is left")
            write(block, data)

        monkeypatch.setattr(store, "write", write_while_there_is_room)
        poor = await swarm.seat("poor", store)
        await swarm.seat_many(2)
        await poor.stopped.wait()
        await swarm.until_complete("peer-1", "peer-2")
        swarm.check_copies("peer-1", "peer-2")
        assert isinstance(poor.failure, DiskFullError)
        assert [(record.peer, record.why) for record in swarm.lives("failed")] == [("poor", "no room is left")]
        assert [record.peer for record in swarm.lives("left")] == ["poor"]
        assert swarm.lives("banned") == []
        assert poor.peer.held.bit_count() == 10

        await swarm.stop("poor")  # somebody makes room: it goes on where it stopped
        again = await swarm.seat("poor")
        assert again.peer.held.bit_count() == 10
        await swarm.until_complete("poor")
        useful = [record.block for record in swarm.arrivals() if record.peer == "poor" and record.verdict == "useful"]
        assert sorted(useful) == list(range(40))
        swarm.check_copies()


@pytest.mark.parametrize("harm", ["other bytes", "cut", "gone"])
@on_uvloop
async def test_a_seed_whose_file_changes_says_so_and_nobody_holds_a_wrong_block(film, copies, harm):
    async with Loopback(film, copies, upload_bps=200.0 * KIB) as swarm:
        nodes, seed = await swarm.seat_many(3), swarm.nodes[TRACKER]
        await swarm.until(lambda: sum(node.peer.held.bit_count() for node in nodes) >= 5)
        match harm:
            case "other bytes":
                film.write_bytes(bytes(film.stat().st_size))
            case "cut":
                os.truncate(film, 1000)
            case "gone":
                film.unlink()
                seed.store._files.close()
        seed.limit(upload_bps=None)
        wanted = inventory.full(40)
        await swarm.until(lambda: not wanted & seed.peer.held & ~nodes[0].peer.held)
        assert seed.failure is None
        assert not any(node.peer.complete for node in nodes)
        assert {record.verdict for record in swarm.arrivals()} <= {"useful", "double"}
        assert {record.peer for record in swarm.lives("damaged")} == {TRACKER}
        assert len(swarm.lives("damaged")) == seed.peer.exchange.lost.bit_count()
        assert all(re.search(r"block \d+ of .*film( changed|: )", record.why) for record in swarm.lives("damaged"))
        assert swarm.lives("banned") == []
        swarm.check()


@on_uvloop
async def test_a_seed_with_one_wrong_block_serves_all_the_others_and_its_links_stay(film, copies):
    async with Loopback(film, copies, upload_bps=400.0 * KIB) as swarm:
        nodes, seed = await swarm.seat_many(3), swarm.nodes[TRACKER]
        await swarm.until(lambda: all(node.peer.held for node in nodes))
        held = inventory.EMPTY
        for node in nodes:
            held |= node.peer.held | inventory.of(node.peer.pipeline.requesters)
        wrong = inventory.lowest(inventory.full(40) & ~held)
        with film.open("r+b") as file:
            file.seek(wrong * 16 * KIB + 5_000)
            file.write(b"changed")
        seed.limit(upload_bps=None)
        rest = inventory.full(40) & ~(1 << wrong)
        await swarm.until(lambda: all(node.peer.held == rest for node in nodes))
        await swarm.until(lambda: seed.peer.exchange.lost == 1 << wrong)
        assert [(record.peer, record.why) for record in swarm.lives("damaged")] == [
            (TRACKER, f"block {wrong} of {film} changed while it was shared")
        ]
        assert all(not neighbour.theirs >> wrong & 1 for node in nodes for neighbour in node.peer.contacts.up.values())
        assert all(TRACKER in node.links for node in nodes)
        assert {record.verdict for record in swarm.arrivals()} <= {"useful", "double"}
        swarm.check()


@on_uvloop
async def test_a_file_that_is_touched_while_it_is_seeded_is_shared_to_the_end(film, copies):
    async with Loopback(film, copies, upload_bps=200.0 * KIB) as swarm:
        nodes, seed = await swarm.seat_many(2), swarm.nodes[TRACKER]
        await swarm.until(lambda: any(node.peer.held for node in nodes))
        film.touch()
        seed.limit(upload_bps=None)
        await swarm.until_complete()
        swarm.check_copies()
        assert swarm.lives("damaged") == swarm.lives("failed") == []


@on_uvloop
async def test_a_copy_whose_name_is_taken_is_not_complete_and_the_reason_is_told(film, copies):
    async with Loopback(film, copies) as swarm:
        node = await swarm.seat("peer-1", start=False)
        (copies / "peer-1" / "film").mkdir()
        node.start()
        await node.stopped.wait()
        assert [record.peer for record in swarm.lives("completed")] == [TRACKER]
        (failed,) = swarm.lives("failed")
        assert failed.peer == "peer-1"
        assert failed.why.endswith(
            "peer-1/film is there already and is other content: move it away, or use another folder"
        )


@on_uvloop
async def test_a_finished_copy_that_is_wrong_loses_its_name_and_only_its_wrong_block_is_fetched_again(film, copies):
    async with Loopback(film, copies, upload_bps=400.0 * KIB) as swarm:
        node = await swarm.seat("peer-1")
        await swarm.until(lambda: node.peer.held)
        wrong = inventory.lowest(node.peer.held)
        with (copies / "peer-1" / "film.minibit-partial").open("r+b") as file:  # what another program does to it
            file.seek(wrong * 16 * KIB + 5)
            file.write(b"damaged")
        swarm.nodes[TRACKER].limit(upload_bps=None)
        await swarm.until_complete("peer-1")
        actor = PeerActor(Seat(name="peer-1"), SimpleNamespace(run="tuesday"), "")  # type: ignore[arg-type]
        actor.node = node
        assert not await actor.verify()
        assert not swarm.copy("peer-1").exists()
        await node.stopped.wait()
        assert [record.why for record in swarm.lives("failed")] == ["its finished copy is not what the manifest says"]
        await swarm.stop("peer-1")
        again = actor.node = await swarm.seat("peer-1")
        assert again.peer.missing == 1 << wrong
        await swarm.until_complete("peer-1")
        assert await actor.verify()
        swarm.check_copies()


@on_uvloop
async def test_a_file_that_only_loses_its_name_is_shared_to_the_end(film, copies):
    async with Loopback(film, copies, upload_bps=200.0 * KIB) as swarm:
        (node,) = await swarm.seat_many(1)
        await swarm.until(lambda: node.peer.held)
        film.rename(film.with_name("renamed"))
        film.write_bytes(b"something else")
        swarm.nodes[TRACKER].limit(upload_bps=None, download_bps=None)
        await swarm.until_complete()
        assert swarm.copy("peer-1").read_bytes() == film.with_name("renamed").read_bytes()


@on_uvloop
async def test_a_node_that_comes_back_asks_only_for_what_it_lacks(film, copies):
    async with Loopback(film, copies) as swarm:
        seed = swarm.nodes[TRACKER]
        seed.limit(upload_bps=300.0 * KIB)
        node = await swarm.seat("peer-1")
        await swarm.until(lambda: node.peer.held.bit_count() >= 8)
        await swarm.stop("peer-1")
        assert not node.peer.complete
        held = node.peer.held

        seed.limit(upload_bps=None, download_bps=None)
        node = await swarm.seat("peer-1")
        assert node.peer.held == held
        await swarm.until_complete("peer-1")
        swarm.check_copies()
        useful = Counter(record.block for record in swarm.arrivals() if record.verdict == "useful")
        assert useful == dict.fromkeys(range(40), 1)


@on_uvloop
async def test_a_node_that_crashed_re_hashes_and_lies_to_nobody(film, copies):
    async with Loopback(film, copies) as swarm:
        seed = swarm.nodes[TRACKER]
        seed.limit(upload_bps=300.0 * KIB)
        node = await swarm.seat("peer-1")
        await swarm.until(lambda: node.peer.held.bit_count() >= 8)
        await swarm.crash("peer-1")
        partial = copies / "peer-1" / "film.minibit-partial"
        first = inventory.lowest(node.peer.held)
        with partial.open("r+b") as file:  # a block that the crash damaged
            file.seek(first * 16 * KIB)
            file.write(b"damaged")
        seed.limit(upload_bps=None, download_bps=None)
        node = await swarm.seat("peer-1")
        assert not node.peer.held >> first & 1
        await swarm.until_complete("peer-1")
        swarm.check_copies()


# limits


@pytest.mark.parametrize("limited", ["upload", "download"])
@on_uvloop
async def test_no_more_flows_than_the_limit_allows(film, copies, limited):
    rate_bps = 1000.0 * KIB
    of_the_seed = {"upload_bps": rate_bps} if limited == "upload" else {}
    of_the_peer = {"download_bps": rate_bps} if limited == "download" else {}
    async with Loopback(film, copies, **of_the_seed) as swarm:
        begun_at = asyncio.get_running_loop().time()
        await swarm.seat("peer-1", **of_the_peer)
        await swarm.until_complete()
        took_s = asyncio.get_running_loop().time() - begun_at
        # what waits in the kernel's buffers when reading is paused was not received yet
        assert took_s >= 0.85 * film.stat().st_size / rate_bps
        swarm.check_copies()


@pytest.mark.parametrize("limited", ["upload", "download"])
@on_uvloop
async def test_a_limit_can_be_lifted_in_the_middle(film, copies, limited):
    async with Loopback(film, copies) as swarm:
        seed = swarm.nodes[TRACKER]
        options = {"download_bps": 10.0 * KIB} if limited == "download" else {}
        if limited == "upload":
            seed.limit(upload_bps=10.0 * KIB)  # for which a minute would not do
        node = await swarm.seat("peer-1", **options)
        await swarm.until(lambda: node.drain()[-1].received_bytes)
        assert not node.peer.complete
        seed.limit(upload_bps=None, download_bps=None)
        node.limit(upload_bps=None, download_bps=None)
        await swarm.until_complete()
        swarm.check_copies()


@on_uvloop
async def test_a_slow_peer_stays_slow_whatever_limit_it_is_given(film, copies):
    async with Loopback(film, copies) as swarm:
        node = await swarm.seat("slow", behaviour=Slow, upload_bps=1e9)
        assert node.links.upload.rate_bps == Slow.upload_bps
        node.limit(upload_bps=None, download_bps=None)
        assert node.links.upload.rate_bps == Slow.upload_bps
        node.limit(upload_bps=1000.0)
        assert node.links.upload.rate_bps == 1000


# strategies of somebody's own


class BrokenPicker(RarestFirst):
    """Works for a while."""

    def pick(self, choices, availability):
        if availability.count(inventory.lowest(choices)) and self.rng.random() < 0.3:
            raise ZeroDivisionError("somebody's bug")
        return super().pick(choices, availability)


class GreedyPicker(RarestFirst):
    """Wants a block that it wasn't offered."""

    def pick(self, choices, availability):
        return choices.bit_length()


class BrokenChoker(TitForTat):
    """Fails in its first round with somebody to serve."""

    def rank(self, rows, seeding):
        raise KeyError("somebody's bug")


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"picker": BrokenPicker}, "picker mine:Picker raised ZeroDivisionError: somebody's bug"),
        ({"picker": GreedyPicker}, "picker mine:Picker chose "),
        ({"choker": BrokenChoker}, 'choker mine:Choker raised KeyError: "somebody\'s bug"'),
    ],
    ids=["a picker that raises", "a picker that chooses wrong", "a choker that raises"],
)
@on_uvloop
async def test_a_strategy_that_fails_fails_its_node_by_name_and_nobody_else(film, copies, strategy, said):
    rules = msgspec.structs.replace(FAST, picker="mine:Picker", choker="mine:Choker")
    async with Loopback(film, copies) as swarm:
        node = await swarm.seat("mine", rules=rules, **({"picker": RarestFirst, "choker": TitForTat} | strategy))
        await swarm.seat_many(2)
        await node.stopped.wait()
        await swarm.until_complete("peer-1", "peer-2")
        swarm.check_copies("peer-1", "peer-2")
        assert isinstance(node.failure, LocalError)
        assert str(node.failure).startswith(said)
        (record,) = swarm.lives("failed")
        assert (record.peer, record.why) == ("mine", str(node.failure))
        assert swarm.lives("banned") == []


@on_uvloop
async def test_a_strategy_that_cant_be_made_is_the_callers_fault(film, copies):
    class Stillborn(RarestFirst):
        def __init__(self, rng):
            raise ValueError("no")

    async with Loopback(film, copies) as swarm:
        store = opened(copies / "mine", swarm.manifest)
        with pytest.raises(LocalError, match="strategy ValueError: no"):
            await swarm.seat("mine", store, picker=Stillborn)
        store.close()


# control by actor calls


@pytest.mark.parametrize("outside", [None, TroubledOutside], ids=["in order", "in trouble"])
@on_uvloop
async def test_with_control_by_actor_calls_the_result_is_the_same(film, copies, outside):
    options = {} if outside is None else {"outside": outside}
    async with Loopback(film, copies, by_actor_calls=True, **options) as swarm:
        nodes = await swarm.seat_many(4)
        await swarm.until_complete()
        swarm.check_copies()
        swarm.check()
        # on the links nothing goes but greetings and blocks
        control_bytes = sum(link.outbox.control_bytes for node in swarm.nodes.values() for link in node.links)
        blocks = sum(node.mailbox.outgoing["BLOCO"] for node in swarm.nodes.values())
        assert sum(node.mailbox.incoming["PEDIDO"] for node in swarm.nodes.values()) >= blocks
        assert control_bytes < 100 * blocks + 1000 * 2 * len(nodes) ** 2
        if outside is not None:
            outsides = swarm.outsides.values()
            assert min(sum(one.lost for one in outsides), sum(one.twice for one in outsides)) > 3


# the end


@on_uvloop
async def test_a_stop_in_the_middle_leaves_nothing_and_the_copy_can_be_resumed(film, copies):
    async with Loopback(film, copies, upload_bps=200.0 * KIB) as swarm:
        nodes = await swarm.seat_many(3)
        await swarm.until(lambda: all(node.peer.held for node in nodes))
    assert not any(node.peer.complete for node in nodes)
    for node in nodes:
        store = opened(copies / node.me.peer, swarm.manifest)
        assert store.held == node.peer.held
        store.discard()
        assert list((copies / node.me.peer).iterdir()) == []


@on_uvloop
async def test_a_dial_that_ends_as_it_begins_closes_nobody_elses_files(film, copies):
    async with Loopback(film, copies) as swarm:
        address = swarm.nodes[TRACKER].me
        node = await swarm.seat("peer-1", start=False)
        await swarm.until(lambda: TRACKER in node.links)
        await node.stop()
        for _ in range(3):
            with suppress(RemoteError):
                await node.links.dial(address)
            with ExitStack() as files:  # one gets the descriptor that the connection had
                opened = [files.enter_context(film.open("rb")) for _ in range(8)]
                await asyncio.sleep(0)
                gc.collect()
                assert all(file.read(1) for file in opened)


@on_uvloop
async def test_a_node_can_be_stopped_before_it_did_anything_and_twice(film, copies):
    async with Loopback(film, copies, rules=Rules()) as swarm:
        node = await swarm.seat("peer-1", start=False)
        await node.stop()
        await node.stop()

"""What holds everywhere: in swarms of every kind, on a wire that lies, beside a neighbour that says anything.

`Table` calls every peer's own `check` after every event. `Watch` looks from outside, and believes nobody.
"""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import combinations
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table import Table

from minibit import events, inventory, messages
from minibit.contacts import LONGEST_RETRY_S
from minibit.messages import Message, PeerAddress
from minibit.records import LinkRecord, PeerRecord, decode, encode
from minibit.rules import Rules
from minibit.run.causes import causes
from minibit.sim.journal import Entry, Journal
from minibit.snapshots import PeerSnapshot

QUICK = Rules(round_s=1.0, request_timeout_s=2.0, tracker_s=5.0)


class Watch:
    """Sees every effect at a table of honest peers, and asserts what must hold of all of them."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.verified: dict[str, int] = {}
        self.served: dict[str, set[str]] = {}
        self.copies: Counter[str] = Counter()
        table.watch = self

    def __call__(self, name: str, effect: events.Effect) -> None:
        peer = self.table.peers.get(name)
        if peer is None:
            return
        served = self.served.setdefault(name, set())
        match effect:
            case events.Send(_, messages.Estoque(whole, new)):
                said = inventory.of(new) | (int(whole, 16) if whole is not None else 0)
                assert not said & ~peer.held, "announced before its hash passed"
            case events.Send(_, messages.Pedido(block)):
                assert not peer.held >> block & 1, "asked for what it holds"
            case events.Send(to, messages.Desbloqueio()):
                served.add(to)
            case events.Send(to, messages.Bloqueio()) | events.HangUp(to):
                served.discard(to)
            case events.SendBlock(to, block):
                assert peer.held >> block & 1, "sent what it lacks"
                self.copies[name] += 1
        served -= {to for to in served if not self.table.linked(name, to)}
        assert len(served) <= peer.rules.slots + peer.rules.guests

    def finished(self) -> None:
        """Every block that anybody holds more than at first came exactly once as useful."""
        useful = Counter((record.peer, record.block) for record in self.table.blocks())
        assert set(useful.values()) <= {1}


def swarm(count: int, blocks: int, rules: Rules = QUICK, *, seed: int = 1, seeded: bool = True) -> Table:
    """So many peers and a seed, all joining at once, and watched."""
    table = Table(blocks, rules, seed=seed)
    table.watch = Watch(table)
    if seeded:
        table.seat_seed()
    for index in range(count):
        table.seat(f"p{index:02}")
    return table


def finished(table: Table) -> bool:
    assert isinstance(table.watch, Watch)
    table.watch.finished()
    return all(table.peers[name].complete for name in table.alive())


# swarms


def test_twenty_peers_and_a_hundred_blocks():
    table = swarm(20, 100)
    assert table.run_until_complete(60)
    assert finished(table)
    assert len(table.blocks()) == 2000
    assert len(table.blocks("double")) < 0.02 * 2000


@pytest.mark.parametrize("seed", range(3))
def test_ten_peers_with_one_different_block_each_and_no_seed_all_complete(seed: int):
    table = Table(10, QUICK, seed=seed)
    table.watch = Watch(table)
    for index in range(10):
        table.seat(f"p{index}", {index})
    assert table.run_until_complete(60)
    assert finished(table)


@pytest.mark.parametrize("picker", ["rarest-first", "random", "sequential"])
@pytest.mark.parametrize("choker", ["tit-for-tat", "rarity", "none"])
def test_every_strategy_completes(picker: str, choker: str):
    table = Table(20, Rules(round_s=1.0, picker=picker, choker=choker))
    table.seat_seed()
    for index in range(8):
        table.seat(f"p{index}")
    assert table.run_until_complete(60)


def test_the_seed_leaves_when_one_copy_is_spread_and_all_complete():
    table = swarm(6, 20)
    table.pace["seed"] = 0.5
    others = [f"p{index:02}" for index in range(6)]

    def spread() -> bool:
        held = inventory.EMPTY
        for name in others:
            held |= table.peers[name].held
        return held == table.all

    assert table.run_until(spread, 60)
    assert not all(table.peers[name].complete for name in others)
    table.leave("seed")
    assert table.run_until_complete(table.now + 60)
    assert finished(table)


@pytest.mark.parametrize("farewell", [True, False])
def test_when_the_seed_goes_too_early_all_end_with_the_same_blocks_lost(farewell: bool):
    table = swarm(6, 20)
    table.pace["seed"] = 0.5
    table.run(1.5)
    (table.leave if farewell else table.kill)("seed")
    table.run(60)
    (missing,) = {table.peers[name].missing for name in table.alive()}
    assert missing
    assert all(peer.pipeline.in_flight == 0 for name, peer in table.peers.items() if name != "seed")
    table.seat("help", missing)
    assert table.run_until_complete(200)


def test_no_peer_stops_while_the_tracker_is_dead_and_a_newcomer_joins_when_it_returns():
    table = swarm(5, 20)
    table.run(0.3)
    table.kill_tracker()
    assert table.run_until_complete(30)
    table.seat("late")
    table.run(60)
    assert not table.peers["late"].complete
    table.restart_tracker()
    assert table.run_until_complete(120)
    table.run(table.now + 60)
    assert sorted(table.tracker.roster) == sorted(table.peers)  # type: ignore[union-attr]


def test_a_peer_that_joins_late_when_the_others_have_nine_tenths_completes():
    table = swarm(6, 30)
    table.run_until(lambda: sum(peer.held.bit_count() for peer in table.peers.values()) >= 0.9 * 7 * 30, 60)
    table.seat("late")
    assert table.run_until_complete(60)
    assert finished(table)


def test_a_late_joiner_finds_room_where_everybody_has_all_the_links_it_may_have():
    table = swarm(5, 10, Rules(round_s=1.0, neighbours=4))
    table.run_until_complete(60)
    for index in range(6):
        table.seat(f"late{index}")
        assert table.run_until_complete(table.now + 60)


def test_behind_one_slow_seed_most_copies_come_from_others():
    table = swarm(8, 100)
    table.pace["seed"] = 2.0
    assert table.run_until_complete(300)
    assert isinstance(table.watch, Watch)
    assert table.watch.copies["seed"] <= 1.75 * 100  # of 8 * 100
    assert finished(table)


def test_with_three_links_each_sixty_peers_are_never_split():
    table = swarm(60, 6, Rules(round_s=1.0, neighbours=3, tracker_s=5.0))
    assert table.run_until_complete(300)
    assert finished(table)


def test_a_peer_that_is_alone_is_let_in_where_all_are_full():
    table = Table(6, Rules(round_s=1.0, neighbours=2), tracker=True)
    names = ["ana", "bia", "caio"]
    for name in names:
        table.seat(name, range(3))
    table.run(5.0)
    assert all(len(table.links(name)) == 2 for name in names)
    table.seat("davi", range(2))
    table.seat("edu", range(2))
    for one in ("davi", "edu"):
        for name in names:
            table.cut(one, name)
    table.run(6.0)
    for one in ("davi", "edu"):
        for name in names:
            table.heal(one, name)
    table.run(60.0)
    assert all(table.peers[name].held == 0b111 for name in (*names, "davi", "edu"))


def test_peers_in_need_take_each_others_place_ever_more_rarely():
    table = Table(6, Rules(round_s=1.0, neighbours=2), tracker=True)
    table.seat("hub", table.all, behaviour="free-rider")
    names = [table.seat(name).name for name in ("ana", "bia", "caio", "davi", "edu")]
    for one, other in combinations(names, 2):
        table.cut(one, other)
    table.run(800.0)
    links = [one for one in table.records if isinstance(one, LinkRecord) and (one.peer, one.event) == ("hub", "linked")]
    late = [one for one in links if one.at_s > 200.0]
    assert 0 < len(late) <= len(names) * 600.0 / LONGEST_RETRY_S


def test_a_peer_that_pauses_and_goes_on_completes_and_holds_nobody_up():
    table = swarm(5, 30)
    table.run(0.4)
    table.pause("p02")
    others = [name for name in table.peers if name != "p02"]
    assert table.run_until(lambda: all(table.peers[name].complete for name in others), 60)
    table.run(table.now + 20)
    table.resume("p02")
    assert table.run_until_complete(table.now + 60)
    assert finished(table)


def test_uplinks_that_change_during_a_transfer_are_followed():
    table = swarm(5, 40)
    table.run(0.5)
    table.pace.update(dict.fromkeys(table.peers, 1.0))
    table.run(3.0)
    table.pace.clear()
    assert table.run_until_complete(60)
    assert finished(table)


# integrity


@pytest.mark.parametrize("nth", [2, 3, 7])
def test_a_neighbour_that_corrupts_every_nth_block_is_banned_and_all_complete(nth: int):
    table = Table(60, QUICK)
    table.seat_seed("good")
    table.seat_seed("bad")
    for index in range(4):
        table.seat(f"p{index}")
    sent: Counter[str] = Counter()

    def corrupt(sender: str, receiver: str, block: int) -> bool:
        sent[sender] += 1
        return sender == "bad" and sent[sender] % nth == 0

    table.corrupt = corrupt
    assert table.run_until_complete(120)
    banned = [record for record in table.records if isinstance(record, PeerRecord) and record.event == "banned"]
    assert {record.peer for record in banned} <= {"bad"}
    assert banned or nth == 7
    assert {record.source for record in table.blocks("rejected")} == {"bad"}


def test_half_of_32_seeds_corrupt_and_break_links_and_all_complete():
    table = Table(80, Rules(round_s=1.0, request_timeout_s=2.0, neighbours=40))
    for index in range(32):
        table.seat_seed(f"seed{index:02}")
    for index in range(3):
        table.seat(f"p{index}")
    rng = Random(1)
    bad = [f"seed{index:02}" for index in range(0, 32, 2)]
    table.corrupt = lambda sender, receiver, block: sender in bad and rng.random() < 0.05
    while not all(table.peers[name].complete for name in table.alive()):
        assert table.now < 120
        table.run(table.now + 0.1)
        for name in bad:
            if rng.random() < 0.05 and table.links(name):
                far = rng.choice(table.links(name))
                table.cut(name, far)
                table.heal(name, far)
    assert len(table.blocks()) == 240
    assert {record.source for record in table.blocks("rejected")} <= set(bad)


# time and death


@given(st.integers(0, 10**6))
@settings(max_examples=15)
def test_peers_die_leave_and_come_back_and_the_others_complete(chance: int):
    rng = Random(chance)
    table = swarm(7, 20, seed=chance)
    for _ in range(6):
        table.run(table.now + rng.uniform(0.1, 0.5))
        name = rng.choice([name for name in table.peers if name != "seed"])
        if name not in table.alive():
            table.seat(name, inventory.of(rng.sample(range(20), 5)))
        elif rng.random() < 0.5:
            table.kill(name)
        else:
            table.leave(name)
    assert table.run_until_complete(120)


def test_leaving_and_dying_leave_the_same_roster_in_the_end():
    table = swarm(4, 5)
    table.run(2.0)
    table.leave("p00")
    table.kill("p01")
    assert table.tracker is not None
    table.run(2.1)
    assert "p00" not in table.tracker.roster
    assert "p01" in table.tracker.roster
    table.run(60.0)
    assert sorted(table.tracker.roster) == ["p02", "p03", "seed"]


# a wire that lies


@given(st.integers(0, 10**6), st.sampled_from(["tit-for-tat", "rarity", "none"]))
@settings(max_examples=25)
def test_messages_lost_repeated_delayed_and_permuted_break_no_invariant_and_then_all_complete(chance: int, choker: str):
    rng = Random(chance)
    rules = Rules(round_s=1.0, request_timeout_s=2.0, choker=choker, slots=2, neighbours=4)
    table = Table(10, rules, seed=chance)
    table.seat_seed()
    for index in range(5):
        table.seat(f"p{index}", inventory.of(rng.sample(range(10), 2)))

    def wire(sender: str, receiver: str, message: Message) -> tuple[float, ...]:
        fate = rng.random()
        if fate < 0.1:
            return ()
        delays = rng.uniform(0.0, 2.0) if fate < 0.3 else 0.0, rng.uniform(0.0, 2.0)
        return delays[: 1 + (fate > 0.9)]

    table.wire = wire
    table.corrupt = lambda sender, receiver, block: rng.random() < 0.03
    for _ in range(5):
        table.run(table.now + 1.0)
        one, other = rng.sample(list(table.peers), 2)
        table.cut(one, other)
        table.heal(one, other)
    del table.wire, table.corrupt
    table.wire = lambda sender, receiver, message: (0.0,)
    table.corrupt = lambda sender, receiver, block: False
    table.run(table.now + 2.5)  # what is still under way
    table.break_links()  # a link that lost something breaks in the end
    assert table.run_until_complete(table.now + 120)


# a neighbour that says anything

BLOCKS = 6
INDEX = st.integers(0, BLOCKS + 1)
NAMES = st.sampled_from(["ana", "bia", "eva", "seed", "nobody"])
ADDRESSES = st.lists(st.builds(PeerAddress, NAMES, st.just("h"), st.integers(0, 9)), max_size=3).map(tuple)
SAID = st.one_of(
    st.builds(messages.Registro, peer=NAMES, host=st.just("h"), port=st.integers(0, 9), alone=st.booleans()),
    st.builds(messages.ListaPeers, ADDRESSES),
    st.builds(messages.NovoPeer, ADDRESSES),
    st.builds(
        messages.Estoque,
        st.none() | st.integers(0, 100).map(lambda held: format(held, "x")) | st.text(max_size=3),
        st.lists(INDEX, max_size=3).map(tuple),
    ),
    st.just(messages.Bloqueio()),
    st.just(messages.Desbloqueio()),
    st.just(messages.Desbloqueio()),
    st.builds(messages.Pedido, INDEX),
    st.builds(messages.Pedido, INDEX),
    st.builds(messages.Bloco, INDEX),
    st.builds(messages.Desligamento, NAMES | st.just(""), st.just("why")),
)
HELD_INDEX = st.integers(0, BLOCKS - 1)
HAPPENED = st.one_of(
    SAID.map(lambda message: events.Received("eva", message)),
    SAID.map(lambda message: events.Received("eva", message)),
    st.builds(events.Arrived, st.just("eva"), HELD_INDEX, st.booleans()),
    st.builds(events.Sent, st.just("eva"), HELD_INDEX),
    st.builds(events.Progressed, st.just("eva")),
    st.builds(events.Lost, HELD_INDEX),
    st.builds(events.Known, st.integers(0, 2**BLOCKS - 1), st.just(0)),
    st.builds(events.Linked, st.builds(PeerAddress, NAMES, st.just("h"), st.just(1)), st.booleans(), st.booleans()),
    st.builds(events.Unlinked, NAMES, st.just("why")),
    st.sampled_from([0.05, 1.0, 5.0]),
)


@given(
    st.lists(HAPPENED, max_size=40),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["honest", "liar", "corrupter", "free-rider"]),
)
@settings(max_examples=250)
def test_whatever_a_neighbour_says_and_in_whatever_order_nothing_breaks_and_the_state_can_be_shown_and_stored(
    happened: list[events.Event | float], joins: bool, knows: bool, behaviour: str
):
    table = Table(BLOCKS, Rules(round_s=1.0, request_timeout_s=2.0, neighbours=2, slots=1))
    table.seat_seed()
    table.seat("ana", {0, 1}, known=None if knows else 0b1011, join=joins, behaviour=behaviour)
    table.seat("eva", join=False, start=False)
    table.link("seed", "ana")
    table.tell("ana", events.Linked(PeerAddress("eva", "eva", 1), False))
    for one in happened:
        if isinstance(one, float):
            table.run(table.now + one)
        else:
            table.tell("ana", one)
    state = table.peers["ana"].snapshot(table.now)
    assert msgspec.json.decode(msgspec.json.encode(state), type=PeerSnapshot) == state
    assert pickle.loads(pickle.dumps(state)) == state  # as Ray carries it
    assert causes([state]).isprintable()
    assert decode(encode(table.records)) == table.records
    journal = Journal.of(table.peers["ana"], 1)
    journal.entries += [Entry(float(at_s), one) for at_s, one in enumerate(happened) if not isinstance(one, float)]
    assert Journal.decode(journal.encode()).entries == journal.entries


@given(st.lists(SAID, max_size=40))
@settings(max_examples=60)
def test_a_hostile_neighbour_does_not_keep_others_from_completing(said: list[Message]):
    table = Table(BLOCKS, QUICK)
    table.seat_seed()
    table.seat("ana")
    table.seat("eva", start=False)
    for message in said:
        table.run(table.now + 0.05)
        table.inject("eva", "ana", message)
    assert table.run_until(lambda: table.peers["ana"].complete, table.now + 200)


def test_a_million_pedidos_cost_a_bounded_memory():
    table = Table(1000, QUICK, tracker=False)
    table.seat_seed()
    table.seat("ana", start=False)
    table.link("ana", "seed")
    table.run(1.0)
    for block in range(1000):
        table.tell("seed", events.Received("ana", messages.Pedido(block)))
    assert len(table.peers["seed"].contacts.known["ana"].wanted) <= 256

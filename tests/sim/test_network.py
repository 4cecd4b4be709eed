"""The simulated network: what is sent arrives later, in order, or not at all. The peers here say nothing themselves."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

import pytest
from table import Blocks

from minibit.events import Arrived, Event, Linked, Progressed, Received, Sent, Unlinked
from minibit.messages import Bloqueio, Desbloqueio, Desligamento, Estoque, Pedido
from minibit.sim.bandwidth import End
from minibit.sim.clock import Clock
from minibit.sim.machine import Machine
from minibit.sim.network import Network, address

BLOCK_BYTES = 1000
FAREWELL = Desligamento(why="enough")


class Mute:
    """A peer that only hears, and wants every block."""

    left = False
    wants = True

    def __init__(self, name: str) -> None:
        self.name = name

    def expects(self, sender: str, block: int) -> bool:
        return self.wants


class Wire:
    """Mute peers and the network between them; `heard` has each event with its time and the peer that heard it."""

    def __init__(self, *names: str, latency_s: float = 0.1, connect_s: float = 0.4, chance: int = 1) -> None:
        self.clock = Clock()
        self.machines: dict[str, Machine] = {}
        self.network = Network(
            self.clock,
            self.machines,
            Blocks(8, BLOCK_BYTES),
            self.tell,
            latency_s=latency_s,
            connect_s=connect_s,
            progress_s=10.0,
            rng=Random(chance),
        )
        self.heard: list[tuple[float, str, Event]] = []
        for name in names:
            self.add(name)

    def add(self, name: str, up_bps: float = 1000.0) -> Machine:
        peer: Any = Mute(name)
        self.machines[name] = Machine(peer, End(up_bps))
        return self.machines[name]

    def tell(self, machine: Machine, event: Event) -> None:
        self.heard.append((round(self.clock.now, 6), machine.name, event))

    def at(self, at_s: float, action: Callable[..., object], *args: Any, **how: Any) -> None:
        self.clock.at(at_s, lambda: action(*args, **how))

    def run(self, until_s: float = inf) -> list[tuple[float, str, Event]]:
        while self.clock.next_s <= until_s and self.clock.next_s < inf:
            self.clock.step()
        heard, self.heard = self.heard, []
        return heard

    def link(self, one: str, other: str) -> None:
        self.network.dial(self.machines[one], other, False)
        self.run()

    def say(self, sender: str, receiver: str, block: int) -> None:
        self.network.send(self.machines[sender], receiver, Pedido(block))

    def choke(self, sender: str, receiver: str) -> None:
        self.network.send(self.machines[sender], receiver, Bloqueio())

    def unchoke(self, sender: str, receiver: str) -> None:
        self.network.send(self.machines[sender], receiver, Desbloqueio())

    def send_block(self, sender: str, receiver: str, block: int = 0, spoil: bool = False) -> None:
        self.network.send_block(self.machines[sender], receiver, block, spoil, False)

    def hang_up(self, machine: str, peer: str, farewell: Desligamento | None = FAREWELL) -> None:
        self.network.hang_up(self.machines[machine], peer, farewell)


def linked(**options: Any) -> Wire:
    """Two peers, `a` and `b`, with a link, at time 0."""
    wire = Wire("a", "b", **options)
    wire.network.connect_s, connect_s = 0.0, wire.network.connect_s
    wire.link("a", "b")
    wire.network.connect_s = connect_s
    return wire


def pedidos(heard: list[tuple[float, str, Event]], receiver: str = "b") -> list[tuple[float, int]]:
    """When this peer heard which PEDIDO."""
    return [
        (at_s, event.message.block)
        for at_s, name, event in heard
        if name == receiver and isinstance(event, Received) and isinstance(event.message, Pedido)
    ]


# messages and blocks


def test_a_message_arrives_after_the_latency():
    wire = linked()
    wire.say("a", "b", 3)
    assert wire.run() == [(0.1, "b", Received("a", Pedido(3)))]


def test_the_same_message_may_be_said_by_two():
    wire = linked()
    pedido = Pedido(3)
    wire.network.send(wire.machines["a"], "b", pedido)
    wire.network.send(wire.machines["b"], "a", pedido)
    assert wire.run() == [(0.1, "b", Received("a", pedido)), (0.1, "a", Received("b", pedido))]


def test_messages_wait_behind_the_block_that_was_sent_before_them():
    wire = linked()
    wire.say("a", "b", 1)
    wire.send_block("a", "b", 7)
    wire.choke("a", "b")
    wire.unchoke("a", "b")
    assert wire.run() == [
        (0.1, "b", Received("a", Pedido(1))),
        (1.0, "a", Sent("b", 7)),
        (1.1, "b", Arrived("a", 7, True)),
        (1.1, "b", Received("a", Bloqueio())),
        (1.1, "b", Received("a", Desbloqueio())),
    ]
    assert (
        wire.machines["a"].sent_bytes == wire.machines["b"].received_bytes == wire.network.arrived_bytes == BLOCK_BYTES
    )


def test_estoque_and_pedido_pass_the_block_that_is_under_way():
    wire = linked()
    wire.send_block("a", "b", 7)
    wire.choke("a", "b")
    wire.say("a", "b", 2)
    wire.network.send(wire.machines["a"], "b", Estoque(new=(3,)))
    heard = [event for _, name, event in wire.run() if name == "b"]
    assert heard == [
        Received("a", Pedido(2)),
        Received("a", Estoque(new=(3,))),
        Arrived("a", 7, True),
        Received("a", Bloqueio()),
    ]


def test_messages_the_other_way_dont_wait_for_a_block():
    wire = linked()
    wire.send_block("a", "b")
    wire.say("b", "a", 2)
    assert pedidos(wire.run(), "a") == [(0.1, 2)]


def test_a_message_sent_at_the_moment_when_a_block_has_left_arrives_behind_it():
    wire = linked()
    heard_by_a = wire.tell

    def answer(machine: Machine, event: Event) -> None:
        heard_by_a(machine, event)
        if isinstance(event, Sent) and event.block == 0:
            wire.send_block("a", "b", 1)
            wire.unchoke("a", "b")

    wire.network._tell = answer
    wire.send_block("a", "b", 0)
    wire.choke("a", "b")
    arrivals = [event for _, name, event in wire.run() if name == "b"]
    assert arrivals == [
        Arrived("a", 0, True),
        Received("a", Bloqueio()),
        Arrived("a", 1, True),
        Received("a", Desbloqueio()),
    ]


def test_a_block_that_takes_long_gives_signs_of_life_unless_its_sender_stands_still():
    wire = linked()
    machine = wire.machines["a"]
    wire.network.bandwidth.limit(machine.end, BLOCK_BYTES / 35, inf)
    wire.send_block("a", "b")
    wire.at(15.0, wire.network.bandwidth.limit, machine.end, 0.0, inf)
    wire.at(25.0, wire.network.bandwidth.limit, machine.end, BLOCK_BYTES / 35, inf)
    assert wire.run() == [
        (10.0, "b", Progressed("a")),
        (30.0, "b", Progressed("a")),
        (40.0, "b", Progressed("a")),
        (45.0, "a", Sent("b", 0)),
        (45.1, "b", Arrived("a", 0, True)),
    ]


def test_a_message_without_a_link_is_lost():
    wire = Wire("a", "b")
    wire.say("a", "b", 1)
    wire.send_block("a", "b")
    wire.hang_up("a", "b")
    assert wire.run() == []
    assert wire.machines["a"].control_bytes == 0


# delays


def test_a_message_that_is_sent_when_a_delay_is_over_doesnt_overtake_those_that_were_delayed():
    wire = linked()
    wire.network.delay("a", "b", 5.0)
    wire.say("a", "b", 1)
    wire.at(1.0, wire.network.delay, "a", "b")
    wire.at(2.0, wire.say, "a", "b", 2)
    wire.at(2.0, wire.say, "b", "a", 3)
    wire.at(9.0, wire.say, "a", "b", 4)
    heard = wire.run()
    assert pedidos(heard, "b") == [(5.1, 1), (5.1, 2), (9.1, 4)]
    assert pedidos(heard, "a") == [(2.1, 3)]


def test_a_farewell_doesnt_overtake_what_was_delayed():
    wire = linked()
    wire.network.delay("a", "b", 5.0)
    wire.say("a", "b", 1)
    wire.at(1.0, wire.network.delay, "b", "a")
    wire.at(2.0, wire.hang_up, "a", "b")
    assert wire.run() == [
        (5.1, "b", Received("a", Pedido(1))),
        (5.1, "b", Received("a", FAREWELL)),
        (5.1, "b", Unlinked("a", "hung up")),
    ]


# links end


def test_a_farewell_arrives_behind_all_that_was_sent_before():
    wire = linked()
    wire.send_block("a", "b")
    wire.choke("a", "b")
    wire.at(1.0, wire.say, "a", "b", 2)
    wire.at(1.0, wire.hang_up, "a", "b")
    heard = [event for _, name, event in wire.run() if name == "b"]
    assert heard == [
        Arrived("a", 0, True),
        Received("a", Bloqueio()),
        Received("a", Pedido(2)),
        Received("a", FAREWELL),
        Unlinked("a", "hung up"),
    ]


def test_a_peer_that_hangs_up_in_the_middle_of_a_block_cuts_it_and_says_no_farewell():
    wire = linked()
    wire.send_block("a", "b")
    wire.choke("a", "b")
    wire.at(0.5, wire.hang_up, "a", "b")
    assert wire.run() == [(0.6, "b", Unlinked("a", "hung up"))]
    assert wire.machines["a"].sent[Desligamento] == 0
    assert wire.machines["a"].end.sending == []


def test_a_peer_that_hung_up_hears_nothing_more_and_the_block_that_was_coming_is_cut():
    wire = linked()
    wire.send_block("b", "a")
    wire.at(0.45, wire.say, "b", "a", 1)
    wire.at(0.5, wire.hang_up, "a", "b")
    wire.at(0.55, wire.say, "b", "a", 2)
    assert wire.run() == [(0.6, "b", Received("a", FAREWELL)), (0.6, "b", Unlinked("a", "hung up"))]
    assert wire.network.arrived_bytes == 0
    assert wire.machines["b"].end.sending == []


def test_what_is_under_way_at_a_break_is_lost_both_ways():
    wire = linked()
    wire.send_block("a", "b", 1)
    wire.send_block("b", "a", 2)
    wire.choke("a", "b")
    wire.at(0.45, wire.say, "b", "a", 4)
    wire.at(0.5, wire.network.cut, "b", "a")
    assert wire.run() == [(0.5, "b", Unlinked("a", "cut")), (0.5, "a", Unlinked("b", "cut"))]
    assert wire.network.arrived_bytes == 0
    assert [machine.end.sending + machine.end.receiving for machine in wire.machines.values()] == [[], []]


@pytest.mark.parametrize(("at_s", "arrived", "lost"), [(0.95, 0, 0), (1.05, 0, BLOCK_BYTES), (1.15, BLOCK_BYTES, 0)])
def test_a_block_that_was_sent_arrives_or_is_counted_as_lost(at_s: float, arrived: int, lost: int):
    wire = linked()
    wire.send_block("a", "b", 1)
    wire.at(at_s, wire.network.cut, "b", "a")
    wire.run()
    assert wire.machines["a"].sent_bytes == arrived + lost
    assert (wire.network.arrived_bytes, wire.network.lost_bytes) == (arrived, lost)


def test_a_dead_peer_is_missed_after_what_it_said_arrived():
    wire = linked()
    wire.say("a", "b", 1)
    wire.machines["a"].alive = False
    wire.network.drop_all(wire.machines["a"], "reset")
    wire.say("b", "a", 2)
    assert wire.run() == [(0.1, "b", Received("a", Pedido(1))), (0.1, "b", Unlinked("a", "reset"))]


def test_both_may_hang_up_in_the_same_moment():
    wire = linked()
    wire.hang_up("a", "b")
    wire.hang_up("b", "a")
    assert wire.run() == []
    assert [machine.ways for machine in wire.machines.values()] == [{}, {}]


def test_a_new_link_isnt_bothered_by_the_end_of_the_old_one():
    wire = linked()
    wire.network.delay("a", "b", 5.0)
    wire.say("a", "b", 1)
    wire.network.cut("a", "b")
    wire.network.heal("a", "b")
    wire.at(1.0, wire.network.dial, wire.machines["a"], "b", False)
    wire.at(2.0, wire.say, "a", "b", 2)
    assert wire.run()[2:] == [
        (1.4, "a", Linked(address("b"), True)),
        (1.4, "b", Linked(address("a"), False)),
        (7.1, "b", Received("a", Pedido(2))),
    ]


# dials


def test_a_dial_is_answered_at_both_ends_and_says_whether_the_dialler_is_alone():
    wire = Wire("a", "b")
    wire.network.dial(wire.machines["a"], "b", True)
    assert wire.run() == [(0.4, "a", Linked(address("b"), True)), (0.4, "b", Linked(address("a"), False, True))]


def kill(wire: Wire) -> None:
    wire.machines["b"].alive = False


def leave(wire: Wire) -> None:
    wire.machines["b"].peer.left = True


def pause(wire: Wire) -> None:
    wire.machines["b"].inbox = []


@pytest.mark.parametrize(
    ("befalls", "at_s", "why"),
    [
        (kill, 0.4, "unreachable"),
        (leave, 0.4, "unreachable"),
        (lambda wire: wire.machines.pop("b"), 0.4, "unreachable"),
        (lambda wire: wire.network.cut("b", "a"), 0.4, "unreachable"),
        (lambda wire: wire.network.split(["b"], 1), 0.4, "unreachable"),
        (pause, 5.4, "silent"),
    ],
    ids=["dead", "left", "unknown", "cut", "split", "paused"],
)
def test_a_dial_to_a_peer_that_cant_answer_fails(befalls: Callable[[Wire], object], at_s: float, why: str):
    wire = Wire("a", "b")
    wire.network.dial(wire.machines["a"], "b", False)
    wire.at(0.2, befalls, wire)  # it is the state at the end of the dial that counts
    assert wire.run() == [(at_s, "a", Unlinked("b", why))]


def test_the_dial_of_a_dead_peer_comes_to_nothing():
    wire = Wire("a", "b")
    wire.network.dial(wire.machines["b"], "a", False)
    kill(wire)
    assert wire.run() == []


def test_dials_at_the_same_time_give_one_link():
    wire = Wire("a", "b")
    wire.network.dial(wire.machines["a"], "b", False)
    wire.network.dial(wire.machines["b"], "a", False)
    assert wire.run() == [(0.4, "a", Linked(address("b"), True)), (0.4, "b", Linked(address("a"), False))]
    wire.say("b", "a", 1)
    wire.hang_up("a", "b")
    assert [event for _, _, event in wire.run()] == [Received("a", FAREWELL), Unlinked("a", "hung up")]


def test_a_dial_isnt_given_up_when_its_target_dialled_back_in_the_meantime():
    wire = Wire("a", "b")
    pause(wire)
    wire.network.dial(wire.machines["a"], "b", False)
    wire.at(1.0, setattr, wire.machines["b"], "inbox", None)
    wire.at(2.0, wire.network.dial, wire.machines["b"], "a", False)
    assert wire.run() == [(2.4, "b", Linked(address("a"), True)), (2.4, "a", Linked(address("b"), False))]


def test_a_peer_that_is_paused_while_it_dials_proves_nothing():
    wire = Wire("a", "b")
    wire.network.dial(wire.machines["b"], "a", False)
    pause(wire)
    assert wire.run() == [(5.4, "b", Unlinked("a", "silent"))]


def test_a_peer_can_not_be_dialled_again_before_it_hears_that_its_link_ended():
    wire = linked(latency_s=1.0)
    wire.hang_up("a", "b")
    wire.network.dial(wire.machines["a"], "b", False)
    assert wire.run()[0] == (0.4, "a", Unlinked("b", "unreachable"))


# what goes wrong


def test_a_cut_holds_until_it_heals_also_for_peers_that_come_later():
    wire = Wire("a")
    wire.network.cut("a", "b")
    wire.add("b")
    wire.add("c")
    wire.link("a", "c")
    assert wire.machines["a"].ways.keys() == {"c"}
    wire.link("b", "a")
    assert wire.machines["b"].ways == {}
    wire.network.heal("b", "a")
    wire.link("b", "a")
    assert wire.machines["b"].ways.keys() == {"a"}


def test_a_split_breaks_the_links_across_and_no_other_until_it_heals():
    wire = Wire("a", "b", "c", "d")
    for one, other in ("ab", "cd", "ac"):
        wire.link(one, other)
    wire.network.split("ab", 1)
    assert [(name, event) for _, name, event in wire.run()] == [
        ("a", Unlinked("c", "split")),
        ("c", Unlinked("a", "split")),
    ]
    wire.link("b", "c")
    assert wire.machines["b"].ways.keys() == {"a"}
    wire.network.split("ab", 0)
    wire.link("b", "c")
    assert wire.machines["b"].ways.keys() == {"a", "c"}


def test_a_split_holds_for_peers_that_come_later():
    wire = Wire("a")
    wire.network.split("b", 1)
    wire.add("b")
    assert not wire.network.together("a", "b")
    wire.link("a", "b")
    assert wire.machines["a"].ways == {}


def test_a_slow_link_slows_no_other_and_both_its_ways():
    wire = Wire("a", "b", "c")
    wire.network.slow("b", "a", 100.0)  # before the link is there
    wire.link("a", "b")
    wire.link("a", "c")
    began_s = wire.clock.now
    for sender, receiver in ("ab", "ba", "ac"):
        wire.send_block(sender, receiver)
    sent_s = {
        (name, event.peer): round(at_s - began_s, 2) for at_s, name, event in wire.run() if isinstance(event, Sent)
    }
    assert sent_s == {("a", "b"): 10.0, ("b", "a"): 10.0, ("a", "c"): pytest.approx(BLOCK_BYTES / 900, abs=0.01)}


def test_a_link_that_becomes_slow_and_usual_again_does_so_in_the_middle_of_a_block():
    wire = linked()
    wire.send_block("a", "b")
    wire.at(0.5, wire.network.slow, "a", "b", 10.0)
    wire.at(10.5, wire.network.slow, "a", "b")
    assert (10.9, "a", Sent("b", 0)) in wire.run()


def test_a_link_may_be_slow_and_delayed():
    wire = linked()
    wire.network.slow("a", "b", 100.0)
    wire.network.delay("a", "b", 2.0)
    wire.send_block("a", "b")
    assert (12.1, "b", Arrived("a", 0, True)) in wire.run()


def corrupted(chance: int, share: float) -> list[bool]:
    """Of a thousand blocks, which arrive right."""
    wire = Wire("b", chance=chance)
    wire.network.corrupt("a", share)
    wire.add("a", up_bps=1e9)
    wire.link("a", "b")
    arrived = []
    for _ in range(1000):
        wire.send_block("a", "b")
        arrived += [event.ok for _, _, event in wire.run() if isinstance(event, Arrived)]
    return arrived


def test_a_share_of_the_blocks_arrives_wrong_and_the_same_ones_with_the_same_chance():
    assert corrupted(1, 0.0).count(False) == 0
    assert corrupted(1, 1.0).count(False) == 1000
    assert 250 < corrupted(1, 0.3).count(False) < 350
    assert corrupted(1, 0.3) == corrupted(1, 0.3) != corrupted(2, 0.3)


def test_a_wrong_block_that_nobody_asked_for_is_not_looked_at():
    wire = linked()
    wire.machines["b"].peer.wants = False
    wire.send_block("a", "b", spoil=True)
    assert (1.1, "b", Arrived("a", 0, True)) in wire.run()

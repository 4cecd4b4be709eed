"""The simulated world: the shell that carries effects out and brings events, with real peers in it."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from seats import take_seat
from table import Blocks

from minibit import events
from minibit.behaviour import Corrupter
from minibit.events import TRACKER
from minibit.records import BlockRecord, PeerRecord, SampleRecord
from minibit.rules import Rules
from minibit.sim.machine import Machine
from minibit.sim.watcher import Watcher
from minibit.sim.world import World

BLOCKS = 16
BLOCK_BYTES = 1000
RATE_BPS = 1000.0  # a second for a block


def world(rules: Rules | None = None, **options: Any) -> World:
    """A tracker that seeds, and nobody else."""
    made = World(Blocks(BLOCKS, BLOCK_BYTES), rules or Rules(), **options)
    take_seat(made, TRACKER, held=made.all, stays=True, up_bps=RATE_BPS)
    return made


def swarm(count: int, rules: Rules | None = None, **options: Any) -> World:
    made = world(rules, **options)
    for index in range(count):
        take_seat(made, f"peer-{index + 1}", up_bps=RATE_BPS)
    return made


def run(made: World, until_s: float) -> None:
    made.clock.at(until_s, int)  # so that it is that late then
    while made.clock.next_s <= until_s:
        made.clock.step()


def lived(made: World, peer: str) -> list[tuple[str, str]]:
    """What happened to a peer, and why."""
    return [(one.event, one.why) for one in made.records if isinstance(one, PeerRecord) and one.peer == peer]


def when(made: World, peer: str, event: str) -> float:
    (at_s,) = [
        one.at_s for one in made.records if isinstance(one, PeerRecord) and one.peer == peer and one.event == event
    ]
    return at_s


def complete(made: World) -> list[str]:
    return [name for name, machine in made.machines.items() if machine.peer.complete and name != TRACKER]


def test_one_peer_takes_what_the_seeds_uplink_needs():
    made = swarm(1)
    run(made, 60)
    assert lived(made, "peer-1") == [("started", ""), ("completed", "")]
    assert BLOCKS <= when(made, "peer-1", "completed") < BLOCKS * 1.1
    assert made.machines[TRACKER].sent_bytes == made.machines["peer-1"].received_bytes == BLOCKS * BLOCK_BYTES


def test_peers_pass_on_what_they_got():
    made = swarm(4)
    run(made, 60)
    assert complete(made) == ["peer-1", "peer-2", "peer-3", "peer-4"]
    assert max(when(made, name, "completed") for name in complete(made)) < 2.5 * BLOCKS  # 4 by the seed alone


def test_a_world_without_latency_goes_on_too():
    made = swarm(3, latency_s=0.0)
    run(made, 60)
    assert complete(made) == ["peer-1", "peer-2", "peer-3"]


def test_messages_are_counted_by_verb():
    made = swarm(1)
    run(made, 20)
    peer, seed = made.messages(made.machines["peer-1"]), made.messages(made.machines[TRACKER])
    assert (peer["REGISTRO"], peer["PEDIDO"], seed["BLOCO"]) == (1, BLOCKS, BLOCKS)
    assert seed["LISTA_PEERS"] == 2  # the tracker's machine answers it and the seed


# peers come and go


def test_a_paused_peer_does_nothing_and_hears_all_it_missed_in_order_when_it_goes_on():
    class Ear(Watcher):
        def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
            if machine.name == "peer-1":
                heard.append(event)

    heard: list[events.Event | None] = []
    made = swarm(2, watchers=(Ear(),))
    run(made, 5)
    heard.clear()
    made.pause("peer-1")
    made.pause("peer-1")  # nothing more happens to it
    held = made.machines["peer-1"].peer.held
    run(made, 9)
    inbox = made.machines["peer-1"].inbox
    assert inbox is not None
    missed = list(inbox)
    assert missed
    assert heard == []
    assert (made.machines["peer-1"].peer.held, made.machines["peer-1"].end.up_bps) == (held, 0.0)
    made.resume("peer-1")
    made.resume("peer-1")
    assert heard == missed
    run(made, 60)
    assert complete(made) == ["peer-1", "peer-2"]
    assert not [one for one in made.records if one.peer == "peer-1" and 5 < one.at_s < 9]


def test_a_paused_peer_may_die():
    made = swarm(2)
    run(made, 5)
    made.pause("peer-1")
    made.kill("peer-1")
    made.resume("peer-1")
    run(made, 60)
    assert complete(made) == ["peer-2"]


def test_a_killed_peer_is_gone_without_a_word_and_the_others_finish():
    made = swarm(3)
    run(made, 5)
    made.waiting["peer-1"] = None
    made.kill("peer-1")
    assert made.waiting == {}
    made.kill("peer-1")  # nothing more happens to it
    sent = dict(made.messages(made.machines["peer-1"]))
    assert made.machines["peer-1"].end.sending + made.machines["peer-1"].end.receiving == []
    run(made, 60)
    assert lived(made, "peer-1") == [("started", ""), ("died", "killed")]
    assert made.messages(made.machines["peer-1"]) == sent
    assert "peer-1" not in made.machines["peer-2"].ways
    assert complete(made) == ["peer-2", "peer-3"]


def test_a_peer_that_leaves_says_goodbye():
    made = swarm(2)
    run(made, 3)
    made.leave("peer-1")
    run(made, 60)
    assert lived(made, "peer-1") == [("started", ""), ("left", "enough")]
    assert complete(made) == ["peer-2"]
    assert made.tracker is not None
    assert sorted(made.tracker.roster) == ["peer-2", TRACKER]


def test_what_is_done_to_a_peer_that_is_not_there_has_no_effect():
    made = swarm(1)
    for deed in (made.leave, made.kill, made.pause, made.resume):
        deed("peer-9")
    run(made, 60)
    assert complete(made) == ["peer-1"]


def test_a_peer_stays_so_long_after_it_completed_whatever_the_rules_say():
    made = world(Rules(leave="complete"))
    take_seat(made, "peer-1", up_bps=RATE_BPS, stay_s=7.5)
    take_seat(made, "peer-2", up_bps=RATE_BPS)
    take_seat(made, "peer-3", up_bps=RATE_BPS, held=made.all, stays=True)
    run(made, 60)
    assert when(made, "peer-1", "left") == pytest.approx(when(made, "peer-1", "completed") + 7.5)
    assert when(made, "peer-2", "left") == when(made, "peer-2", "completed")
    assert (lived(made, TRACKER)[-1], lived(made, "peer-3")[-1]) == (("completed", ""), ("completed", ""))


# the tracker and the network


def test_no_peer_stops_when_the_tracker_is_gone_and_a_newcomer_waits_until_it_is_back():
    made = swarm(2)
    made.clock.at(5.0, made.kill_tracker)
    made.clock.at(6.0, lambda: take_seat(made, "peer-3", up_bps=RATE_BPS))
    run(made, 90)
    assert complete(made) == ["peer-1", "peer-2"]
    assert made.machines["peer-3"].ways == {}
    made.restart_tracker()
    assert made.tracker is not None
    run(made, 300)
    assert complete(made) == ["peer-1", "peer-2", "peer-3"]
    assert sorted(made.tracker.roster) == ["peer-1", "peer-2", "peer-3", TRACKER]


def test_a_peer_that_is_split_off_reaches_neither_the_others_nor_the_tracker_until_the_network_heals():
    made = world()
    made.network.split(["peer-1", "peer-2"], 1)  # before they come
    take_seat(made, "peer-1", up_bps=RATE_BPS, held=1)
    take_seat(made, "peer-2", up_bps=RATE_BPS)
    take_seat(made, "peer-3", up_bps=RATE_BPS)
    run(made, 60)
    assert complete(made) == ["peer-3"]
    assert [made.machines[name].ways for name in ("peer-1", "peer-2")] == [{}, {}]
    assert made.tracker is not None
    assert sorted(made.tracker.roster) == ["peer-3", TRACKER]
    made.network.split(["peer-1", "peer-2"], 0)
    run(made, 300)
    assert complete(made) == ["peer-1", "peer-2", "peer-3"]


def test_a_peer_that_is_split_off_hears_nothing_of_newcomers():
    made = swarm(1)
    run(made, 5)
    made.network.split(["peer-1"], 1)
    take_seat(made, "peer-2", up_bps=RATE_BPS)
    run(made, 10)
    assert "peer-2" not in made.machines["peer-1"].peer.contacts.known
    made.network.split(["peer-1"], 0)
    run(made, 60)
    assert "peer-2" in made.machines["peer-1"].peer.contacts.known


def test_a_peer_on_the_trackers_side_of_a_split_still_reaches_the_tracker():
    made = swarm(2)
    made.network.split([TRACKER, "peer-1"], 1)
    run(made, 60)
    assert complete(made) == ["peer-1"]


def test_a_share_of_wrong_blocks_is_rejected_and_everybody_completes():
    made = swarm(3)
    made.network.corrupt("peer-1", 0.5)
    run(made, 200)
    rejected = [one for one in made.records if isinstance(one, BlockRecord) and one.verdict == "rejected"]
    assert {one.source for one in rejected} == {"peer-1"}
    assert complete(made) == ["peer-1", "peer-2", "peer-3"]


def test_a_behaviour_is_the_peers():
    made = world()
    take_seat(made, "peer-1", up_bps=RATE_BPS, held=made.all, behaviour=Corrupter)
    take_seat(made, "peer-2", up_bps=RATE_BPS)
    run(made, 200)
    blocks = [one for one in made.records if isinstance(one, BlockRecord) and one.source == "peer-1"]
    assert {one.verdict for one in blocks} == {"rejected"}
    assert complete(made) == ["peer-1", "peer-2"]


# watching


def test_a_watcher_sees_every_event_its_effects_and_that_they_are_carried_out():
    class Watch(Watcher):
        def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
            assert world is made
            seen.append((machine.name, "told", type(event)))

        def did(self, world: World, machine: Machine, effect: events.Effect) -> None:
            seen.append((machine.name, "did", type(effect)))

        def after(self, world: World, machine: Machine, event: events.Event | None) -> None:
            machine.peer.check()
            seen.append((machine.name, "after", type(event)))

    seen: list[tuple[str, str, type]] = []
    made = World(Blocks(BLOCKS), Rules(), watchers=(Watch(),))
    take_seat(made, "peer-1", up_bps=RATE_BPS)
    assert seen == [
        ("peer-1", "told", events.Joining),
        ("peer-1", "did", events.Call),
        ("peer-1", "after", events.Joining),
        ("peer-1", "told", events.Starting),
        ("peer-1", "did", events.Note),
        ("peer-1", "after", events.Starting),
    ]
    run(made, 30)
    whats = [what for _, what, _ in seen if what != "did"]
    assert whats == ["told", "after"] * (len(whats) // 2)
    assert ("peer-1", "told", type(None)) in seen


def test_samples_are_taken_of_the_peers_that_are_there():
    made = swarm(3)
    run(made, 5)
    made.kill("peer-1")
    made.leave("peer-2")
    run(made, 20)
    made.records.clear()
    made.sample()
    assert [type(one) for one in made.records] == [SampleRecord] * 2
    assert [one.peer for one in made.records] == [TRACKER, "peer-3"]


def test_a_paused_peer_sleeps_on_until_it_goes_on():
    made = swarm(1)
    run(made, 5)
    made.pause("peer-1")
    run(made, 100)
    assert made.machines["peer-1"].wake_s == inf  # its time came, and nobody woke it
    made.resume("peer-1")
    run(made, 200)
    assert complete(made) == ["peer-1"]

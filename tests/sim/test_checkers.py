"""The checkers: silent where all is well, and each complains of what it is there for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from seats import take_seat

from minibit import events, inventory
from minibit.behaviour import BEHAVIOURS
from minibit.choker import Choker, NeighbourRow, Serving
from minibit.content import VirtualContent
from minibit.events import TRACKER
from minibit.exchange import Exchange
from minibit.messages import Bloqueio, Desbloqueio, Estoque, Pedido, PeerAddress, Registro
from minibit.neighbour import Move, Neighbour
from minibit.peer import Peer
from minibit.pipeline import Pipeline
from minibit.rules import Rules
from minibit.run.options import Options
from minibit.sim import Scenario, Simulation, reach
from minibit.sim.bandwidth import Bandwidth
from minibit.sim.checkers import (
    AllComplete,
    BlocksAreAskedOnce,
    BlocksAreVerified,
    BytesAreKept,
    Checker,
    NobodySpins,
    NothingStalls,
    PeersAgree,
    SlotsAreKept,
    Violation,
    all_checkers,
)
from minibit.sim.link_book import LinkBook
from minibit.sim.machine import Machine
from minibit.sim.network import Network
from minibit.sim.world import World
from minibit.tracker import Tracker
from minibit.uploads import Uploads

CONTENT = VirtualContent("content", 15_500, 1000)  # 16 blocks, the last a short one
QUICK = Rules(round_s=1.0, request_timeout_s=2.0, tracker_s=5.0)


def world(*checkers: Checker, rules: Rules = QUICK, peers: int = 4, seeded: bool = True, **others: str) -> World:
    """A seed, so many peers, and others by name with their behaviours."""
    made = World(CONTENT, rules, watchers=checkers)
    if seeded:
        take_seat(made, TRACKER, held=made.all, stays=True, up_bps=4000.0)
    for index in range(peers):
        take_seat(made, f"peer-{index + 1}", up_bps=2000.0)
    for name, behaviour in others.items():
        take_seat(made, name, behaviour=BEHAVIOURS[behaviour], up_bps=2000.0)
    return made


def run(made: World, for_s: float = 60.0) -> World:
    made.clock.at(until_s := made.now + for_s, int)
    while made.clock.next_s <= until_s:
        made.clock.step()
    return made


def complaint(act: Callable[[], object], checker: type[Checker]) -> str:
    """What the checker says of it."""
    with pytest.raises(Violation) as caught:
        act()
    assert caught.value.checker == checker.__name__
    return str(caught.value)


# all is well


def test_a_swarm_of_every_behaviour_gives_no_cause_to_complain():
    made = world(*all_checkers(), rider="free-rider", liar="liar", bad="corrupter", slow="slow")
    run(made).over()
    assert all(machine.peer.complete for name, machine in made.machines.items() if name not in ("liar", "bad"))


@pytest.mark.parametrize("choker", ["tit-for-tat", "rarity", "none"])
def test_nor_does_one_in_which_peers_die_pause_leave_and_lose_their_links(choker: str):
    made = world(*all_checkers(), rules=Rules(round_s=1.0, request_timeout_s=2.0, choker=choker, slots=2), peers=8)
    run(made, 1.0)
    made.pause("peer-1")
    made.network.split(["peer-2", "peer-3"], 1)
    run(made, 1.0)
    made.kill("peer-4")
    made.leave("peer-5")
    made.network.cut(TRACKER, "peer-6")
    made.network.delay("peer-7", "peer-8", 2.0)
    run(made, 3.0)
    made.resume("peer-1")
    made.network.split(["peer-2", "peer-3"], 0)
    run(made, 120.0).over()
    assert {name for name, machine in made.machines.items() if not machine.peer.complete} <= {"peer-4", "peer-5"}


def test_a_complaint_names_the_peer_the_time_and_the_fact():
    made = world(peers=1)
    made.clock.at(1.5, int)
    run(made, 1.5)
    with pytest.raises(Violation, match=r"^SlotsAreKept: peer-1 at 1\.500 s: it is so$") as caught:
        SlotsAreKept().complain(made, "peer-1", "it is so")
    assert isinstance(caught.value, AssertionError)


# bytes


def test_a_block_that_arrives_twice_is_noticed(monkeypatch: pytest.MonkeyPatch):
    carry = Network._carry

    def twice(self: Network, way: Any, event: events.Received | events.Arrived) -> None:
        carry(self, way, event)
        if isinstance(event, events.Arrived):
            carry(self, way, event)

    monkeypatch.setattr(Network, "_carry", twice)
    assert "was not sent" in complaint(lambda: run(world(BytesAreKept())), BytesAreKept)


def test_a_block_that_is_lost_on_a_link_that_stands_is_noticed(monkeypatch: pytest.MonkeyPatch):
    carry = Network._carry
    lost: list[object] = []

    def lossy(self: Network, way: Any, event: Any) -> None:
        if isinstance(event, events.Arrived) and event.block == 15:
            lost.append(event)
        else:
            carry(self, way, event)

    monkeypatch.setattr(Network, "_carry", lossy)
    made = world(BytesAreKept(), peers=1, rules=Rules(pipeline=1, picker="sequential", round_s=1.0))
    run(made)
    assert lost
    assert "never came" in complaint(made.over, BytesAreKept)


def test_a_block_that_is_recorded_with_other_bytes_or_not_at_all_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Exchange, "_note", lambda *facts: None)
    assert "was recorded as []" in complaint(lambda: run(world(BytesAreKept())), BytesAreKept)


def test_bytes_that_are_counted_and_never_went_are_noticed():
    made = run(world(BytesAreKept()))
    made.machines["peer-1"].sent_bytes += 1
    assert "bytes sent" in complaint(made.over, BytesAreKept)
    made.machines["peer-1"].sent_bytes -= 1
    made.over()
    made.machines["peer-1"].received_bytes += 1
    assert "bytes taken" in complaint(made.over, BytesAreKept)


def test_a_line_that_takes_more_than_it_can_is_noticed(monkeypatch: pytest.MonkeyPatch):
    start = Bandwidth.start
    monkeypatch.setattr(
        Bandwidth,
        "start",
        lambda self, source, target, size_bytes, *args, **how: start(self, source, target, 0.5, *args, **how),
    )
    assert "bytes a second" in complaint(lambda: run(world(BytesAreKept())), BytesAreKept)


# blocks


def test_a_peer_that_takes_a_block_whose_hash_did_not_pass_is_noticed(monkeypatch: pytest.MonkeyPatch):
    arrived = Exchange.arrived

    def passed(self: Exchange, neighbour: Neighbour, event: events.Arrived, now: float) -> None:
        arrived(self, neighbour, msgspec.structs.replace(event, ok=True), now)

    monkeypatch.setattr(Exchange, "arrived", passed)
    made = world(BlocksAreVerified(), peers=0, seeded=False)
    take_seat(made, "bad", held=made.all, behaviour=BEHAVIOURS["corrupter"], up_bps=2000.0)
    take_seat(made, "ana", up_bps=2000.0)
    assert complaint(lambda: run(made), BlocksAreVerified).startswith("BlocksAreVerified: ana at ")


@pytest.mark.parametrize(
    ("effect", "what"),
    [
        (events.Send(TRACKER, Estoque(new=(3,))), "announces [3]"),
        (events.Send(TRACKER, Estoque(whole="9")), "announces [0, 3]"),
        (events.SendBlock(TRACKER, 2), "sends block 2, which it lacks"),
    ],
)
def test_a_peer_that_announces_or_sends_what_it_lacks_is_noticed(effect: events.Effect, what: str):
    checker = BlocksAreVerified()
    made = world(checker, peers=1)
    assert what in complaint(lambda: checker.did(made, made.machines["peer-1"], effect), BlocksAreVerified)


def test_a_peer_that_sends_wrong_bytes_and_is_no_corrupter_is_noticed():
    checker = BlocksAreVerified()
    made = world(checker, peers=1)
    effect = events.SendBlock("peer-1", 2, spoil=True)
    assert "wrong" in complaint(lambda: checker.did(made, made.machines[TRACKER], effect), BlocksAreVerified)


def test_a_peer_that_holds_what_never_came_is_noticed(monkeypatch: pytest.MonkeyPatch):
    take = Exchange._take

    def greedy(self: Exchange, neighbour: Neighbour, block: int, now: float) -> None:
        self.held |= 1 << 7
        take(self, neighbour, block, now)

    monkeypatch.setattr(Exchange, "_take", greedy)
    assert "[7]" in complaint(lambda: run(world(BlocksAreVerified())), BlocksAreVerified)


# slots


def test_a_peer_that_serves_more_neighbours_than_it_has_slots_is_noticed(monkeypatch: pytest.MonkeyPatch):
    init = Uploads.__init__

    def generous(self: Uploads, rules: Rules, choker: Choker, *facts: Any) -> None:
        choker.slots += 2
        init(self, msgspec.structs.replace(rules, slots=rules.slots + 2), choker, *facts)

    monkeypatch.setattr(Uploads, "__init__", generous)
    assert "with 5 slots" in complaint(lambda: run(world(SlotsAreKept(), peers=7)), SlotsAreKept)


def test_a_slot_is_free_again_when_it_is_taken_or_its_link_is_gone():
    checker = SlotsAreKept()
    made = world(checker, peers=1, rules=Rules(slots=1, guests=0))
    machine = made.machines["peer-1"]

    def serve(peer: str) -> None:
        checker.did(made, machine, events.Send(peer, Desbloqueio()))

    serve("ana")
    checker.did(made, machine, events.Send("ana", Bloqueio()))
    serve("bia")
    checker.did(made, machine, events.HangUp("bia", None))
    serve("caio")
    checker.told(made, machine, events.Unlinked("caio", "reset"))
    serve("davi")
    complaint(lambda: serve("edu"), SlotsAreKept)


# PEDIDOs


def test_a_peer_that_asks_two_neighbours_for_a_block_before_endgame_is_noticed(monkeypatch: pytest.MonkeyPatch):
    ask = Pipeline.ask

    def forgetful(self: Pipeline, *facts: Any) -> list[tuple[Neighbour, int]]:
        self.in_flight = inventory.EMPTY
        return ask(self, *facts)

    monkeypatch.setattr(Pipeline, "ask", forgetful)
    assert "it is not endgame" in complaint(lambda: run(world(BlocksAreAskedOnce())), BlocksAreAskedOnce)


class Scene:
    """One peer of a world, linked with four neighbours, which serve it and hold everything."""

    def __init__(self, rules: Rules = QUICK) -> None:
        self.checker = BlocksAreAskedOnce()
        self.world = world(self.checker, peers=1, rules=rules)
        self.machine = self.world.machines["peer-1"]
        for name in ("ana", "bia", "caio", "davi"):
            self.told(events.Linked(PeerAddress(name, name, 1), True))
            self.told(events.Received(name, Estoque(whole="ffff")))
            self.told(events.Received(name, Desbloqueio()))

    def told(self, event: events.Event | None) -> None:
        self.checker.told(self.world, self.machine, event)

    def ask(self, peer: str, *blocks: int) -> None:
        for block in blocks:
            self.checker.did(self.world, self.machine, events.Send(peer, Pedido(block)))

    def complaint(self, peer: str, block: int) -> str:
        return complaint(lambda: self.ask(peer, block), BlocksAreAskedOnce)


def test_in_endgame_three_may_be_asked_and_not_four():
    scene = Scene()
    scene.ask("ana", *range(15))
    assert "not endgame" in scene.complaint("bia", 0)
    scene.ask("bia", 15)
    scene.ask("bia", 0)
    scene.ask("caio", 0)
    assert "asked of ['ana', 'bia', 'caio']" in scene.complaint("davi", 0)
    assert "asked already" in scene.complaint("ana", 1)


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (events.Received("ana", Bloqueio()), "does not serve it"),
        (events.Received("ana", Estoque(whole="f")), "does not announce it"),
        (events.Arrived("ana", 8, True), ""),
    ],
)
def test_a_peer_that_asks_a_neighbour_that_cannot_give_is_noticed(event: events.Event, what: str):
    scene = Scene()
    scene.told(event)
    if what:
        assert what in scene.complaint("ana", 8)
    else:
        scene.ask("ana", 8)


def test_a_peer_that_asks_for_what_it_holds_or_too_much_is_noticed():
    scene = Scene(Rules(pipeline=3))
    scene.machine.peer.exchange.held = 0b1
    assert "which it holds" in scene.complaint("ana", 0)
    scene.ask("ana", 1, 2, 3)
    assert "3 PEDIDOs" in scene.complaint("ana", 4)


def test_what_is_called_off_or_given_up_may_be_asked_elsewhere():
    scene = Scene()
    scene.ask("ana", 1, 2)
    scene.told(events.Received("ana", Bloqueio()))
    scene.ask("bia", 1)
    scene.told(events.Unlinked("bia", "reset"))
    scene.ask("caio", 1)
    scene.told(events.Arrived("caio", 1, False))
    scene.told(events.Received("ana", Desbloqueio()))
    scene.ask("ana", 1)
    scene.world.clock.now += 1.9
    assert "not endgame" in scene.complaint("caio", 1)
    scene.world.clock.now += 0.1
    scene.told(None)
    scene.ask("caio", 1)


def test_which_pedido_an_unasked_block_answers_is_not_sure_once_any_was_perhaps_given_up():
    book = LinkBook()
    book.ask(8, True, 0.0)
    book.look(1.0, timeout_s=1.0)
    book.ask(0, True, 1.5)
    book.arrived(31, 2.0)
    assert (book.open, book.given_up) == ({}, {0, 8})
    book.arrived(8, 2.0)
    book.ask(1, True, 2.0)
    book.arrived(32, 2.5)  # and again, as long as one of them is not answered
    assert (book.open, book.given_up) == ({}, {0, 1})
    book.arrived(0, 3.0)
    book.arrived(1, 3.0)
    book.ask(2, True, 3.0)
    book.arrived(33, 3.5)
    assert (book.open, book.given_up) == ({}, set())


# peers and tracker


def test_a_peer_whose_own_check_fails_is_noticed():
    made = run(world(PeersAgree()), 1.0)
    made.machines["peer-1"].peer.pipeline.in_flight ^= 1 << 15
    assert complaint(lambda: run(made), PeersAgree).startswith("PeersAgree: peer-1 at 1.")


def test_a_tracker_whose_own_check_fails_is_noticed():
    made = run(world(PeersAgree()), 1.0)
    assert isinstance(made.tracker, Tracker)
    made.tracker.roster["nobody"] = PeerAddress("nobody", "nobody", 1)
    assert complaint(lambda: run(made), PeersAgree).startswith("PeersAgree: tracker at 1.")


def test_a_peer_that_wakes_again_and_again_at_one_instant_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def restless(self: Peer, now: float) -> list[events.Effect]:
        self._timers.set("announce", now)
        return []

    monkeypatch.setattr(Peer, "wake", restless)
    assert "wakes at one instant" in complaint(lambda: run(world(NobodySpins())), NobodySpins)


def test_a_peer_that_wakes_too_often_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def restless(self: Peer, now: float) -> list[events.Effect]:
        self._timers.pop(now)
        self._timers.set("announce", now + 0.001)
        return []

    monkeypatch.setattr(Peer, "wake", restless)
    assert "wakes in a second" in complaint(lambda: run(world(NobodySpins())), NobodySpins)


# the end


class Miser(Choker):
    """Has slots, and gives none."""

    def round(self, rows: Sequence[NeighbourRow], seeding: bool) -> Serving:
        return Serving((), ())

    fill = round

    def rank(self, rows: Sequence[NeighbourRow], seeding: bool) -> list[NeighbourRow]:
        return list(rows)


MISERLY = Rules(round_s=1.0, request_timeout_s=2.0, choker=f"{__name__}:Miser")


def test_a_run_that_is_given_up_though_everything_is_within_reach_is_noticed():
    options = Options.build(
        world="sim", peers=1, size=4000, block_size=1000, choker=MISERLY.choker, round=1, upload=1000
    )
    simulation = Simulation(options, watchers=[AllComplete()])
    said = complaint(simulation.run, AllComplete)
    assert "peer-01" in said
    assert "[0, 1, 2, 3]" in said


def test_a_stall_is_noticed_once_the_patience_is_over_and_not_before():
    made = world(NothingStalls(), rules=MISERLY, peers=2)
    patience_s = reach.patience_s(made)
    run(made, patience_s - 1.0)
    assert "peer-1, peer-2" in complaint(lambda: run(made, 5.0), NothingStalls)


def test_nothing_is_expected_while_nothing_is_within_reach():
    made = world(NothingStalls(), AllComplete(), rules=MISERLY, peers=2)
    made.pause(TRACKER)
    run(made, 2 * reach.patience_s(made)).over()


# what is within reach


def lacking(made: World) -> dict[str, list[int]]:
    """What each that lacks something could get."""
    within = reach.within(made, reach.reach(made))
    return {name: list(inventory.indices(blocks)) for name, blocks in within.items()}


def placed(**held: tuple[int, ...]) -> World:
    """Peers that hold these blocks, of 16; nothing has happened yet."""
    made = World(CONTENT, QUICK)
    for name, blocks in held.items():
        take_seat(made, name, held=inventory.of(blocks), up_bps=1000.0)
    return made


def test_what_anybody_holds_is_within_reach_of_all():
    assert lacking(placed(ana=(0,), bia=(1, 2))) == {"ana": [1, 2], "bia": [0]}


def test_a_cut_is_walked_around_if_a_peer_beside_it_passes_blocks_on():
    made = placed(ana=(0,), bia=(1,), caio=())
    made.network.cut("ana", "bia")
    assert lacking(made) == {"ana": [1], "bia": [0], "caio": [0, 1]}
    made.machines["caio"].peer.behaviour = BEHAVIOURS["free-rider"]()
    assert lacking(made) == {"ana": [], "bia": [], "caio": [0, 1]}


@pytest.mark.parametrize("behaviour", ["free-rider", "corrupter"])
def test_a_peer_that_gives_nothing_right_is_no_source(behaviour: str):
    made = placed(ana=(0,), bia=(1,))
    made.machines["bia"].peer.behaviour = BEHAVIOURS[behaviour]()
    assert lacking(made)["ana"] == []


def test_a_liar_gives_what_it_holds_and_gets_nothing():
    made = placed(ana=(0,), bia=(1,))
    made.machines["bia"].peer.behaviour = BEHAVIOURS["liar"]()
    assert lacking(made) == {"ana": [1]}


def test_a_peer_that_is_dead_gone_paused_or_elsewhere_is_no_source():
    for fate in ("kill", "leave", "pause"):
        made = placed(ana=(0,), bia=(1,))
        getattr(made, fate)("bia")
        assert lacking(made) == {"ana": []}
    made = placed(ana=(0,), bia=(1,))
    made.network.split(["bia"], 1)
    assert lacking(made) == {"ana": [], "bia": []}


def test_a_peer_that_sends_some_blocks_wrong_is_a_source_at_best_and_one_that_sends_all_wrong_never():
    made = placed(ana=(0,), bia=(1,))
    made.network.corrupt("bia", 0.5)
    assert lacking(made)["ana"] == []
    assert reach.within(made, reach.reach(made), at_best=True)["ana"] == 0b10
    made.network.corrupt("bia", 1.0)
    assert reach.within(made, reach.reach(made), at_best=True)["ana"] == 0


def test_a_peer_gets_nothing_from_a_neighbour_that_it_banned():
    made = run(placed(ana=(0,), bia=(1,)), 0.5)
    contacts = made.machines["ana"].peer.contacts
    contacts.move(contacts.known["bia"], Move.BAN, 0.0)
    assert lacking(made) == {"ana": [], "bia": []}


def test_without_a_tracker_a_peer_that_knows_nobody_gets_nothing():
    made = placed(ana=(0,), bia=(1,))
    made.kill_tracker()
    take_seat(made, "caio", up_bps=1000.0)
    assert lacking(made) == {"ana": [], "bia": [], "caio": []}
    assert reach.reach(made) == {"ana": (), "bia": (), "caio": ()}
    event = events.Received("by hand", Registro(peer="ana", host="ana", port=1))
    made.tell(made.machines["caio"], event)
    assert lacking(made) == {"ana": [], "bia": [], "caio": [0]}


def test_nothing_is_promised_where_a_slot_is_gone_before_the_pedido_comes():
    held = {"ana": (0,), "bia": (), "caio": ()}
    assert not reach.hasty(placed(**held))
    made = World(CONTENT, Rules(round_s=1.0, slots=1, guests=0), latency_s=0.5)
    for name in held:
        take_seat(made, name, up_bps=1000.0)
    assert reach.hasty(made)
    made = placed(**held, davi=(), edu=(), fabio=(), gil=())
    made.network.delay("ana", "bia", 0.4)
    assert not reach.hasty(made)
    made.network.delay("ana", "bia", 0.6)
    assert reach.hasty(made)


def test_the_patience_grows_with_the_slowest_line():
    made = placed(ana=(), bia=())
    before_s = reach.patience_s(made)
    made.network.slow("ana", "bia", 10.0)
    assert reach.slowest_block_s(made) == 100.0
    assert reach.patience_s(made) == pytest.approx(before_s + 200.0, abs=5)


def test_the_patience_is_enough_to_ask_a_liar_for_every_block():
    made = placed(ana=(), bia=())
    before_s = reach.patience_s(made)
    take_seat(made, "caio", behaviour=BEHAVIOURS["liar"], up_bps=1000.0)
    assert reach.patience_s(made) >= before_s + 2 * made.rules.request_timeout_s * made.content.block_count


def test_a_run_in_which_nobody_can_reach_anything_ends_by_itself():
    options = Options.build(world="sim", peers=3, size=16_000, block_size=1000, upload=1000, seed_upload=1000)
    for faults in (
        [{"kind": "pauses", "at": 2, "peers": ["tracker"]}],
        [{"kind": "split", "at": 2, "peers": ["tracker"]}],
        [{"kind": "cut", "at": 2, "peers": 6}],
    ):
        simulation = Simulation(options, Scenario.build({"faults": faults}, 3), watchers=all_checkers())
        summary = simulation.run()
        assert summary.exit_code == 4
        assert summary.seconds.total < 300


def test_watchers_are_told_before_the_effects_and_called_after_them():
    seen: list[str] = []

    class Scribe(Checker):
        def told(self, world: World, machine: Machine, event: events.Event | None) -> None:
            seen.append(f"told {type(event).__name__}")

        def did(self, world: World, machine: Machine, effect: events.Effect) -> None:
            seen.append(f"did {type(effect).__name__}")

        def after(self, world: World, machine: Machine, event: events.Event | None) -> None:
            seen.append(f"after {type(event).__name__}")

        def over(self, world: World, timed_out: bool) -> None:
            seen.append(f"over {timed_out}")

    made = World(CONTENT, QUICK, watchers=(Scribe(),))
    take_seat(made, "ana", up_bps=1.0)
    made.over(timed_out=True)
    assert seen == [
        *("told Joining", "did Call", "after Joining"),
        *("told Starting", "did Note", "after Starting"),
        "over True",
    ]

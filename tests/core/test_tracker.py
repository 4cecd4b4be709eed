"""The tracker: the roster, who is told of whom."""

from __future__ import annotations

from minibit.events import Effect, Received, Send
from minibit.messages import Desligamento, ListaPeers, NovoPeer, Pedido, Registro
from minibit.rules import Rules
from minibit.tracker import EVERYBODY_UNDER, GATHER_S, MISSED_SIGNS, Tracker


def register(tracker: Tracker, peer: str, now: float = 0.0, port: int = 1) -> list[Effect]:
    effects = tracker.handle(Received(peer, Registro(peer=peer, host="h", port=port)), now)
    tracker.check()
    return effects


def crowd(count: int, **rules: int) -> Tracker:
    tracker = Tracker(Rules(**rules), 1)  # type: ignore[arg-type]
    for index in range(count):
        register(tracker, f"p{index}")
    return tracker


def listed(effects: list[Effect]) -> list[str]:
    (answer,) = effects
    assert isinstance(answer, Send)
    assert isinstance(answer.message, ListaPeers)
    return [address.peer for address in answer.message.peers]


def told(effects: list[Effect]) -> dict[str, list[str]]:
    return {
        effect.peer: [address.peer for address in effect.message.peers]
        for effect in effects
        if isinstance(effect, Send) and isinstance(effect.message, NovoPeer)
    }


def test_the_first_finds_nobody():
    assert listed(register(Tracker(Rules(), 1), "ana")) == []


def test_the_asker_is_never_in_the_list():
    tracker = crowd(30)
    assert all("p7" not in listed(register(tracker, "p7")) for _ in range(50))


def test_with_fewer_than_five_peers_all_are_told_however_few_links_are_allowed():
    tracker = crowd(EVERYBODY_UNDER - 1, neighbours=2)
    assert listed(register(tracker, "ana")) == ["p0", "p1", "p2", "p3"]


def test_of_many_a_random_subset_is_told():
    tracker = crowd(50, neighbours=6)
    lists = [listed(register(tracker, "ana")) for _ in range(200)]
    assert {len(names) for names in lists} == {6}
    assert {len(set(names)) for names in lists} == {6}
    assert {name for names in lists for name in names} == {f"p{index}" for index in range(50)}


def test_newcomers_are_gathered_into_one_message():
    tracker = crowd(3)
    assert tracker.next_wake() == GATHER_S
    assert told(tracker.wake(GATHER_S)) == {"p0": ["p1", "p2"], "p1": ["p0", "p2"], "p2": ["p0", "p1"]}
    register(tracker, "p3", 9.0)
    assert told(tracker.wake(9.0 + GATHER_S)) == {"p0": ["p3"], "p1": ["p3"], "p2": ["p3"]}


def test_a_crowd_of_newcomers_makes_no_flood():
    tracker = crowd(1000, neighbours=20)
    news = told(tracker.wake(GATHER_S))
    assert len(news) == 20
    assert max(map(len, news.values())) <= 20


def test_a_sign_of_life_is_no_news():
    tracker = crowd(3)
    tracker.wake(GATHER_S)
    register(tracker, "p1", 30.0)
    assert told(tracker.wake(40.0)) == {}


def test_a_peer_that_comes_back_elsewhere_is_news():
    tracker = crowd(2)
    tracker.wake(GATHER_S)
    register(tracker, "p1", 30.0, port=2)
    assert told(tracker.wake(31.0)) == {"p0": ["p1"]}
    assert tracker.roster["p1"].port == 2


def test_leaving_and_dying_leave_the_same_roster_in_the_end():
    rules = Rules()
    left, died = crowd(3), crowd(3)
    left.handle(Received("p1", Desligamento(peer="p1", why="enough")), 5.0)
    for now in (30.0, 60.0, 90.0, 120.0):
        for tracker in (left, died):
            register(tracker, "p0", now)
            register(tracker, "p2", now)
            tracker.wake(now)
            tracker.check()
    assert MISSED_SIGNS * rules.tracker_s < 120.0
    assert list(left.roster) == list(died.roster) == ["p0", "p2"]


def test_a_newcomer_that_left_before_it_was_told_of_is_told_to_no_peer():
    tracker = crowd(3)
    tracker.handle(Received("p1", Desligamento(why="enough")), 0.1)
    assert "p1" not in str(told(tracker.wake(GATHER_S)))


def test_other_verbs_are_not_for_the_tracker():
    tracker = crowd(3)
    assert tracker.handle(Received("p1", Pedido(0)), 1.0) == []
    assert tracker.handle(Received("nobody", Desligamento(peer="nobody")), 1.0) == []
    tracker.check()
    assert tracker.snapshot()["roster"] == ["p0", "p1", "p2"]


def test_the_same_seed_tells_the_same():
    one, other = crowd(60), crowd(60)
    assert register(one, "ana") == register(other, "ana")
    assert one.wake(9.0) == other.wake(9.0)

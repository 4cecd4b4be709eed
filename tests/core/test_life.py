"""The life of a peer: its steps, and the diagram that is made from their table."""

from __future__ import annotations

from itertools import product

import pytest
from table import Blocks

from minibit.events import Effect, Event, Finish, Joining, Leaving, Left, Linked, Note, Starting
from minibit.life import STEPS, Life, Lifetime
from minibit.messages import Pedido, PeerAddress
from minibit.peer import Peer
from minibit.records import PeerRecord
from minibit.rules import Rules

HAPPENINGS = sorted({happening for _, happening in STEPS}, key=lambda cls: cls.__name__)
HOME = PeerAddress("ana", "host", 1)


def ana(held: int = 0, **rules: str) -> Peer:
    return Peer("ana", Blocks(2), Rules(**rules), 1, held=held)  # type: ignore[arg-type]


def at(stage: Life) -> Lifetime:
    life = Lifetime("ana")
    life.stage = stage
    return life


def lived(effects: list[Effect]) -> list[str]:
    records = [effect.record for effect in effects if isinstance(effect, Note)]
    return [record.event for record in records if isinstance(record, PeerRecord)]


@pytest.mark.parametrize(("before", "happening"), STEPS)
def test_a_life_goes_on_by_the_table(before: Life, happening: type[Event | Effect]):
    life = at(before)
    assert life.step(happening)
    assert life.stage is STEPS[before, happening]


@pytest.mark.parametrize(("before", "happening"), [pair for pair in product(Life, HAPPENINGS) if pair not in STEPS])
def test_what_the_table_lacks_changes_nothing(before: Life, happening: type[Event | Effect]):
    life = at(before)
    assert not life.step(happening)
    assert life.stage is before


def test_every_life_can_be_reached_and_only_the_goodbye_is_for_ever():
    reached = {Life.NEW}
    for _ in Life:
        reached |= {after for (before, _), after in STEPS.items() if before in reached}
    assert reached == set(Life)
    assert set(Life) - {before for before, _ in STEPS} == {Life.GONE}


def test_a_peer_joins_trades_leaves_and_is_gone():
    peer, seen = ana(0b1), []
    for event in (Joining(HOME), Starting(), Linked(PeerAddress("bia", "host", 1), False)):
        seen.append((peer.life.stage, peer.started, peer.left))
        peer.handle(event, 0.0)
    peer._up["bia"].sending = 0  # so it can't go at once
    peer.handle(Leaving("enough"), 0.0)
    seen.append((peer.life.stage, peer.started, peer.left))
    peer.wake(60.0)
    seen.append((peer.life.stage, peer.started, peer.left))
    assert seen == [
        (Life.NEW, False, False),
        (Life.JOINED, False, False),
        (Life.TRADING, True, False),
        (Life.LEAVING, True, False),
        (Life.GONE, True, True),
    ]


def test_it_starts_and_completes_once_though_it_is_told_twice():
    peer = ana(0b11)
    assert lived(peer.handle(Starting(), 0.0)) == ["started", "completed"]
    assert peer.handle(Starting(), 1.0) == []


def test_a_peer_that_leaves_starts_no_more():
    peer = ana()
    effects = peer.handle(Leaving("before it began"), 0.0)
    assert effects[-1] == Left("before it began")
    assert peer.handle(Starting(), 0.0) == peer.handle(Joining(HOME), 0.0) == []


def test_a_seed_that_may_leave_when_it_is_complete_leaves_at_the_start():
    effects = ana(0b11, leave="complete").handle(Starting(), 0.0)
    assert lived(effects) == ["started", "completed", "left"]
    assert effects.index(Finish()) < effects.index(Left("complete"))


def test_nothing_is_asked_while_the_table_says_anything_but_trading():
    assert [life for life in Life if _asks(life)] == [Life.TRADING]


def _asks(life: Life) -> bool:
    peer = ana()
    peer.handle(Linked(PeerAddress("bia", "host", 1), True), 0.0)
    bia = peer._up["bia"]
    bia.theirs, bia.serves_us = 0b11, True
    peer.life.stage = life
    peer.exchange.pump(0.0)
    return any(isinstance(getattr(effect, "message", None), Pedido) for effect in peer._take_effects())

"""How much a peer needs other neighbours, and what it does about it."""

from __future__ import annotations

from random import Random

import pytest

from minibit.contacts import Contacts, Need
from minibit.events import Call, Dial, Effect, Linked, Starting
from minibit.life import Lifetime
from minibit.membership import Membership
from minibit.messages import ListaPeers, PeerAddress
from minibit.neighbour import Move
from minibit.rules import Rules

RULES = Rules(guest_rounds=1)  # hungry after more than four rounds
MISSING, NOBODYS = 0b11, 0b10


class Scene:
    """The membership of `ana`, which has started; `effects` are all that it gave.

    With `room` she could serve more neighbours, once nothing is missing.
    """

    def __init__(self, *, missing: int = MISSING, started: bool = True, room: bool = True) -> None:
        self.now = 0.0
        life = Lifetime("ana")
        self.effects: list[Effect] = life.effects
        if started:
            life.step(Starting)
        self.contacts = Contacts("ana", RULES, Random(1))
        self.its = Membership(RULES, self.contacts, life, missing, lambda: room and not missing)

    def rounds(self, *missing: int, unheld: int = NOBODYS) -> list[Need]:
        needs = []
        for blocks in missing:
            self.now += RULES.round_s
            self.its.round(blocks, unheld, self.now)
            needs.append(self.its.need)
        return needs

    def offer(self) -> list[str]:
        """The peers that are dialled now, to serve them."""
        self.effects.clear()
        self.its.offer(self.now)
        return [effect.address.peer for effect in self.effects if isinstance(effect, Dial)]

    def dial(self) -> list[bool]:
        """Whether the peers that are dialled now, because links are short, are asked to make room."""
        self.effects.clear()
        self.its.dial(self.now)
        return [effect.alone for effect in self.effects if isinstance(effect, Dial)]


def link(*, dialled: bool, alone: bool) -> Linked:
    return Linked(PeerAddress("bia", "host", 1), dialled, alone)


def test_a_peer_is_alone_when_no_neighbour_held_what_it_misses_for_more_than_a_round():
    assert Scene(missing=0b111).rounds(0b10, 0b10, 0b10) == [Need.NONE, Need.ALONE, Need.ALONE]


def test_a_peer_to_which_nothing_comes_is_hungry_whatever_its_neighbours_hold():
    assert Scene().rounds(*[MISSING] * 6, unheld=0) == [Need.NONE] * 4 + [Need.HUNGRY] * 2


def test_every_block_that_comes_ends_the_need():
    assert Scene().rounds(*[MISSING] * 5, 0b01, unheld=0)[-2:] == [Need.HUNGRY, Need.NONE]
    assert Scene().rounds(0b10, 0b10, MISSING, unheld=NOBODYS)[-2:] == [Need.ALONE, Need.NONE]


def test_a_peer_that_may_not_ask_yet_or_misses_nothing_needs_nobody():
    assert set(Scene(started=False).rounds(*[MISSING] * 9, unheld=0b11)) == {Need.NONE}
    assert set(Scene(missing=0).rounds(*[0] * 9, unheld=0b11)) == {Need.NONE}


@pytest.mark.parametrize(
    ("rounds", "dialled", "alone", "need"),
    [
        (0, True, False, Need.NONE),
        (0, False, True, Need.ALONE),
        (0, True, True, Need.ALONE),
        (2, True, False, Need.ALONE),
        (2, False, False, Need.NONE),  # the other dialled, and does not need us
        (6, False, False, Need.HUNGRY),
        (6, True, True, Need.HUNGRY),
    ],
)
def test_a_new_link_is_needed_by_either_end(rounds: int, dialled: bool, alone: bool, need: Need):
    scene = Scene()
    scene.rounds(*[NOBODYS] * rounds)
    assert scene.its.need_of(link(dialled=dialled, alone=alone)) is need


def test_a_hungry_peer_waits_as_long_again_for_the_neighbour_that_it_let_in():
    scene = Scene()
    scene.rounds(*[MISSING] * 5, unheld=0)
    scene.its.fed()
    assert scene.rounds(*[MISSING] * 5, unheld=0) == [Need.NONE] * 4 + [Need.HUNGRY]


def test_a_peer_that_is_alone_says_so_to_the_tracker_and_to_the_neighbours_that_it_dials():
    scene = Scene()
    for alone in (False, True):
        scene.its.join(PeerAddress("ana", "host", 1), scene.now)
        scene.its.hear(ListaPeers((PeerAddress(f"bia{scene.now}", "host", 1),)), scene.now)
        calls = [effect.message.alone for effect in scene.effects if isinstance(effect, Call)]  # type: ignore[union-attr]
        assert calls == [alone]
        assert {effect.alone for effect in scene.effects if isinstance(effect, Dial)} == {alone}
        scene.effects.clear()
        scene.rounds(NOBODYS, NOBODYS)


def test_a_complete_peer_with_room_dials_one_more_and_ever_more_rarely():
    scene = Scene(missing=0)
    scene.its.join(PeerAddress("ana", "host", 1), 0.0)
    names = ["bia", "caio", "davi"]
    scene.contacts.learn([PeerAddress(name, "host", 1) for name in names])
    dialled = []
    for pause_s in (1.0, 2.0, 4.0):
        (name,) = scene.offer()
        dialled.append(name)
        assert scene.offer() == []  # one at a time
        neighbour = scene.contacts.known[name]
        for move in (Move.LINK, Move.ESTOQUE):
            scene.contacts.move(neighbour, move, scene.now)
        scene.contacts.note(neighbour, sated=True)
        scene.now += pause_s - 0.01
        assert scene.offer() == []
        scene.now += 0.01
    assert sorted(dialled) == names
    assert scene.offer() == []


@pytest.mark.parametrize(("missing", "room", "asked"), [(0, True, True), (0, False, False), (MISSING, True, False)])
def test_who_is_dialled_by_a_complete_peer_with_room_should_make_room_for_it(missing: int, room: bool, asked: bool):
    scene = Scene(missing=missing, room=room)
    scene.contacts.learn([PeerAddress("bia", "host", 1)])
    scene.its.join(PeerAddress("ana", "host", 1), 0.0)
    assert scene.dial() == [asked]


def test_while_those_that_it_dials_want_something_it_dials_at_once():
    scene = Scene(missing=0)
    scene.its.join(PeerAddress("ana", "host", 1), 0.0)
    scene.contacts.learn([PeerAddress(name, "host", 1) for name in ("bia", "caio", "davi")])
    for _ in range(3):
        (name,) = scene.offer()
        for move in (Move.LINK, Move.ESTOQUE):
            scene.contacts.move(scene.contacts.known[name], move, scene.now)

"""Everybody whom a peer knows: dialling, pauses, room."""

from __future__ import annotations

from random import Random

import pytest

from minibit.contacts import LONGEST_RETRY_S, REMEMBERED, Contacts, Need
from minibit.messages import PeerAddress
from minibit.neighbour import Move, Neighbour, Slot, Standing
from minibit.rules import Rules

ALL = 0b1111


def address(name: str, port: int = 1) -> PeerAddress:
    return PeerAddress(name, "host", port)


def contacts(names: str = "", *, neighbours: int = 4, linked: str = "") -> Contacts:
    made = Contacts("me", Rules(neighbours=neighbours), Random(1))
    made.learn(address(name) for name in [*linked.split(), *names.split()])
    for name in linked.split():
        made.move(made.known[name], Move.LINK, 0.0)
        made.move(made.known[name], Move.ESTOQUE, 0.0)
    return made


def names(neighbours: list[Neighbour]) -> set[str]:
    return {neighbour.peer for neighbour in neighbours}


def test_nobody_is_a_contact_of_its_own():
    assert list(contacts("ana me bia").known) == ["ana", "bia"]


def test_a_neighbour_that_is_known_already_stays_as_it_is():
    made = contacts("ana")
    ana = made.known["ana"]
    made.learn([address("ana")])
    assert made.known["ana"] is ana


def test_a_neighbour_that_came_back_elsewhere_is_dialled_there_without_the_pauses_of_before():
    made = contacts("ana")
    for _ in range(5):
        made.failed(made.known["ana"], "reset", 0.0)
    made.learn([address("ana", 2)])
    made.failed(made.known["ana"], "reset", 100.0)
    assert made.known["ana"].address.port == 2
    assert made.to_dial(100.0) == ([], 101.0)


def test_half_of_the_links_are_dialled_and_the_rest_is_left_for_others():
    made = contacts("a b c d e f", neighbours=4)
    dialled = made.to_dial(0.0)[0]
    assert len(dialled) == 2
    for neighbour in dialled:
        made.move(neighbour, Move.DIAL, 0.0)
    assert made.to_dial(0.0)[0] == []


def test_a_peer_in_need_dials_one_more_though_all_links_stand():
    made = contacts("e f", neighbours=4, linked="a b c d")
    assert made.to_dial(0.0)[0] == []
    assert len(made.to_dial(0.0, one_more=True)[0]) == 1


def test_a_peer_in_need_tries_all_neighbours_in_turn():
    made = contacts("e f g", neighbours=2, linked="a b")
    tried = []
    for now in (10.0, 20.0, 30.0):
        ((neighbour,), _) = made.to_dial(now, one_more=True)
        tried.append(neighbour.peer)
        made.failed(neighbour, "reset", now)
    assert sorted(tried) == ["e", "f", "g"]


def test_the_pause_after_a_failure_grows_to_a_limit_however_often_it_fails():
    made = contacts("ana")
    ana, pauses = made.known["ana"], []
    for _ in range(3000):
        made.failed(ana, "reset", 0.0)
        pauses.append(ana.retry_at)
    assert pauses[:8] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_RETRY_S, LONGEST_RETRY_S]
    assert pauses[-1] == LONGEST_RETRY_S


@pytest.mark.parametrize(("blocks_in", "blocks_out", "pause_s"), [(1, 0, 1.0), (0, 1, 1.0), (0, 0, LONGEST_RETRY_S)])
def test_a_block_by_a_link_ends_the_growing_of_the_pauses_and_a_link_alone_does_not(
    blocks_in: int, blocks_out: int, pause_s: float
):
    made = contacts("ana")
    ana = made.known["ana"]
    for _ in range(6):
        made.failed(ana, "reset", 0.0)
    made.move(ana, Move.LINK, 0.0)
    made.move(ana, Move.ESTOQUE, 0.0)
    ana.blocks_in, ana.blocks_out = blocks_in, blocks_out
    made.move(ana, Move.LOSE, 100.0)
    made.failed(ana, "reset", 100.0)
    assert ana.retry_at == 100.0 + pause_s
    made.failed(ana, "reset", 200.0)
    assert ana.retry_at == 200.0 + min(2 * pause_s, LONGEST_RETRY_S)


def test_a_neighbour_that_failed_is_not_dialled_before_its_pause_is_over():
    made = contacts("ana bia")
    made.failed(made.known["ana"], "reset", 0.0)
    ready, again_at = made.to_dial(0.5)
    assert (names(ready), again_at) == ({"bia"}, 1.0)
    ready, again_at = made.to_dial(1.0)
    assert (names(ready), again_at) == ({"ana", "bia"}, None)


def test_a_peer_with_half_of_its_links_does_not_look_again():
    made = contacts("e f", neighbours=4, linked="a b")
    made.failed(made.known["e"], "reset", 0.0)
    assert made.to_dial(0.5) == ([], None)


def test_memory_is_bounded_and_never_loses_a_linked_or_banned_neighbour():
    made = contacts(neighbours=4, linked="ana bia")
    made.move(made.known["bia"], Move.BAN, 0.0)
    for index in range(1000):
        made.learn([address(f"p{index}")])
    assert len(made.known) <= REMEMBERED * 4
    assert {"ana", "bia", "p999"} <= made.known.keys()


def test_a_neighbour_that_left_is_forgotten_but_not_its_wrong_blocks():
    made = contacts("ana bia caio")
    made.known["bia"].strikes = 2
    made.move(made.known["caio"], Move.LINK, 0.0)
    made.move(made.known["caio"], Move.BAN, 0.0)
    for name in ("ana", "bia", "caio"):
        made.forget(made.known[name])
    assert list(made.known) == ["bia", "caio"]
    assert made.known["caio"].standing is Standing.BANNED


def crowd(*inventories: int) -> tuple[Contacts, Neighbour]:
    """A peer with one link too many; the newest, that of `new`, has just come."""
    made = contacts(neighbours=len(inventories), linked=" ".join(f"p{index}" for index in range(len(inventories))))
    for index, theirs in enumerate(inventories):
        made.known[f"p{index}"].theirs = theirs
    made.learn([address("new")])
    made.move(made.known["new"], Move.LINK, 0.0)
    assert made.crowded
    return made, made.known["new"]


def test_a_neighbour_with_nothing_left_to_exchange_makes_room():
    made, newest = crowd(0b0001, ALL, 0b0011)
    assert made.to_drop(newest, ALL, Need.NONE).peer == "p1"


def test_the_newest_finds_no_room_where_all_have_something_to_exchange():
    made, newest = crowd(0b0001, 0b0111, 0b0011)
    assert made.to_drop(newest, ALL, Need.NONE) is newest


def test_for_a_link_in_need_the_neighbour_that_matters_least_makes_room():
    made, newest = crowd(0b0001, 0b0111, 0b0011)
    made.known["p0"].slot = Slot.FIXED
    made.known["p1"].asked = {3: 0.0}
    assert made.to_drop(newest, ALL, Need.ALONE).peer == "p2"
    made.known["p2"].blocks_in = 9
    assert made.to_drop(newest, ALL, Need.ALONE).peer == "p2"


def test_a_neighbour_that_may_have_something_for_us_matters_more_than_one_that_has_nothing():
    made, newest = crowd(0b0100, 0b0001)
    made.known["p1"].blocks_in = 9
    assert made.to_drop(newest, 0b0011, Need.ALONE).peer == "p1"


def test_a_neighbour_to_which_a_block_is_under_way_makes_no_room():
    made = contacts("a b c", neighbours=2, linked="a b c")
    made.known["a"].sending = made.known["b"].sending = 0
    assert made.to_drop(made.known["c"], 0b1, Need.ALONE).peer == "c"
    made.known["b"].sending = None
    assert made.to_drop(made.known["c"], 0b1, Need.ALONE).peer == "b"


def test_a_neighbour_that_was_asked_makes_no_room_unless_we_are_hungry():
    made = contacts("a b c", neighbours=2, linked="a b c")
    made.known["a"].asked = made.known["b"].asked = {0: 0.0}
    assert made.to_drop(made.known["c"], 0b1, Need.ALONE).peer == "c"
    assert made.to_drop(made.known["c"], 0b1, Need.HUNGRY).peer in {"a", "b"}


def test_two_that_hold_nothing_yet_have_everything_left_to_exchange():
    made, newest = crowd(0, 0, 0)
    assert made.to_drop(newest, 0, Need.NONE) is newest


@pytest.mark.parametrize("neighbours", [1, 2, 3])
def test_even_with_few_links_somebody_is_dialled(neighbours: int):
    assert contacts("ana bia", neighbours=neighbours).to_dial(0.0)[0]

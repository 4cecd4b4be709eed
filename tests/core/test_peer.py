"""One peer and what it is told: sentence by sentence, event by event."""

from __future__ import annotations

import logging
import pickle
from itertools import pairwise

import pytest
from table import Blocks, Table

from minibit import inventory, strategies
from minibit.behaviour import FreeRider, Honest
from minibit.choker import Choker, NeighbourRow, Serving
from minibit.contacts import LONGEST_DIAL_S
from minibit.errors import LocalError
from minibit.events import (
    Arrived,
    Call,
    Dial,
    Effect,
    Event,
    Finish,
    HangUp,
    Joining,
    Leaving,
    Left,
    Linked,
    Lost,
    Note,
    Progressed,
    Received,
    Send,
    SendBlock,
    Sent,
    Starting,
    Unlinked,
)
from minibit.exchange import MOST_STRIKES, MOST_UNINVITED
from minibit.messages import (
    Bloco,
    Bloqueio,
    Desbloqueio,
    Desligamento,
    Estoque,
    ListaPeers,
    Message,
    NovoPeer,
    Pedido,
    PeerAddress,
    Registro,
)
from minibit.neighbour import Slot, Standing
from minibit.peer import FAREWELL_S, Peer
from minibit.picker import Picker
from minibit.records import BlockRecord, LinkRecord, PeerRecord, SampleRecord
from minibit.rules import Rules


def address(name: str) -> PeerAddress:
    return PeerAddress(name, "host", 1)


class Alone:
    """A peer with neighbours that say what they are told to; all effects are kept."""

    def __init__(self, blocks: int = 4, held: int = 0, *, rules: Rules | None = None, **options: object) -> None:
        self.peer = Peer("ana", Blocks(blocks), rules or Rules(), 1, held=held, **options)  # type: ignore[arg-type]
        self.now = 0.0
        self.effects: list[Effect] = []
        self.do(Joining(address("ana")))
        self.do(Starting())

    def do(self, *happenings: Event) -> list[Effect]:
        """The effects of these events."""
        before = len(self.effects)
        for event in happenings:
            self.effects += self.peer.handle(event, self.now)
            self.peer.check()
        return self.effects[before:]

    def hear(self, sender: str, *said: Message) -> list[Effect]:
        return self.do(*[Received(sender, message) for message in said])

    def wait(self, seconds: float) -> list[Effect]:
        """Time goes by, and the peer is woken when it wants to be."""
        before, until_s = len(self.effects), self.now + seconds
        while (wake := self.peer.next_wake()) is not None and wake <= until_s:
            self.now = max(self.now, wake)
            self.effects += self.peer.wake(self.now)
            self.peer.check()
        self.now = until_s
        return self.effects[before:]

    def link(self, name: str, theirs: int | None = None, *, serves: bool = False, alone: bool = False) -> list[Effect]:
        effects = self.do(Linked(address(name), False, alone))
        if theirs is not None:
            effects += self.hear(name, Estoque(whole=inventory.to_hex(theirs)))
        if serves:
            effects += self.hear(name, Desbloqueio())
        return effects

    def __getitem__(self, name: str):  # type: ignore[no-untyped-def]
        return self.peer.contacts.known[name]


def said(effects: list[Effect], peer: str) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send) and effect.peer == peer]


def asked(effects: list[Effect], peer: str) -> list[int]:
    return [message.block for message in said(effects, peer) if isinstance(message, Pedido)]


def sent(effects: list[Effect], peer: str) -> list[int]:
    return [effect.block for effect in effects if isinstance(effect, SendBlock) and effect.peer == peer]


def dials(effects: list[Effect]) -> list[str]:
    return [effect.address.peer for effect in effects if isinstance(effect, Dial)]


def hung_up(effects: list[Effect]) -> dict[str, str | None]:
    return {e.peer: e.farewell and e.farewell.why for e in effects if isinstance(e, HangUp)}


def verdicts(effects: list[Effect]) -> list[str]:
    records = [effect.record for effect in effects if isinstance(effect, Note)]
    return [record.verdict for record in records if isinstance(record, BlockRecord)]


def notes(effects: list[Effect]) -> list[str]:
    records = [effect.record for effect in effects if isinstance(effect, Note)]
    return [record.event for record in records if isinstance(record, PeerRecord)]


# the link, and what comes over it


@pytest.mark.parametrize("whole", ["1f", "10", "", "-1", "zz", "f" * 5000])
def test_an_inventory_that_is_none_of_this_content_drops_the_neighbour(whole: str):
    ana = Alone(4)
    ana.link("bia", 0b1)
    assert "bia" in hung_up(ana.hear("bia", Estoque(whole=whole)))
    assert not ana["bia"].up
    assert ana.peer.exchange.availability.nobody == ana.peer.exchange.all


def test_news_of_a_block_out_of_range_drops_the_neighbour():
    ana = Alone(4)
    ana.link("bia", 0b1)
    assert hung_up(ana.hear("bia", Estoque(new=(1, 4)))) == {"bia": "block 4 of 4 in an ESTOQUE"}


def test_contradictory_inventories_in_a_row_leave_the_counts_right():
    ana = Alone(4)
    ana.link("bia", 0b0011)
    ana.link("caio", 0b0110)
    for whole, new in (("f", (1, 1, 2)), ("0", ()), ("5", (3,)), (None, (0,)), ("2", ()), ("2", ())):
        ana.hear("bia", Estoque(whole=whole, new=new))
    assert [ana.peer.exchange.availability.count(block) for block in range(4)] == [0, 2, 1, 0]


def test_an_inventory_that_shrinks_gives_back_what_was_asked():
    ana = Alone(4)
    ana.link("bia", 0b1111, serves=True)
    ana.link("caio", 0b1111)
    assert ana.peer.pipeline.in_flight
    ana.hear("bia", Estoque(whole="0"))
    assert ana.peer.pipeline.in_flight == 0
    ana.hear("caio", Desbloqueio())
    assert len(ana["caio"].asked) == 2


def test_a_pedido_out_of_range_drops_the_neighbour():
    ana = Alone(4, 0b1)
    ana.link("bia", 0)
    assert hung_up(ana.hear("bia", Pedido(4))) == {"bia": "a PEDIDO for block 4 of 4"}


def test_a_pedido_for_a_block_that_we_lack_is_answered_with_the_true_inventory_and_the_neighbour_is_kept():
    ana = Alone(4, 0b1)
    ana.link("bia", 0)
    assert ana["bia"].slot is not Slot.NONE
    assert said(ana.hear("bia", Pedido(3)), "bia") == [Estoque(whole="1")]
    assert ana["bia"].up


def test_pedidos_for_what_we_lack_drop_the_neighbour_if_they_go_on():
    ana = Alone(4, 0b1)
    ana.link("bia", 0)
    ana.hear("bia", *[Pedido(3)] * MOST_UNINVITED)
    assert ana["bia"].up
    assert "bia" in hung_up(ana.hear("bia", Pedido(3)))


def test_a_pedido_twice_is_served_once():
    ana = Alone(4, 0b11)
    ana.link("bia", 0)
    effects = ana.hear("bia", Pedido(0), Pedido(0), Pedido(1), Pedido(1), Pedido(0))
    effects += ana.do(Sent("bia", 0), Sent("bia", 1))
    assert sent(effects, "bia") == [0, 1]


def test_blocks_that_its_own_disk_lost_are_neither_served_nor_asked_for_and_the_others_are_served_on():
    ana = Alone(5, 0b11111)
    ana.link("bia", 0)
    ana.link("caio", 0b00011, serves=True)
    assert sent(ana.hear("bia", Pedido(0), Pedido(1), Pedido(2)), "bia") == [0]
    effects = ana.do(Lost(1), Lost(1))
    assert said(effects, "bia") == said(effects, "caio") == [Estoque(whole=inventory.to_hex(0b11101))]
    effects = ana.do(Lost(0))  # the one that is under way
    assert said(effects, "bia") == [Estoque(whole=inventory.to_hex(0b11100))]
    assert sent(effects, "bia") == [2]
    assert said(ana.hear("bia", Pedido(1)), "bia") == [Estoque(whole=inventory.to_hex(0b11100))]
    assert sent(ana.do(Sent("bia", 2)) + ana.hear("bia", Pedido(3)), "bia") == [3]
    assert ana.peer.complete
    assert asked(ana.effects + ana.wait(60), "caio") == []


def test_a_slot_goes_on_when_the_last_block_that_its_neighbour_wanted_is_lost():
    ana = Alone(2, 0b11, rules=Rules(slots=1, guests=0))
    ana.link("bia", 0b10)
    assert Desbloqueio() in said(ana.effects, "bia")
    ana.link("caio", 0b00)
    effects = ana.do(Lost(0))
    assert Bloqueio() in said(effects, "bia")
    assert Desbloqueio() in said(effects, "caio")


def test_a_pedido_while_choked_is_ignored_and_drops_the_neighbour_only_if_it_goes_on():
    ana = Alone(4, 0b1, rules=Rules(slots=0, guests=0))
    ana.link("bia", 0)
    assert ana.hear("bia", *[Pedido(0)] * MOST_UNINVITED) == []
    assert hung_up(ana.hear("bia", Pedido(0))) == {"bia": f"{MOST_UNINVITED + 1} PEDIDOs while choked"}


def test_pedidos_that_crossed_a_bloqueio_are_forgotten_with_the_next_desbloqueio():
    ana = Alone(2, 0b1, rules=Rules(slots=1, guests=0))
    ana.link("bia", 0)
    ana.link("caio", 0)
    for _ in range(9):  # ana seeds nothing: the draw decides, the slot stays; so bia's interest ends and begins
        ana.hear("bia", Estoque(whole="1"))
        ana.hear("bia", *[Pedido(0)] * 100, Estoque(whole="0"))
        ana.hear("caio", Estoque(whole="1"))
        ana.hear("caio", Estoque(whole="0"))
    assert ana["bia"].up


def test_a_block_that_nobody_asked_for_is_not_kept_and_drops_the_neighbour_only_if_it_goes_on():
    ana = Alone(4)
    ana.link("bia", 0b1111)
    assert not ana.peer.expects("bia", 2)
    assert verdicts(ana.do(Arrived("bia", 2, True))) == ["double"]
    assert ana.peer.held == 0
    ana.do(*[Arrived("bia", 2, True)] * (MOST_UNINVITED - 1))
    assert ana["bia"].up
    assert hung_up(ana.do(Arrived("bia", 2, True))) == {"bia": f"{MOST_UNINVITED + 1} blocks that nobody asked for"}


def test_a_block_that_comes_late_is_used_if_it_is_still_missing():
    ana = Alone(4, rules=Rules(request_timeout_s=5.0, round_s=100.0))
    ana.link("bia", 0b1111, serves=True)
    late, later = list(ana["bia"].asked)
    ana.wait(6.0)
    assert not ana["bia"].asked
    assert ana.peer.expects("bia", late)
    effects = ana.do(Arrived("bia", late, True))
    assert verdicts(effects) == ["useful"]
    assert asked(effects, "bia")  # it lives: it is asked again
    assert ana.peer.held == 1 << late
    assert later in ana["bia"].asked or ana.peer.expects("bia", later)


def test_a_block_that_comes_late_is_a_sign_of_life():
    ana = Alone(6, rules=Rules(request_timeout_s=4.0))
    ana.link("bia", 0b111111, serves=True)
    late, *_ = ana["bia"].asked
    ana.wait(4.0)  # given up, and nothing is asked of it for a while
    ana.wait(4.0)
    assert ana["bia"].asked
    assert late not in ana["bia"].asked
    ana.wait(2.0)
    ana.do(Arrived("bia", late, True))
    before = set(ana["bia"].asked)
    ana.wait(3.0)
    assert before <= ana["bia"].asked.keys()
    ana.wait(2.0)
    assert not ana["bia"].asked


def test_a_late_block_that_was_asked_elsewhere_calls_that_off_and_the_other_is_asked_for_the_next():
    ana = Alone(4, rules=Rules(pipeline=1))
    ana.link("bia", 0b0001, serves=True)
    ana.link("caio", 0b1111)
    ana.hear("bia", Bloqueio())
    ana.hear("caio", Desbloqueio(), Estoque(whole="1"))
    assert list(ana["caio"].asked) == [0]
    ana["caio"].told = 0
    ana.hear("caio", Estoque(whole="f"))
    effects = ana.do(Arrived("bia", 0, True))
    assert Estoque(new=(0,)) in said(effects, "caio")
    assert len(asked(effects, "caio")) == 1


def test_a_bloco_without_its_bytes_drops_the_neighbour():
    ana = Alone(4)
    ana.link("bia", 0b1111, serves=True)
    assert "bia" in hung_up(ana.hear("bia", Bloco(0)))


def test_ones_own_id_is_refused():
    ana = Alone(4)
    assert "ana" in hung_up(ana.do(Linked(address("ana"), True)))
    assert not ana.peer.contacts.up


def test_a_second_link_to_the_same_neighbour_changes_nothing():
    ana = Alone(4, 0b1)
    ana.link("bia", 0b10)
    assert ana.do(Linked(address("bia"), True)) == []
    assert ana["bia"].theirs == 0b10


def test_a_neighbour_that_is_not_linked_is_not_heard():
    ana = Alone(4, 0b1)
    ana.do(Received("ana", NovoPeer((address("bia"),))))
    effects = ana.hear("bia", Estoque(whole="f"), Pedido(0), Desbloqueio(), Desligamento(peer="bia"))
    effects += ana.do(Arrived("bia", 1, True), Sent("bia", 0), Progressed("bia"), Unlinked("nobody", "why"))
    assert not [effect for effect in effects if isinstance(effect, SendBlock | HangUp | Send)]
    assert ana.peer.held == 1


def test_the_whole_inventory_is_the_first_word_on_a_link():
    ana = Alone(4, 0b101)
    assert said(ana.link("bia"), "bia") == [Estoque(whole="5")]


def test_nobody_is_served_before_it_is_known_what_it_holds():
    ana = Alone(4, 0b1111, rules=Rules(neighbours=2))
    ana.link("bia", 0b1111)
    ana.link("caio")
    ana.link("davi", alone=True)  # bia makes room, and slots are filled
    ana.wait(11.0)
    assert ana["caio"].slot is Slot.NONE
    ana.hear("caio", Estoque(whole="0"))
    assert ana["caio"].slot is not Slot.NONE


# integrity


def test_a_wrong_block_is_not_held_not_announced_and_asked_again():
    ana = Alone(1)
    ana.link("bia", 0b1, serves=True)
    effects = ana.do(Arrived("bia", 0, False))
    assert verdicts(effects) == ["rejected"]
    assert asked(effects, "bia") == [0]  # nobody else holds it
    assert ana.peer.held == 0
    assert [message for message in said(effects, "bia") if isinstance(message, Estoque)] == [Estoque(whole="0")]


def test_a_wrong_block_is_asked_elsewhere_where_there_is_an_elsewhere():
    ana = Alone(1)
    ana.link("bia", 0b1, serves=True)
    ana.link("caio", 0b1, serves=True)
    assert asked(ana.do(Arrived("bia", 0, False)), "caio") == [0]


def test_a_wrong_block_that_was_not_sealed_ends_the_link_and_is_no_strike():
    ana = Alone(9)
    for _ in range(MOST_STRIKES + 1):
        ana.link("bia", 0b111, serves=True)
        block = next(iter(ana["bia"].asked))
        effects = ana.do(Arrived("bia", block, False, sealed=False))
        assert verdicts(effects) == ["rejected"]
        assert hung_up(effects) == {"bia": f"block {block} came wrong"}
        assert (ana["bia"].strikes, ana["bia"].standing) == (0, Standing.KNOWN)
        assert not ana.peer.pipeline.in_flight


def test_three_wrong_blocks_ban_however_many_links_they_came_by():
    ana = Alone(9)
    for strike in range(MOST_STRIKES):
        ana.link("bia", 0b111, serves=True)
        effects = ana.do(Arrived("bia", next(iter(ana["bia"].asked)), False))
        if strike + 1 < MOST_STRIKES:
            ana.hear("bia", Desligamento(peer="bia", why="to come back as innocent"))
    assert hung_up(effects) == {"bia": "banned"}
    assert "banned" in notes(effects)
    assert ana["bia"].standing is Standing.BANNED
    assert hung_up(ana.do(Linked(address("bia"), False))) == {"bia": "banned"}
    ana.do(Received("tracker", NovoPeer((PeerAddress("bia", "elsewhere", 2),))))
    assert ana["bia"].standing is Standing.BANNED


def test_a_neighbour_that_lost_a_block_is_told_that_we_hold_it():
    ana = Alone(4)
    ana.link("bia", 0b0011)
    ana.link("caio", 0b0001, serves=True)
    ana.do(Arrived("caio", 0, True))
    assert not ana["bia"].told  # that we hold the block is no news to who holds it
    assert said(ana.hear("bia", Estoque(whole="2")), "bia")[0] == Estoque(whole="1")


# time and death


def test_all_blocks_of_a_neighbour_that_died_come_back_and_are_asked_of_another():
    ana = Alone(4)
    ana.link("bia", 0b1111, serves=True)
    ana.link("caio", 0b1111)
    blocks = set(ana["bia"].asked)
    assert blocks
    ana.do(Unlinked("bia", "reset"))
    assert ana.peer.pipeline.in_flight == 0
    assert ana.peer.missing == 0b1111
    ana.hear("caio", Desbloqueio())
    assert len(ana["caio"].asked) == 2


def test_a_peer_that_is_choked_asks_at_once_elsewhere():
    ana = Alone(2)
    ana.link("bia", 0b11, serves=True)
    ana.link("caio", 0b11, serves=True)
    assert set(ana["bia"].asked) == {0, 1}
    effects = ana.hear("bia", Bloqueio())
    assert not ana["bia"].asked
    assert set(asked(effects, "caio")) == {0, 1}
    assert ana.peer.expects("bia", 0)  # what was under way still comes


def test_a_request_that_times_out_is_asked_elsewhere_and_not_at_once_of_the_same():
    ana = Alone(2, rules=Rules(request_timeout_s=5.0, round_s=100.0))
    ana.link("bia", 0b11, serves=True)
    ana.wait(4.9)
    assert len(ana["bia"].asked) == 2
    ana.link("caio", 0b11, serves=True)
    effects = ana.wait(0.2)
    assert asked(effects, "bia") == []
    assert not ana["bia"].asked
    assert set(ana["caio"].asked) == {0, 1}


def test_a_neighbour_whose_bytes_come_slowly_is_waited_for():
    ana = Alone(2, rules=Rules(request_timeout_s=5.0))
    ana.link("bia", 0b11, serves=True)
    for _ in range(10):
        ana.wait(4.0)
        ana.do(Progressed("bia"))
    assert len(ana["bia"].asked) == 2


def test_after_a_snub_a_neighbour_gets_another_chance():
    ana = Alone(2, rules=Rules(request_timeout_s=5.0))
    ana.link("bia", 0b11, serves=True)
    ana.wait(9.9)
    assert not ana["bia"].asked
    ana.wait(0.2)
    assert ana["bia"].asked


def test_who_chokes_us_before_anything_came_and_has_nothing_else_is_asked_again_at_once():
    ana = Alone(2)
    ana.link("bia", 0b11, serves=True)
    assert sorted(asked(ana.effects, "bia")) == [0, 1]
    ana.hear("bia", Bloqueio())
    assert sorted(asked(ana.hear("bia", Desbloqueio()), "bia")) == [0, 1]


def test_of_a_neighbour_that_did_not_answer_other_blocks_are_asked_before_the_same_again():
    ana = Alone(6, rules=Rules(picker="sequential", request_timeout_s=5.0, round_s=2.0))
    ana.link("bia", 0b111111, serves=True)
    seen = []
    for _ in range(4):
        seen.append(set(ana["bia"].asked))
        ana.wait(10.0)  # the time-out, and as long again
    assert seen == [{0, 1}, {2, 3}, {4, 5}, {0, 1}]


def test_nor_does_its_next_link_begin_with_the_same_again():
    ana = Alone(6, rules=Rules(picker="sequential", request_timeout_s=5.0))
    seen = []
    for _ in range(3):
        ana.link("bia", 0b111111, serves=True)
        seen.append(set(ana["bia"].asked))
        ana.wait(6.0)
        ana.do(Unlinked("bia", "reset"))
    assert seen == [{0, 1}, {2, 3}, {4, 5}]


@pytest.mark.parametrize("behaviour", [Honest(), FreeRider()])
def test_a_complete_peer_dials_others_to_serve_them_unless_it_serves_nobody(behaviour: Honest):
    ana = Alone(1, 0b1, rules=Rules(neighbours=2), behaviour=behaviour)
    (first,) = ana.hear("tracker", ListaPeers(tuple(map(address, ("bia", "caio", "davi")))))[-1:]
    assert isinstance(first, Dial)
    ana.do(Linked(first.address, True))
    ana.hear(first.address.peer, Estoque(whole="1"))
    ana.wait(60.0)
    assert any(isinstance(effect, Dial) and effect.alone for effect in ana.effects) is behaviour.serves


def test_an_address_that_cannot_be_reached_is_tried_again_with_growing_pauses():
    ana = Alone(2)
    ana.hear("tracker", ListaPeers((address("bia"),)))
    times = [0.0]
    ana.do(Unlinked("bia", "unreachable"))
    while len(times) < 8:
        if any(isinstance(effect, Dial) for effect in ana.wait(0.5)):
            times.append(ana.now)
            ana.do(Unlinked("bia", "unreachable"))
    assert [later - sooner for sooner, later in pairwise(times)] == pytest.approx([1, 2, 4, 8, 16, 32, 60], abs=0.6)


def test_a_call_to_the_tracker_that_is_lost_is_repeated_with_growing_pauses_and_then_every_tracker_s():
    ana = Alone(2)
    times = []
    while len(times) < 7:
        called = any(isinstance(effect, Call) for effect in ana.wait(0.5))
        times += [ana.now] * called
    assert [round(at_s) for at_s in times] == [1, 3, 7, 15, 31, 63, 123]
    ana.hear("tracker", ListaPeers(()))
    assert not [effect for effect in ana.wait(29.0) if isinstance(effect, Call)]
    assert [effect for effect in ana.wait(2.0) if isinstance(effect, Call)]


def test_messages_of_the_tracker_before_joining_do_no_harm():
    peer = Peer("ana", Blocks(2), Rules(), 1)
    peer.handle(Received("tracker", ListaPeers((address("bia"),))), 0.0)
    for now in (31.0, 62.0, 93.0):
        peer.wake(now)
        peer.check()
    effects = peer.handle(Joining(address("ana")), 100.0)
    assert any(isinstance(effect, Call) for effect in effects)


def test_nothing_is_asked_before_the_start():
    peer = Peer("ana", Blocks(2), Rules(), 1)
    peer.handle(Joining(address("ana")), 0.0)
    peer.handle(Linked(address("bia"), True), 0.0)
    effects = peer.handle(Received("bia", Estoque(whole="3")), 0.0)
    effects += peer.handle(Received("bia", Desbloqueio()), 0.0)
    assert asked(effects, "bia") == []
    assert len(asked(peer.handle(Starting(), 1.0), "bia")) == 2


# leaving


def test_a_peer_that_leaves_sends_what_it_is_sending_and_begins_nothing():
    ana = Alone(4, 0b11)
    ana.link("bia", 0b1000, serves=True)
    ana.hear("bia", Pedido(0), Pedido(1))
    effects = ana.do(Leaving("enough"))
    assert Bloqueio() in said(effects, "bia")
    assert hung_up(effects) == {}
    effects = ana.do(Sent("bia", 0))
    assert sent(effects, "bia") == []
    assert hung_up(effects) == {"bia": "enough"}
    assert Call(Desligamento(peer="ana", why="enough")) in effects
    assert effects[-1] == Left("enough")
    assert ana.peer.next_wake() is None
    assert ana.do(Leaving("again"), Arrived("bia", 3, True), Linked(address("caio"), True)) == []


def test_a_peer_that_leaves_does_not_wait_for_ever():
    ana = Alone(4, 0b1)
    ana.link("bia", 0)
    ana.hear("bia", Pedido(0))
    ana.do(Leaving("enough"))
    assert Left("enough") not in ana.wait(FAREWELL_S - 0.1)
    assert Left("enough") in ana.wait(0.2)


def test_a_peer_that_leaves_refuses_newcomers_and_asks_for_nothing():
    ana = Alone(4, 0b1)
    ana.link("bia", 0b1110)
    ana.hear("bia", Pedido(0))
    ana.do(Leaving("enough"))
    assert hung_up(ana.do(Linked(address("caio"), False))) == {"caio": "left"}
    assert asked(ana.hear("bia", Desbloqueio()), "bia") == []


def test_with_the_rule_of_the_original_a_peer_leaves_once_it_has_all_and_not_before():
    ana = Alone(1, rules=Rules(leave="complete"))
    ana.link("bia", 0b1, serves=True)
    assert ana.peer.leaving is None
    effects = ana.do(Arrived("bia", 0, True))
    assert effects.index(Finish()) < effects.index(Left("complete"))
    assert [effect for effect in effects if isinstance(effect, Finish)] == [Finish()]


def test_a_neighbour_that_leaves_is_forgotten_and_one_that_hangs_up_is_not():
    ana = Alone(4)
    for name, farewell in (("bia", Desligamento(peer="bia")), ("caio", Desligamento(why="full"))):
        ana.link(name, 0b1)
        ana.hear(name, farewell)
    assert list(ana.peer.contacts.known) == ["caio"]


# swarm


def test_a_peer_that_completes_tells_all_neighbours_at_once_and_finishes():
    ana = Alone(1)
    ana.link("bia", 0b1, serves=True)
    ana.link("caio", 0)
    effects = ana.do(Arrived("bia", 0, True))
    assert Finish() in effects
    assert "completed" in notes(effects)
    assert said(effects, "caio")[0] == Estoque(whole="1")


def test_a_registro_or_a_list_by_hand_makes_a_peer_dial():
    ana = Alone(1)
    for message in (
        Registro(peer="bia", host="host", port=1),
        NovoPeer((address("caio"),)),
        ListaPeers((address("davi"),)),
    ):
        effects = ana.hear("by hand", message)
        assert [type(effect) for effect in effects if not isinstance(effect, Note)] == [Dial]


@pytest.mark.parametrize(
    "news",
    [Registro(peer="caio", host="host", port=1), NovoPeer((address("caio"),)), ListaPeers((address("caio"),))],
)
def test_only_the_tracker_is_believed_about_where_peers_are(news: Message):
    ana = Alone(1)
    for strike in range(MOST_STRIKES):
        ana.link("bia", 0b1)
        effects = ana.hear("bia", news)
        assert dials(effects) == []
        assert "caio" not in ana.peer.contacts.known
        assert hung_up(effects) == {"bia": f"a {news.verb}, which a neighbour must not say"}
        assert ana["bia"].standing is (Standing.BANNED if strike + 1 == MOST_STRIKES else Standing.KNOWN)


def test_a_dial_that_is_never_answered_ends_and_makes_room_for_others():
    ana = Alone(1, rules=Rules(neighbours=2))
    (dialled,) = dials(ana.hear("tracker", ListaPeers((address("bia"), address("caio")))))
    assert dials(ana.wait(LONGEST_DIAL_S - 1)) == []
    assert dials(ana.wait(1)) == list({"bia", "caio"} - {dialled})
    assert (ana[dialled].standing, ana[dialled].trouble) == (Standing.KNOWN, "no answer within 20 s")
    assert ana.do(Unlinked(dialled, "unreachable, after all")) == []
    ana.do(Linked(address(dialled), True))
    assert ana[dialled].standing is Standing.LINKED


def test_the_neighbours_it_heard_of_and_its_links_are_noted():
    ana = Alone(1)
    effects = [
        *ana.hear("tracker", ListaPeers((address("bia"), address("caio")))),
        *ana.hear("tracker", NovoPeer((address("davi"),))),
        *ana.do(Linked(address("bia"), True)),
        *ana.do(Linked(address("davi"), False)),
        *ana.do(Unlinked("bia", "reset")),
        *ana.do(Unlinked("caio", "unreachable")),
        *ana.do(Leaving("enough")),
    ]
    records = [effect.record for effect in effects if isinstance(effect, Note)]
    assert [(one.neighbour, one.event) for one in records if isinstance(one, LinkRecord)] == [
        ("bia", "listed"),
        ("caio", "listed"),
        ("davi", "announced"),
        ("bia", "linked"),
        ("davi", "linked"),
        ("bia", "lost"),
        ("davi", "lost"),
    ]


def test_its_links_are_bounded_and_a_newcomer_too_many_is_refused():
    ana = Alone(4, 0b1, rules=Rules(neighbours=3))
    for name in ("bia", "caio", "davi"):
        ana.link(name, 0b10)
    assert hung_up(ana.link("edu")) == {"edu": "full"}
    assert sorted(ana.peer.contacts.up) == ["bia", "caio", "davi"]


def test_a_newcomer_that_is_alone_is_let_in():
    ana = Alone(4, 0b1, rules=Rules(neighbours=3))
    for name in ("bia", "caio", "davi"):
        ana.link(name, 0b10)
    (loser,) = hung_up(ana.link("edu", alone=True))
    assert sorted(ana.peer.contacts.up) == sorted({"bia", "caio", "davi", "edu"} - {loser})


def test_a_peer_that_no_neighbour_can_feed_for_a_round_tells_the_tracker_that_it_is_alone():
    ana = Alone(4, 0b1, rules=Rules(tracker_s=1000.0))
    ana.hear("tracker", ListaPeers(()))
    ana.link("bia", 0b1)
    assert not [effect for effect in ana.wait(15.0) if isinstance(effect, Call)]
    call, *_ = [effect for effect in ana.wait(8.0) if isinstance(effect, Call)]
    assert isinstance(call.message, Registro)
    assert call.message.alone


@pytest.mark.parametrize("behaviour", ["free-rider", "liar"])
@pytest.mark.parametrize("tracker", [True, False])
def test_a_peer_whose_neighbours_hold_what_it_lacks_and_never_give_it_looks_for_others(behaviour: str, tracker: bool):
    table = Table(4, Rules(round_s=1.0, request_timeout_s=2.0, neighbours=2))
    for name in ("bia", "caio"):
        table.seat(name, table.all if behaviour == "free-rider" else (), behaviour=behaviour)
    table.seat("ana")
    for name in ("bia", "caio"):
        table.link("ana", name)
    table.run(1.0)
    table.seat_seed()
    table.run(3.0)
    if not tracker:
        table.kill_tracker()
    assert table.run_until(lambda: table.peers["ana"].complete, 60.0)


def test_a_hungry_peer_lets_in_any_neighbour_that_dials():
    ana = Alone(4, rules=Rules(neighbours=2, guest_rounds=1))
    for name in ("bia", "caio"):
        ana.link(name, 0b1111)
    assert hung_up(ana.link("davi")) == {"davi": "full"}
    ana.wait(60.0)
    assert "davi" not in hung_up(ana.link("davi"))
    assert ana["davi"].up


def test_a_peer_that_is_fed_now_and_then_is_not_alone():
    ana = Alone(6, rules=Rules(tracker_s=1000.0, guest_rounds=1))
    ana.hear("tracker", ListaPeers(()))
    ana.link("bia", 0b111111, serves=True)
    for _ in range(5):
        ana.do(Arrived("bia", min(ana["bia"].asked), True))
        assert not [effect for effect in ana.wait(25.0) if isinstance(effect, Call)]
    assert [effect for effect in ana.wait(60.0) if isinstance(effect, Call)]


def test_limits_that_are_reached_while_many_come_at_once_hold():
    ana = Alone(4, 0b1111, rules=Rules(neighbours=30, slots=2, guests=1))
    for index in range(30):
        ana.link(f"p{index}", 0)
    for _ in range(20):
        ana.wait(10.0)
        assert sum(neighbour.slot is not Slot.NONE for neighbour in ana.peer.contacts.up.values()) == 3


# what a notebook and a log show


def test_the_snapshot_is_a_frozen_value_that_travels_and_is_shown_a_field_a_line():
    ana = Alone(4, 0b1)
    ana.link("bia", 0b1110, serves=True)
    shown = ana.peer.snapshot(0.0)
    assert (shown.peer, shown.held, shown.inventory, shown.complete) == ("ana", 1, "1", False)
    assert shown.in_flight == shown.neighbours["bia"].asked
    assert len(shown.in_flight) == 2
    with pytest.raises(AttributeError):
        shown.held = 2
    assert pickle.loads(pickle.dumps(shown)) == shown
    pretty = pytest.importorskip("IPython.lib.pretty", reason="a notebook needs the extra `lab`").pretty(shown)
    assert pretty.startswith(
        "PeerSnapshot(\n    at_s=0.0,\n    peer='ana',\n    behaviour='Honest',\n    blocks=4,\n    held=1,"
    )
    assert "\n    neighbours={'bia': NeighbourSnapshot(\n" in pretty


def test_a_sample_says_how_far_a_peer_is():
    ana = Alone(4, 0b1)
    ana.link("bia", 0b1110, serves=True)
    ana.link("caio", 0b1)
    assert ana.peer.sample(7.0, 20, 30, 40) == SampleRecord(
        7.0, "ana", held=1, in_flight=2, neighbours=2, served=1, sent_bytes=20, received_bytes=30, control_bytes=40
    )


def test_a_block_that_is_not_expected_is_double_whatever_its_bytes_are():
    ana = Alone(4)
    ana.link("bia", 0b1111)
    assert not ana.peer.expects("bia", 2)
    assert verdicts(ana.do(Arrived("bia", 2, True), Arrived("bia", 2, False))) == ["double", "double"]
    assert ana["bia"].strikes == 0


def test_rarest_first_is_logged_by_peer_in_decreasing_order_of_frequency(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, "minibit.ana"):
        ana = Alone(4, 0b1000, rules=Rules(pipeline=1))
        ana.link("bia", 0b0110)
        ana.link("caio", 0b0010)
        ana.link("davi", 0b1111, serves=True)
    (record,) = caplog.records
    assert record.name == "minibit.ana"
    assert record.getMessage() == "frequencies [(1, 3), (2, 2), (0, 1)] rarest [0] picked 0"


# strategies of somebody else


class Broken(Choker):
    """Raises, or gives more slots than it has."""

    greedy = False

    def round(self, rows, seeding):  # type: ignore[no-untyped-def]
        return self.fill(rows, seeding)

    def fill(self, rows, seeding):  # type: ignore[no-untyped-def]
        if self.greedy:
            return Serving(tuple(row.peer for row in rows), ("nobody",))
        raise ZeroDivisionError("ouch")

    def rank(self, rows: list[NeighbourRow], seeding: bool) -> list[NeighbourRow]:  # type: ignore[override]
        return rows


class Greedy(Broken):
    greedy = True


class Unmakeable(Picker):
    def __init__(self) -> None:
        raise AssertionError("never made")

    def pick(self, choices: int, availability: object) -> int:
        return 0


@pytest.mark.parametrize("choker", [Broken, Greedy])
def test_a_choker_that_errs_is_named(choker: type[Choker], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(strategies.SHIPPED, "theirs:Choker", choker)
    ana = Alone(1, 0b1, rules=Rules(choker="theirs:Choker", slots=1, guests=0))
    with pytest.raises(LocalError, match="choker theirs:Choker"):
        for index in range(3):
            ana.link(f"p{index}", 0)


def test_a_strategy_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(strategies.SHIPPED, "theirs:Picker", Unmakeable)
    with pytest.raises(LocalError, match="TypeError"):
        Peer("ana", Blocks(1), Rules(picker="theirs:Picker"))


@pytest.mark.parametrize(("kind", "name"), [("picker", "best"), ("choker", "best")])
def test_a_strategy_that_is_unknown_is_a_local_error(kind: str, name: str):
    with pytest.raises(LocalError, match=f"{kind} 'best' is unknown"):
        Peer("ana", Blocks(1), Rules(**{kind: name}))


def test_a_run_can_be_replayed():
    def told(seed: int) -> list[str]:
        table = Table(12, seed=seed)
        table.seat_seed()
        for name in ("ana", "bia", "caio"):
            table.seat(name)
        table.run_until_complete()
        return table.transcript

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_a_pedido_given_up_for_its_silence_is_called_off_when_the_block_came_from_elsewhere():
    ana = Alone(1, rules=Rules(request_timeout_s=5.0, round_s=100.0))
    ana.link("bia", 0b1, serves=True)
    ana.link("caio", 0b1, serves=True)
    ana.wait(6.0)
    assert 0 in ana["caio"].asked
    assert said(ana.do(Arrived("caio", 0, True)), "bia") == [Estoque(new=(0,))]

"""A peer that does not know all digests from the beginning: the content is hashed while it moves."""

from __future__ import annotations

import pytest
from table import Blocks, Table

from minibit import inventory
from minibit.events import Arrived, Effect, Event, Finish, Joining, Known, Linked, Received, Send, Starting
from minibit.messages import Desbloqueio, Estoque, Message, Pedido, PeerAddress
from minibit.peer import Peer
from minibit.records import PeerRecord
from minibit.rules import Rules

BLOCKS = 8
ALL = inventory.full(BLOCKS)
LOW, HIGH = 0b00001111, 0b11110000
PUSH = Rules(choker="none")


class Learner:
    """A peer beside a neighbour that serves it, and holds `theirs`."""

    def __init__(self, known: int, held: int = 0, theirs: int = ALL, rules: Rules = PUSH) -> None:
        self.peer = Peer("ana", Blocks(BLOCKS), rules, 1, held=held, known=known)
        self.now = 0.0
        self.do(Joining(PeerAddress("ana", "host", 1)), Starting(), Linked(PeerAddress("bia", "host", 1), False))
        self.effects = self.hear(Estoque(whole=inventory.to_hex(theirs)), Desbloqueio())

    def do(self, *happenings: Event) -> list[Effect]:
        effects = []
        for event in happenings:
            effects += self.peer.handle(event, self.now)
            self.peer.check()
        return effects

    def hear(self, *said: Message) -> list[Effect]:
        return self.do(*[Received("bia", message) for message in said])

    def come(self, block: int) -> list[Effect]:
        """A block comes whole, and is right if it is hashed at all."""
        return self.do(Arrived("bia", block, True))


def said(effects: list[Effect]) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def asked(effects: list[Effect]) -> set[int]:
    return {message.block for message in said(effects) if isinstance(message, Pedido)}


def test_a_peer_asks_only_for_blocks_whose_digests_it_knows_and_at_once_for_those_that_it_learns():
    ana = Learner(known=0b1)
    assert asked(ana.effects) == {0}
    assert asked(ana.come(0)) == set()
    assert not ana.peer.complete
    assert asked(ana.do(Known(0b11, ana.peer.held))) == {1}


def test_what_it_learned_already_changes_nothing():
    ana = Learner(known=LOW)
    assert ana.do(Known(0b11, 0)) == []
    assert ana.peer.exchange.known == LOW


def test_a_block_that_comes_before_its_digest_is_thrown_away_and_asked_for_again():
    ana = Learner(known=LOW)
    before = ana.peer.pipeline.in_flight.bit_count()
    assert not ana.peer.expects("bia", 7)
    for _ in range(300):  # a source may send any block that nobody has: this is no fault of its
        effects = ana.come(7)
    neighbour = ana.peer.contacts.known["bia"]
    assert (ana.peer.held, neighbour.up, neighbour.uninvited) == (0, True, 0)
    assert Estoque(whole="0") in said(effects)  # or the neighbour believed that it is held
    assert ana.peer.pipeline.in_flight.bit_count() == before
    while ana.peer.held != LOW:
        ana.come(next(iter(neighbour.asked)))
    assert asked(ana.do(Known(ALL, ana.peer.held))) <= {4, 5, 6, 7}
    while not ana.peer.complete:
        ana.come(next(iter(neighbour.asked)))
    assert ana.peer.held == ALL


def test_it_is_complete_when_it_holds_all_and_not_all_that_it_knows():
    ana = Learner(known=0b1)
    effects = ana.come(0)
    assert Finish() not in effects
    assert not ana.peer.missing
    effects = ana.do(Known(ALL, ana.peer.held))
    for block in range(1, BLOCKS):
        effects += ana.come(next(iter(ana.peer.contacts.known["bia"].asked), block))
    assert effects.count(Finish()) == 1


def test_a_source_offers_what_is_hashed_and_is_complete_at_the_end():
    seed = Learner(known=0, theirs=0)
    assert said(seed.do(Known(LOW, LOW))) == [Estoque(whole="f"), Desbloqueio()]
    assert not seed.peer.complete
    effects = seed.do(Known(ALL, ALL))
    assert (seed.peer.held, effects.count(Finish())) == (ALL, 1)
    assert Finish() not in seed.do(Known(ALL, ALL))


def test_a_source_that_is_hashed_before_it_may_start_is_complete_when_it_does():
    seed = Peer("seed", Blocks(BLOCKS), PUSH, 1, known=0)
    assert Finish() not in seed.handle(Known(ALL, ALL), 0.0)
    assert Finish() in seed.handle(Starting(), 1.0)


@pytest.mark.parametrize("late_s", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("choker", ["none", "tit-for-tat"])
def test_a_swarm_completes_while_its_source_is_hashed_though_some_learn_late(late_s: float, choker: str):
    blocks, batch, batch_s = 60, 6, 1.0
    table = Table(blocks, Rules(choker=choker, round_s=2.0), block_s=0.05)
    for name in ("seed", "ana", "bia", "caio"):
        table.seat(name, known=0)
    for end in range(batch, blocks + batch, batch):
        known = inventory.full(min(end, blocks))
        for name, delay_s in (("ana", 0.0), ("seed", 0.1), ("bia", 0.1), ("caio", late_s)):
            held = known if name == "seed" else 0
            table._at(
                table.now + delay_s, lambda name=name, held=held, known=known: table.tell(name, Known(known, held))
            )
        table.run(table.now + batch_s)
    hashed_s = table.now
    assert table.peers["ana"].held.bit_count() >= blocks - 2 * batch  # it moved while it was hashed
    assert table.run_until_complete(hashed_s + 60)
    assert table.now < hashed_s + late_s + 2
    ends = [record.peer for record in table.records if isinstance(record, PeerRecord) and record.event == "completed"]
    assert sorted(ends) == ["ana", "bia", "caio", "seed"]
    assert len(table.blocks("useful")) == 3 * blocks
    assert len(table.blocks("double")) <= 3 * batch

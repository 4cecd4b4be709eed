"""Behaviours, alone and in a swarm: the honest ones complete, whoever sits beside them."""

from __future__ import annotations

import pytest
from table import Table

from minibit import inventory
from minibit.behaviour import BEHAVIOURS
from minibit.rules import Rules

QUICK = Rules(round_s=1.0, request_timeout_s=2.0)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_only_a_liar_announces_what_it_lacks(name: str):
    assert BEHAVIOURS[name]().claims(0b101, 4) == (inventory.full(4) if name == "liar" else 0b101)


def swarm(*others: str, honest: int = 5, blocks: int = 20) -> Table:
    table = Table(blocks, QUICK)
    table.seat_seed()
    for index, behaviour in enumerate(others):
        table.seat(f"{behaviour}-{index}", behaviour=behaviour)
    for index in range(honest):
        table.seat(f"honest-{index}")
    return table


def honest_are_complete(table: Table) -> bool:
    return all(peer.complete for name, peer in table.peers.items() if name.startswith("honest"))


@pytest.mark.parametrize("behaviour", ["free-rider", "liar", "corrupter", "slow"])
@pytest.mark.parametrize("count", [1, 4])
def test_the_honest_complete_beside_others(behaviour: str, count: int):
    table = swarm(*[behaviour] * count)
    assert table.run_until(lambda: honest_are_complete(table), limit_s=120)


def test_the_honest_complete_beside_all_of_them_at_once():
    table = swarm("free-rider", "liar", "corrupter", "slow", "free-rider", "liar", "corrupter")
    assert table.run_until(lambda: honest_are_complete(table), limit_s=120)


def test_a_free_rider_sends_nothing():
    table = swarm("free-rider")
    table.run_until_complete(120)
    assert not table.lines("free-rider-0 -> ", "BLOCO")
    assert not table.lines("free-rider-0 -> ", "DESBLOQUEIO")


def test_a_liar_is_believed_for_a_time_and_sends_only_what_it_holds():
    table = swarm("liar")
    watched: list[str] = []

    def watch(name: str, effect: object) -> None:
        if type(effect).__name__ == "SendBlock":
            assert table.peers[name].held >> effect.block & 1  # type: ignore[attr-defined]
            watched.append(name)

    table.watch = watch
    assert table.run_until(lambda: honest_are_complete(table), limit_s=120)
    assert table.lines("liar-0 -> honest-0 ESTOQUE " + " ".join(map(str, range(20))))


def test_nobody_counts_a_block_of_a_corrupter_and_all_ban_it_in_the_end():
    table = swarm("corrupter", blocks=60)
    assert table.run_until(lambda: honest_are_complete(table), limit_s=300)
    assert not [record for record in table.blocks() if record.source == "corrupter-0"]
    assert {record.source for record in table.blocks("rejected")} == {"corrupter-0"}
    per_peer = [sum(record.peer == name for record in table.blocks("rejected")) for name in table.peers]
    assert max(per_peer) == 3


def test_a_swarm_with_a_corrupter_among_the_seeds_completes():
    table = Table(20, QUICK)
    table.seat_seed("good")
    table.seat_seed("bad", behaviour="corrupter")
    for index in range(4):
        table.seat(f"honest-{index}")
    assert table.run_until(lambda: honest_are_complete(table), limit_s=120)
    assert all(table.peers[f"honest-{index}"].contacts.known["bad"].strikes == 3 for index in range(4))
    assert {record.source for record in table.blocks("rejected")} == {"bad"}

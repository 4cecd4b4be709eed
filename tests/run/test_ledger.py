"""The ledger: what peers tell, on one axis, and what it adds up to. No Ray."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

from minibit import inventory
from minibit.events import TRACKER
from minibit.manifest import FileEntry, Manifest
from minibit.records import BlockRecord, LinkRecord, PeerRecord, Record, SampleRecord, ServingRecord
from minibit.run import bounds, verdict
from minibit.run.account import Departure
from minibit.run.bounds import Capacity
from minibit.run.ledger import Ledger
from minibit.run.options import Options
from minibit.run.summary import Failure, Summary
from minibit.seat import Seat

BLOCKS = 4
BLOCK_BYTES = 100
FILM = Manifest("film", False, (FileEntry("film", 390, 0o644),), BLOCK_BYTES, "blake3", bytes(32 * BLOCKS))
ALL = inventory.full(BLOCKS)


def ledger(
    *behaviours: str,
    manifest: Manifest = FILM,
    seed_upload: float | None = None,
    upload: float | None = None,
    download: float | None = None,
) -> Ledger:
    """A ledger of a tracker and peers a, b, c, ... of these behaviours, all with these limits."""
    made = Ledger("tuesday", Options.build(peers=max(1, len(behaviours))), manifest)
    made.open(Seat(name=TRACKER, upload_bps=seed_upload, seeds=True), inventory.full(manifest.block_count))
    for name, behaviour in zip("abcdefgh", behaviours, strict=False):
        enter(made, name, behaviour, upload_bps=upload, download_bps=download)
    return made


def enter(
    made: Ledger, name: str, behaviour: str = "honest", held: int = 0, offset_s: float = 0.0, **limits: Any
) -> None:
    """One more account."""
    made.open(Seat(name=name, behaviour=behaviour, **limits), held, offset_s)


def why_hopeless(made: Ledger, otherwise: str | None) -> str | None:
    return verdict.why_hopeless(made.accounts, made.content.block_count, otherwise)


def failures(made: Ledger) -> list[Failure]:
    return verdict.failures(made.accounts, made.content.block_count, "")


def lost_blocks(made: Ledger) -> list[int]:
    return verdict.lost_blocks(made.accounts, made.content.block_count)


def tell(made: Ledger, name: str, *told: Record, calls: int = 0, **messages: int) -> None:
    made.enter(name, told, messages, calls)


def event(peer: str, what: str, at_s: float = 0.0, why: str = "") -> PeerRecord:
    return PeerRecord(at_s, peer, what, why)  # type: ignore[arg-type]


def block(peer: str, index: int, at_s: float = 0.0, source: str = TRACKER, verdict: str = "useful") -> BlockRecord:
    return BlockRecord(at_s, peer, index, source, 0.1, verdict, FILM.length(index))  # type: ignore[arg-type]


def sample(peer: str, sent: int = 0, received: int = 0, control: int = 0) -> SampleRecord:
    return SampleRecord(0.0, peer, 0, 0, 0, 0, sent, received, control)


def summary(made: Ledger, now: float = 100.0, why: str = "", timed_out: bool = False, verified: bool = True) -> Summary:
    """The summary; with `verified`, all finished copies that nobody compared are right."""
    for account in made.peers.values():
        if verified and account.finished and account.verified is None:
            account.verified = True
    return made.summary(nodes=1, spawn_s=1.0, verify_s=0.5, total_s=9.0, now=now, why=why, timed_out=timed_out)


# who is done, and who is waited for


def test_what_the_user_did_by_hand_is_in_the_records_and_a_limit_ends_the_bound():
    run = ledger("honest", "honest", seed_upload=100.0, upload=100.0)
    enter(run, "c", upload_bps=100.0)
    run.by_hand("c", "added", 3.0)
    run.by_hand("a", "killed", 4.0)
    assert run.bound_s() is not None
    run.by_hand("b", "limited", 5.0, "upload 1 KiB/s")
    assert run.bound_s() is None
    noted = [(record.at_s, record.peer, record.event, record.why) for record in run.noted]
    assert noted == [(3.0, "c", "added", ""), (4.0, "a", "killed", ""), (5.0, "b", "limited", "upload 1 KiB/s")]


def test_all_are_waited_for_until_they_are_complete():
    run = ledger("honest", "free-rider", "slow")
    assert verdict.waiting(run.accounts) == ["a", "b", "c"]
    tell(run, "b", event("b", "completed", 3.0))
    assert verdict.waiting(run.accounts) == ["a", "c"]
    assert run.completed == 1


@pytest.mark.parametrize("behaviour", ["corrupter", "liar"])
def test_a_peer_that_can_not_be_expected_to_complete_is_neither_waited_for_nor_a_failure(behaviour):
    run = ledger("honest", behaviour)
    tell(run, "a", event("a", "completed", 3.0))
    assert verdict.waiting(run.accounts) == []
    run.accounts["a"].verified = True
    found = summary(run)
    assert (found.peers, found.completed, found.failed, found.exit_code) == (2, 1, [], 0)


def test_a_peer_that_failed_is_not_waited_for_and_named_with_its_reason():
    run = ledger("honest", "honest")
    tell(run, "a", event("a", "failed", 3.0, "no room is left"), event("a", "left", 3.1, "no room is left"))
    tell(run, "b", event("b", "completed", 4.0))
    assert verdict.waiting(run.accounts) == []
    assert summary(run).failed == [Failure(peer="a", why="no room is left")]
    assert summary(run).completed == 1


def test_a_peer_that_left_before_it_was_complete_is_a_failure_and_one_that_left_after_is_none():
    run = ledger("honest", "honest")
    tell(run, "a", event("a", "left", 3.0, "removed"))
    tell(run, "b", event("b", "completed", 3.0), event("b", "left", 3.0, "complete"))
    assert verdict.waiting(run.accounts) == []
    assert summary(run).failed == [Failure(peer="a", why="left (removed)")]


def test_a_peer_that_died_is_named_and_noted_once():
    run = ledger("honest", "honest")
    tell(run, "a", event("a", "started", 10.0))
    run.died("b", 12.0)
    run.died("b", 13.0)
    assert verdict.waiting(run.accounts) == ["a"]
    assert failures(run) == [Failure(peer="a", why="it was still waiting", missing=4), Failure(peer="b", why="died")]
    assert [record for record in run.records() if record.peer == "b"] == [event("b", "died", 2.0, "died")]


def test_a_peer_that_died_after_it_failed_failed_for_the_first_reason():
    run = ledger("honest")
    tell(run, "a", event("a", "failed", 3.0, "no room is left"))
    run.died("a", 4.0)
    assert failures(run) == [Failure(peer="a", why="no room is left")]


@pytest.mark.parametrize("left", [False, True])
def test_a_copy_that_died_with_its_peer_before_it_was_verified_is_none(left):
    run = ledger("honest")
    tell(run, "a", event("a", "started", 1.0), event("a", "completed", 3.0))
    if left:
        tell(run, "a", event("a", "left", 3.0, "complete"))
    run.died("a", 4.0)
    found = summary(run)
    assert (found.completed, found.verified, found.exit_code) == (0, 0, 4)
    assert found.failed == [Failure(peer="a", why="died")]
    assert found.seconds.last is None


def test_a_copy_that_was_verified_counts_whatever_becomes_of_its_peer():
    run = ledger("honest")
    tell(run, "a", event("a", "completed", 3.0))
    run.accounts["a"].verified = True
    run.died("a", 4.0)
    found = summary(run)
    assert (found.completed, found.verified, found.failed, found.exit_code) == (1, 1, [], 0)


def test_a_copy_that_is_wrong_is_named_and_decides_the_exit_code():
    run = ledger("honest", "honest")
    for name in "ab":
        tell(run, name, event(name, "completed", 3.0))
        run.accounts[name].verified = name == "a"
    found = summary(run)
    assert found.failed == [Failure(peer="b", why="its finished copy is not what the manifest says")]
    assert found.exit_code == 6


def test_a_peer_that_failed_after_its_last_block_has_no_copy_and_failed_for_that_reason():
    run = ledger("honest")
    tell(run, "a", event("a", "completed", 3.0), event("a", "failed", 3.0, "there is a folder in the way"))
    run.accounts["a"].verified = False
    found = summary(run)
    assert (found.completed, found.verified, found.exit_code) == (0, 0, 4)
    assert found.failed == [Failure(peer="a", why="there is a folder in the way")]


def test_a_peer_that_failed_after_its_copy_was_there_has_it():
    run = ledger("honest")
    tell(run, "a", event("a", "completed", 3.0), event("a", "failed", 4.0, "its strategy raised"))
    run.accounts["a"].verified = True
    assert (summary(run).completed, summary(run).failed) == (1, [])


@pytest.mark.parametrize("behaviour", ["honest", "corrupter"])
def test_a_copy_that_came_too_late_to_be_verified_is_not_counted_as_wrong(behaviour):
    run = ledger("honest", behaviour)
    tell(run, "a", event("a", "completed", 3.0))
    run.accounts["a"].verified = True
    tell(run, "b", event("b", "completed", 99.0))  # its record came with the last collection
    found = summary(run, verified=False)
    assert (found.completed, found.verified) == (1, 1)
    late = [Failure(peer="b", why="it was complete too late to be verified")]
    assert (found.failed, found.exit_code) == ((late, 4) if behaviour == "honest" else ([], 0))


def test_a_peer_that_failed_is_named_with_its_host():
    run = ledger()
    run.open(Seat(name="a"), 0, node="10.0.0.2")
    run.died("a", 3.0)
    assert failures(run) == [Failure(peer="a", why="died", node="10.0.0.2")]


def test_a_peer_that_just_waits_is_named_with_what_it_misses_and_why_the_waiting_ended():
    run = ledger("honest")
    tell(run, "a", block("a", 1))
    found = summary(run, why="the time limit of 3 s came first", timed_out=True)
    assert found.failed == [Failure(peer="a", why="the time limit of 3 s came first", missing=3)]
    assert found.exit_code == 5


def test_a_banned_peer_is_noted_with_all_neighbours_that_banned_it():
    run = ledger("honest", "honest", "corrupter")
    tell(run, "a", event("c", "banned", 1.0, "by a"))
    tell(run, "b", event("c", "banned", 2.0, "by b"))
    assert run.accounts["c"].banned_by == {"by a", "by b"}


def test_a_peer_that_is_not_in_the_books_can_be_banned():
    run = ledger("honest")
    tell(run, "a", event("somebody", "banned", 1.0, "by a"))
    run.enter_all([event("somebody", "banned", 2.0, "by a")])
    assert verdict.waiting(run.accounts) == ["a"]
    assert run.accounts["a"].banned_by == set()


# records of many


def test_records_of_many_peers_are_entered_together_each_to_the_account_of_its_peer():
    apart, together = ledger("honest", "honest", "corrupter"), ledger("honest", "honest", "corrupter")
    told = {
        "a": [event("a", "started", 0.0), block("a", 0, 1.0), event("c", "banned", 2.0, "by a"), sample("a", 10, 100)],
        "b": [event("b", "started", 0.5), block("b", 1, 1.5, verdict="double"), event("b", "failed", 3.0, "no room")],
        "c": [event("c", "started", 0.2), block("c", 2, 1.2), ServingRecord(1.3, "c", "a", "guest")],
    }
    for name, records in told.items():
        for record in records:
            tell(apart, name, record, PEDIDO=1)
    together.enter_all(sorted(chain(*told.values()), key=lambda record: record.at_s))
    for name in told:
        together.enter(name, [], {"PEDIDO": 1})
    assert sorted(apart.records(), key=repr) == sorted(together.records(), key=repr)
    assert [record.at_s for record in together.records()] == sorted(record.at_s for record in together.records())
    assert summary(apart) == summary(together)
    assert [
        [(account.held, account.gone, account.banned_by, account.sample) for account in run.accounts.values()]
        for run in (apart, together)
    ] == [
        [
            (ALL, None, set(), None),
            (0b0001, None, set(), sample("a", 10, 100)),
            (0, Departure("failed", "no room"), set(), None),
            (0b0100, None, {"by a"}, None),
        ]
    ] * 2
    assert together.moved_bytes == 100


def test_records_of_a_member_without_an_account_are_a_bug():
    with pytest.raises(KeyError, match="somebody"):
        ledger("honest").enter_all([event("somebody", "started")])


def test_on_one_clock_from_zero_on_no_record_is_copied():
    run = ledger("honest")
    told = [event("a", "started", 0.0), block("a", 0, 1.0)]
    run.enter("a", told[:1], {})
    run.enter_all(told[1:])
    assert [id(record) for record in run.records()] == [id(record) for record in told]


def test_a_death_is_known_from_its_record_too():
    run = ledger("honest", "honest")
    run.enter_all([event("a", "completed", 2.0), event("a", "died", 3.0, "power cut"), event("b", "died", 4.0)])
    run.died("a", 5.0)
    assert (verdict.waiting(run.accounts), run.completed) == ([], 0)
    assert failures(run) == [Failure(peer="a", why="power cut"), Failure(peer="b", why="died")]
    assert [record.at_s for record in run.records()] == [2.0, 3.0, 4.0]


# blocks


def test_blocks_held_are_those_at_the_start_those_given_and_those_that_arrived():
    run = ledger("honest", "honest")
    enter(run, "resumed", held=0b0001)
    run.give("resumed", 0b0011)
    tell(run, "resumed", block("resumed", 3), block("resumed", 2, verdict="rejected"))
    assert run.accounts["resumed"].held == 0b1011
    assert run.held == 3


def test_no_block_is_lost_while_the_seed_is_there():
    assert lost_blocks(ledger("honest")) == []


def test_blocks_are_lost_when_no_member_that_gives_them_is_left():
    run = ledger("honest", "honest", "free-rider", "corrupter")
    run.give("a", 0b0001)
    tell(run, "b", block("b", 1))
    tell(run, "c", block("c", 2))
    tell(run, "d", block("d", 3))
    run.died(TRACKER, 5.0)
    assert lost_blocks(run) == [2, 3]
    run.died("b", 6.0)
    assert lost_blocks(run) == [1, 2, 3]
    tell(run, "a", event("a", "left", 7.0, "removed"))
    assert lost_blocks(run) == [0, 1, 2, 3]


def test_a_seed_that_failed_or_left_is_gone_too():
    run = ledger("honest")
    tell(run, TRACKER, event(TRACKER, "failed", 5.0, "film changed while it was shared; start again"))
    assert lost_blocks(run) == [0, 1, 2, 3]


def test_nobody_is_waited_for_when_all_that_wait_lack_a_lost_block():
    run = ledger("honest", "honest")
    run.give("a", 0b0011)
    assert why_hopeless(run, None) is None
    assert why_hopeless(run, "nothing moved") == "nothing moved"
    run.died(TRACKER, 5.0)
    assert why_hopeless(run, None) == "nobody holds 2 blocks any more (2, 3)"


def test_a_peer_that_lacks_no_lost_block_is_waited_for():
    run = ledger("honest", "liar", "free-rider")
    run.give("a", 0b0001)
    run.give("b", 0b0110)
    run.give("c", 0b1000)  # which it gives to nobody, and lacks nothing that is lost itself
    run.died(TRACKER, 5.0)
    assert lost_blocks(run) == [3]
    assert why_hopeless(run, None) is None
    assert why_hopeless(run, "nothing moved") == "nothing moved, and nobody holds 1 block any more (3)"
    tell(run, "c", event("c", "left", 7.0, "removed"))
    assert why_hopeless(run, None) == "nobody holds 1 block any more (3)"


# time


def test_zero_is_the_first_pedido_allowed_on_the_drivers_clock():
    run = ledger()
    enter(run, "here")
    enter(run, "far", offset_s=-500.0)
    tell(
        run,
        "far",
        LinkRecord(611.5, "far", "here", "linked"),
        event("far", "started", 612.0),
        event("far", "completed", 615.0),
    )
    tell(run, "here", event("here", "started", 113.0), event("here", "completed", 116.0))
    assert run.started_at == 112.0
    assert {(record.peer, record.event): record.at_s for record in run.records()} == {
        ("far", "linked"): -0.5,
        ("far", "started"): 0.0,
        ("far", "completed"): 3.0,
        ("here", "started"): 1.0,
        ("here", "completed"): 4.0,
    }
    seconds = summary(run).seconds
    assert (seconds.first, seconds.median, seconds.last, seconds.transfer) == (3.0, 3.5, 4.0, 4.0)


@pytest.mark.parametrize("zero", [10.0, 0.0])
def test_a_peer_that_starts_later_does_not_move_zero(zero):
    run = ledger("honest", "honest")
    tell(run, "a", event("a", "started", zero))
    tell(run, "b", event("b", "started", zero + 10.0))
    assert run.started_at == zero


def test_what_passed_since_the_start_is_nothing_before_it():
    run = ledger("honest")
    assert run.elapsed_s(5.0) == 0
    tell(run, "a", event("a", "started", 0.0))
    assert run.elapsed_s(5.0) == 5


def test_the_transfer_lasts_until_the_last_is_complete_or_until_the_waiting_ended():
    run = ledger("honest", "honest")
    for name in "ab":
        tell(run, name, event(name, "started", 10.0))
    tell(run, "a", event("a", "completed", 12.0))
    assert summary(run, now=50.0).seconds.transfer == 40.0
    tell(run, "b", event("b", "failed", 13.0, "no room"))
    assert summary(run, now=50.0).seconds.transfer == 2.0


def test_a_run_that_never_started_has_a_summary():
    found = summary(ledger("honest"), why="nothing moved")
    assert found.seconds.transfer == found.goodput_bps == 0
    assert found.seconds.first is found.seconds.median is found.seconds.last is None
    assert found.exit_code == 4


def test_the_summary_names_the_world():
    assert summary(ledger("honest")).world == "ray"
    simulated = Ledger("tuesday", Options(), FILM, "sim")
    simulated.open(Seat(name=TRACKER, seeds=True), ALL)
    assert summary(simulated).world == "sim"


# sums


def test_bytes_moved_are_useful_or_wasted_and_goodput_is_the_useful_in_the_time_of_the_transfer():
    run = ledger("honest", "honest")
    tell(run, "a", event("a", "started", 0.0), *(block("a", index) for index in range(4)), event("a", "completed", 2.0))
    tell(run, "b", *(block("b", index, source="a") for index in range(4)), event("b", "completed", 4.0))
    tell(run, "b", block("b", 0, verdict="double"), block("b", 1, verdict="rejected"))
    tell(run, TRACKER, sample(TRACKER, sent=390, control=7))
    tell(run, "a", sample("a", sent=390, received=390, control=11))
    tell(run, "b", sample("b", received=590, control=13))
    found = summary(run)
    assert (found.bytes.moved, found.bytes.wasted, found.bytes.seed_sent, found.bytes.control) == (980, 200, 390, 31)
    assert found.goodput_bps == 780 / 4.0
    assert run.moved_bytes == 980


def test_samples_count_as_they_stand_and_not_twice():
    run = ledger("honest")
    tell(run, "a", sample("a", sent=100, received=100, control=5))
    tell(run, "a", sample("a", sent=300, received=200, control=6))
    assert run.moved_bytes == 200
    assert summary(run).bytes.control == 6


def test_fairness_is_of_what_peers_sent_and_the_seed_is_no_peer():
    run = ledger("honest", "honest", "free-rider", "honest")
    tell(run, TRACKER, sample(TRACKER, sent=1_000_000))
    tell(run, "a", sample("a", sent=300))
    tell(run, "b", sample("b", sent=300))
    tell(run, "c", sample("c", sent=0))
    assert summary(run).fairness_jain == pytest.approx(2 / 3)


def test_messages_and_actor_calls_are_those_of_all_as_last_told():
    run = ledger("honest")
    run.actor_calls = 5
    tell(run, "a", calls=2, PEDIDO=3, REGISTRO=1)
    tell(run, "a", calls=4, PEDIDO=7, REGISTRO=1)
    tell(run, TRACKER, calls=1, BLOCO=7, DESBLOQUEIO=1)
    found = summary(run)
    assert found.actor_calls == 10
    assert (found.messages.PEDIDO, found.messages.BLOCO, found.messages.REGISTRO, found.messages.total) == (7, 7, 1, 16)


# the bound


def test_there_is_no_bound_where_nothing_is_limited():
    assert ledger("honest").bound_s() is None


def test_the_bound_is_the_largest_of_the_seed_the_slowest_and_all_together():
    assert ledger("honest", "honest", seed_upload=39).bound_s() == pytest.approx(10)
    assert ledger("honest", "honest", download=13).bound_s() == pytest.approx(30)
    assert ledger("honest", "honest", seed_upload=50, upload=14).bound_s() == pytest.approx(2 * 390 / 78)
    assert ledger("honest", "free-rider", seed_upload=50, upload=15).bound_s() == pytest.approx(2 * 390 / 65)


def test_the_bound_knows_that_blocks_travel_whole():
    assert ledger(*["honest"] * 4, seed_upload=100, upload=100).bound_s() == pytest.approx((390 + 2 * 90) / 100)


def test_the_efficiency_is_bound_over_transfer():
    run = ledger("honest", seed_upload=39, upload=39)
    tell(run, "a", event("a", "started", 5.0), event("a", "completed", 25.0))
    found = summary(run)
    assert (found.bound_s, found.efficiency) == (pytest.approx(10), pytest.approx(0.5))


def test_there_is_no_bound_once_limits_were_changed_while_it_ran():
    run = ledger("honest", seed_upload=39, upload=39)
    run.limits_changed = True
    assert run.bound_s() is None


def test_there_is_no_efficiency_where_not_all_are_complete():
    run = ledger("honest", "honest", seed_upload=39, upload=39)
    tell(run, "a", event("a", "started", 5.0), event("a", "completed", 6.0))
    found = summary(run)
    assert (found.bound_s, found.efficiency) == (pytest.approx((390 + 90) / 39), None)


@pytest.mark.parametrize("behaviour", ["corrupter", "liar"])
def test_a_peer_that_is_not_waited_for_may_give_and_is_not_counted(behaviour):
    assert ledger("honest", "honest", behaviour, seed_upload=50, upload=10).bound_s() == pytest.approx(2 * 390 / 80)


def test_each_peer_has_limits_of_its_own():
    run = ledger("honest", seed_upload=100, upload=100)
    enter(run, "c", "slow", upload_bps=50, download_bps=100)
    enter(run, "d", "my:Class", upload_bps=20, download_bps=13)
    assert run.bound_s() == pytest.approx(390 / 13)
    enter(run, "d", "my:Class", upload_bps=20)
    members = [Capacity(100), Capacity(50, 100), Capacity(20)]
    assert run.bound_s() == bounds.makespan(390, BLOCK_BYTES, members, seed_upload_bps=100)


def test_where_one_uplink_is_unknown_only_what_is_known_limits():
    run = ledger("honest", seed_upload=100, upload=10)
    assert run.bound_s() == pytest.approx(390 / 100)
    enter(run, "b")
    enter(run, "c")
    assert run.bound_s() == pytest.approx(390 / 100)


def test_what_was_held_at_the_start_need_not_be_sent():
    run = ledger("honest", "honest", upload=10, download=10, seed_upload=100)
    run.give("a", 0b1001)
    tell(run, "a", event("a", "started"), block("a", 1))  # that came by the links
    assert run.bound_s() == pytest.approx(390 / 10)
    run.give("b", 0b1000)
    assert run.bound_s() == pytest.approx(300 / 10)


def test_a_peer_that_will_not_complete_any_more_is_not_counted():
    run = ledger("honest", "honest", "honest", seed_upload=50, upload=10)
    assert run.bound_s() == pytest.approx(3 * 390 / 80)
    run.died("b", 5.0)
    assert run.bound_s() == pytest.approx(2 * 390 / 80)
    tell(run, "c", event("c", "completed", 5.0), event("c", "left", 5.0, "complete"))
    assert run.bound_s() == pytest.approx(2 * 390 / 80)


def test_there_is_no_bound_for_empty_content():
    nothing = Manifest("film", False, (FileEntry("film", 0, 0o644),), BLOCK_BYTES, "blake3", b"")
    run = ledger("honest", manifest=nothing, seed_upload=50, upload=14)
    tell(run, "a", event("a", "started", 5.0), event("a", "completed", 5.0))
    found = summary(run)
    assert (found.bound_s, found.efficiency, found.goodput_bps, found.seconds.transfer) == (None, None, 0, 0)
    assert lost_blocks(run) == []

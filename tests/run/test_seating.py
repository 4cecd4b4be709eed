"""The seating plan: names, teams and classes, limits, and what each member starts with."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from minibit import inventory
from minibit.behaviour import Slow
from minibit.content import VirtualContent
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.rules import Rules
from minibit.run.options import Options
from minibit.run.scenario import PeerClass, RateBps, Scenario
from minibit.run.seating import late_seats, seats
from minibit.seat import Initial, Seat, number_of, peer_name
from minibit.strategies import Team

MIB = 1024 * 1024


def played(options: Options) -> list[Team]:
    """What the peers of a run play by."""
    return [Team(seat.class_name, seat.picker, seat.choker, seat.behaviour) for seat in seats(options)[1:]]


# names


def test_the_seed_is_first_and_peers_are_counted_from_1_with_as_many_digits_as_the_last():
    assert [seat.name for seat in seats(Options(peers=3))] == [TRACKER, "peer-01", "peer-02", "peer-03"]
    found = seats(Options(peers=100))
    assert (found[1].name, found[100].name) == ("peer-001", "peer-100")
    assert [seat.seeds for seat in seats(Options(peers=3))] == [True, False, False, False]


def test_a_peer_that_comes_later_is_called_as_the_others_are():
    assert [seat.name for seat in late_seats(Options(peers=9), 10, 2)] == ["peer-10", "peer-11"]
    assert [seat.name for seat in late_seats(Options(peers=99), 100, 1)] == ["peer-100"]
    (late,) = late_seats(Options.build(peers=9, upload="1MiB/s", initial=0.5), 10, 1, "slow")
    assert (late.behaviour, late.upload_bps, late.initial) == ("slow", Slow.upload_bps, Initial(0.5))


@pytest.mark.parametrize("peers", [1, 99, 100, 12_345])
def test_the_number_of_a_peer_is_read_from_its_name(peers):
    assert number_of(peer_name(peers, peers)) == peers
    assert number_of(peer_name(1, peers)) == 1
    assert number_of(TRACKER) is None


# teams and classes


def test_teams_stand_at_places_by_chance_and_behaviours_come_last():
    options = Options.build(peers=8, teams="random+none=3,free-rider=2,slow=0", behave="liar=1", seed=4)
    *line, last = played(options)
    assert last == Team(behaviour="liar")
    assert Counter(line) == {
        Team("random+none", picker="random", choker="none"): 3,
        Team("free-rider", behaviour="free-rider"): 2,
        Team(): 2,
    }
    assert played(options) == [*line, last]
    assert any(played(Options.build(peers=8, teams=options.teams, seed=seed))[:7] != line for seed in range(4))


def test_without_teams_all_play_by_the_rules_but_the_last():
    line = played(Options.build(peers=4, behave="slow=1"))
    assert line == [Team(), Team(), Team(), Team(behaviour="slow")]
    assert Team().rules(Rules(picker="random")) == Rules(picker="random")
    assert Team("x", choker="none").rules(Rules(picker="random")) == Rules(picker="random", choker="none")


def test_each_peer_has_the_rules_of_its_team_and_peers_without_one_share_those_of_the_swarm():
    options = Options.build(peers=4, teams="random+none=2", slots=7)
    found = seats(options)
    assert {(seat.rules.picker, seat.rules.choker) for seat in found if seat.class_name} == {("random", "none")}
    assert all(seat.rules.slots == 7 for seat in found)
    assert all(seat.rules is options.rules for seat in found if not seat.class_name)


def test_classes_are_of_the_first_peers_and_what_a_class_does_not_say_is_as_the_options_say():
    slow = PeerClass(name="slow", peers=1, upload_bps=RateBps(5000))
    odd = PeerClass(name="odd", peers=2, behaviour="liar", picker="random", download_bps=RateBps(9000), lacks=(3,))
    options = Options.build(peers=5, upload="1MiB/s", behave="free-rider=3")
    _, *peers = seats(options, Scenario(classes=(slow, odd)))
    assert [(seat.class_name, seat.behaviour, seat.picker, seat.lacks) for seat in peers] == [
        ("slow", "honest", None, None),
        ("odd", "liar", "random", (3,)),
        ("odd", "free-rider", "random", (3,)),  # `behave` is about the last three, in a class or not
        (None, "free-rider", None, None),
        (None, "free-rider", None, None),
    ]
    assert [seat.upload_bps for seat in peers] == [5000, MIB, MIB, MIB, MIB]
    assert [seat.download_bps for seat in peers] == [None, 9000, 9000, None, None]


def test_peers_arrive_and_stay_as_the_scenario_says_and_the_seed_is_there_from_the_start():
    scenario = Scenario.build({"stay": "5s", "arrivals": {"within": "20s", "already": 1}}, 4)
    seed, first, *others = seats(Options(peers=4), scenario)
    assert (seed.arrives_s, seed.stay_s, first.arrives_s, first.stay_s) == (0, None, 0, 5)
    times = [seat.arrives_s for seat in others]
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < 20


# limits


@pytest.mark.parametrize(
    ("behaviour", "given_bps", "upload_bps", "download_bps"),
    [
        (None, (8.0, 5.0, 7.0), 7.0, None),  # the seed
        ("free-rider", (8.0, 5.0, 7.0), 8.0, 5.0),
        ("honest", (None, None, 7.0), None, None),
        ("slow", (None, None, 7.0), Slow.upload_bps, None),
        ("slow", (8.0, None, 7.0), 8.0, None),
        ("slow", (MIB, None, None), Slow.upload_bps, None),
        ("minibit.behaviour:Slow", (MIB, None, None), Slow.upload_bps, None),
    ],
)
def test_the_lower_of_the_options_and_the_behaviour_limits_a_peer(behaviour, given_bps, upload_bps, download_bps):
    fields = dict(zip(("upload_bps", "download_bps", "seed_upload_bps"), given_bps, strict=True))
    seed, peer = seats(Options(peers=1, behave={behaviour: 1} if behaviour else {}, **fields))
    found = peer if behaviour else seed
    assert (found.upload_bps, found.download_bps) == (upload_bps, download_bps)


def test_where_a_line_has_a_rate_it_is_the_uplink_of_everybody_without_a_limit():
    seed, fast, slow = seats(Options(peers=2, behave={"slow": 1}), line_bps=1e6)
    assert (seed.upload_bps, fast.upload_bps, slow.upload_bps) == (1e6, 1e6, Slow.upload_bps)
    assert [seat.download_bps for seat in (seed, fast, slow)] == [None] * 3
    limited = seats(Options(peers=1, upload_bps=7.0, seed_upload_bps=9.0), line_bps=5.0)
    assert [seat.upload_bps for seat in limited] == [9.0, 7.0]


# blocks


def test_a_peer_starts_with_blocks_by_chance_of_its_own_and_the_seed_with_all():
    seed, one, other = (seat.held(40, 5) for seat in seats(Options(peers=2, initial=Initial(0.1, 1))))
    assert seed == inventory.full(40)
    assert one.bit_count() == other.bit_count() == 5
    assert one != other
    assert one == inventory.of(Random("5/peer-01/initial").sample(range(40), 5))
    assert seats(Options(peers=1))[1].held(40, 5) == inventory.EMPTY


def test_a_peer_that_lacks_certain_blocks_holds_all_others():
    seat = Seat(name="a", class_name="nearly", initial=Initial(0.5), lacks=(0, 3))
    assert seat.held(4, 1) == 0b0110
    with pytest.raises(LocalError, match="classes: 'nearly' lacks block 3, and there are 3, counted from 0"):
        seat.held(3, 1)


# the peer of a seat


def test_a_seat_makes_its_peer_with_the_strategies_that_it_names():
    seat = Seat(name="a", rules=Rules(picker="random", choker="none"), behaviour="liar")
    peer = seat.peer(VirtualContent("", 4, 1), 1, 0b01)
    assert (peer.name, peer.held, type(peer.behaviour).__name__) == ("a", 0b01, "Liar")
    assert (type(peer.picker).__name__, type(peer.choker).__name__) == ("RandomBlock", "NoChoking")


def test_a_seed_never_leaves_by_itself_nor_does_a_peer_that_stays_for_a_time():
    rules = Rules(leave="complete")
    for more, leave in (({}, "complete"), ({"seeds": True}, "never"), ({"stay_s": 3.0}, "never")):
        peer = Seat(name="a", rules=rules, **more).peer(VirtualContent("", 4, 1), 1, 0)
        assert peer.rules.leave == leave


@pytest.mark.parametrize(
    ("given", "lived"),
    [
        ({"peers": 4, "behave": "liar=4"}, {}),
        ({"peers": 2, "behave": "liar=1", "teams": "corrupter=1"}, {}),
        ({"peers": 1}, {"classes": [{"name": "all", "peers": 1, "behaviour": "corrupter"}]}),
    ],
)
def test_a_run_that_waits_for_nobody_is_refused(given, lived):
    options = Options.build(**given)
    with pytest.raises(
        LocalError, match="all peers are corrupters or liars, and no run waits for these: give one peer more"
    ):
        seats(options, Scenario.build(lived, options.peers))
    one_more = Options.build(**{**given, "peers": options.peers + 1})
    assert len(seats(one_more, Scenario.build(lived, one_more.peers))) == options.peers + 2

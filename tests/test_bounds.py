"""The lower bounds are what the papers say, and None where nothing is known to limit."""

import pytest

from minibit import bounds
from minibit.errors import LocalError


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({"seed_upload_bps": 10, "upload_bps": 100}, 10.0),  # the seed is the neck
        ({"seed_upload_bps": 100, "upload_bps": 100, "download_bps": 5}, 20.0),  # the slowest downlink is
        ({"seed_upload_bps": 50, "upload_bps": 10}, 400 / 90),  # all uplinks together are
        ({"seed_upload_bps": 50, "upload_bps": [10, 20, 5, 5]}, 400 / 90),
    ],
)
def test_the_fluid_bound_is_the_narrowest_of_seed_downlink_and_all_uplinks(limits, seconds):
    assert bounds.fluid(100, 4, **limits) == pytest.approx(seconds)


def test_free_riders_want_the_content_and_give_nothing():
    assert bounds.fluid(100, 4, seed_upload_bps=50, upload_bps=10, free_riders=2) == pytest.approx(400 / 70)
    assert bounds.fluid(100, 4, seed_upload_bps=50, upload_bps=[10, 10], free_riders=2) == pytest.approx(400 / 70)
    assert bounds.fluid(100, 4, seed_upload_bps=50, upload_bps=None, free_riders=4) == pytest.approx(400 / 50)


def test_what_peers_hold_at_the_start_need_not_be_sent():
    assert bounds.fluid(100, 4, seed_upload_bps=1, upload_bps=99, held_bytes=40) == pytest.approx(4 * 60 / 397)


def test_without_limits_there_is_no_bound():
    assert bounds.fluid(100, 4, seed_upload_bps=None, upload_bps=None) is None
    assert bounds.fluid(100, 4, seed_upload_bps=None, upload_bps=10) is None
    assert bounds.fluid(100, 4, seed_upload_bps=10, upload_bps=None) == 10.0


def test_uplinks_are_given_for_each_peer_that_serves():
    with pytest.raises(LocalError, match="3 uplinks for 4 peers that serve"):
        bounds.fluid(100, 4, seed_upload_bps=1, upload_bps=[1, 1, 1])


def test_five_hosts_at_400_mbit_need_4_2_seconds_for_200_mib():
    assert bounds.fluid(200 << 20, 5, seed_upload_bps=50e6, upload_bps=50e6) == pytest.approx(4.2, abs=0.01)


@pytest.mark.parametrize(("peers", "rounds"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (255, 8)])
def test_one_block_needs_as_many_rounds_as_doubling_takes(peers, rounds):
    holders, doublings = 1, 0
    while holders < peers + 1:  # the seed holds it too
        holders, doublings = 2 * holders, doublings + 1
    assert bounds.blocks(1, peers, 1.0) == rounds == doublings


def test_more_blocks_follow_one_a_round():
    assert bounds.blocks(256, 255, 0.5) == 263 * 0.5

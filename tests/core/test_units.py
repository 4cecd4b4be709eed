"""Sizes, rates and durations are read strictly and shown briefly."""

import pytest

from minibit.errors import LocalError
from minibit.units import parse_bytes, parse_duration, parse_rate, show_bytes, show_duration, show_rate, show_share


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("64MiB", 64 << 20),
        ("500kB", 500_000),
        ("1.5 GiB", 3 << 29),
        ("0.1GB", 100_000_000),
        (" 7B ", 7),
        ("2TB", 2 * 10**12),
        ("1TiB", 1 << 40),
        ("4096", 4096),
        (4096, 4096),
        (0, 0),
        (1e6, 1_000_000),
        ("2M", 2_000_000),
        ("2K", 2000),
        ("2k", 2000),
        ("2KB", 2000),
        ("2Mi", 2 << 20),
        ("1.5G", 1_500_000_000),
    ],
)
def test_a_size_is_a_number_and_a_unit_that_is_spelled_right(said, count):
    assert parse_bytes(said) == count
    assert isinstance(parse_bytes(said), int)


@pytest.mark.parametrize(
    ("said", "rate_bps"),
    [
        ("4MiB/s", 4 << 20),
        ("500kB/s", 5e5),
        ("16Mbit/s", 2e6),
        ("16 Mbps", 2e6),
        ("1Gbit/s", 125e6),
        ("64kbit/s", 8000),
        ("8bit/s", 1),
        ("1Kibit/s", 128),
        ("2MBps", 2e6),
        ("2M", 2e6),
        ("2MB", 2e6),
        ("2MiB", 2 << 20),
        ("2B/s", 2),
        (4096, 4096),
        (1.5, 1.5),
    ],
)
def test_a_rate_is_bytes_or_bits_a_second_and_the_second_need_not_be_said(said, rate_bps):
    assert parse_rate(said) == rate_bps


@pytest.mark.parametrize(
    ("said", "seconds"), [("10s", 10), ("250ms", 0.25), ("2m", 120), ("1h", 3600), ("1.5", 1.5), (0.1, 0.1)]
)
def test_a_duration_is_a_number_and_a_unit_of_time(said, seconds):
    assert parse_duration(said) == seconds


def shown(said: object) -> str:
    """How a message repeats it."""
    text = repr(said)
    return text if len(text) < 60 else f"{text[:60]}..."


NONSENSE = [
    "",
    "MiB",
    "-1",
    "-1s",
    10**400,
    "nan",
    "inf",
    "1_0",
    "1e3",
    "٣",
    "0x10",
    -1,
    float("nan"),
    float("inf"),
    True,
    None,
]


@pytest.mark.parametrize("said", [*NONSENSE, "64MiBB", "64mib", "64Mb", "1.2.3B", "4MiB/s"])
def test_what_is_no_size_is_refused_with_what_would_be_taken(said):
    with pytest.raises(LocalError) as refused:
        parse_bytes(said)
    assert str(refused.value) == f"{shown(said)} is no size: give e.g. 64MiB, 500kB"


@pytest.mark.parametrize("said", [*NONSENSE, "4096", "2", "4/s", "4Mb/s", "4mib/s", "4MiB/h", "/s", "4MiB/s/s", "10s"])
def test_what_is_no_rate_is_refused_with_what_would_be_taken(said):
    with pytest.raises(LocalError) as refused:
        parse_rate(said)
    takes = "give a number and a unit, e.g. 4MiB/s, 500kB/s, 16Mbit/s"
    assert str(refused.value) == f"{shown(said)} is no rate: {takes}"


@pytest.mark.parametrize("said", [*NONSENSE, "10 sec", "1d", "10S"])
def test_what_is_no_duration_is_refused_with_what_would_be_taken(said):
    with pytest.raises(LocalError) as refused:
        parse_duration(said)
    assert str(refused.value) == f"{shown(said)} is no duration: give e.g. 10s, 250ms, 2m, 1h"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (64 << 20, "64 MiB"), (3.13 * 2**30, "3.13 GiB")],
)
def test_bytes_are_shown_in_three_digits(count, text):
    assert show_bytes(count) == text
    assert show_rate(count) == f"{text}/s"


def test_a_size_that_was_shown_can_be_read_again_and_is_half_a_per_cent_off_at_most():
    for power in range(4, 150):
        count = int(1.3**power)
        assert parse_bytes(show_bytes(count)) == pytest.approx(count, rel=0.006)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (0.9999, "1 s"),
        (7.312, "7.31 s"),
        (59.97, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (3720, "1 h 02 min"),
    ],
)
def test_durations_are_shown_as_one_would_say_them(seconds, text):
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "digits", "text"),
    [
        (0, 7, 0, "0 %"),
        (1, 2, 0, "50 %"),
        (999, 1000, 0, "99 %"),
        (10**20 - 1, 10**20, 2, "99.99 %"),
        (0.29, 1, 0, "29 %"),  # 100 * 0.29 is 28.999999999999996
        (7, 7, 0, "100 %"),
        (0, 0, 0, "100 %"),
        (0.00057, 1, 2, "0.05 %"),
    ],
)
def test_a_share_is_rounded_down_so_that_all_is_there_only_when_it_is(part, whole, digits, text):
    assert show_share(part, whole, digits) == text

"""Whatever is given for an option or stands in a scenario: it is read, or refused in one line."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minibit.errors import LocalError, OptionError
from minibit.run.options import TABLE, Options
from minibit.run.readers import within
from minibit.run.scenario import Arrivals, Fault, PeerClass, Scenario

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5)
    | st.sampled_from([1 << 64, "9" * 5000, "1e999", "\ud800", "a\0b", "a\nb", ":", "os:path",
                       "1-", "=", "a=1,a=1", "slow=" + "9" * 30, "0.1+" + "9" * 5000, datetime.date(2026, 1, 1)])
    | st.sampled_from([400, 5000]).map(lambda digits: 10**digits)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def one_line(error: LocalError) -> None:
    text = str(error)
    assert text.isprintable() and len(text) < 1000, text


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=40)
@given(VALUES)
@example("9" * 5000)
@example(10**400)
def test_any_value_of_an_option_is_read_or_refused(name: str, value: Any) -> None:
    try:
        Options.build(**{name: value})
    except OptionError as error:
        one_line(error)


@pytest.mark.parametrize("option", [option for option in TABLE.values() if option.bounds], ids=lambda one: one.name)
def test_an_option_takes_its_bounds_and_what_is_beyond_them_is_refused_with_both(option) -> None:
    least, most = option.bounds
    lowest, highest = option.read(least), option.read(most)
    assert lowest < highest
    assert option.read(lowest) == lowest and option.read(highest) == highest
    below = lowest - 1 if isinstance(lowest, int) else lowest * 0.999
    for beyond in (highest * 1.01 + 1, below):
        if beyond >= 0 and beyond != lowest:
            whole = int(beyond) if isinstance(lowest, int) else beyond
            with pytest.raises(LocalError, match=f"won't do: give {least} to {most}$"):
                option.read(whole)


def test_every_number_of_the_table_has_bounds() -> None:
    numbers = {"N", "SIZE", "TIME", "RATE", "INT"}
    assert [name for name, option in TABLE.items() if option.metavar in numbers and not option.bounds] == []


def test_bounds_are_written_as_a_user_would_write_them() -> None:
    with pytest.raises(LocalError, match="'5' won't do: give 1 to 3"):
        within(int, "1", "3")("5")


def keys_of(kind: Any) -> list[str]:
    return [*kind.__struct_encode_fields__, "zzz"]


def tables(kind: Any, **inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key: inner.get(key, VALUES) for key in keys_of(kind)})


@settings(max_examples=80)
@given(
    tables(
        Scenario,
        classes=st.lists(tables(PeerClass), max_size=2) | VALUES,
        arrivals=tables(Arrivals) | VALUES,
        faults=st.lists(tables(Fault), max_size=2) | VALUES,
    )
)
def test_any_table_is_a_scenario_or_refused(table: dict[str, Any]) -> None:
    try:
        Scenario.build(table, 10)
    except LocalError as error:
        one_line(error)

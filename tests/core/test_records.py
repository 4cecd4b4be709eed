"""Records: whatever a peer notes can be carried, stored and moved in time."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from minibit import records
from minibit.errors import StoreError
from minibit.messages import Desligamento, decode, encode
from minibit.records import TABLES, PeerRecord, Record

VALUES: dict[Any, st.SearchStrategy[Any]] = {
    float: st.floats(allow_nan=False),
    int: st.integers(0, 2**63 - 1),
    str: st.text(st.characters(exclude_categories=["Cs"])),
}


def every(kind: type[Record]) -> st.SearchStrategy[Record]:
    fields = msgspec.structs.fields(kind)
    return st.builds(kind, **{one.name: VALUES.get(one.type, st.from_type(one.type)) for one in fields})


EVERY = st.one_of(*map(every, TABLES.values()))


@given(st.lists(EVERY, max_size=5))
def test_what_is_noted_is_read_again(noted: list[Record]):
    assert records.decode(records.encode(noted)) == noted


@given(EVERY, st.floats(-1e9, 1e9))
def test_a_record_moved_in_time_is_otherwise_the_same(noted: Record, offset_s: float):
    moved = records.shifted(noted, offset_s)
    assert moved.at_s == noted.at_s + offset_s
    assert msgspec.structs.astuple(moved)[1:] == msgspec.structs.astuple(noted)[1:]


@given(st.text(st.characters(categories=["Cs", "Lu", "Cc"])))
def test_the_text_of_an_error_can_be_noted_and_said_whatever_file_it_names(name: str):
    """A name of a file that isn't UTF-8 has surrogates in it; the peer's records would never come out again."""
    why = str(StoreError(f"can't write {name}"))
    noted: list[Record] = [PeerRecord(0.0, "peer-1", "failed", why)]
    assert records.decode(records.encode(noted)) == noted
    farewell = Desligamento("peer-1", why[:200])
    assert decode(encode(farewell)) == farewell

"""Records as tables: their columns always, their rows in order of time, and as cheap as what is new."""

import polars as pl

from minibit.lab import frames as room
from minibit.lab.frames import GrowingFrames, frames
from minibit.records import (
    TABLES,
    BlockRecord,
    LinkRecord,
    PeerRecord,
    Record,
    SampleRecord,
    ServingRecord,
)

RECORDS: list[Record] = [
    BlockRecord(2.5, "peer-02", 7, "tracker", 0.25, "useful", 65536),
    BlockRecord(1.5, "peer-01", 0, "peer-02", 0.5, "rejected", 65536),
    ServingRecord(0.0, "tracker", "peer-01", "guest"),
    PeerRecord(3.0, "peer-01", "completed"),
    SampleRecord(1.0, "peer-01", 1, 4, 3, 2, 0, 65536, 900),
    LinkRecord(0.5, "peer-01", "peer-02", "linked"),
]


def test_rows_are_in_order_of_time():
    assert frames(RECORDS)["blocks"].rows() == [
        (1.5, "peer-01", 0, "peer-02", 0.5, "rejected", 65536),
        (2.5, "peer-02", 7, "tracker", 0.25, "useful", 65536),
    ]


def test_an_empty_table_has_the_columns_and_types_of_a_full_one():
    full, empty = frames(RECORDS), frames([])
    for name, kind in TABLES.items():
        assert empty[name].schema == full[name].schema
        assert full[name].height > 0 == empty[name].height
        assert tuple(empty[name].columns) == kind.__struct_fields__
    assert dict(empty["serving"].schema) == {
        "at_s": pl.Float64,
        "peer": pl.String,
        "neighbour": pl.String,
        "slot": pl.String,
    }
    assert empty["samples"].schema["sent_bytes"] == pl.Int64


def test_tables_of_many_records_are_made_in_parts_and_are_the_same(monkeypatch):
    records = [BlockRecord(number / 7 % 1, "peer-01", number, "peer-02", 0.1, "useful", 9) for number in range(50)]
    whole = frames(records)
    monkeypatch.setattr(room, "ROWS_AT_ONCE", 7)
    assert all(frame.equals(whole[name]) for name, frame in frames(records).items())
    assert whole["blocks"]["at_s"].is_sorted()


def test_tables_grow_with_their_records_and_zero_may_move():
    growing, records = GrowingFrames(), []
    for record in RECORDS:
        records.append(record)
        looked = growing.of(records)
        assert all(looked[name].equals(table) for name, table in frames(records).items())
    assert growing.of(records, zero_s=1.0)["blocks"]["at_s"].to_list() == [0.5, 1.5]
    assert growing.of(records)["blocks"]["at_s"].to_list() == [1.5, 2.5]


def test_a_table_that_lacks_a_column_is_fitted_and_says_which():
    told = frames(RECORDS)["blocks"]
    fitted, lacking = room.fitted("blocks", told.drop("took_s").with_columns(more=1))
    assert lacking == ["took_s"]
    assert fitted.schema == told.schema
    assert fitted["took_s"].to_list() == [None, None]

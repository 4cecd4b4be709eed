"""A run shows itself, finds its peers, and gives every table whatever there is."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from lab_runs import came, event, simulated, written

from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.lab import Run
from minibit.lab.run import DERIVED

PAGE = Path(__file__).parents[2] / "docs" / "records.md"
SCENARIO = {
    "classes": [{"name": "fast", "peers": 2, "upload": "1MiB/s"}],
    "faults": [
        {"kind": "dies", "at": "1.5s", "peers": ["peer-04"]},
        {"kind": "cut", "at": "1s", "lasts": "1s", "peers": ["peer-01", "peer-02"]},
        {"kind": "tracker-gone", "at": "1h"},
    ],
}


@pytest.fixture(scope="module")
def run() -> Run:
    return simulated(SCENARIO, peers=6, behave="free-rider=1", initial="0.1+1", name="tuesday")[0]


# what it says of itself


def test_it_knows_what_it_was_told_and_what_it_came_to(run):
    assert (run.name, run.world, run.folder, run.missing) == ("tuesday", "sim", None, ())
    assert (run.content_blocks, run.block_bytes) == (32, 32768)
    assert run.summary["completed"] == 5
    assert run.options["upload_bps"] == 256 * 1024
    assert run.scenario["classes"][0]["name"] == "fast"
    assert run.end_s >= run.summary["seconds"]["transfer"]


def test_members_are_the_tracker_and_then_all_peers(run):
    assert run.members["peer"].to_list() == [TRACKER, *(f"peer-0{number}" for number in range(1, 7))]
    assert run.members["behaviour"].to_list() == ["honest"] * 6 + ["free-rider"]
    assert run.members["class"].to_list() == [None, "fast", "fast", None, None, None, None]
    assert [int(held, 16).bit_count() for held in run.members["held_at_start"]] == [32] + [4] * 6
    assert run.members["upload_bps"].to_list()[1:4] == [2**20, 2**20, 2**18]


def test_messages_are_those_of_the_summary_by_peer(run):
    sent = run.messages().group_by("verb").agg(pl.col("messages").sum())
    assert dict(sent.iter_rows()) == {verb: count for verb, count in run.summary["messages"].items() if count}


def test_events_are_failures_and_the_faults_that_came_in_time(run):
    assert run.faults[0] == {"at_s": 1.0, "what": "cut", "who": "peer-01, peer-02", "until_s": 2.0}
    assert run.events().rows() == [
        (1.0, "peer-01, peer-02", "fault", "cut until 2.00 s"),
        (1.5, "peer-04", "fault", "dies"),
        (1.5, "peer-04", "died", "killed"),
    ]


def test_it_shows_itself_as_text_and_as_html(run):
    text = repr(run)
    assert text.startswith("Run tuesday (sim): 5 of 6 peers complete in ")
    assert "1 MiB, made content, 32 blocks of 32 KiB" in text and "1 free-rider" in text
    html = run._repr_html_()
    assert html.startswith("<div><b>Run tuesday (sim): 5 of 6 peers complete in ") and "<th>goodput</th>" in html
    assert "<script" not in Run({"run": "<script>"}, {})._repr_html_()


@pytest.mark.parametrize("about", [{}, {"peers": 7}, {"summary": {"odd": 1}}, {"content": {}}])
def test_it_shows_itself_whatever_is_missing(about):
    assert repr(Run(about, {})).startswith("Run")
    assert Run(about, {})._repr_html_().startswith("<div>")


# an empty one, one in which nobody completed


def test_a_run_without_a_record_has_every_table_empty():
    nothing = Run({}, {})
    assert (nothing.end_s, nothing.content_blocks) == (0.0, 0)
    tables = dict(nothing.each_table())
    assert {name for name, table in tables.items() if table.height} == {"availability"}
    assert tables["availability"].rows() == [(0.0, 0, 0.0, 0, 0)]
    assert nothing.held(1.0).is_empty() and nothing.copies(1.0).is_empty() and nothing.choking_at(0.0).is_empty()


def test_every_table_has_its_columns_and_types_also_when_it_is_empty(run):
    empty = dict(Run({}, {}).each_table())
    for name, table in run.each_table():
        assert empty[name].schema == table.schema, name
    nobody = written(event(0.0, "peer-01", "started"))
    assert nobody.completion().is_empty()
    assert nobody.completion().schema == run.completion().schema


def test_tables_are_the_same_each_time(run):
    again = simulated(SCENARIO, peers=6, behave="free-rider=1", initial="0.1+1", name="tuesday")[0]
    for (name, one), (_, other) in zip(run.each_table(), again.each_table(), strict=True):
        assert one.equals(other), name


def test_a_run_that_is_over_ends_with_its_transfer_and_not_with_its_samples():
    told = {"seconds": {"transfer": 7.0}}
    assert written(came(3.0, "peer-01", 0), end_s=5.0, summary=told).end_s == 7.0
    assert written(came(3.0, "peer-01", 0), end_s=9.0).end_s == 9.0


# asking


def test_a_peer_is_found_by_its_number_and_by_its_name(run):
    assert [run.find(3), run.find("peer-03"), run.find("tracker")] == ["peer-03", "peer-03", "tracker"]
    with pytest.raises(LocalError, match="there is no peer 9 in tuesday: there are tracker to peer-06"):
        run.find(9)


def test_a_step_of_time_must_be_above_zero(run):
    for table in (run.availability, run.rates):
        with pytest.raises(LocalError, match="every_s: 0 won't do: give seconds above 0"):
            table(0)


def test_a_story_is_of_a_peer_or_of_a_block(run):
    for wrong in ({}, {"peer": 1, "block": 1}):
        with pytest.raises(LocalError, match="give peer=7, or block=120"):
            run.story(**wrong)


# the page


def test_every_table_and_column_stands_on_the_page(run):
    page = PAGE.read_text()
    sections = {part.split("`", 2)[1]: part for part in page.split("\n### ")[1:]}
    for name, table in run.each_table():
        assert name in sections, name
        rows = [line.split("|")[1].strip() for line in sections[name].splitlines() if line.startswith("| `")]
        assert rows == [f"`{column}`" for column in table.columns], name
    assert set(DERIVED) <= set(sections)

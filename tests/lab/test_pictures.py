"""Every picture says what the tables say, can be fed again, and stands also where there is nothing to show."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import polars as pl
import pytest
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models import ColumnDataSource, LegendItem
from lab_runs import came, event, serves, simulated, written

from minibit import inventory
from minibit.events import TRACKER
from minibit.lab import Run
from minibit.lab.pictures import (
    MAKERS,
    Columns,
    PageClock,
    Picture,
    blocks,
    choking,
    completion,
    each_picture,
    graph,
    messages,
    shares,
    timeline,
)
from minibit.lab.pictures.names import BEHAVIOURS, short, spread
from minibit.lab.pictures.page import packed_library
from minibit.run.summary import MessageCounts

NEVER = np.inf
HERE = np.zeros(2)  # from the start


@pytest.fixture(scope="module")
def run() -> Run:
    return simulated(peers=6, behave="free-rider=1,corrupter=1", name="tuesday")[0]


@pytest.fixture(scope="module")
def document(run: Run) -> tuple[list[Picture], list[Model]]:
    """All pictures of the run, and all models in the document that they make."""
    pictures, document = list(each_picture(run)), Document()
    with document.models.freeze():
        for picture in pictures:
            document.add_root(picture.model)
    return pictures, list(document.models)


@pytest.fixture
def empty() -> Run:
    return Run({}, {})


@pytest.fixture
def nobody_complete() -> Run:
    return written(came(1.0, "peer-01", 0), came(2.0, "peer-02", 0, source="peer-01"))


def columns(run: Run, name: str) -> Columns:
    found: Columns = import_module(f"minibit.lab.pictures.{name}").columns(run)
    return found


def title(run: Run, name: str) -> str:
    text: str = columns(run, name)[f"{name}:title"]["text"][0]
    return text


# what all have in common


def test_the_clock_comes_first_and_then_every_picture(document):
    pictures, _ = document
    assert [picture.name for picture in pictures] == ["time", *MAKERS]
    assert all(picture.title and picture.look.endswith(".") for picture in pictures)


def test_what_is_fed_are_the_columns_of_the_sources_that_a_page_finds_by_name(run, document):
    pictures, models = document
    sources = {model.name: model for model in models if isinstance(model, ColumnDataSource) and model.name}
    fed = {name: columns for picture in pictures for name, columns in picture.feed(run).items()}
    assert fed.keys() == sources.keys()
    for name, columns in fed.items():
        assert columns.keys() == sources[name].data.keys()
        assert len({len(column) for column in columns.values()}) == 1, name
        assert name.partition(":")[0] in ("time", *MAKERS)


def test_no_picture_calls_python(document):
    _, models = document
    assert not any(model._callbacks or model._event_callbacks for model in models)


def test_every_picture_has_the_table_behind_it(run, document):
    pictures, _ = document
    for picture in pictures:
        assert isinstance(picture.table(run), pl.DataFrame)
        assert picture.table(run).height


@pytest.mark.parametrize("lacking", ["blocks", "peers", "serving", "samples"])
def test_a_run_without_one_table_shows_the_others(run, lacking):
    tables = {name: table for name, table in run.records.items() if name != lacking}
    for picture in each_picture(Run(run.about, tables)):
        assert picture.feed(Run(run.about, tables))


def test_an_empty_run_has_pictures_that_say_so(empty):
    assert title(empty, "blocks") == "There is no peer or no block yet"
    assert title(empty, "completion") == "Nobody noted who was complete\nno lower bound is known"
    assert title(empty, "rates") == "Nothing moved"
    assert title(empty, "messages") == "No message was counted"
    assert title(empty, "choking") == "Nobody has served anybody"
    assert title(empty, "graph") == "Nobody has given anything"
    assert title(empty, "shares") == "No peer has given anything"
    assert title(empty, "timeline") == "Nobody noted what happened"
    assert len(list(each_picture(empty))) == 1 + len(MAKERS)


def test_a_run_in_which_nobody_completed_shows_how_far_it_came(nobody_complete):
    assert title(nobody_complete, "completion") == "Nobody is complete\nno lower bound is known"
    assert columns(nobody_complete, "completion")["completion:held"]["share"][-1] == 2 / 12
    assert "16 % held" in title(nobody_complete, "blocks")


def test_each_behaviour_has_a_letter_and_a_marker_of_its_own_and_not_just_a_colour():
    letters, markers, colours = zip(*BEHAVIOURS.values(), strict=True)
    assert len(set(letters)) == len(set(markers)) == len(set(colours)) == len(BEHAVIOURS)


def test_short_names_mark_peers_that_are_not_honest():
    assert (short(TRACKER), short("peer-07"), short("peer-45", "free-rider")) == ("seed", "07", "45 F")
    assert short("peer-45", "greedy") == "45 G"


def test_a_sample_is_evenly_spread_with_both_ends():
    assert spread(3, 5) == [0, 1, 2]
    assert spread(101, 5) == [0, 25, 50, 75, 100]
    assert spread(0, 5) == []


# the clock


def test_the_clock_opens_in_the_middle_of_a_run_and_at_the_end_of_one_that_goes_on(run):
    assert PageClock(run).at_s == run.end_s / 2
    assert PageClock(run, follow=True).slider.value == run.end_s


def test_the_clock_has_a_second_to_show_where_nothing_happened(empty):
    assert PageClock(empty).slider.end == 1.0


# blocks


def test_a_moment_shows_the_blocks_held_and_marks_those_with_the_fewest_copies():
    arrived = np.array([[1, 2, NEVER], [1, 9, 9]], dtype=np.float32)
    shown = blocks.seen(arrived, HERE, np.array([NEVER, NEVER]), 2.0)
    held, missing, rarest = blocks.HELD, blocks.MISSING, blocks.RAREST
    assert shown.image.tolist() == [[held, held, missing], [held, missing, missing]]
    assert shown.rarest == [2]
    assert shown.said == "50 % held\nrarest: 1 block, 0 of 2 copies"
    later = blocks.seen(arrived, HERE, np.array([NEVER, NEVER]), 9.0)
    assert later.image.tolist() == [[held, held, missing], [held, held, rarest]]


def test_the_copies_of_a_gone_peer_are_gone():
    arrived = np.array([[1, 1], [1, 2]], dtype=np.float32)
    shown = blocks.seen(arrived, HERE, np.array([1.5, NEVER]), 1.6)
    assert shown.image.tolist() == [[blocks.GONE] * 2, [blocks.HELD, blocks.MISSING]]
    assert shown.rarest == [1]


def test_where_all_blocks_have_as_many_copies_none_is_rarest():
    shown = blocks.seen(np.ones((2, 2), dtype=np.float32), HERE, np.array([NEVER, NEVER]), 1.0)
    assert (shown.rarest, shown.said) == ([], "100 % held\nrarest: none")


def test_the_blocks_held_are_those_of_the_run_at_any_time(run):
    for at_s in (0.0, run.end_s / 3, run.end_s):
        image = blocks.columns(run, at_s)["blocks:image"]["image"][0]
        peers = [peer for peer in run.members["peer"] if peer != TRACKER]
        cells = np.argwhere(np.isin(image, (blocks.HELD, blocks.RAREST)))
        held = {(peers[row], int(block)) for row, block in cells}

        assert held == set(run.held(at_s).rows())


def test_what_was_held_at_the_start_is_shown():
    run = written(came(1.0, "peer-01", 0), held={"peer-02": inventory.of([3])})
    assert blocks.columns(run, 0.5)["blocks:image"]["image"][0].tolist()[1] == [0, 0, 0, blocks.HELD]


def test_of_a_big_run_a_sample_is_drawn_and_the_title_says_so():
    peers = [{"peer": TRACKER}, *({"peer": f"peer-{number:04}"} for number in range(1, 1001))]
    content = {"name": "film", "bytes": 5000, "blocks": 5000, "block_bytes": 1, "digest": "x"}
    run = Run({"peers": peers, "content": content}, {})
    found = blocks.columns(run)
    assert found["blocks:image"]["image"][0].shape == (111, 1667)
    assert found["blocks:title"]["text"][0].startswith(
        "a sample: 111 of 1,000 peers x a sample: 1,667 of 5,000 blocks\n"
    )
    assert found["blocks:blocks"]["block"][:3] == [0, 3, 6], "round places on the axis have round numbers"
    assert found["blocks:peers"]["peer"][9] == "0090", "the tenth row, with every ninth peer"


def test_every_block_is_drawn_of_up_to_2048():
    content = {"name": "film", "bytes": 2048, "blocks": 2048, "block_bytes": 1, "digest": "x"}
    found = blocks.columns(Run({"peers": [{"peer": TRACKER}, {"peer": "peer-1"}], "content": content}, {}))
    assert found["blocks:blocks"]["block"] == list(range(2048))


def test_a_peer_that_is_not_here_yet_looks_unlike_one_that_has_nothing():
    arrived = np.array([[NEVER, 9], [9, 9]], dtype=np.float32)
    shown = blocks.seen(arrived, np.array([0.0, 5.0]), np.array([NEVER, NEVER]), 2.0)
    assert shown.image.tolist() == [[blocks.MISSING] * 2, [blocks.ABSENT] * 2]
    assert len(set(blocks.COLOURS)) == len(blocks.SAID) == len(blocks.COLOURS)
    late = simulated({"arrivals": {"within": "9s"}}, peers=3)[0]
    joined_s = late.lives().filter(peer="peer-03")["joined_s"][0]
    image = blocks.columns(late, joined_s / 2)["blocks:image"]["image"][0]
    assert set(image[2].tolist()) == {blocks.ABSENT}


def test_each_held_block_has_the_peer_that_gave_it(run):
    found = blocks.columns(run)
    names = found["blocks:sources"]["name"]
    peers = {peer: row for row, peer in enumerate(run.peer_names)}
    sort = dict(run.members.select("peer", "behaviour").iter_rows())
    for peer, block, source in run.blocks.filter(verdict="useful").select("peer", "block", "source").iter_rows():
        given = found["blocks:peers"]["source"][peers[peer]][block]
        assert names[given] == f"from peer {short(source, sort[source])}".replace("peer seed", "the seed")
    assert names[0] == "from the start"


# choking


def test_the_matrix_holds_the_slots_that_the_run_says(run):
    for at_s in (run.end_s / 3, run.end_s):
        found = choking.columns(run, at_s)
        drawn = {
            (serves, served, slot)
            for slot in ("fixed", "guest")
            for serves, served in zip(*(found[f"choking:{slot}"][end] for end in ("serves", "served")), strict=True)
        }
        sort = dict(run.members.select("peer", "behaviour").iter_rows())
        assert drawn == {
            (short(peer, sort[peer]), short(neighbour, sort[neighbour]), slot)
            for peer, neighbour, slot in run.choking_at(at_s).iter_rows()
        }


def test_of_many_peers_those_that_serve_each_other_are_drawn(monkeypatch):
    monkeypatch.setattr(choking, "PEERS_MAX", 3)
    run = written(
        serves(1.0, TRACKER, "peer-03", "fixed"), serves(1.0, "peer-03", "peer-01", "guest"), held={"peer-02": 1}
    )
    assert choking.drawn(run, run.choking()) == [TRACKER, "peer-01", "peer-03"]
    assert title(run, "choking").startswith("a sample: 3 of 4 actors\n")


# the others


def test_the_lower_bound_is_drawn_where_it_is_known(run):
    found = columns(run, "completion")
    assert found["completion:bound"]["at_s"] == [run.summary["bound_s"]]
    assert found["completion:title"]["text"][0].startswith("6 of 6 peers complete, the last after ")


def test_a_legend_names_nothing_that_is_not_there(run):
    def shown(run: Run) -> set[str]:
        clock = PageClock(run)
        items = [
            item
            for picture in (completion.picture(run, clock), blocks.picture(run, clock))
            for item in picture.model.select({"type": LegendItem})
        ]
        return {
            item.label["value"] if isinstance(item.label, dict) else item.label.value for item in items if item.visible
        }

    always = {"peers complete", "blocks held", "missing", "held", "held, rarest", "a rarest block"}
    started = [event(0.0, f"peer-0{number}", "started") for number in (1, 2, 3)]
    assert shown(written(*started)) == always
    assert shown(run) == always | {"bound"}
    left = written(*started[:2], event(5.0, "peer-01", "died"), event(4.0, "peer-03", "started"))
    assert shown(left) == always | {"peer gone", "peer not here yet"}


def test_the_sum_of_the_rates_is_what_arrived(run):
    found = columns(run, "rates")["rates:all"]
    steps_s = np.diff(found["at_s"])
    assert sum(found["all_bps"][:-1] * steps_s) == pytest.approx(run.blocks["bytes"].sum())


def test_copies_are_those_of_the_table(run):
    assert columns(run, "copies")["copies:all"]["least"] == run.availability()["least"].to_list()


def test_of_many_arrows_the_strongest_are_drawn_and_the_title_says_so(run, monkeypatch):
    monkeypatch.setattr(graph, "EDGES_MAX", 5)
    found = graph.columns(run)
    drawn = sorted(found["graph:peers"]["bytes"] + found["graph:seed"]["bytes"])
    assert drawn == sorted(run.gave()["bytes"])[-5:]
    assert found["graph:title"]["text"][0].startswith(f"the strongest 5 of {run.gave().height} arrows, ")


def test_arrows_there_and_back_bend_apart():
    run = written(came(1.0, "peer-01", 0, source="peer-02"), came(1.0, "peer-02", 0, source="peer-01"))
    there, back = zip(*(graph.columns(run)["graph:peers"][axis] for axis in ("xs", "ys")), strict=True)
    assert there[0][6] != back[0][6]


def test_shares_are_in_the_order_of_the_ratio_and_free_riders_come_first(run):
    found = shares.columns(run)["shares:peers"]
    assert found["ratio"] == sorted(found["ratio"])
    assert found["behaviour"][0] == "free-rider"
    assert "Jain's index" in shares.columns(run)["shares:ratio-title"]["text"][0]


def test_messages_are_counted_by_verb_also_those_of_none(run):
    found = messages.columns(run)["messages:verbs"]
    assert found["verb"] == list(MessageCounts.__struct_fields__)
    assert [said.strip() for said in found["said"]] == [f"{count:,}" for count in run.summary["messages"].values()]


def test_messages_without_a_sender_come_from_the_summary(run):
    older = Run({"summary": run.summary}, run.records)
    assert messages.columns(older) == messages.columns(run)


def test_what_went_wrong_stands_on_the_axis_with_its_reason():
    run = written(
        came(1.0, "peer-01", 0),
        event(3.0, "peer-02", "died", "killed"),
        event(4.0, "peer-03", "banned", "by peer-01"),
        event(5.0, "peer-03", "banned", "by peer-02"),
        faults=[{"at_s": 2.0, "what": "cut", "who": "peer-01", "until_s": None}],
    )
    found = timeline.columns(run)
    assert found["timeline:events"]["at_s"] == [2.0, 3.0, 4.0, 5.0]
    assert found["timeline:events"]["why"] == ["cut", "killed", "by peer-01", "by peer-02"]
    assert found["timeline:title"]["text"] == ["fault: 1, died: 1, banned: 1"]


def test_what_was_done_by_hand_stands_on_the_axis_too():
    run = written(event(3.0, "peer-02", "killed"), event(4.0, "peer-03", "limited", "to 1 MiB/s"))
    found = timeline.columns(run)
    assert found["timeline:events"]["kind"] == [timeline.HAND] * 2
    assert found["timeline:events"]["why"] == ["killed", "limited to 1 MiB/s"]
    assert found["timeline:title"]["text"] == ["by hand: 2"]


# the notebook


def test_a_picture_shows_itself_as_html_and_as_text_and_has_its_table(run):
    shown = run.plot.blocks()
    told = shown._repr_mimebundle_()
    assert set(told) == {"text/html", "text/plain"}
    assert "6 peers x 32 blocks" in told["text/plain"]
    assert "6 peers x 32 blocks" in told["text/html"].partition("<script>")[0], "also where scripts are not run"
    assert shown.table.equals(run.arrivals())


def test_every_picture_is_one_call(run):
    for name in MAKERS:
        assert getattr(run.plot, name)().picture.name == name
    assert all(f"{name}()" in repr(run.plot) for name in MAKERS)


def test_only_the_first_cell_of_a_notebook_brings_bokeh_along_also_when_it_is_run_again(run, monkeypatch):
    class Shell:
        cell = "first"

        def get_parent(self):
            return {"metadata": {"cellId": self.cell}, "content": {"code": "run.plot.graph()"}}

    shell = Shell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    monkeypatch.setattr("minibit.lab.plot.Shown._carrier", None)
    sizes = []
    for cell in ("first", "second", "first"):
        shell.cell = cell
        sizes.append(packed_library() in run.plot.graph()._repr_html_())
    assert sizes == [True, False, True]

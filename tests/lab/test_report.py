"""The report and the pictures of a notebook, opened in a real browser with the network cut."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from browser import Open
from click.testing import CliRunner, Result
from lab_runs import came, event, simulated, written

from minibit.cli import swarm
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.lab import Run, load
from minibit.lab.pictures import MAKERS, blocks, choking
from minibit.lab.pictures.names import short
from minibit.lab.report import write
from minibit.lab.words import known
from minibit.run.figures import figures
from minibit.run.summary import Summary
from minibit.units import show_bytes

SCRIPT = Path(__file__).parents[2] / "experiments" / "run_swarm.py"
SMALL = ["--world", "sim", "--peers", "2", "--size", "64KiB", "--out", "run"]
SECTIONS = ["time", *MAKERS, "peers"]
RUN_BYTES_MAX = 5_000_000


@pytest.fixture(scope="module")
def run() -> Run:
    return simulated(peers=6, behave="free-rider=1", name="tuesday")[0]


@pytest.fixture(scope="module")
def report(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(run, tmp_path_factory.mktemp("report") / "report.html")


# in the browser


@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_without_a_network_asks_for_nothing_and_complains_of_nothing(report, opened: Open, width):
    found = opened(report, width=width).drawn()
    assert (found.requests, found.errors) == ([], [])
    assert found.page.eval_on_selector_all("section", "all => all.map((one) => one.id)") == SECTIONS
    assert found.page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"


def test_the_slider_moves_the_pictures_of_a_moment_as_the_tables_say(run, report, opened: Open):
    found = opened(report).drawn()
    for at_s in (run.end_s / 3, run.end_s):
        found.set_clock(at_s)
        expected = {**blocks.columns(run, at_s), **choking.columns(run, at_s)}
        (image,) = found.source("blocks:image")["image"]
        assert image == expected["blocks:image"]["image"][0].ravel().tolist()
        assert found.source("blocks:rarest") == expected["blocks:rarest"]
        for slots in ("choking:fixed", "choking:guest"):
            assert found.source(slots) == expected[slots]
        titles = found.page.evaluate(
            "Bokeh.documents[0].roots().flatMap((one) => one.title ? [one.title.text] : [])",
        )
        assert {expected[name]["text"][0] for name in ("blocks:title", "choking:title")} <= set(titles)


def test_the_mouse_on_a_block_says_since_when_and_from_whom(run, report, opened: Open):
    found = opened(report).drawn()
    peer, block, at_s, source = run.blocks.filter(verdict="useful").select("peer", "block", "at_s", "source").row(-1)
    row = run.peer_names.index(peer) + blocks.FIRST_ROW

    def said() -> str:
        return found.page.evaluate(
            """([x, y]) => [...Bokeh.documents[0].all_models]
                .find((one) => one.type === "CustomJSHover" && "sources" in one.args)
                .format(0, "", {x, y})""",
            [block, row],
        )

    found.set_clock(run.end_s)
    giver = "the seed" if source == TRACKER else f"peer {short(source)}"
    assert said() == f"held since {at_s:.2f} s, from {giver}"
    found.set_clock(0.0)
    assert said() == f"missing until {at_s:.2f} s"


def test_it_is_dark_on_a_dark_system_and_follows_the_system(report, opened: Open):
    found = opened(report, dark=True).drawn()
    figure = "Bokeh.documents[0].roots().find((one) => one.title)"
    for scheme, page, frame, text in (
        ("dark", "rgb(21, 24, 28)", "#15181C", "#DDE2E7"),
        ("light", "rgb(255, 255, 255)", "#FFFFFF", "#222222"),
        ("dark", "rgb(21, 24, 28)", "#15181C", "#DDE2E7"),
    ):
        found.page.emulate_media(color_scheme=scheme)
        assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") == page
        shown = f"{figure}.background_fill_color.toUpperCase() + {figure}.title.text_color.toUpperCase()"
        found.page.wait_for_function(f"{shown} === '{frame}{text}'")
    assert found.errors == []


def test_the_table_of_peers_has_a_row_and_headings_for_readers_that_see_no_picture(run, report, opened: Open):
    page = opened(report).page
    heads = page.eval_on_selector_all("#peers thead th[scope=col]", "all => all.map((one) => one.textContent)")
    assert heads == ["peer", "behaviour", "complete", "got", "gave"]
    rows = page.eval_on_selector_all("#peers tbody tr", "all => all.map((one) => one.innerText.split('\\t'))")
    expected = run.outcomes().filter(peer="peer-03").row(0, named=True)
    assert [row[0] for row in rows] == run.members["peer"].to_list()
    assert rows[3][:3] == ["peer-03", "honest", f"{expected['completed_s']:.1f} s"]
    assert rows[3][3:] == [show_bytes(expected["got_bytes"]), show_bytes(expected["gave_bytes"])]
    assert page.text_content("code").startswith("minibit swarm --peers 6 --size 1MiB --block-size 32KiB ")


def test_play_lets_the_clock_run_to_the_end_and_stops_there(run, report, opened: Open):
    found = opened(report).drawn()
    found.set_clock(run.end_s * 0.97)
    found.page.get_by_role("button", name="play").click()
    clock = "Bokeh.documents[0].get_model_by_name('time:slider')"
    found.page.wait_for_function(f"{clock}.value === {clock}.end")
    found.page.wait_for_function("!Bokeh.documents[0].get_model_by_name('time:play').active")
    assert found.errors == []


def test_a_page_that_is_fed_goes_with_the_end_of_its_run(run, opened: Open, tmp_path):
    found = opened(write(run, tmp_path / "report.html")).drawn()
    found.set_clock(run.end_s)
    found.page.evaluate("Bokeh.documents[0].get_model_by_name('time:axis').data = {end_s: [1000]}")
    clock = "Bokeh.documents[0].get_model_by_name('time:slider')"
    assert found.page.evaluate(f"[{clock}.value, {clock}.end]") == [1000, 1000]
    found.page.evaluate("Bokeh.documents[0].get_model_by_name('messages:title').data = {text: ['none at all']}")
    assert "none at all" in found.page.evaluate("Bokeh.documents[0].roots().map((one) => one.title?.text)")


def test_what_is_odd_in_the_records_harms_no_page(opened: Open, tmp_path):
    evil = '</script><img src="http://192.0.2.1/x"><script>throw new Error("evil")</script>'
    odd = written(came(1.0, "peer-01", 0), event(2.0, "peer-01", "failed", evil), run=evil)
    found = opened(write(odd, tmp_path / "report.html")).drawn()
    assert (found.requests, found.errors) == ([], [])
    assert found.source("timeline:events")["why"] == [evil]
    assert found.page.text_content("h1") == evil


def test_an_empty_run_has_a_report_that_says_what_is_missing(opened: Open, tmp_path):
    found = opened(write(Run({}, {}, None, ("There is no run.json.",)), tmp_path / "report.html")).drawn()
    assert (found.requests, found.errors) == ([], [])
    assert found.page.text_content(".missing") == "There is no run.json."
    assert found.page.eval_on_selector_all("section", "all => all.length") == len(SECTIONS)


def test_pictures_of_a_notebook_show_themselves_and_only_one_brings_bokeh(run, opened: Open, tmp_path, monkeypatch):
    carries = iter([False, True, False])
    monkeypatch.setattr("minibit.lab.plot.Shown._carries", lambda _: next(carries))
    page = tmp_path / "notebook.html"
    pictures = (run.plot.graph(), run.plot.blocks(), run.plot.choking())
    page.write_text("<!DOCTYPE html>" + "".join(picture._repr_html_() for picture in pictures), encoding="utf-8")
    found = opened(page)
    found.page.wait_for_function("window.Bokeh !== undefined && Bokeh.documents.length === 3")
    found.drawn()
    assert (found.requests, found.errors) == ([], [])
    assert found.page.locator("canvas").count() >= 3
    assert "trust the notebook" not in found.page.inner_text("body")


@pytest.mark.parametrize(("theme", "dark"), [("", False), ("", True), ("true", True), ("false", False)])
def test_a_picture_of_a_notebook_goes_by_the_theme_of_the_notebook_and_else_by_the_system(
    run, opened: Open, tmp_path, monkeypatch, theme, dark
):
    monkeypatch.setattr("minibit.lab.plot.Shown._carries", lambda _: True)
    page, attribute = tmp_path / "notebook.html", f' data-jp-theme-light="{theme}"' * bool(theme)
    page.write_text(f"<!DOCTYPE html><body{attribute}>{run.plot.copies()._repr_html_()}", encoding="utf-8")
    found = opened(page, dark=dark)
    found.page.wait_for_function("window.Bokeh !== undefined && Bokeh.documents.length === 1")
    found.drawn()
    text = found.page.evaluate("Bokeh.documents[0].roots()[0].children[0].title.text_color.toUpperCase()")
    assert text == ("#DDE2E7" if theme == "false" or (not theme and dark) else "#222222")
    assert found.errors == []


# without a browser


def test_the_report_of_50_peers_and_1000_blocks_stays_below_its_limit(tmp_path):
    peers = [f"peer-{number:02}" for number in range(1, 51)]
    order = np.random.default_rng(1).permutation(50 * 1000)
    arrived = {
        "at_s": np.arange(50_000) / 500,
        "peer": [peers[one // 1000] for one in order],
        "block": order % 1000,
        "source": [TRACKER if one % 9 == 0 else peers[one * 7 % 50] for one in order],
        "took_s": np.ones(50_000),
        "verdict": ["useful"] * 50_000,
        "bytes": np.full(50_000, 65536),
    }
    content = {"name": "film", "bytes": 1000 * 65536, "blocks": 1000, "block_bytes": 65536, "digest": "x"}
    about = {"content": content, "peers": [{"peer": name, "behaviour": "honest"} for name in (TRACKER, *peers)]}
    path = write(Run(about, {"blocks": pl.DataFrame(arrived)}), tmp_path / "report.html")
    assert path.stat().st_size < RUN_BYTES_MAX


def test_the_summary_says_what_the_run_was_and_came_to(run):
    found = {figure.question: figure.text for figure in known(run)}
    assert found["complete"] == "6 of 6"
    assert found["content"] == "1 MiB, made content, 32 blocks of 32 KiB"
    assert found["behaviour"] == "1 free-rider, all others honest"
    assert "efficiency" in found["at best"]


def test_a_run_without_a_summary_says_how_far_it_came():
    run = written(came(1.0, "peer-01", 0), event(2.0, "peer-01", "completed"))
    found = {figure.question: figure.text for figure in known(run)}
    assert (found["complete"], found["until"]) == ("1 of 3", "10 s")


def test_the_report_has_the_figures_of_the_table_on_the_command_line(run, report):
    page = report.read_text(encoding="utf-8")
    for figure in figures(msgspec.convert(run.summary, Summary)):
        assert f"<tr><th>{figure.question}</th><td>{figure.text}</td></tr>" in page


def test_no_half_report_stays_where_one_could_not_be_made(run, tmp_path, monkeypatch):
    monkeypatch.setattr("minibit.lab.report.html", lambda _: "whole")
    path = write(run, tmp_path / "report.html")
    monkeypatch.setattr("minibit.lab.report.html", lambda _: "half \ud800")  # no text that can be written
    with pytest.raises(UnicodeEncodeError):
        write(run, path)
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_isnt_there_is_explained(run, tmp_path):
    with pytest.raises(LocalError, match=r"can't write .*No such file or directory.*: give another path"):
        run.report(tmp_path / "nowhere" / "report.html")


def test_a_swarm_writes_the_report_of_its_run_so_far(run, tmp_path, monkeypatch):
    from minibit.actors.driver.own_swarm import OwnSwarm  # noqa: PLC0415  imports Ray

    monkeypatch.setattr("minibit.lab.report.html", lambda run: run.name)
    swarm = types.SimpleNamespace(run=run)
    assert OwnSwarm.report(swarm, tmp_path / "report.html").read_text() == "tuesday"  # type: ignore[arg-type]


# from the command line


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run a small simulation with the script, in this process and a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return lambda *arguments: CliRunner().invoke(swarm.main, [*SMALL, *arguments], prog_name="run_swarm.py")


def test_a_run_writes_its_report_beside_its_records(ran, tmp_path):
    result = ran()
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == "report in run/report.html"
    assert load(tmp_path / "run").name in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_no_report_is_written_with_no_report(ran, tmp_path):
    assert ran("--no-report").exit_code == 0
    assert not (tmp_path / "run" / "report.html").exists()


def test_without_bokeh_one_line_says_so_and_the_run_is_a_run(tmp_path):
    program = f"""
import runpy, sys
sys.modules["bokeh"] = None
sys.argv = ["run_swarm.py", *{SMALL!r}]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "no report: it needs bokeh: pip install 'minibit[lab]'"
    assert (tmp_path / "run" / "blocks.parquet").exists()


def test_a_report_that_fails_takes_no_run_with_it(ran, monkeypatch):
    def fails(run, path):
        raise ValueError("a bug")

    monkeypatch.setattr("minibit.lab.report.write", fails)
    result = ran()
    assert result.exit_code == 0
    assert result.stdout.startswith("run")
    assert result.stderr.splitlines()[-1] == "run_swarm: no report: a bug"

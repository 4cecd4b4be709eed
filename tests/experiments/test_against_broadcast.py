"""A file to all hosts, as far as it takes no root: the options, the bound, the table, the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import against_broadcast
import pytest
from against_broadcast import bound_s, main, rows, write
from broadcast_ways import WAYS, Contestant
from click.testing import CliRunner

MIB = 1 << 20


def found(**makespans_s: list[float]) -> dict[str, Any]:
    ways = [
        {"name": name, "title": WAYS[name].title, "turns": [{"makespan_s": s, "whole_s": s + 1} for s in some]}
        for name, some in makespans_s.items()
    ]
    return {"hosts": 6, "rate_bps": 50e6, "content_bytes": 200 * MIB, "bound_s": 4.0, "cores": 2, "ways": ways}


FOUND = found(rsync=[20.0, 22.0, 24.0], push=[4.4, 4.2, 5.0])


def test_the_first_host_must_send_everything_once():
    assert bound_s(6, 200 * MIB, 50e6) == pytest.approx(200 * MIB / 50e6)
    assert bound_s(2, 200 * MIB, 50e6) == bound_s(100, 200 * MIB, 50e6)


def test_medians_count_and_the_fastest_way_comes_first():
    first, second = rows(FOUND)
    assert (first["way"], first["of the bound"], first["turns"]) == ("minibit push", "1.10", "4.2 s to 5 s")
    assert (second["way"], second["of the bound"], second["in all"]) == ("rsync, one at a time", "5.50", "23 s")


def test_a_way_that_ran_once_has_no_range_of_turns():
    assert rows(found(ray=[8.0]))[0]["turns"] == ""


def test_the_page_has_a_row_for_each_way_and_a_picture_for_light_and_dark_pages(tmp_path: Path):
    write(page := tmp_path / "new" / "page.md", FOUND)
    text = page.read_text()
    assert "200 MiB from one host to 5" in text
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")] == [
        "way",
        "minibit push",
        "rsync, one at a time",
    ]
    assert sorted(path.name for path in page.parent.iterdir()) == ["page-dark.svg", "page.md", "page.svg"]
    assert page.with_name("page.svg").read_text() != page.with_name("page-dark.svg").read_text()


def test_the_same_figures_give_the_same_page(tmp_path: Path):
    texts = []
    for _ in range(2):
        write(tmp_path / "page.md", FOUND)
        texts.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--only", "push,carrier-pigeon"], "no way is called 'carrier-pigeon'"),
        (["--hosts", "1"], "1 is not in the range"),
        (["--rate", "fast"], "fast"),
        (["--size", "much"], "much"),
    ],
)
def test_what_can_t_be_read_is_said_before_anything_starts(given: list[str], said: str):
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 2 and said in done.output


def test_what_a_way_lacks_is_said(monkeypatch: pytest.MonkeyPatch):
    lame = Contestant("a lame way", lambda hosts: 0.0, lambda: "it lacks a leg")
    monkeypatch.setattr(against_broadcast, "WAYS", {"lame": lame})
    done = CliRunner().invoke(main, ["--only", "lame"])
    assert "a lame way is left out: it lacks a leg" in done.output
    assert "no way is left" in done.output

"""A terminal's picture shows what stands on it at the end, in its colours, and loads nothing."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

from click.testing import CliRunner
from terminal_picture import main, screen

BARS = """
import sys
from rich.progress import Progress
with Progress() as bars:
    task = bars.add_task("blocks", total=3)
    for word in ("first", "second", "third"):
        bars.print(word)
        bars.advance(task)
        bars.refresh()
sys.exit(4)
"""


def test_the_picture_is_of_the_last_moment_and_the_exit_code_that_of_the_command(tmp_path: Path):
    path, script = tmp_path / "drawn.svg", tmp_path / "bars.py"
    script.write_text(BARS)
    result = CliRunner().invoke(main, ["--out", str(path), sys.executable, str(script)])
    text = "\n".join(ElementTree.parse(path).getroot().itertext()).replace("\xa0", " ")
    assert result.exit_code == 4
    assert [text.count(told) for told in ("first", "second", "third", "100%", "33%")] == [1, 1, 1, 1, 0]
    assert not re.search(r"url\((?!#)|https?://(?!www\.(w3|textualize)\.)", path.read_text())


def test_what_is_drawn_again_in_place_replaces_what_stood_there():
    assert screen("one\r\ntwo\x1b[2K\x1b[1A\x1b[2Kthree\r\nfour") == ["three", "four"]

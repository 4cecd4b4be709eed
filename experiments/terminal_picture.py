"""Run a command in a terminal of its own, and draw what stands there at its end as an SVG.

    python experiments/terminal_picture.py minibit swarm --peers 12 --upload 4MiB/s --seed-upload 8MiB/s

That is the first picture of both READMEs. It loads nothing. The exit code is that of the command.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import click
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "docs" / "img" / "run_swarm.svg"
FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # rich's own is fetched from the network
MOVE = re.compile(r"(\n|\r|\x1b\[\d*[AK]|\x1b\[\?25[lh])")  # what bars use to be drawn again in place


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=PICTURE, help="[that of README]")
@click.option("--columns", type=click.IntRange(20, 400), default=96, show_default=True)
def main(command: tuple[str, ...], out: Path, columns: int) -> None:
    """Run COMMAND and draw its terminal."""
    told, code = run(command, columns)
    out.write_text(drawn(shlex.join(command), screen(told), columns))
    sys.exit(code)


def run(command: tuple[str, ...], columns: int) -> tuple[str, int]:
    """All that the command wrote to its terminal, and its exit code."""
    parts: list[bytes] = []

    def read(terminal: int) -> bytes:
        parts.append(os.read(terminal, 65536))
        return parts[-1]

    os.environ |= {"COLUMNS": str(columns), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    status = pty.spawn(list(command), read)
    return b"".join(parts).decode(), os.waitstatus_to_exitcode(status)


def screen(told: str) -> list[str]:
    """The lines that stand on a terminal when all this was written; their colours stay in them."""
    lines, row = [""], 0
    for part in filter(None, MOVE.split(told)):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A"):
            row -= min(row, int(part[2:-1] or 1))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not MOVE.fullmatch(part):
            lines[row] += part
    return lines


def drawn(command: str, lines: list[str], columns: int) -> str:
    """The picture: the command behind a prompt, and these lines."""
    console = Console(file=StringIO(), record=True, width=columns, color_system="truecolor", force_terminal=True)
    for line in shown(command, lines):
        console.print(line, soft_wrap=True)
    picture = console.export_svg(title="Minibit", theme=SVG_EXPORT_THEME, unique_id="minibit")
    return FONT.sub("", picture).replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


def shown(command: str, lines: list[str]) -> Iterator[Text]:
    """The prompt and the lines, without the empty ones at the end."""
    yield Text.assemble(("$", "green"), f" {command}")
    yield from map(Text.from_ansi, "\n".join(lines).rstrip().split("\n"))


if __name__ == "__main__":
    main()

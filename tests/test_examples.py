"""Every block of shell, Python and TOML in the README and the documents does what it says, through to its end.

A block that can't run here has a line before it: `<!-- not run: why -->`. The others run as they stand, in a folder of
their own that has the files they name, except that swarms are small: `MINIBIT_SIZE` is set, thousands of peers become
dozens, and swarms of real actors are simulated. The two programs with a handle run with real actors.
"""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from minibit.cli.commands import COMMANDS
from minibit.cli.commands import load as command
from minibit.compare import grid, one_run
from minibit.lab import load
from minibit.run.options import TABLE, Options

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- not run: (.+?) -->\n)?^```(sh|python|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
REAL = re.compile(r"Swarm\.launch|minibit\.push|minibit push|--to /data")  # what needs real actors
MANY = re.compile(r"(--peers |peers=)(\d{2,})")
PEERS_MAX = 20

SMALL = {"MINIBIT_SIZE": "1MiB", "MINIBIT_QUIET": "1"}
ENDS = (0, 4, 5)  # done; some peers are incomplete, or time is over, as a scenario may want it
PROGRAMS = {"cd": "it only goes to a folder", "xdg-open": "it opens a browser"}
"""Commands in blocks that are not ours, and are passed over."""


class Block(NamedTuple):
    """A block of a page, with the reason why it is not run, if there is one."""

    page: str
    number: int
    why: str | None
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.kind}-{self.number}"


def blocks(page: Path) -> list[Block]:
    return [
        Block(page.relative_to(ROOT).as_posix(), number, *found.groups())
        for number, found in enumerate(BLOCK.finditer(page.read_text()), 1)
    ]


EVERY = [block for page in PAGES for block in blocks(page)]
RUN = [block for block in EVERY if block.why is None]


def of(kind: str, *pages: str) -> list[Block]:
    return [block for block in RUN if block.kind == kind and (not pages or block.page in pages)]


def smaller(text: str) -> str:
    """The same with fewer peers."""
    return MANY.sub(lambda found: found[1] + str(min(PEERS_MAX, int(found[2]))), text)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with all that the blocks name; swarms are small."""
    for name in ("film.mp4", "model.bin"):
        (tmp_path / name).write_bytes(bytes(300_000))
    grids = [block.text for block in EVERY if block.page == "docs/compare.md" and block.kind == "toml"]
    scenarios = [block.text for block in EVERY if block.page == "docs/simulation.md" and block.kind == "toml"]
    (tmp_path / "my.toml").write_text(grids[0])
    (tmp_path / "evening.toml").write_text(next(text for text in scenarios if "[arrivals]" in text))
    for name in ("strategies_example.py", "grids"):
        (tmp_path / name).symlink_to(ROOT / "experiments" / name)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_block_that_is_not_run_says_why():
    assert [str(block) for block in EVERY if block.why is not None and len(block.why.split()) < 3] == []
    assert len(RUN) > len(EVERY) * 2 / 3


# shell


def lines(text: str) -> list[list[str]]:
    """The commands of a block as words, without comments."""
    return [words for line in text.replace("\\\n", " ").splitlines() if (words := shlex.split(line, comments=True))]


def invoke(name: str, arguments: list[str]) -> str:
    result = CliRunner().invoke(command(name), arguments, prog_name=f"minibit {name}")
    assert result.exit_code in ENDS, f"{name} {shlex.join(arguments)}: {result.output}{result.exception!r}"
    return result.output


def swarm(arguments: list[str], report: bool = False) -> None:
    """Run a swarm: simulated, without the options that only real actors know, which are read nevertheless."""
    rest, words, given = iter(arguments), [], {}
    for word in rest:
        option = TABLE.get(word.removeprefix("--").replace("-", "_")) if word.startswith("--") else None
        if option is None:
            words += [word] if word != "--live" else []
            continue
        values = [next(rest)] if option.metavar else []
        given[option.name] = values[0] if values else True
        if option.world != "ray":
            words += [word, *values]
    Options.build(**given)
    words += [] if "--world" in words else ["--world", "sim"]
    words += [] if report else ["--no-report"]
    before = set(Path("runs").iterdir()) if Path("runs").exists() else set()
    invoke("swarm", words)
    (folder,) = [Path(given["out"])] if "out" in given else set(Path("runs").iterdir()) - before
    run = load(folder)
    assert run.missing == ()
    assert run.summary is not None
    assert (folder / "report.html").exists() == report


def compare(arguments: list[str]) -> None:
    """Read the grid of a comparison, and run its first cell."""
    first = grid.load(Path(arguments[0])).runs()[0]
    assert "lost" not in one_run.run({**first.options, "peers": 8, "behave": {}, "size": "1MiB"}, first.scenario)


def tournament(arguments: list[str]) -> None:
    """A tournament of two runs with few peers."""
    if "--world" in arguments:  # of real actors: what they play is read as in a simulation
        arguments[arguments.index("--world") + 1] = "sim"
    invoke("tournament", [*arguments, "--peers", "2", "--seeds", "1", "--size", "1MiB", "--quiet"])


SCRIPTS: dict[str, Callable[[list[str]], Any]] = {"swarm": swarm, "compare": compare, "tournament": tournament}


def script(path: str, arguments: list[str]) -> None:
    """Run a script of `experiments/` in this process; `classic.py --check` says by 9 that a rule is broken."""
    main = runpy.run_path(str(ROOT / path))["main"]
    result = CliRunner().invoke(main, arguments, prog_name=path)
    assert result.exit_code in (0, 9), f"{path} {shlex.join(arguments)}: {result.output}{result.exception!r}"


@pytest.mark.parametrize("block", [one for one in of("sh") if not REAL.search(one.text)], ids=str)
def test_every_block_of_shell_does_what_it_says(block: Block, here: Path):
    text = block.text if "teams" in block.text else smaller(block.text)
    for words in lines(text):
        match words:
            case ["minibit", name, *arguments]:
                assert name in COMMANDS
                SCRIPTS.get(name, lambda given, name=name: invoke(name, given))(arguments)
            case ["python", "experiments/run_swarm.py", *arguments]:
                swarm(arguments)
            case ["python", path, *arguments]:
                script(path, arguments)
            case [program, *_]:
                assert program in PROGRAMS, f"{program}: say before the block why it is not run"


# TOML


@pytest.mark.parametrize("block", of("toml", "docs/simulation.md"), ids=str)
def test_every_scenario_runs_through_to_a_folder_that_loads(block: Block, here: Path):
    (here / "scenario.toml").write_text(block.text)
    swarm(["--peers", "40", "--upload", "1MiB/s", "--timeout", "30s", "--scenario", "scenario.toml"])


@pytest.mark.parametrize("block", of("toml", "docs/compare.md"), ids=str)
def test_every_cell_of_a_grid_runs(block: Block, here: Path):
    found = grid.load(here / "my.toml")
    for cell, runs in groupby(found.runs(), key=lambda run: run.cell):
        first = next(runs)
        small = {**first.options, "peers": 12, "size": "1MiB", "block_size": "64KiB"}
        assert "lost" not in one_run.run(small, first.scenario), cell


def test_there_is_a_test_for_every_page_with_toml():
    assert {block.page for block in of("toml")} == {"docs/simulation.md", "docs/compare.md"}


# Python


def python(text: str, **names: Any) -> dict[str, Any]:
    exec(smaller(text), names)
    return names


@pytest.mark.parametrize("block", [one for one in of("python") if not REAL.search(one.text)], ids=str)
def test_every_block_of_python_runs(block: Block, here: Path, monkeypatch: pytest.MonkeyPatch):
    if "load(" in block.text:
        monkeypatch.setenv("MINIBIT_UPLOAD", "256KiB/s")
        for name in ("NAME", "tuesday"):
            swarm(["--peers", "8", "--name", name])
    earlier = (one.text for one in of("python", block.page) if one.number < block.number)
    python("\n".join([*earlier, block.text]) if block.page == "docs/strategies.md" else block.text)


@pytest.mark.ray
@pytest.mark.parametrize("block", [one for one in of("python") if "Swarm.launch" in one.text], ids=str)
def test_every_program_with_a_handle_runs_with_real_actors(block: Block, here: Path, ray_cluster: str):
    text = re.sub(r"\bpeers=\d+", "peers=7", block.text)
    python(text)
    assert list((here / "runs").iterdir())
    shutil.rmtree(here / "runs")


@pytest.fixture
def model(here: Path) -> Path:
    """A folder to be pushed."""
    (here / "model").mkdir()
    (here / "model" / "config.json").write_text("{}\n")
    return here / "model"


@pytest.mark.ray
@pytest.mark.parametrize("block", [one for one in of("sh") if REAL.search(one.text)], ids=str)
def test_every_command_around_a_push_does_what_it_says(block: Block, model: Path, ray_cluster: str):
    data = f"{model.parent}/data/"
    if "minibit push" not in block.text:
        invoke("push", ["model", "--to", f"{data}model"])
    for words in lines(block.text.replace("/data/", data)):
        assert words[0] == "minibit"
        invoke(words[1], words[2 : words.index(">") if ">" in words else None])


@pytest.mark.ray
@pytest.mark.parametrize("block", [one for one in of("python") if "minibit.push" in one.text], ids=str)
def test_every_program_that_pushes_finds_the_copy_in_its_place(block: Block, model: Path, ray_cluster: str):
    here = model.parent
    python(block.text.replace("/data/", f"{here}/data/"))
    assert (here / "data" / "model" / "config.json").read_text() == "{}\n"

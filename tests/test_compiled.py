"""The compiled rooms: they record what pure Python records, and never run in place of sources that were changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPILER = os.environ.get("CC", "cc").split()[0]
BUILD_S = 600

DIGESTS = """
import json, test_golden
from minibit import compiled, peer
print(compiled.built(), peer.__file__)
print(json.dumps({name: test_golden.digest(name) for name in test_golden.RUNS}))
"""

STRATEGIES = """
from minibit.behaviour import Honest
from minibit.choker import Choker
from minibit.picker import Picker

class Last(Picker):
    def pick(self, choices, availability):
        return availability.rarest(choices)[1].bit_length() - 1

class First(Choker):
    def rank(self, rows, seeding):
        return list(rows)

class Meek(Honest):
    def claims(self, held, block_count):
        return held
"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * BUILD_S)]


def lacking() -> str | None:
    """What this machine lacks to compile, or None."""
    if shutil.which(COMPILER) is None:
        return f"there is no C compiler {COMPILER}"
    return None if find_spec("mypyc") else "there is no mypyc: pip install 'minibit[test]'"


def told(clone: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """What Python says that runs in that clone."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": f"{clone}{os.pathsep}{ROOT / 'tests'}", "MINIBIT_COMPILED": "1", **env},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with compiled rooms."""
    if why := lacking():
        pytest.skip(why)
    clone = tmp_path_factory.mktemp("built")
    for part in ("minibit", "actors", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, clone / part, symlinks=True, ignore=shutil.ignore_patterns("_compiled"))
        else:
            shutil.copy(ROOT / part, clone / part)
    quick = tmp_path_factory.mktemp("bin") / "cc"  # optimizing takes most of the time
    quick.write_text(f'#!/bin/sh\nexec {os.environ.get("CC", "cc")} "$@" -O0\n')
    quick.chmod(0o755)
    done = told(clone, "setup.py", "--quiet", "build_ext", "--build-lib", ".", CC=str(quick))
    assert done.returncode == 0, done.stderr
    return clone


@pytest.fixture
def clone(built: Path) -> Iterator[Path]:
    """The same, for a test that changes it; it is as before afterwards."""
    kept = {path: path.read_bytes() for path in built.glob("minibit/*.py")}
    yield built
    for path, data in kept.items():
        path.write_bytes(data)


def test_compiled_rooms_record_what_pure_python_records(built: Path) -> None:
    done = told(built, "-c", DIGESTS)
    assert done.returncode == 0, done.stderr
    (what, file), digests = done.stdout.splitlines()[0].split(), json.loads(done.stdout.splitlines()[1])
    assert (what, file.endswith(EXTENSION_SUFFIXES[0])) == ("compiled", True)
    assert digests == json.loads((ROOT / "tests" / "golden.json").read_text())


def test_strategies_of_a_user_s_own_run_in_compiled_rooms(built: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(STRATEGIES)
    program = (
        "import minibit\nrun = minibit.simulate(peers=6, size='1MiB', picker='mine:Last', choker='mine:First',"
        " behave='mine:Meek=2')\nprint(run.summary['completed'])"
    )
    done = told(built, "-c", program, PYTHONPATH=f"{built}{os.pathsep}{tmp_path}")
    assert (done.stdout, done.stderr) == ("6\n", "")


def test_the_command_says_what_runs(built: Path) -> None:
    assert told(built, "-m", "minibit", "--version").stdout.endswith("(compiled)\n")
    assert told(built, "-m", "minibit", "--version", MINIBIT_COMPILED="0").stdout.endswith("(pure Python)\n")


WHAT_RUNS = "from minibit import compiled, inventory; print(inventory.EMPTY, compiled.built())"


@pytest.mark.parametrize("room", ["inventory", "events"], ids=["a compiled room", "a room that compiled ones import"])
def test_a_source_that_was_changed_runs_and_its_compiled_room_does_not(clone: Path, room: str) -> None:
    with (clone / "minibit" / f"{room}.py").open("a") as file:
        file.write("\nEMPTY = 'changed'\n")
    done = told(clone, "-c", WHAT_RUNS)
    assert done.stdout.split()[0] == ("changed" if room == "inventory" else "0")
    assert "pure Python: the compiled rooms are older than their sources" in done.stdout
    assert done.stderr.count("RuntimeWarning") == 1 and "make compiled" in done.stderr


def test_a_process_that_another_one_starts_does_not_warn_again(clone: Path) -> None:
    (clone / "minibit" / "events.py").write_text((clone / "minibit" / "events.py").read_text() + "\n")
    child = "import subprocess, sys, minibit; subprocess.run([sys.executable, '-c', 'import minibit'], check=True)"
    assert told(clone, "-c", child).stderr.count("RuntimeWarning") == 1


def test_a_build_that_was_broken_off_is_not_used(clone: Path) -> None:
    stamp = clone / "minibit" / "_compiled" / "sources.sha256"
    kept = stamp.read_text()
    stamp.unlink()
    try:
        assert "pure Python: the compiled rooms were not made to the end" in told(clone, "-c", WHAT_RUNS).stdout
    finally:
        stamp.write_text(kept)


def test_rooms_that_were_compiled_for_another_python_are_not_used(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "minibit", tmp_path / "minibit", ignore=shutil.ignore_patterns("_compiled", "actors"))
    (tmp_path / "minibit" / "_compiled").mkdir()
    done = told(tmp_path, "-c", WHAT_RUNS)
    assert "pure Python: the compiled rooms are of another Python" in done.stdout


def test_a_clone_where_nothing_was_compiled_is_pure_python_and_says_so(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "minibit", tmp_path / "minibit", ignore=shutil.ignore_patterns("_compiled", "actors"))
    done = told(tmp_path, "-c", WHAT_RUNS)
    assert (done.stdout, done.stderr) == ("0 pure Python\n", "")

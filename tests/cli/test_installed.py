"""Minibit as a user has it: built as a wheel, installed into a clean environment, and called from a folder of theirs.

Nothing is downloaded where setuptools is new enough (`pip install 'minibit[test]'`): what Minibit needs comes from the
environment that runs the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[2]
PARTS = ("minibit", "actors", "pyproject.toml", "setup.py", "README.md", "LICENSE")
OFFLINE = int(setuptools.__version__.partition(".")[0]) >= 77
ENOUGH_S = 240

MINE = """
from actors import OFFSET  # of the user's own actors/, and not of Minibit
from minibit.picker import Picker

class Last(Picker):
    def pick(self, choices, availability):
        return choices.bit_length() - OFFSET
"""

pytestmark = pytest.mark.timeout(2 * ENOUGH_S)


def run(*command: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """What a command says in an environment that knows nothing of this clone."""
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "RAY_ADDRESS"}}
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the clone."""
    clone, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, clone / part, **({"symlinks": True} if copy is shutil.copytree else {}))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out]
    built = run(*pip, *(["--no-build-isolation"] if OFFLINE else []), ".", cwd=clone)
    if built.returncode and not OFFLINE:
        pytest.skip(f"this setuptools is too old, and no newer one can be had: {built.stderr}")
    assert built.returncode == 0, built.stderr
    return next(out.iterdir())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of a new environment that has this wheel, and what it needs from ours."""
    venv = tmp_path_factory.mktemp("venv")
    assert run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv).returncode == 0
    site = next(venv.glob("lib/python*/site-packages"))
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python"]
    done = run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=venv)
    assert done.returncode == 0, done.stderr
    # after what it has itself; files that end in .pth have no effect there, so our own Minibit stays out
    (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return venv / "bin"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's folder, with names that are also Minibit's."""
    (tmp_path / "actors").mkdir()
    (tmp_path / "actors" / "__init__.py").write_text("OFFSET = 1\n")
    for name in ("swarm", "results", "rows", "grid", "cli"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('this is not of Minibit')\n")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def test_a_wheel_has_everything_but_tests_and_experiments(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    kept = {path.relative_to(ROOT).as_posix() for path in (ROOT / "minibit").rglob("*") if path.is_file()}
    kept = {name for name in kept if not {"__pycache__", "_compiled"} & set(name.split("/"))}
    theirs = {f"minibit/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "actors").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == kept | theirs


def test_the_metadata_says_licence_version_and_what_is_needed(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel)
    text = packed.read(next(name for name in packed.namelist() if name.endswith("METADATA"))).decode()
    for line in ("Name: minibit", "License-Expression: MIT", "Requires-Dist: ray<3,>=2.60", "Typing :: Typed"):
        assert line in text
    assert "# Minibit" in text, "the README"


def test_the_command_works_from_any_folder_in_simulation(installed: Path, home: Path) -> None:
    assert run(installed / "minibit", "--help", cwd=home).stdout.startswith("Usage: minibit ")
    arguments = ("--world", "sim", "--peers", 3, "--size", "1MiB", "--picker", "mine:Last", "--name", "mine")
    done = run(installed / "minibit", "swarm", *arguments, "--json", cwd=home)
    assert (done.returncode, json.loads(done.stdout)["completed"]) == (0, 3), done.stderr
    assert (home / "runs" / "mine" / "report.html").exists()
    assert "3 of 3" in run(installed / "minibit", "runs", "ls", cwd=home).stdout
    assert run(installed / "python", "-m", "minibit", "runs", "show", "mine", cwd=home).returncode == 0


def test_a_comparison_works_from_any_folder(installed: Path, home: Path) -> None:
    options = "peers = 2\nsize = '64KiB'\npicker = 'mine:Last'"
    (home / "g.toml").write_text(f"title = 'T'\nrepeats = 1\n[options]\n{options}\n")
    done = run(installed / "minibit", "compare", "g.toml", "--quiet", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.ray
def test_real_actors_work_from_a_folder_that_has_an_actors_of_its_own(installed: Path, home: Path) -> None:
    arguments = ("--peers", 2, "--size", "256KiB", "--picker", "mine:Last", "--json", "--no-report")
    done = run(installed / "minibit", "swarm", *arguments, cwd=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verified"] == 2

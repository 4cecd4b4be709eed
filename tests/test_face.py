"""`import minibit`: light, and with everything that a user needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import minibit

ROOT = Path(__file__).parent.parent


def told(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_to_import_it_loads_nothing_that_takes_time() -> None:
    loaded = told("import minibit, sys; print(*sys.modules)").split()
    assert {"ray", "polars", "bokeh", "click", "rich", "msgspec", "asyncio"}.isdisjoint(loaded)
    assert [name for name in loaded if name.startswith("minibit.")] == []


def test_every_name_can_be_had_and_is_offered() -> None:
    assert {"Swarm", "simulate", "load", "Options", "Summary", "__version__"} <= set(minibit.__all__)
    assert {"push", "PushResult", "PushError"} <= set(minibit.__all__)
    for name in minibit.__all__:
        assert getattr(minibit, name) is not None
        assert name in dir(minibit)
    assert told("from minibit import *; print(Swarm.__name__, load.__name__)") == "Swarm load\n"


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'minibit' has no attribute 'Swrm'"):
        _ = minibit.Swrm


def test_help_leads_on() -> None:
    shown = told("import minibit, pydoc; print(pydoc.render_doc(minibit, renderer=pydoc.plaintext))")
    for part in ("Swarm.launch(", "simulate(peers=1000", "class Options", "class Summary", "load(path"):
        assert part in shown
    for part in ("push(source", "class PushResult"):
        assert part in shown


def test_types_are_seen_from_outside(tmp_path: Path) -> None:
    assert (ROOT / "minibit" / "py.typed").exists()
    mine = tmp_path / "mine.py"
    mine.write_text("import minibit\nreveal_type(minibit.simulate(peers=3))\nreveal_type(minibit.Swarm)\n")
    command = [sys.executable, "-m", "mypy", mine]  # as `make lint` calls it, whose cache it finds
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 'Revealed type is "minibit.lab.run.Run"' in done.stdout
    assert "minibit.actors.driver.swarm.Swarm" in done.stdout


def test_a_simulation_is_a_line_and_its_run_has_records_and_a_summary() -> None:
    run = minibit.simulate(peers=3, size="256KiB", block_size="64KiB", scenario=minibit.Scenario())
    assert run.summary is not None
    assert (run.world, run.summary["completed"], run.blocks.height) == ("sim", 3, 12)
    same = minibit.simulate(options=minibit.Options.build(world="sim", peers=3, size="256KiB", block_size="64KiB"))
    assert same.blocks.equals(run.blocks)


def test_a_simulation_shares_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(bytes(100_000))
    assert minibit.simulate(tmp_path / "film", peers=2).content["bytes"] == 100_000
    with pytest.raises(minibit.MinibitError, match=r"there is no .*nothing"):
        minibit.simulate(tmp_path / "nothing")


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "minibit.__version__"}


def test_every_package_and_every_extra_that_the_commands_name_is_in_the_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {path.parent for top in ("minibit", "actors") for path in (ROOT / top).rglob("__init__.py")}
    names = {".".join(("minibit." * (path.parts[0] == "actors") + ".".join(path.parts)).split(".")) for path in (
        folder.relative_to(ROOT) for folder in folders if (ROOT / "minibit" / "actors") not in [folder, *folder.parents]
    )}  # fmt: skip
    assert set(project["tool"]["setuptools"]["packages"]) == names
    from minibit.lab.extra import LAB  # noqa: PLC0415

    for module in LAB:
        assert any(one.startswith(module) for one in project["project"]["optional-dependencies"]["lab"])
        assert find_spec(module) is not None

"""The rules of the house: who may import whom, no clock and no global chance in the core, rooms that stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
MINIBIT = sorted((ROOT / "minibit").rglob("*.py"))
ACTORS = sorted((ROOT / "actors").rglob("*.py"))
CORE = [path for path in MINIBIT if path.relative_to(ROOT).parts[1] not in {"sim", "lab"}]
LAB = [path for path in MINIBIT if path.relative_to(ROOT).parts[1] == "lab"]
SIM = [path for path in MINIBIT if path.relative_to(ROOT).parts[1] == "sim"]
ROOMS = MINIBIT + ACTORS

LINES_MAX = 400

CLOCKS = {"time", "datetime", "sched"}
CHANCE = {"secrets", "uuid"}
THREADS = {"threading", "asyncio", "concurrent", "multiprocessing", "subprocess", "signal", "uvloop", "ray"}
DEVICES = {"socket", "select", "selectors", "ssl", "http", "urllib", "os", "io", "mmap", "shutil", "tempfile", "glob"}
OTHERS = {"actors", "experiments", "polars", "bokeh", "rich", "click", "matplotlib", "numpy"}
NOT_IN_THE_CORE = CLOCKS | CHANCE | THREADS | DEVICES | OTHERS

HEAVY = {"polars", "bokeh", "rich", "click", "matplotlib", "pandas", "IPython"}
OF_A_PEER = ["link", "node", "peer", "tracker"]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every import in the file, wherever it stands, as (module, name); the name is "" for a whole module."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def offenders(paths: list[Path], forbidden: set[str]) -> list[str]:
    """The imports in `paths` of a forbidden module, or of anything in it."""
    found = []
    for path in paths:
        for module, name in imports(path):
            parts = [*module.split("."), name]
            if any(".".join(parts[:depth]) in forbidden for depth in range(1, len(parts) + 1)):
                found.append(f"{path.relative_to(ROOT)} imports {module} {name}".strip())
    return found


def test_the_core_knows_no_clock_no_thread_no_device_and_nobody_outside():
    assert offenders(CORE, NOT_IN_THE_CORE) == []


def test_the_core_knows_paths_as_text_only():
    assert [
        f"{path.relative_to(ROOT)}: {name or module}"
        for path in CORE
        for module, name in imports(path)
        if module == "pathlib" and name not in {"PurePath", "PurePosixPath"}
    ] == []


def test_the_core_opens_no_file_and_prints_nothing():
    assert [
        f"{path.relative_to(ROOT)}: {node.func.id}"
        for path in CORE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "input"}
    ] == []


def test_chance_in_the_core_is_a_generator_of_ones_own():
    assert [
        f"{path.relative_to(ROOT)} imports {module} {name}".strip()
        for path in CORE + SIM
        for module, name in imports(path)
        if module == "random" and name != "Random"
    ] == []


def test_the_core_imports_neither_the_simulation_nor_the_lab():
    assert offenders(CORE, {"minibit.sim", "minibit.lab"}) == []


def test_the_real_world_and_the_simulation_never_import_each_other():
    assert offenders(ACTORS, {"minibit.sim"}) == []
    assert offenders(SIM, {"actors"}) == []


def test_the_lab_reads_records_and_knows_neither_world():
    assert offenders(LAB, {"actors", "ray", "minibit.sim"}) == []


def test_nothing_imports_experiments():
    assert offenders(ROOMS, {"experiments"}) == []


def test_what_a_peer_imports_is_light():
    core = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in CORE if path.stem != "__init__"]
    shell = [f"actors.{name}" for name in OF_A_PEER if (ROOT / "actors" / f"{name}.py").exists()]
    program = f"import {', '.join(core + shell)}; import sys; print(*sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_rooms_stay_small():
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in ROOMS}
    assert {name: lines for name, lines in sizes.items() if lines > LINES_MAX} == {}


def test_every_room_opens_with_what_it_is():
    assert [
        path.relative_to(ROOT).as_posix()
        for path in ROOMS
        if (source := path.read_text().strip()) and not ast.get_docstring(ast.parse(source))
    ] == []


def test_every_public_class_and_function_says_what_it_is():
    assert [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in ROOMS
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ] == []

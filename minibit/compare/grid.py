"""A grid file says which runs are compared, how often each is repeated, and what is shown of them.

docs/compare.md shows a file with all tables. The cells are every combination of the values of [grid], for each of
[[cases]], where several keys change together. [options] and [scenario] (see minibit/run/scenario.py) hold in all cells.
The world is `sim` unless the file says otherwise. A mistake in a file is found here, before anything runs: the options,
the scenario and the simulation of every cell are built once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from copy import deepcopy
from difflib import get_close_matches
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from minibit import strategies
from minibit.compare.columns import COLUMNS, USUAL, of_groups
from minibit.errors import LocalError
from minibit.lab import formats
from minibit.run.options import Options
from minibit.run.scenario import PeerClass, read
from minibit.sim import Scenario, Simulation

CELLS_MAX = 10_000  # each is built before anything runs

OURS = {  # options that no grid file may set
    "seed": "repeats sets it",
    "name": "runs have none here",
    "out": "give --out on the command line",
    "keep": "copies are not kept here",
    "address": "give --address on the command line",
}

Keys = tuple[str, ...]  # the way to a value through tables


class GridRun(NamedTuple):
    """One run. `key` stands for `parameters`, which are exact and complete; the tables are as in the file."""

    key: str
    parameters: dict[str, Any]
    cell: dict[str, str]
    seed: int
    options: dict[str, Any]
    scenario: dict[str, Any]

    @property
    def real(self) -> bool:
        """Whether it is one of real actors."""
        return bool(self.options["world"] == "ray")


class GridCell(NamedTuple):
    """Runs that differ by the seed alone: their `values` by axis, as texts, and the groups of their peers."""

    values: dict[str, str]
    runs: list[GridRun]
    groups: list[str]


class Grid(NamedTuple):
    """A whole grid file: `axes` name the columns that tell its cells apart."""

    title: str
    text: str
    axes: list[str]
    cells: list[GridCell]
    measures: list[str]

    def runs(self) -> list[GridRun]:
        """Each run once, the first repeat of all cells before the second of any."""
        ordered = (run for repeat in zip(*(cell.runs for cell in self.cells), strict=True) for run in repeat)
        return list({run.key: run for run in ordered}.values())


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tables of a grid file."""

    title: str
    repeats: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    measures: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    scenario: dict[str, Any] = {}
    grid: dict[str, Any] = {}
    cases: tuple[dict[str, Any], ...] = ()


def load(path: Path) -> Grid:
    """The grid in the file at `path`; `LocalError` names file and key, and says what the key takes."""
    text = formats.read_text(path, "a grid file, e.g. one of experiments/grids/")
    tables = formats.parse_toml(text, path)
    try:
        return of_file(text, read(tables, File))
    except LocalError as error:
        raise LocalError(f"{path}: {error}") from None


def of_file(text: str, file: File) -> Grid:
    """The grid that the tables of a file say, which has this text."""
    axes = dict(_axes(file.grid))
    names = (["case"] if file.cases else []) + [".".join(path).removeprefix("scenario.") for path in axes]
    if (count := prod(map(len, axes.values())) * max(1, len(file.cases))) > CELLS_MAX:
        raise LocalError(f"grid: {count:,} cells, and {CELLS_MAX:,} is the most: give fewer values, or several files")
    cells = []
    for case in file.cases or ({},):
        for values in product(*axes.values()):
            settings = [*_settings(case), *zip(axes, values, strict=True)]
            labels = [case.get("name", "")] if file.cases else []
            cell = dict(zip(names, [*map(str, labels), *map(_label, values)], strict=True))
            try:
                cells.append(_cell(cell, file, settings))
            except LocalError as error:
                if not cell:
                    raise
                which = ", ".join(f"{name} = {value}" for name, value in cell.items())
                raise LocalError(f"{error} (cell {which})") from None
    groups = list(dict.fromkeys(group for cell in cells for group in cell.groups))
    return Grid(file.title, text, names, cells, _measures(file.measures, groups))


def _axes(table: dict[str, Any], above: Keys = ()) -> Iterator[tuple[Keys, list[Any]]]:
    """Each key of [grid] as its path, with its values."""
    for key, inner in table.items():
        path = (*above, *(key.split(".") if ":" not in key else [key]))  # "a.b" as well as a.b
        if isinstance(inner, dict):
            yield from _axes(inner, path)
        elif isinstance(inner, list) and inner:
            yield path, inner
        else:
            raise LocalError(f"grid.{'.'.join(path)}: {inner!r} won't do: give a list of values")


def _settings(case: dict[str, Any]) -> Iterator[tuple[Keys, Any]]:
    """Each option of a case, and each key of its scenario, with its value, which may be a table."""
    if case and not isinstance(case.get("name"), str):
        raise LocalError("cases: name: give each case a name, as a text")
    for key, inner in case.items():
        if key == "scenario" and isinstance(inner, dict):
            yield from (((key, one), value) for one, value in inner.items())
        elif key != "name":
            yield (key,), inner


def _cell(values: dict[str, str], file: File, settings: list[tuple[Keys, Any]]) -> GridCell:
    tables = {**deepcopy(file.options), "scenario": deepcopy(file.scenario)}
    for path, value in settings:
        _put(tables, path, value)
    scenario, options = tables.pop("scenario"), {"world": "sim", **tables}
    for name, why in OURS.items():
        if name in options:
            raise LocalError(f"{name}: leave it out: {why}")
    built = Options.build(**options)
    try:
        world = Scenario.build(scenario, built.peers)
        if built.world == "sim":
            Simulation(built, world)  # a fault may name a peer that isn't there
        elif scenario:
            raise LocalError('real actors have none: leave it out, or give world = "sim"')
    except LocalError as error:
        raise LocalError(f"scenario: {error}") from None
    runs = []
    for seed in range(1, file.repeats + 1):
        parameters = {
            "options": msgspec.to_builtins(msgspec.structs.replace(built, seed=seed)),
            "scenario": msgspec.to_builtins(world),
        }
        key = hashlib.sha256(msgspec.json.encode(_canonical(parameters), order="sorted")).hexdigest()[:20]
        runs.append(GridRun(key, parameters, values, seed, {**options, "seed": seed}, scenario))
    sorts: list[PeerClass | strategies.Team] = [*world.classes, *map(strategies.team, built.teams)]
    behaviours = [*(sort.behaviour for sort in sorts), *built.behave]
    odd = sum(kind.peers for kind in world.classes) + sum([*built.teams.values(), *built.behave.values()])
    if odd < built.peers:
        behaviours.insert(0, "honest")
    classes = dict.fromkeys([*(kind.name for kind in world.classes), *built.teams])
    groups = [*dict.fromkeys(behaviours), *(f"class.{name}" for name in classes)]
    return GridCell(values, runs, groups)


def _put(table: Any, path: Keys, value: Any) -> None:
    """Set what stands at `path`, through tables and, by number, through lists of tables."""
    try:
        for key in path[:-1]:
            table = table[int(key)] if isinstance(table, list) else table.setdefault(key, {})
        table[int(path[-1]) if isinstance(table, list) else path[-1]] = deepcopy(value)
    except (AttributeError, IndexError, TypeError, ValueError):
        raise LocalError(f"{'.'.join(path)}: there is no table to set that in") from None


def _canonical(value: Any) -> Any:
    """The same with whole numbers as such: `64KiB/s` is a float and 65536 is not, and both are one rate."""
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _measures(named: tuple[str, ...], groups: list[str]) -> list[str]:
    """Those that are shown: the named ones, or the usual ones and those of the groups, where there are several."""
    there = [*COLUMNS, *of_groups(groups)]
    for name in named:
        if name not in there:
            nearest = get_close_matches(name, there) or there
            raise LocalError(f"measures: there is no {name!r}: give {', '.join(nearest)}")
    return list(named) or [*USUAL, *(of_groups(groups) if len(groups) > 1 else [])]


def _label(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

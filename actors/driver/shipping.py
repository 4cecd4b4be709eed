"""Strategies of somebody's own travel to the actors by value: no worker needs their modules.

With a strategy go the modules that it uses, if they are of somebody's own too: its package, its neighbours. What is
installed (Python, site-packages, Minibit) must be on every machine anyway, and goes by name.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import ModuleType

from ray import cloudpickle

from minibit import strategies
from minibit.seat import Seat
from minibit.strategies import Shipment

INSTALLED = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
MINIBIT = str(strategies.__package__)


def shipped(seats: Iterable[Seat]) -> Shipment:
    """The strategies from outside Minibit in these seats, ready to be pickled by value."""
    found: dict[str, type] = {}
    for seat in seats:
        for name, find in (
            (seat.rules.picker, strategies.picker),
            (seat.rules.choker, strategies.choker),
            (seat.behaviour, strategies.behaviour),
        ):
            if ":" in name and name not in found:
                found[name] = find(name)
    late: dict[str, ModuleType] = {}
    for module in by_value(kind.__module__ for kind in found.values()):
        for name in _imports(module, late=True):
            late.update((part, sys.modules[part]) for part in _with_parents(name))
    return Shipment(found, late)


def by_value(names: Iterable[str]) -> list[ModuleType]:
    """These modules and all that they use, as far as they are of somebody's own: from now on they travel by value."""
    found = _used_by(names)
    for module in found:
        if module.__name__ != "__main__":  # cloudpickle sends that by value anyway
            cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    return found


def _used_by(names: Iterable[str]) -> list[ModuleType]:
    """These modules and all that they use, as far as they are of somebody's own."""
    found: dict[str, ModuleType] = {}
    todo = list(names)
    while todo:
        for name in _with_parents(todo.pop()):
            if name not in found and (module := _own(name)) is not None:
                found[name] = module
                todo += _imports(module)
                todo += [str(getattr(value, "__module__", "")) for value in vars(module).values()]
    return list(found.values())


def _with_parents(name: str) -> list[str]:
    """A module, and the packages that it is in: `a`, `a.b`, `a.b.c`."""
    parts = name.split(".")
    return [".".join(parts[: last + 1]) for last in range(len(parts))]


def _imports(module: ModuleType, *, late: bool = False) -> list[str]:
    """The modules of somebody's own that its source imports; `late`: only those that its functions import."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return []  # a notebook: what its globals refer to is found all the same
    nodes: Iterable[ast.AST] = ast.walk(tree)
    if late:
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        nodes = (node for function in functions for node in ast.walk(function))
    named: dict[str, None] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            named.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError):  # a relative import outside a package
                base = resolve_name("." * node.level + (node.module or ""), module.__package__ or None)
                named.update(dict.fromkeys([base, *(f"{base}.{alias.name}" for alias in node.names)]))
    return [name for name in named if _own(name) is not None]


def _own(name: str) -> ModuleType | None:
    """The module of that name, imported if need be, if it is somebody's own: neither installed nor Minibit's."""
    module = None
    for part in _with_parents(name):
        with suppress(Exception):  # there may be none; and a module may raise anything while it is imported
            if part not in sys.modules and (spec := find_spec(part)) is not None:
                if _is_installed([spec.origin] if spec.has_location else spec.submodule_search_locations or []):
                    return None
                importlib.import_module(part)
        module = sys.modules.get(part)
        if module is None or part == MINIBIT:
            return None
        file = getattr(module, "__file__", None)
        if part != "__main__" and _is_installed([file] if file else getattr(module, "__path__", [])):
            return None
    return module


def _is_installed(places: Iterable[str | None]) -> bool:
    """Whether what lies there is part of Python or of its installed packages; what lies nowhere is built in."""
    paths = [Path(place).resolve() for place in places if place]
    return not paths or any(
        "dist-packages" in path.parts or any(path.is_relative_to(installed) for installed in INSTALLED)
        for path in paths
    )

"""Strategies by name: one of ours, or anybody's as `module:Class`."""

from __future__ import annotations

import importlib
import inspect
from typing import TypeVar

from minibit.behaviour import BEHAVIOURS, Honest
from minibit.choker import CHOKERS, Choker
from minibit.errors import LocalError
from minibit.picker import PICKERS, Picker

T = TypeVar("T")


def picker(name: str) -> type[Picker]:
    """The picker called `name`; `LocalError` when there is none."""
    return _load("picker", name, PICKERS, Picker)  # type: ignore[type-abstract]


def choker(name: str) -> type[Choker]:
    """The choker called `name`; `LocalError` when there is none."""
    return _load("choker", name, CHOKERS, Choker)  # type: ignore[type-abstract]


def behaviour(name: str) -> type[Honest]:
    """The behaviour called `name`; `LocalError` when there is none."""
    return _load("behaviour", name, BEHAVIOURS, Honest)


def _load(kind: str, name: str, known: dict[str, type[T]], base: type[T]) -> type[T]:
    if name in known:
        return known[name]
    takes = f"{kind} takes {', '.join(known)} or module:Class"
    module_name, colon, class_name = name.partition(":")
    if not colon or not module_name or not class_name:
        raise LocalError(f"{kind} {name!r} is unknown: {takes}")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # a module of somebody else's may raise anything while it is imported
        raise LocalError(f"{kind} {name!r} can't be imported ({type(error).__name__}: {error}): {takes}") from None
    if not (isinstance(found, type) and issubclass(found, base)):
        raise LocalError(f"{kind} {name!r} is no subclass of {base.__module__}.{base.__name__}: {takes}")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise LocalError(f"{kind} {name!r} lacks {missing}: {takes}")
    return found

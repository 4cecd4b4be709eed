"""Strategies by name: one of ours, or one from anywhere as `module:Class`; and teams, which play by some of them."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import NamedTuple, TypeVar

import msgspec

from minibit.behaviour import BEHAVIOURS, Honest
from minibit.choker import CHOKERS, Choker
from minibit.errors import LocalError, said
from minibit.picker import PICKERS, Picker
from minibit.rules import Rules

T = TypeVar("T")

SHIPPED: dict[str, type] = {}
"""Strategies from outside Minibit that came to this process by value, by name: it need not have their modules."""


class Shipment(NamedTuple):
    """What a process needs to play by strategies from outside Minibit without their modules, by value and by name.

    modules  those that functions of the strategies import only when they run
    """

    strategies: dict[str, type]
    modules: dict[str, ModuleType]

    def unpack(self) -> None:
        """Make them known in this process."""
        SHIPPED.update(self.strategies)
        for name, module in self.modules.items():
            sys.modules.setdefault(name, module)


class Team(NamedTuple):
    """Strategies of a group of peers, called `class_name` if it has a name. None: as the rules of the swarm say."""

    class_name: str | None = None
    picker: str | None = None
    choker: str | None = None
    behaviour: str = "honest"

    def rules(self, rules: Rules) -> Rules:
        """The rules of a swarm, with the strategies of this team."""
        if self.picker is None and self.choker is None:
            return rules  # the peers of a large swarm share one copy
        return msgspec.structs.replace(rules, picker=self.picker or rules.picker, choker=self.choker or rules.choker)


def picker(name: str) -> type[Picker]:
    """The picker called `name`; `LocalError` when there is none."""
    return _load("picker", name, PICKERS, Picker)  # type: ignore[type-abstract]


def choker(name: str) -> type[Choker]:
    """The choker called `name`; `LocalError` when there is none."""
    return _load("choker", name, CHOKERS, Choker)  # type: ignore[type-abstract]


def behaviour(name: str) -> type[Honest]:
    """The behaviour called `name`; `LocalError` when there is none."""
    return _load("behaviour", name, BEHAVIOURS, Honest)


def make(rules: Rules, chance: Callable[[str], Random]) -> tuple[Picker, Choker]:
    """The picker and the choker of one peer."""
    its_picker, its_choker = picker(rules.picker), choker(rules.choker)
    try:
        return its_picker(chance("picker")), its_choker(rules.slots, rules.guests, rules.guest_rounds, chance("choker"))
    except Exception as error:  # a strategy of somebody's own may raise anything
        raise LocalError(f"strategy {type(error).__name__}: {error} ({rules.picker}, {rules.choker})") from error


def team(name: str) -> Team:
    """The team that is called by what it plays: `random`, `rarest-first+none`, `free-rider+mine:Greedy`.

    `LocalError` when a part is no strategy, or there are two of one kind.
    """
    own: dict[str, str] = {}
    for part in name.split("+"):
        kind = _kind_of(part)
        if kind in own:
            raise LocalError(f"team {said(name)} has two of a kind, {own[kind]} and {part}: give one {kind}")
        own[kind] = part
    return Team(name, **own)


def _kind_of(name: str) -> str:
    """Whether that is a picker, a choker or a behaviour."""
    kinds: list[tuple[str, type, Callable[[str], type]]] = [
        ("picker", Picker, picker),
        ("choker", Choker, choker),
        ("behaviour", Honest, behaviour),
    ]
    ours: dict[str, type] = {**PICKERS, **CHOKERS, **BEHAVIOURS}
    takes = f"a team takes {', '.join(ours)} or module:Class, joined by +"
    found = ours.get(name) or _imported("strategy", name, takes)
    for kind, base, load in kinds:
        if isinstance(found, type) and issubclass(found, base):
            load(name)
            return kind
    raise LocalError(f"strategy {said(name)} is no subclass of Picker, Choker or Honest: {takes}")


def _load(kind: str, name: str, known: dict[str, type[T]], base: type[T]) -> type[T]:
    if name in known:
        return known[name]
    takes = f"{kind} takes {', '.join(known)} or module:Class"
    found = _imported(kind, name, takes)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise LocalError(f"{kind} {said(name)} is no subclass of {base.__module__}.{base.__name__}: {takes}")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise LocalError(f"{kind} {said(name)} lacks {missing}: {takes}")
    return found


def _imported(kind: str, name: str, takes: str) -> object:
    """What `module:Class` names."""
    if name in SHIPPED:
        return SHIPPED[name]
    module_name, colon, class_name = name.partition(":")
    if not colon or not module_name or not class_name:
        raise LocalError(f"{kind} {said(name)} is unknown: {takes}")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # a module may raise anything while it is imported
        raise LocalError(f"{kind} {said(name)} can't be imported ({type(error).__name__}: {error}): {takes}") from None

"""Strategies by name: ours, anybody's, and what is said of a name that is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from minibit import strategies
from minibit.behaviour import BEHAVIOURS
from minibit.choker import CHOKERS, TitForTat
from minibit.errors import LocalError
from minibit.picker import PICKERS, Sequential
from minibit.strategies import Team

LOADERS = {"picker": strategies.picker, "choker": strategies.choker, "behaviour": strategies.behaviour}

THEIRS = """
from minibit.picker import Picker, Sequential

class Last(Picker):
    def pick(self, choices, availability):
        return choices.bit_length() - 1

class Unfinished(Picker):
    pass

number = 7
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "student.py").write_text(THEIRS)
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("student", None)


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        *[("picker", name, found) for name, found in PICKERS.items()],
        *[("choker", name, found) for name, found in CHOKERS.items()],
        *[("behaviour", name, found) for name, found in BEHAVIOURS.items()],
        ("picker", "minibit.picker:Sequential", Sequential),
        ("choker", "minibit.choker:TitForTat", TitForTat),
    ],
)
def test_a_strategy_is_found_by_its_name(kind: str, name: str, found: type):
    assert LOADERS[kind](name) is found


def test_anybody_can_bring_a_picker(theirs: None):
    assert strategies.picker("student:Last").__name__ == "Last"


def test_a_team_is_called_by_what_it_plays(theirs: None):
    assert strategies.team("honest") == Team("honest")
    assert strategies.team("random") == Team("random", picker="random")
    assert strategies.team("free-rider+student:Last+none") == Team(
        "free-rider+student:Last+none", picker="student:Last", choker="none", behaviour="free-rider"
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "strategy '' is unknown: a team takes rarest-first, random, .* or module:Class, joined by +"),
        ("random+", "strategy '' is unknown"),
        ("random+sequential", "team 'random.sequential' has two of a kind, random and sequential: give one picker"),
        ("student:Last+random", "two of a kind, student:Last and random: give one picker"),
        ("student:Nobody", "strategy 'student:Nobody' can't be imported .AttributeError"),
        ("student:number", "strategy 'student:number' is no subclass of Picker, Choker or Honest"),
        ("student:Unfinished", "picker 'student:Unfinished' lacks pick"),
    ],
)
def test_a_team_that_cannot_be_says_why(theirs: None, name: str, why: str):
    with pytest.raises(LocalError, match=why):
        strategies.team(name)


@pytest.mark.parametrize("name", ["", "rarest", "rarest_first", ":", "student:", ":Last", "Rarest-First"])
def test_a_name_that_is_unknown_is_answered_with_those_that_are(name: str):
    with pytest.raises(LocalError, match=r"unknown: picker takes rarest-first, random, sequential or module:Class"):
        strategies.picker(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere.to.be.found:Picker", "ModuleNotFoundError"),
        ("student:Nobody", "AttributeError"),
        ("broken:Picker", "ZeroDivisionError"),
        ("student:number", "is no subclass of minibit.picker.Picker"),
        ("minibit.choker:TitForTat", "is no subclass of minibit.picker.Picker"),
        ("student:Unfinished", "lacks pick"),
    ],
)
def test_a_strategy_that_cannot_be_used_says_why(theirs: None, name: str, why: str):
    with pytest.raises(LocalError, match=why) as caught:
        strategies.picker(name)
    assert name in str(caught.value)


def test_a_strategy_that_came_by_value_is_found_by_its_name(monkeypatch):
    class Own(Sequential):
        pass

    monkeypatch.setitem(strategies.SHIPPED, "somewhere_else:Own", Own)
    assert strategies.picker("somewhere_else:Own") is Own
    assert strategies.team("somewhere_else:Own") == Team("somewhere_else:Own", picker="somewhere_else:Own")

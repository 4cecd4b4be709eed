"""`minibit.push` in Python: it returns what the push came to, or raises it, and shows itself in a notebook."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pushed import DONE, FAILED, moving
from terminal import Clock

import minibit
from minibit.actors.driver import pushing
from minibit.actors.driver.pushing import PushCell
from minibit.delivery.order import TABLE, Least, Order
from minibit.delivery.outlook import Outlook
from minibit.delivery.progress import PushProgress
from minibit.delivery.result import PushResult
from minibit.errors import LocalError, OptionError

Asked = list[tuple[Path, Order]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[PushResult], Asked]:
    """A push of a small folder that comes to this at once; what it is asked for."""
    monkeypatch.chdir(tmp_path)
    for variable in ("RAY_ADDRESS", "MINIBIT_ADDRESS"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "model").mkdir()
    found: Asked = []

    def comes_to(end: PushResult) -> Asked:
        def conduct(source: Path, order: Order, tell: Callable[[PushProgress], object]) -> PushResult:
            found.append((source, order))
            tell(moving(50))
            return end

        monkeypatch.setattr(pushing, "conduct", conduct)
        return found

    return comes_to


def test_it_takes_the_options_of_the_command_line_and_returns_the_result(asked: Any, tmp_path: Path) -> None:
    found, seen = asked(DONE), []
    assert minibit.push("model", Path("/data/model"), min_nodes="90%", nodes=["a", "b"], progress=seen.append) is DONE
    assert found == [(tmp_path / "model", Order(dest="/data/model", least=Least(share=0.9), nodes="a,b"))]
    assert [one.phase for one in seen] == ["moving"]


def test_its_options_stand_in_its_signature_and_in_its_help() -> None:
    shown = inspect.signature(minibit.push)
    plain = ["source", "dest", "detach", "dry_run", "progress"]
    assert list(shown.parameters) == [*plain, *[name for name in TABLE if name != "dest"]]
    assert minibit.push.__doc__ and all(option.help in minibit.push.__doc__ for option in list(TABLE.values())[1:])


def test_the_environment_says_where_the_cluster_is(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(DONE)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    minibit.push("model", "/data/model")
    minibit.push("model", "/data/model", address="auto")
    assert [order.address for _, order in found] == ["10.0.0.1:6379", "auto"]
    monkeypatch.setenv("MINIBIT_UPLOAD", "x")
    with pytest.raises(LocalError, match="MINIBIT_UPLOAD: 'x' is no rate"):
        minibit.push("model", "/data/model")


def test_too_few_copies_are_an_error_that_has_the_result(asked: Any) -> None:
    asked(FAILED)
    with pytest.raises(
        minibit.PushError, match=r"^2 of 4 nodes have .*: 10\.0\.0\.3: no room; .* push again"
    ) as failed:
        minibit.push("model", "/data/model")
    assert failed.value.result is FAILED
    assert failed.value.exit_code == 4


def test_one_that_goes_on_by_itself_returns_its_name(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(DONE)
    ends: list[Any] = ["tuesday", FAILED]
    monkeypatch.setattr(pushing, "leave", lambda source, order, tell: ends.pop(0))
    assert minibit.push("model", "/data/model", detach=True) == "tuesday"
    with pytest.raises(minibit.PushError):
        minibit.push("model", "/data/model", detach=True)


def test_a_dry_run_returns_what_would_be_moved(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(DONE)
    ahead = Outlook(dest="/data/model", content_bytes=9, block_bytes=3, least=1, nodes=())
    monkeypatch.setattr(pushing, "look_ahead", lambda source, order, tell: ahead)
    assert minibit.push("model", "/data/model", dry_run=True) is ahead
    with pytest.raises(LocalError, match="give dry_run or detach"):
        minibit.push("model", "/data/model", dry_run=True, detach=True)  # type: ignore[call-overload]
    assert found == []


def test_what_is_wrong_is_said_before_anything_is_asked_of_a_cluster(asked: Any, tmp_path: Path) -> None:
    found = asked(DONE)
    with pytest.raises(OptionError, match=r"^dest: .*/model/copy lies inside"):
        minibit.push("model", tmp_path / "model" / "copy")
    with pytest.raises(minibit.MinibitError, match="there is no nothing"):
        minibit.push("nothing", "/data/model")
    with pytest.raises(OptionError, match="there is no option 'node': did you mean nodes"):
        minibit.push("model", "/data/model", node=3)  # type: ignore[call-arg]
    assert found == []


def test_a_program_sees_nothing(asked: Any, capfd: pytest.CaptureFixture[str]) -> None:
    asked(DONE)
    minibit.push("model", "/data/model")
    assert capfd.readouterr() == ("", "")


# in a notebook


class Display:
    """What a notebook's cell shows: how often it was drawn, and the last text."""

    def __init__(self) -> None:
        self.made = 0
        self.drawn: list[str] = []

    def display(self, data: dict[str, str], raw: bool, display_id: bool) -> Display:
        self.made += 1
        self.update(data, raw)
        return self

    def update(self, data: dict[str, str], raw: bool) -> None:
        assert "<b>" not in data["text/html"]
        self.drawn.append(data["text/plain"])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Display:
    found = Display()
    shell = SimpleNamespace(kernel=True)
    ipython = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=found.display))
    monkeypatch.setitem(sys.modules, "IPython", ipython)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return found


def test_a_notebook_shows_one_line_which_is_drawn_over(asked: Any, shown: Display) -> None:
    asked(DONE)
    result = minibit.push("model", "/data/model")
    assert shown.made == 1
    assert shown.drawn[0] == "moving: 50 %, 3 MiB/s, slowest 10.0.0.4 (47 %), 0 of 4 nodes complete"
    assert shown.drawn[-1] == "pushed in 2.5 s"
    assert "<table>" in result._repr_html_()


def test_it_is_drawn_twice_a_second_and_at_each_new_phase(shown: Display) -> None:
    clock = Clock()
    cell = PushCell(clock)
    for tenth in range(11):
        clock.now = 100 + tenth / 10
        cell(moving(tenth))
    cell(PushProgress(phase="verifying"))
    assert [line.split(",")[0] for line in shown.drawn] == ["moving: 0 %", "moving: 5 %", "moving: 10 %", "verifying"]
    assert shown.made == 1

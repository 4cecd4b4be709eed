"""`minibit status`, `wait` and `cancel`: pushes that go on by themselves, found by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pushed import DONE, FAILED, moving

from minibit.actors.driver import attached, connection
from minibit.cli import commands
from minibit.delivery.result import PushResult
from minibit.errors import LocalError


class FakePush:
    """A push that is over after some looks."""

    def __init__(self, looks: int, end: PushResult) -> None:
        self.looks, self.end = looks, end
        self.told: list[Any] = []


@pytest.fixture
def pushes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, FakePush]:
    """The pushes of a cluster, by name."""
    there: dict[str, FakePush] = {}

    class Found(attached.AttachedPush):
        def __init__(self, name: str) -> None:
            if name not in there:
                raise LocalError(f"there is no push {name!r}")
            self.name, self.fake = name, there[name]

        @staticmethod
        def running() -> list[str]:
            return sorted(there)

        def progress(self) -> Any:
            self.fake.looks -= 1
            return moving(50, complete=1)

        def result(self) -> PushResult | None:
            return self.fake.end if self.fake.looks <= 0 else None

        def limit(self, upload_bps: float | None) -> None:
            self.fake.told.append(upload_bps)

        def cancel(self) -> None:
            self.fake.told.append("cancel")

    @contextmanager
    def on_cluster(address: str) -> Iterator[None]:
        print("what Ray says")
        yield

    monkeypatch.setattr(attached, "AttachedPush", Found)
    monkeypatch.setattr(connection, "on_cluster", on_cluster)
    monkeypatch.setattr(attached, "LOOK_S", 0.0)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return there


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(commands.main, arguments, prog_name="minibit")


def test_all_that_go_on_are_listed(pushes: dict[str, FakePush]) -> None:
    pushes.update(model=FakePush(9, DONE), data=FakePush(9, DONE), over=FakePush(0, DONE))
    assert ran("status").stdout.splitlines() == [
        "push   how far",
        "data   moving: 50 %, 3 MiB/s, slowest 10.0.0.4 (47 %), 1 of 4 nodes complete",
        "model  moving: 50 %, 3 MiB/s, slowest 10.0.0.4 (47 %), 1 of 4 nodes complete",
        f"over   {DONE.sentence}",
    ]
    listed = json.loads(ran("status", "--json").stdout)
    assert [one["name"] for one in listed] == ["data", "model", "tuesday"]
    assert ["phase" in one for one in listed] == [True, True, False]


def test_that_none_goes_on_is_no_error(pushes: dict[str, FakePush]) -> None:
    result = ran("status")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines()[-1] == "minibit status: no push goes on by itself on this cluster"
    assert ran("status", "--json").stdout == "[]\n"


def test_one_is_shown_node_by_node(pushes: dict[str, FakePush]) -> None:
    pushes["model"] = FakePush(9, DONE)
    assert ran("status", "model").stdout.splitlines()[:3] == [
        "model: moving: 50 %, 3 MiB/s, slowest 10.0.0.4 (47 %), 1 of 4 nodes complete, for 12.3 s",
        "node      status  held     moved",
        "10.0.0.1  done    100 MiB  100 MiB",
    ]
    found = json.loads(ran("status", "model", "--json").stdout)
    assert (found["name"], found["phase"], len(found["nodes"])) == ("model", "moving", 4)


def test_one_that_is_over_shows_what_it_came_to(pushes: dict[str, FakePush]) -> None:
    pushes["model"] = FakePush(0, FAILED)
    result = ran("status", "model")
    assert (result.exit_code, result.stdout) == (0, f"{FAILED.table()}\n{FAILED.sentence}\n")


def test_a_limit_can_be_set_and_lifted_while_it_goes(pushes: dict[str, FakePush]) -> None:
    pushes["model"] = FakePush(9, DONE)
    for rate in ("1MB/s", "none"):
        assert ran("status", "model", "--upload", rate).exit_code == 0
    assert pushes["model"].told == [1e6, None]
    assert ran("status", "model", "--upload", "x").stderr.startswith("minibit status: --upload: 'x' is no rate")
    assert ran("status", "--upload", "1MB/s").exit_code == 2


def test_to_wait_ends_as_the_push_does(pushes: dict[str, FakePush]) -> None:
    pushes["model"] = FakePush(3, FAILED)
    result = ran("wait", "model")
    assert (result.exit_code, result.stdout) == (4, f"{FAILED.table()}\n{FAILED.sentence}\n")
    assert "moving: 50 %" in result.stderr
    assert result.stderr.splitlines()[-1] == f"minibit wait: {FAILED.blame}"


def test_ctrl_c_ends_the_waiting_and_not_the_push(pushes: dict[str, FakePush], monkeypatch: pytest.MonkeyPatch) -> None:
    pushes["model"] = FakePush(3, DONE)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(attached.AttachedPush, "wait", interrupted)
    result = ran("wait", "model")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-2:] == [
        "minibit wait: the push model goes on; minibit cancel model ends it", "minibit wait: interrupted",
    ]  # fmt: skip
    assert pushes["model"].told == []


def test_one_can_be_ended(pushes: dict[str, FakePush]) -> None:
    pushes["model"] = FakePush(3, DONE)
    result = ran("cancel", "model")
    assert (result.exit_code, result.stdout, pushes["model"].told) == (0, "", ["cancel"])


@pytest.mark.parametrize("command", ["status", "wait", "cancel"])
def test_one_that_is_not_there_is_an_error(command: str, pushes: dict[str, FakePush]) -> None:
    result = ran(command, "model")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, f"minibit {command}: there is no push 'model'")

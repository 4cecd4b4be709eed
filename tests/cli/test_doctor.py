"""`minibit doctor`: the nodes side by side, and in words what is wrong with each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from minibit.actors.disk.survey import DestSurvey, NodeSurvey, versions
from minibit.actors.driver import everywhere, preflight
from minibit.actors.driver.cluster import AddressError, ClusterNode
from minibit.actors.driver.preflight import Surveyed
from minibit.cli import commands

ANA, BOB, EVA = (ClusterNode(name * 16, f"10.0.0.{at}") for at, name in enumerate("abe", 1))
DEST = DestSurvey(path="/data/model", state="ours", untouched=True, folder="/data", free_bytes=100 << 30)
WELL = NodeSurvey(
    versions={**versions(), "ray": "2.60.0"}, system="Linux x86_64", python="/bin/python", open_files=(1024, 1 << 20),
    dest=DEST, free_memory_bytes=64 << 30, port=9, clock_ahead_s=0.0,
)  # fmt: skip


def changed(**changes: Any) -> NodeSurvey:
    return msgspec.structs.replace(WELL, **changes)


def ran(*arguments: str, **env: str) -> Result:
    return CliRunner(env=env).invoke(commands.main, ["doctor", *arguments], prog_name="minibit")


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def surveyed(monkeypatch: pytest.MonkeyPatch) -> Surveyed:
    """What the survey comes to; to be filled. It is as if this machine were in no cluster."""
    found = Surveyed({}, {})
    monkeypatch.setattr(preflight, "survey_nodes", lambda there, dest, data_ports: found)
    monkeypatch.setattr(preflight, "versions", lambda: WELL.versions)

    def none(address: str) -> None:
        raise AddressError(address, "there is no Ray cluster")

    monkeypatch.setattr(everywhere.CONNECTION, "take", none)
    return found


def test_this_machine_alone_is_looked_at_where_there_is_no_cluster(surveyed: Surveyed) -> None:
    surveyed.found[everywhere.HERE] = WELL
    result = ran()
    assert (result.exit_code, result.stderr) == (0, "looking at this machine alone: it is in no Ray cluster\n")
    ours = WELL.versions
    headline, _, columns, row, *_ = result.stdout.splitlines()
    assert headline == f"Python {ours['python']}, Ray 2.60.0, Minibit {ours['minibit']}"
    assert " ".join(columns.split()) == "node disk memory files port clock"
    assert " ".join(row.split()) == "this machine 100 GiB 64 GiB 1048k 9 0 s"
    assert result.stdout.endswith("\n\nall is well\n")
    assert ran("--address", "local").stderr == "looking at this machine alone\n"


def test_a_cluster_that_was_asked_for_must_be_there(surveyed: Surveyed) -> None:
    result = ran("--address", "10.0.0.9:6379")
    assert (result.exit_code, result.stdout) == (7, "")
    assert result.stderr == "minibit doctor: --address: there is no Ray cluster\n"
    assert ran(RAY_ADDRESS="10.0.0.9:6379").exit_code == 7


def test_differences_are_said_in_words_below_the_table(surveyed: Surveyed) -> None:
    bob = changed(versions={**WELL.versions, "ray": "2.59.0", "msgspec": "0.1"}, clock_ahead_s=-3600.0)
    eva = changed(dest=msgspec.structs.replace(DEST, untouched=False))
    surveyed.found.update({ANA: WELL, BOB: bob, EVA: eva})
    surveyed.lost[ClusterNode("f" * 16, "10.0.0.9")] = "it gave no answer"
    result = ran("--to", "/data/model")
    assert result.exit_code == 1
    headline, table, said = result.stdout.split("\n\n")
    assert "Ray" not in headline
    assert [line.split()[1] for line in table.splitlines()] == ["ray", "2.60.0", "2.59.0", "2.60.0", "-"]
    assert [line.split()[-1] for line in table.splitlines()] == ["copy", "ours", "ours", "changed", "-"]
    ours = WELL.versions["msgspec"]
    assert said.splitlines() == [
        "10.0.0.9: it gave no answer",
        "10.0.0.2: it has Ray 2.59.0, and this machine has 2.60.0: install the same",
        f"10.0.0.2: it has msgspec 0.1, and other nodes have {ours}: install the same",
        "10.0.0.2: its clock is 1 h 00 min behind that of this machine: set it",
    ]


def test_nodes_that_share_a_file_system_are_named_and_that_is_no_fault(surveyed: Surveyed) -> None:
    both = (ANA.node_id, EVA.node_id)
    surveyed.found.update({ANA: changed(shares_with=both), BOB: WELL, EVA: changed(shares_with=both)})
    result = ran()
    assert result.exit_code == 0
    assert "\n10.0.0.1 and 10.0.0.3 share a file system: a copy is written there once\n" in result.stdout


def test_json_is_one_object_with_every_value(surveyed: Surveyed) -> None:
    surveyed.found[ANA] = changed(port=0, port_fault="Address already in use")
    surveyed.lost[BOB] = "it gave no answer"
    result = ran("--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["nodes"][0] == {
        "host": "10.0.0.1", "node_id": "a" * 16, **msgspec.to_builtins(surveyed.found[ANA])
    } | {"open_files": [1024, 1 << 20], "shares_with": [], "unreached": []}  # fmt: skip
    assert found["lost"] == [{"host": "10.0.0.2", "node_id": "b" * 16, "why": "it gave no answer"}]
    assert set(found["remarks"]) == {"10.0.0.1", "10.0.0.2"}


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_table_fits_a_terminal(surveyed: Surveyed, columns: str) -> None:
    long = ClusterNode("c" * 16, "192.168.100.200")
    surveyed.found.update({long: changed(port=20000), BOB: changed(clock_ahead_s=-7200.0)})
    result = ran("--to", "/data/model", COLUMNS=columns)
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "model"), "--to: 'model' won't do: give an absolute path without .., e.g. /data/model"),
        (("--data-ports", "9-1"), "--data-ports: '9-1' won't do: give the first and the last port"),
        (("--nodes", "0"), "--nodes: '0' won't do: give all, a number from 1"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_code_2(arguments: tuple[str, str], said: str) -> None:
    result = ran(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"minibit doctor: {said}")


@pytest.mark.ray
def test_the_nodes_of_a_cluster_are_looked_at_without_a_trace(ray_cluster: str, tmp_path: Path) -> None:
    result = ran("--to", str(tmp_path / "model"), "--address", ray_cluster)
    assert (result.exit_code, result.stderr) == (0, "looking at 1 of 1 nodes\n")
    assert result.stdout.splitlines()[3].split()[-1] == "absent"
    assert list(tmp_path.iterdir()) == []

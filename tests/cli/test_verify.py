"""`minibit verify`, `remove` and `clean`: a line for each node, and an exit code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from delivered import content, delivered

from minibit.actors.disk.copies import Removed, Verified
from minibit.actors.disk.place import Place
from minibit.actors.driver import everywhere
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.everywhere import NodeAnswers
from minibit.cli import commands, nodes, verify

ANA, BOB, EVA = (ClusterNode(name * 16, f"10.0.0.{at}") for at, name in enumerate("abe", 1))
RIGHT = Verified(verdict="right", digest="d", files=3, content_bytes=1 << 20)
ALONE = ("--address", "local")


def ran(*arguments: str, **env: str) -> Result:
    return CliRunner(env=env).invoke(commands.main, arguments, prog_name="minibit")


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def copy(tmp_path: Path) -> Place:
    return delivered(content(tmp_path / "source"), tmp_path / "data" / "model")[0]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> NodeAnswers[Any]:
    """What three nodes of a cluster come to; to be filled."""
    answers: NodeAnswers[Any] = NodeAnswers({}, {})

    class There:
        def __enter__(self) -> list[ClusterNode]:
            return [*answers.found, *answers.failed]

        def __exit__(self, *raised: object) -> None:
            pass

    for room in (nodes, verify):
        monkeypatch.setattr(room, "looked_at", lambda address, which: There())
    monkeypatch.setattr(everywhere, "on_each", lambda *given, **more: answers)
    return answers


# verify


def test_a_right_copy_is_a_line_and_exit_code_0(copy: Place) -> None:
    result = ran("verify", "--to", str(copy.final), *ALONE)
    assert (result.exit_code, result.stderr.splitlines()[0]) == (0, "looking at this machine alone")
    assert result.stdout.splitlines()[1].split() == ["this", "machine", "right", "7", "1.24", "KiB"]


def test_a_wrong_copy_is_exit_code_6_and_names_the_files(copy: Place) -> None:
    copy.final.chmod(0o700)
    (copy.final / "a").unlink()
    result = ran("verify", "--to", str(copy.final), *ALONE)
    assert result.exit_code == 6
    assert result.stdout.endswith("\n\nthis machine: missing: a\n")


def test_without_a_copy_or_a_mark_it_is_exit_code_4(copy: Place) -> None:
    copy.mark.unlink()
    assert ran("verify", "--to", str(copy.final), *ALONE).exit_code == 4
    result = ran("verify", "--to", "/nowhere/at/all", *ALONE)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        4,
        "this machine: there is no /nowhere/at/all: push it there",
    )


def test_a_copy_is_read_against_a_manifest_or_the_mark_of_another(copy: Place, tmp_path: Path) -> None:
    mark = tmp_path / "a.minibit"
    copy.mark.rename(mark)
    against = ("verify", "--to", str(copy.final), *ALONE, "--against")
    assert ran(*against, str(mark)).exit_code == 0
    (tmp_path / "other").write_bytes(b"{}")
    result = ran(*against, str(tmp_path / "other"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"minibit verify: --against {tmp_path / 'other'}: not a manifest: ")
    assert "No such file" in ran(*against, str(tmp_path / "none")).stderr


def test_the_list_for_sha256sum_is_all_of_standard_output(copy: Place) -> None:
    result = ran("verify", "--to", str(copy.final), *ALONE, "--sha256sum")
    lines = result.stdout_bytes.splitlines()
    assert (result.exit_code, len(lines)) == (0, 7)
    assert any(one.startswith(b"\\") and one.endswith(rb"/new\nline") for one in lines)
    assert any(one.startswith(b"\\") and one.endswith(rb"/back\\slash") for one in lines)
    assert sum(one.endswith(os.fsencode(copy.final) + b"/a") for one in lines) == 1


def test_a_copy_that_is_wrong_gives_no_list(copy: Place) -> None:
    copy.final.chmod(0o700)
    (copy.final / "a").unlink()
    result = ran("verify", "--to", str(copy.final), *ALONE, "--sha256sum")
    assert (result.exit_code, result.stdout) == (6, "")
    assert "this machine: missing: a\n" in result.stderr


def test_a_right_copy_of_another_version_than_most_is_wrong(answered: NodeAnswers[Any]) -> None:
    old = Verified(verdict="right", digest="old", files=3, content_bytes=9)
    answered.found.update({ANA: RIGHT, BOB: old, EVA: RIGHT})
    result = ran("verify", "--to", "/data/model")
    assert result.exit_code == 6
    assert [line.split()[1] for line in result.stdout.splitlines()[1:4]] == ["right", "wrong", "right"]
    assert result.stdout.splitlines()[-1] == (
        "10.0.0.2: right, but another version than 2 of 3 nodes have: push it again"
    )


def test_a_node_that_gave_no_answer_is_exit_code_4(answered: NodeAnswers[Any]) -> None:
    answered.found[ANA] = RIGHT
    answered.failed[BOB] = "it gave no answer"
    result = ran("verify", "--to", "/data/model")
    assert result.exit_code == 4
    assert result.stdout.endswith("10.0.0.2      -      -      -\n\n10.0.0.2: it gave no answer\n")


# remove and clean


def test_a_copy_is_removed_and_a_second_time_there_is_nothing(copy: Place) -> None:
    result = ran("remove", "--to", str(copy.final), *ALONE)
    assert result.exit_code == 0
    assert result.stdout.startswith("this machine: removed model, model.minibit (")
    assert ran("remove", "--to", str(copy.final), *ALONE).stdout == "this machine: nothing to remove\n"


def test_what_is_kept_is_said_with_exit_code_4(copy: Place) -> None:
    copy.mark.unlink()
    result = ran("remove", "--to", str(copy.final), *ALONE)
    assert (result.exit_code, result.stdout) == (
        4,
        f"this machine: {copy.final} is not what a push left there: move it away, or force it\n",
    )
    assert ran("remove", "--to", str(copy.final), *ALONE, "--force").exit_code == 0


def test_each_node_has_its_line(answered: NodeAnswers[Any]) -> None:
    answered.found.update({ANA: Removed(what=("model",), freed_bytes=2 << 20), BOB: Removed()})
    answered.failed[EVA] = "it gave no answer"
    result = ran("remove", "--to", "/data/model")
    assert (result.exit_code, result.stderr) == (4, "10.0.0.3: it gave no answer\n")
    assert result.stdout == "10.0.0.1: removed model (2 MiB)\n10.0.0.2: nothing to remove\n"


def test_partials_go_only_beside_a_copy_that_is_named(copy: Place) -> None:
    copy.partial.mkdir()
    assert ran("clean", *ALONE, "--partials").stderr.startswith("minibit clean: --partials needs the copy ")
    assert ran("clean", *ALONE, "--to", str(copy.final)).stdout == "this machine: nothing to remove\n"
    result = ran("clean", *ALONE, "--to", str(copy.final), "--partials")
    assert (result.exit_code, result.stdout.split(" (")[0]) == (0, "this machine: removed model.minibit-partial")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("verify", "verify: missing option '--to': see --help"),
        ("remove", "remove: missing option '--to': see --help"),
        ("remove --to data", "remove: --to: 'data' won't do: give an absolute path without .."),
        (
            "remove --force --to /data/",
            "remove: --to: '/data/' won't do: give the whole path of the copy, e.g. /data/model",
        ),
        ("remove --force --to /", "remove: --to: '/' won't do: give the whole path of the copy"),
        ("verify --to /data --timeout 0s", "verify: --timeout: '0s' won't do: give 1s to 1000h"),
        ("clean --nodes a=", "clean: --nodes: 'a=' won't do: give all, a number from 1"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_code_2(arguments: str, said: str) -> None:
    result = ran(*arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"minibit {said}")


@pytest.mark.ray
def test_copies_on_the_nodes_of_a_cluster_are_read_and_removed(ray_cluster: str, copy: Place) -> None:
    there = ("--to", str(copy.final), "--address", ray_cluster)
    result = ran("verify", *there)
    assert (result.exit_code, result.stderr.splitlines()[0]) == (0, "looking at 1 of 1 nodes")
    assert len(ran("verify", *there, "--sha256sum").stdout_bytes.splitlines()) == 7
    assert ran("remove", *there).stdout.startswith("127.0.0.1: removed model, ")
    assert ran("verify", *there).exit_code == 4

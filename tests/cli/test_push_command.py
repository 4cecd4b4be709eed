"""`minibit push`: its options reach the push, and its result is a line a node or one object."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from pushed import DONE, FAILED, moving

from minibit.actors.driver import pushing
from minibit.cli import commands
from minibit.cli.options import Given
from minibit.cli.push import push_options
from minibit.delivery.order import TABLE, Least, Order
from minibit.delivery.outlook import NodeOutlook, Outlook
from minibit.delivery.result import NodeResult, PushResult
from minibit.errors import ClusterError, DiskFullError

ROOT = Path(__file__).parents[2]
ALL = [one.option for one in push_options() if isinstance(one, Given)]

Asked = list[tuple[Path, Order]]


def ran(*arguments: str, **env: str) -> Result:
    return CliRunner(env=env).invoke(commands.main, ["push", *arguments], prog_name="minibit")


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"x" * 1000)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[PushResult | BaseException], Asked]:
    """A push that comes to this at once; what it is asked for."""
    found: Asked = []

    def comes_to(end: PushResult | BaseException) -> Asked:
        def conduct(source: Path, order: Order, tell: Callable[..., object]) -> PushResult:
            found.append((source, order))
            print("what Ray says")
            tell(moving(50))
            if isinstance(end, BaseException):
                raise end
            return end

        monkeypatch.setattr(pushing, "conduct", conduct)
        return found

    return comes_to


def test_a_line_for_each_node_on_standard_output_and_all_else_on_standard_error(asked: Any, tmp_path: Path) -> None:
    found = asked(DONE)
    result = ran("model", "--to", "/data/")
    assert (result.exit_code, result.stdout) == (0, f"{DONE.table()}\n{DONE.sentence}\n")
    assert result.stderr.splitlines()[1].startswith("moving: 50 %, 3 MiB/s, slowest 10.0.0.4")
    assert found == [(tmp_path / "model", Order(dest="/data/model"))]


def test_one_object_for_a_machine(asked: Any) -> None:
    asked(DONE)
    result = ran("model", "--to", "/data/model", "--json", "--progress", "none")
    assert (result.exit_code, result.stderr) == (0, "what Ray says\n")
    assert json.loads(result.stdout) == DONE.as_dict()


def test_progress_for_a_machine_is_an_object_a_line_on_standard_error(asked: Any) -> None:
    asked(FAILED)
    lines = ran("model", "--to", "/data/model", "--progress", "json").stderr.splitlines()
    assert [json.loads(line)["phase"] for line in lines if line.startswith("{")] == ["moving"]


def test_a_push_that_is_not_enough_says_which_and_why_and_what_to_do(asked: Any) -> None:
    asked(FAILED)
    result = ran("model", "--to", "/data/model", "--progress", "none")
    assert result.exit_code == 4
    assert result.stderr.splitlines()[-1] == f"minibit push: {FAILED.blame}"
    assert "10.0.0.3  failed" in result.stdout


def test_every_option_reaches_the_push(asked: Any) -> None:
    found = asked(DONE)
    arguments = (
        "model --to /data/m --nodes zone=a --min-nodes 90% --replace --links keep --verify full --address h:6379"
        " --upload 8Gbit/s --data-ports 2000-2010 --ship --block-size 4MiB --follow 30m --timeout 1h --name m --report"
    )
    assert ran(*arguments.split()).exit_code == 0
    assert found[0][1] == Order(
        dest="/data/m", nodes="zone=a", least=Least(share=0.9), replace=True, links="keep", verify="full",
        address="h:6379", upload_bps=1e9, data_ports=(2000, 2010), ship=True, block_bytes=4 << 20,
        follow_s=1800.0, timeout_s=3600.0, name="m", records=True,
    )  # fmt: skip


def test_the_environment_says_where_the_cluster_is_and_nothing_that_overwrites(asked: Any) -> None:
    found = asked(DONE)
    env = {"RAY_ADDRESS": "10.0.0.1:6379", "MINIBIT_UPLOAD": "1MB/s", "MINIBIT_REPLACE": "1", "MINIBIT_NAME": "x"}
    assert ran("model", "--to", "/data/m", **env, MINIBIT_PROGRESS="none").stderr == "what Ray says\n"
    assert found[0][1] == Order(dest="/data/m", address="10.0.0.1:6379", upload_bps=1e6)
    wrong = ran("model", "--to", "/data/m", MINIBIT_UPLOAD="x")
    assert (wrong.exit_code, wrong.stderr[:44]) == (2, "minibit push: MINIBIT_UPLOAD: 'x' is no rate")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("model", 2, "--to: give the absolute path of the copies, e.g. /data/model"),
        ("model --to data", 2, "--to: 'data' won't do: give an absolute path without .."),
        ("nothing --to /data/m", 3, "there is no nothing: give a file or a folder"),
        ("model --to /data/m --nodes 0", 2, "--nodes: '0' won't do"),
        ("model --to /data/m --min-nodes x", 2, "--min-nodes: 'x' won't do"),
        ("model --to /data/m --progress x", 2, "--progress: 'x' won't do: give auto or bar or lines or json or none"),
        ("model --to {here}/model/copy", 2, "--to: {here}/model/copy lies inside {here}/model: give a path apart"),
        ("model --to {here}", 2, "--to: {here}/model lies inside {here}"),
        ("link --to {here}/model/x", 2, "--to: {here}/model/x lies inside {here}/model"),
        ("model --tu /data/m", 2, "there is no option '--tu': did you mean --to?"),
        ("--to /data/m", 2, "missing argument 'SRC': see --help"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: str, code: int, said: str, tmp_path: Path, asked: Any) -> None:
    asked(DONE)
    (tmp_path / "link").symlink_to("model")
    result = ran(*arguments.format(here=tmp_path).split())
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert result.stderr.startswith(f"minibit push: {said.format(here=tmp_path)}")


@pytest.mark.parametrize(
    ("error", "code"), [(DiskFullError("no room"), 8), (ClusterError("no cluster"), 7), (KeyboardInterrupt(), 130)]
)
def test_an_error_of_the_push_is_a_line_and_its_exit_code(error: BaseException, code: int, asked: Any) -> None:
    asked(error)
    result = ran("model", "--to", "/data/m", "--progress", "none")
    assert (result.exit_code, result.stdout) == (code, "")


@pytest.mark.parametrize("columns", [80, 100])
def test_the_help_has_every_option_and_fits(columns: int) -> None:
    text = ran("--help", COLUMNS=str(columns)).stdout
    assert max(map(len, text.splitlines())) <= columns
    assert re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE) == [one.opts[0] for one in push_options()]
    for option in TABLE.values():
        assert not option.bounds or "{} to {}.".format(*option.bounds) in " ".join(text.split())


def test_the_page_has_every_option_with_its_bounds_and_its_default() -> None:
    table = (ROOT / "docs" / "push.md").read_text().split("| option |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[3:]]
    options = {f"--{'to' if one.name == 'dest' else one.name.replace('_', '-')}": one for one in ALL}
    found = {re.findall(r"--[a-z-]+", name)[0]: (bounds, default.strip("`")) for name, _, bounds, default in rows}
    assert found == {
        name: (f"{one.bounds[0]} to {one.bounds[1]}" if one.bounds else "", one.shown) for name, one in options.items()
    }


def test_the_page_names_every_field_of_the_result_and_of_an_event() -> None:
    page = (ROOT / "docs" / "push.md").read_text()
    fields = [*PushResult.__struct_fields__, *NodeResult.__struct_fields__, *moving(1).as_event(None)]
    assert [name for name in fields if f"`{name}`" not in page] == []


# what moves nothing, and what goes on by itself


AHEAD = Outlook(
    dest="/data/model",
    content_bytes=200 << 20,
    block_bytes=4 << 20,
    least=2,
    nodes=(
        NodeOutlook(host="10.0.0.1", node_id="a", there="copy"),
        NodeOutlook(host="10.0.0.2", node_id="b"),
        NodeOutlook(host="10.0.0.3", node_id="c", why="it has no room"),
    ),
)


def test_a_dry_run_says_what_would_be_moved_and_how_long_it_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "look_ahead", lambda source, order, tell: AHEAD)
    result = ran("model", "--to", "/data/model", "--dry-run", "--progress", "lines")
    *table, sentence = result.stdout.splitlines()
    assert (result.exit_code, table) == (0, AHEAD.table().splitlines())
    assert sentence.startswith(AHEAD.sentence.partition(" in no less than ")[0])
    line = "with 119 MiB/s of each node, which is assumed"
    assert re.search(rf"in about 1\.\d+ s \(a simulation's estimate, {line}\), and not in less than 1\.68 s$", sentence)
    assert result.stderr.splitlines() == ["simulating the push", "minibit push: 10.0.0.3: it has no room"]
    found = json.loads(ran("model", "--to", "/data/model", "--dry-run", "--json").stdout)
    assert found["bound_s"] <= found["expected_s"] < 2 * found["bound_s"]
    assert (found["moves_bytes"], found["assumed"], len(found["nodes"])) == (200 << 20, True, 3)


def test_a_dry_run_of_too_few_nodes_fails_as_the_push_would(monkeypatch: pytest.MonkeyPatch) -> None:
    too_few = msgspec.structs.replace(AHEAD, least=3)
    monkeypatch.setattr(pushing, "look_ahead", lambda source, order, tell: too_few)
    assert ran("model", "--to", "/data/model", "--dry-run").exit_code == 4


def test_a_push_that_goes_on_by_itself_says_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "leave", lambda source, order, tell: "tuesday")
    result = ran("model", "--to", "/data/model", "--detach")
    assert (result.exit_code, result.stdout) == (0, "tuesday\n")
    assert result.stderr == (
        "minibit push: it goes on by itself: minibit status tuesday, minibit wait tuesday, minibit cancel tuesday\n"
    )
    assert json.loads(ran("model", "--to", "/data/model", "--detach", "--json").stdout) == {"name": "tuesday"}


def test_a_push_that_goes_on_by_itself_says_where_its_report_will_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pushing, "leave", lambda source, order, tell: "tuesday")
    said = ran("model", "--to", "/data/model", "--detach", "--report").stderr.splitlines()[-1]
    assert said == f"minibit push: its report will be in {tmp_path}/runs/tuesday, on the head of the cluster"


def test_one_that_is_over_before_it_could_be_left_says_what_it_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "leave", lambda source, order, tell: FAILED)
    result = ran("model", "--to", "/data/model", "--detach")
    assert (result.exit_code, result.stdout) == (4, f"{FAILED.table()}\n{FAILED.sentence}\n")


def test_a_dry_run_can_not_go_on_by_itself() -> None:
    result = ran("model", "--to", "/data/model", "--detach", "--dry-run")
    assert result.exit_code == 2
    assert result.stderr.endswith("give --dry-run or --detach\n")

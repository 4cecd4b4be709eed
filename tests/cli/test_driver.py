"""The script against the world: bad inputs, faults, signals. What it says, how it ends, and what stays.

Wrong input fails before there is a cluster, so it is tried in this process. Swarms run on the shared cluster, in
this process too where no process matters; only what starts or ends a cluster of its own pays for one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from script import SLOW, SOON_S, Run, until
from summaries import DONE

from minibit.cli import swarm

MODULE = """
from minibit.picker import RarestFirst
class Broken(RarestFirst):
    def pick(self, *args, **kwargs):
        raise ZeroDivisionError("three sheep")
"""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run the script in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return lambda *arguments: CliRunner().invoke(
        swarm.main, ["--no-report", *map(str, arguments)], prog_name="run_swarm.py"
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "film.bin"
    path.write_bytes(os.urandom(1 << 20))
    return path


def copies(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"files/peer-*/{name}"))


def left_of(run: str) -> list[Path]:
    """What a run on the shared cluster left in the machine's temporary folder."""
    return list(Path(tempfile.gettempdir()).glob(f"minibit-{run}*"))


# bad input: one line, and nothing was started


@pytest.mark.parametrize(
    "arguments",
    [
        ["--peers", "0"],
        ["--peers", "-3"],
        ["--peers", "many"],
        ["--peers", "2.5"],
        ["--size", "0"],
        ["--size", "-1MiB"],
        ["--size", "64 elephants"],
        ["--size", "nan"],
        ["--block-size", "1GiB"],
        ["--upload", "4"],
        ["--upload", "0MiB/s"],
        ["--download", "fast"],
        ["--seed-upload", "1MiB/h"],
        ["--round", "10x"],
        ["--timeout", "-1s"],
        ["--initial", "1.1"],
        ["--hash", "md5"],
        ["--behave", "honest"],
        ["--behave", "corrupter=3", "--peers", "2"],
        ["--behave", "saint=1"],
        ["--picker", "no_such_module:Picker"],
        ["--picker", "json:JSONEncoder"],
        ["--choker", "minibit.choker:NoSuch"],
        ["--choker", "nobody"],
        ["--data-ports", "5-1"],
        ["--name", "../up"],
        ["--preset", "wan"],
    ],
    ids=" ".join,
)
def test_a_wrong_value_is_one_line_that_names_it_and_exit_code_2(
    ran: Callable[..., Result], tmp_path: Path, arguments: list[str]
) -> None:
    result = ran(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("run_swarm: --")
    assert list(tmp_path.iterdir()) == []


def test_a_strategy_whose_module_raises_is_a_usage_error(ran: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "raises_at_once.py").write_text("1 / 0")
    result = ran("--picker", "raises_at_once:Picker")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "ZeroDivisionError" in result.stderr
    assert "Traceback" not in result.stderr


def _missing(path: Path) -> None:
    pass


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def _endless(path: Path) -> None:
    path.symlink_to(path)


def _socket(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(os.path.relpath(path))


def _folder_with_fifo(path: Path) -> None:
    path.mkdir()
    os.mkfifo(path / "pipe")


def _folder_of_no_right(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path.mkdir(mode=0)


def _file_of_no_right(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path.touch(mode=0)


@pytest.mark.parametrize(
    "make",
    [
        _missing,
        _dangling,
        _endless,
        os.mkfifo,
        _socket,
        _folder_with_fifo,
        _file_of_no_right,
        _folder_of_no_right,
    ],
)
def test_what_cannot_be_shared_is_one_line_that_names_it_and_exit_code_3(
    ran: Callable[..., Result], tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "film.bin"
    make(path)
    result = ran(path, "--quiet")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.count("\n") == 1
    assert str(path) in result.stderr
    assert not list(tmp_path.glob("runs/*"))


def test_made_content_without_room_is_exit_code_8_before_anything_is_made(
    ran: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = ran("--size", "4TiB", "--quiet")
    assert (result.exit_code, result.stdout) == (8, "")
    assert "no room" in result.stderr
    assert "TMPDIR" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/*"))
    assert not list(tmp_path.glob("minibit-*"))


# content of every sort


@pytest.mark.ray
def test_an_empty_file_is_shared(ran: Callable[..., Result], ray_cluster: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    result = ran(tmp_path / "empty", "--peers", "2", "--keep", "--out", "run", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["verified"] == 2
    assert [path.read_bytes() for path in copies(tmp_path / "run", "empty")] == [b"", b""]


@pytest.mark.ray
def test_a_folder_is_shared_with_all_that_is_in_it(
    ran: Callable[..., Result], ray_cluster: str, source: Path, tmp_path: Path
) -> None:
    album = tmp_path / "album"
    (album / "songs" / "ünïcode and space").mkdir(parents=True)
    content = {"a.txt": b"", "songs/b.bin": source.read_bytes()[:70_001], "songs/ünïcode and space/c": b"c"}
    for name, data in content.items():
        (album / name).write_bytes(data)
    (album / "a.txt").chmod(0o750)
    result = ran(album, "--peers", "2", "--keep", "--out", "run", "--json")
    assert result.exit_code == 0, result.stderr
    for copy in copies(tmp_path / "run", "album"):
        assert {name: (copy / name).read_bytes() for name in content} == content
        assert (copy / "a.txt").stat().st_mode & 0o777 == 0o750
    assert len(copies(tmp_path / "run", "album")) == 2


# bad neighbours, and a strategy that raises


@pytest.mark.ray
def test_corrupter_liar_and_crawler_harm_no_honest_peer(
    ran: Callable[..., Result], ray_cluster: str, source: Path, tmp_path: Path
) -> None:
    behave = "corrupter=1,liar=1,slow=1,free-rider=1"
    result = ran(source, "--peers", "6", "--behave", behave, "--round", "1s", "--keep", "--out", "run", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["failed"] == []
    assert summary["verified"] == summary["completed"] >= 4
    for copy in copies(tmp_path / "run", "film.bin"):
        assert copy.read_bytes() == source.read_bytes()


@pytest.mark.ray
def test_a_strategy_that_raises_in_the_swarm_ends_the_run_and_is_named(
    ran: Callable[..., Result], ray_cluster: str, tmp_path: Path
) -> None:
    (tmp_path / "my_broken_strategy.py").write_text(MODULE)
    result = ran("--peers", "2", "--size", "1MiB", "--picker", "my_broken_strategy:Broken", "--json")
    assert result.exit_code == 4, result.stderr
    assert [failure["peer"] for failure in json.loads(result.stdout)["failed"]] == ["peer-01", "peer-02"]
    assert "incomplete: peer-01, peer-02: " in result.stderr
    assert "three sheep" in result.stderr
    assert "Traceback" not in result.stderr


# faults while it runs


@pytest.mark.ray
def test_a_file_that_changes_while_it_is_shared_is_said_and_corrupts_nobody(
    ray_cluster: str, source: Path, tmp_path: Path
) -> None:
    right = source.read_bytes()
    options = ["--address", ray_cluster, "--peers", "2", "--seed-upload", "128KiB/s", "--keep", "--out", "run"]
    with Run(tmp_path, source, *options) as run:
        run.said("of the blocks")
        with source.open("r+b") as file:
            file.write(bytes(len(right)))
        assert run.wait() == 3
        said = r"incomplete: peer-01, peer-02: block \d+ of .*film.bin changed while it was shared, and nobody holds"
        assert re.search(said, run.stderr)
        assert "Traceback" not in run.stderr
    partial = copies(tmp_path / "run", "film.bin.minibit-partial")
    assert len(partial) == 2
    for path in partial:
        blocks = [slice(at, at + 16384) for at in range(0, len(right), 16384)]
        data = path.read_bytes()
        assert all(data[block] in (right[block], bytes(16384)) for block in blocks)


@pytest.mark.ray
def test_a_peer_that_is_killed_is_named_and_the_others_complete(ray_cluster: str, tmp_path: Path) -> None:
    from minibit.actors import Swarm  # noqa: PLC0415  imports Ray

    options = ["--address", ray_cluster, "--peers", "3", "--size", "1MiB", "--seed-upload", "256KiB/s", "--json"]
    with Run(tmp_path, "--name", f"killed-{os.getpid()}", *options) as run:
        run.said("of the blocks")
        pid = Swarm.attach(f"killed-{os.getpid()}")["peer-02"].snapshot().pid
        os.kill(pid, signal.SIGKILL)
        assert run.wait() == 4
        summary = json.loads(run.stdout)
        assert summary["failed"] == [{"peer": "peer-02", "why": "died", "node": "127.0.0.1"}]
        assert summary["verified"] == 2
        assert run.stderr.endswith("run_swarm: incomplete: peer-02: died\n")
    assert left_of(summary["run"]) == []


@pytest.mark.ray
def test_the_time_limit_is_exit_code_5_and_says_who_misses_how_much(
    ran: Callable[..., Result], ray_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    result = ran("--peers", "2", "--size", "1MiB", "--seed-upload", "64KiB/s", "--timeout", "500ms")
    assert result.exit_code == 5, result.stderr
    said = r"incomplete: peer-01.*: the time limit of 0.5 s came first, \d+( to \d+)? blocks missing"
    assert re.search(said, result.stderr)
    assert "time limit reached" in result.stdout
    assert not re.search(r"\x1b\[[0-9;]*[349][0-7]", result.stdout + result.stderr), "NO_COLOR is honoured"


def _tiny_disk(size: str) -> tuple[str, ...]:
    """A command that gives the command after it a small TMPDIR, which ends with it."""
    small = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs "$TMPDIR" && exec "$@"', "sh")
    if subprocess.run(
        [*small, "true"], env={**os.environ, "TMPDIR": "/mnt"}, capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting a small disk takes root")
    return small


def test_peers_without_room_for_their_copies_are_exit_code_8_before_anything_moves(tmp_path: Path) -> None:
    arguments = ["--peers", "3", "--size", "8MiB", "--quiet", "--json"]
    with Run(tmp_path, *arguments, before=_tiny_disk("24m")) as run:
        assert run.wait() == 8
        assert (run.stdout, run.stderr.count("\n")) == ("", 1)
        assert "no room for 3 copies in" in run.stderr
        assert "24 MiB needed" in run.stderr
        assert "fewer peers" in run.stderr
        until(lambda: not run.children())
    assert not list(tmp_path.glob("runs/*"))


# clusters that are not there, or not ours


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of something that listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cluster_that_is_not_there_is_exit_code_7_at_once_and_what_named_it_is_said(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with Run(tmp_path, "--quiet", RAY_ADDRESS=address) as run:
            assert run.wait(SOON_S) == 7
            assert re.fullmatch(r"run_swarm: RAY_ADDRESS: nobody answers at .*ray start --head.*\n", run.stderr)
            assert run.stdout == ""
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.ray
@pytest.mark.parametrize("env", [{"RAY_AUTH_TOKEN": "f" * 64}, {"RAY_AUTH_MODE": "disabled"}], ids=["other", "none"])
def test_a_cluster_that_does_not_admit_us_is_exit_code_7_and_says_what_it_wants(
    ray_cluster: str, tmp_path: Path, env: dict[str, str]
) -> None:
    with Run(tmp_path, "--quiet", "--address", ray_cluster, **env) as run:
        assert run.wait(SOON_S) == 7
        said = run.stderr.splitlines()[-1]
        assert said.startswith(f"run_swarm: the cluster at {ray_cluster} doesn't admit us: give ")
        assert "RAY_AUTH_MODE=token" in said
        assert "RAY_AUTH_TOKEN" in said
        assert "Traceback" not in run.stderr


def test_a_cluster_that_never_answers_is_not_waited_for(tmp_path: Path, deaf: str) -> None:
    program = f"from minibit.actors.driver import cluster; cluster.KNOCK_S = 1; cluster.connect({deaf!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SOON_S, check=False)
    assert "AddressError: address: what listens at" in done.stderr


@pytest.mark.parametrize("address", ["nonsense", "ray://127.0.0.1:10001", "127.0.0.1:port"])
def test_an_address_that_is_none_says_what_one_looks_like(tmp_path: Path, address: str) -> None:
    program = f"from minibit.actors.driver import cluster; cluster.connect({address!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SOON_S, check=False)
    assert "AddressError" in done.stderr
    assert "HOST:PORT" in done.stderr


# two at a time


@pytest.mark.ray
def test_two_runs_at_the_same_time_both_complete_and_print_one_object_each(ray_cluster: str, tmp_path: Path) -> None:
    options = ["--address", ray_cluster, "--peers", "2", "--size", "1MiB", "--json", "--quiet"]
    with Run(tmp_path, *options) as one, Run(tmp_path, *options) as other:
        summaries = []
        for run in (one, other):
            assert run.wait() == 0, run.stderr
            assert run.stderr == "", "--quiet"
            assert run.stdout.count("\n") == 1
            summaries.append(json.loads(run.stdout))
    assert summaries[0]["run"] != summaries[1]["run"]
    for summary in summaries:
        assert list(summary) == list(DONE.as_dict())
        for part in ("content", "seconds", "bytes", "messages"):
            assert list(summary[part]) == list(DONE.as_dict()[part])
        assert summary["verified"] == 2
        assert (tmp_path / "runs" / summary["run"] / "run.json").exists()
        assert left_of(summary["run"]) == []


# told to end


@pytest.mark.ray
def test_a_run_on_a_cluster_that_is_told_to_end_leaves_the_cluster_as_it_was(ray_cluster: str, tmp_path: Path) -> None:
    import ray  # noqa: PLC0415

    name = f"ended-{os.getpid()}"
    with Run(tmp_path, *SLOW, "--address", ray_cluster, "--name", name) as run:
        run.said("of the blocks")
        assert left_of(name), "the peers' copies"
        os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does
        assert run.wait(SOON_S) == 130
        assert "Traceback" not in run.stderr
    named = [one["name"] for one in ray.util.list_named_actors(all_namespaces=True)]
    assert [one for one in named if name in one] == []
    assert left_of(name) == []

"""A program with swarms of its own: two share one Ray, and whatever it forgets to close, nothing stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from minibit.actors.disk import scratch
from minibit.errors import ClusterError

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, tempfile
import ray
from minibit import Swarm

first = Swarm.launch(peers=1, size="64KiB", name="first")
second = Swarm.launch(peers=1, size="64KiB", name="second")
node = ray.get_runtime_context().get_node_id()
print(*sorted(name.split("-")[1] for name in os.listdir(tempfile.gettempdir())), flush=True)
first.wait()
first.close()
print(second.wait().verified, second[1].snapshot().complete, ray.get_runtime_context().get_node_id() == node)
print(*sorted(name.split("-")[1] for name in os.listdir(tempfile.gettempdir())), flush=True)
try:
    first[1]
except Exception as error:
    print(error, flush=True)
{end}
"""


@pytest.fixture
def tmp() -> Iterator[Path]:
    """A temporary folder with a long path, below which Ray's sockets have no room."""
    folder = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
    long = folder / ("long" * 12)
    long.mkdir()
    yield long
    for pid in processes(long):  # an agent of Ray outlives a killed driver by a minute
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def processes(tmp: Path) -> dict[int, str]:
    """The processes that have `tmp` for their temporary folder, by number."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"TMPDIR={tmp}\0".encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has just ended, or is another user's
    return {pid: command for pid, command in found.items() if command}


@pytest.mark.ray
@pytest.mark.parametrize("end", ["raise RuntimeError('before close')", "os.kill(os.getpid(), 9)"])
def test_two_swarms_share_one_ray_and_what_the_program_leaves_open_goes_with_it(end: str, tmp: Path, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(end=end))
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_TMPDIR")}
    ran = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env={**environment, "TMPDIR": str(tmp), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.stdout.splitlines() == [
        *("first first second second", "1 True True", "second second"),
        "the swarm first is closed: launch another",
    ], ran.stderr
    killed = ran.returncode == -signal.SIGKILL
    assert killed or (ran.returncode, ran.stderr.splitlines()[-1]) == (1, "RuntimeError: before close")
    if not killed:
        assert not list(tmp.iterdir())
    with pytest.MonkeyPatch.context() as here:
        here.setattr("tempfile.tempdir", str(tmp))
        deadline = time.monotonic() + 60
        while list(tmp.iterdir()) or (not killed and processes(tmp)):
            assert time.monotonic() < deadline, (list(tmp.iterdir()), processes(tmp))
            time.sleep(0.05)
            scratch.sweep()  # as the next start does; peers end soon after their driver


def test_where_ray_has_no_room_for_its_sockets_a_shorter_folder_is_taken_or_asked_for(monkeypatch):
    from minibit.actors.driver import cluster  # noqa: PLC0415  imports Ray

    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/tmp/mb")
    assert cluster._ray_folder() == "/tmp/mb/ray"
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "long" * 12)
    assert cluster._ray_folder() == "/tmp/ray"
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "long" * 12)
    with pytest.raises(ClusterError, match=r"too long .*: set RAY_TMPDIR to a folder whose path has \d+ characters"):
        cluster._ray_folder()

"""The same command again: after a time limit, a kill -9, damage from outside, and when everything is there."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from script import Run, until

from minibit.cli import swarm

PEERS, BLOCK_BYTES, BLOCKS = 2, 16 << 10, 128


def lacking(run: Path, right: bytes) -> int:
    """The blocks that the copies in a run's folder lack, finished or not, once no peer has them open."""
    lacked = 0
    for number in range(1, PEERS + 1):
        folder = run / "files" / f"peer-{number:02}"
        until(lambda folder=folder: not _in_use(_copy(folder)))
        copy = _copy(folder)
        data = copy.read_bytes()
        lacked += sum(
            data[at : at + BLOCK_BYTES] != right[at : at + BLOCK_BYTES] for at in range(0, len(right), BLOCK_BYTES)
        )
    return lacked


def _copy(folder: Path) -> Path:
    (copy,) = (path for path in folder.iterdir() if path.name != "film.bin.minibit")
    return copy


def _in_use(copy: Path) -> bool:
    descriptor = os.open(copy, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@pytest.mark.ray
def test_the_same_command_goes_on_and_fetches_no_block_that_is_there(
    ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, out = tmp_path / "film.bin", tmp_path / "run"
    right = os.urandom(BLOCKS * BLOCK_BYTES)
    film.write_bytes(right)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    same = [film, "--peers", PEERS, "--keep", "--out", out, "--json", "--no-report", "--block-size", BLOCK_BYTES]
    slow = ["--seed-upload", "1MiB/s"]

    def ran(*more: object) -> Result:
        return CliRunner().invoke(swarm.main, [str(one) for one in (*same, *more)], prog_name="run_swarm.py")

    def fetched(result: Result) -> int:
        moved = json.loads(result.stdout)["bytes"]
        return (moved["moved"] - moved["wasted"]) // BLOCK_BYTES

    result = ran(*slow, "--timeout", "500ms")
    assert result.exit_code == 5, result.stderr
    assert f"to go on with the copies in {out}, give the same command again, with --out {out}" in result.stderr
    assert 0 < lacking(out, right) < PEERS * BLOCKS

    with Run(tmp_path, *same, *slow, "--address", ray_cluster) as run:  # killed in the middle, with all its peers
        run.said("of the blocks")
        run.process.send_signal(signal.SIGKILL)
        assert run.wait() == 128 + signal.SIGKILL
        lacked = lacking(out, right)
        assert 0 < lacked < PEERS * BLOCKS

    result = ran()
    assert (result.exit_code, fetched(result)) == (0, lacked)

    copy = out / "files" / "peer-01" / "film.bin"
    with copy.open("r+b") as file:  # another program writes into a finished copy
        file.seek(3 * BLOCK_BYTES + 5)
        file.write(b"wrong")
    result = ran()
    assert (result.exit_code, json.loads(result.stdout)["verified"], fetched(result)) == (0, PEERS, 1)
    assert [copy.read_bytes() == right for copy in out.glob("files/*/film.bin")] == [True] * PEERS
    told = [json.loads(path.read_text()) for path in (out / "earlier/1/run.json", out / "earlier/2/run.json")]
    assert [one["summary"]["completed"] for one in told] == [0, PEERS], "the records of all runs that ended are there"

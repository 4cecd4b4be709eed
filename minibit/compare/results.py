"""The folder of a comparison: what was run so far, and why some runs were lost.

    DIR/results.jsonl    one line for each run that ended: whole, or cut and ignored
    DIR/grid.toml        the grid file as it was when the comparison was last started
    DIR/table.md         the table, for people; written when all runs have ended
    DIR/table.parquet    the table, for programs

A line is appended with one write and flushed to the disk. Its key stands for the exact parameters of the run, so a grid
may grow; a line whose run is no longer in the grid is not used. One process writes at a time.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

import minibit
from minibit.compare.grid import GridRun
from minibit.errors import LocalError
from minibit.lab.archive import explained
from minibit.lab.formats import parse_json
from minibit.run.summary import Summary

try:
    import fcntl
except ImportError:  # Windows: two comparisons in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]


class RunResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one run came to: `figures` (see columns.py) and `summary`, or why it was `lost`.

    took_s   by our clock, not the run's
    program  the state of Minibit's source that ran
    """

    key: str
    cell: dict[str, str]
    seed: int
    took_s: float | None = None
    program: str
    parameters: dict[str, Any]
    figures: dict[str, float | None] = {}
    summary: dict[str, Any] = {}
    lost: str | None = None


class ResultsFolder(AbstractContextManager["ResultsFolder"]):
    """The results in a folder; `by_key` has the last one of each run."""

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        """Open the folder, or make it; `fresh` forgets what was in it. `LocalError` if another process writes there."""
        self.folder = folder
        self.by_key: dict[str, RunResult] = {}
        self.strange = 0  # lines that are none of ours, or cut
        self.program = _program()
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / "results.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise LocalError(f"another comparison runs in {folder}: wait for it, or give another --out") from None
        if fresh:
            os.ftruncate(self._file, 0)
        text = (folder / "results.jsonl").read_bytes()
        for line in text.splitlines():
            try:
                result = _read(line)
            except (LocalError, msgspec.ValidationError):
                self.strange += 1
            else:
                self.by_key[result.key] = result
        if text and not text.endswith(b"\n"):
            self._write(b"\n")  # after a line that was cut

    def add(self, run: GridRun, outcome: dict[str, Any]) -> RunResult:
        """Keep what a run came to."""
        result = RunResult(
            key=run.key, cell=run.cell, seed=run.seed, program=self.program, parameters=run.parameters, **outcome
        )
        self._write(msgspec.json.encode(result) + b"\n")
        self.by_key[run.key] = result
        return result

    def whole(self, run: GridRun) -> RunResult | None:
        """The result of a run that need not run again."""
        result = self.by_key.get(run.key)
        return None if result is None or result.lost is not None else result

    def _write(self, data: bytes) -> None:
        with explained(self.folder):
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, "")
            os.fsync(self._file)

    def __exit__(self, *_: object) -> None:
        """Let other processes write."""
        os.close(self._file)


def _read(line: bytes) -> RunResult:
    """The result in a line."""
    result = msgspec.convert(parse_json(line, "it"), RunResult)
    if result.lost is None:
        msgspec.convert(result.summary, Summary)
    return result


def replace(path: Path, data: bytes) -> None:
    """Write a file beside its place, then rename it."""
    beside = path.with_name(f".{path.name}.new")
    with explained(path):
        try:
            beside.write_bytes(data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _program() -> str:
    """What stands for the state of Minibit's source."""
    digest, root = hashlib.sha256(), Path(minibit.__file__).parent.parent
    for path in [*sorted(root.glob("minibit/**/*.py")), *sorted(root.glob("actors/**/*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]

"""The folder of one run: what it was told, what it came to, and what happened in it.

    runs/NAME/run.json          {"summary": ..., "options": ..., "versions": ...}
    runs/NAME/blocks.parquet    one row for each block that arrived (`BlockRecord`)
    runs/NAME/peers.parquet     joined, completed, left, died... (`PeerRecord`)
    runs/NAME/serving.parquet   who serves whom from when (`ServingRecord`)
    runs/NAME/samples.parquet   how far each peer is, once in a while (`SampleRecord`)
    runs/NAME/files/peer-07/    the peers' copies, with `--keep`

The columns of a table are the fields of its record, also when it has no row. Every file is written beside
its place and then renamed, `run.json` last: a folder with a `run.json` is a whole run, and no killed run
leaves half a table. Only the driver writes here.
"""

from __future__ import annotations

import errno
import io
import os
import platform
import random
import string
import sys
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from minibit.errors import DiskFullError, LocalError
from minibit.options import Options
from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, ServingRecord
from minibit.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

RUNS = Path("runs")
TABLES: dict[str, type[Record]] = {
    "blocks": BlockRecord,
    "peers": PeerRecord,
    "serving": ServingRecord,
    "samples": SampleRecord,
}


class RunFolder:
    """The folder at `path` of the run called `name`; `create` makes a new one."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    @classmethod
    def create(cls, name: str | None = None, out: str | os.PathLike[str] | None = None) -> RunFolder:
        """A folder for a new run: `out`, or runs/NAME below the working directory.

        A run without a name gets one that no other has. `LocalError` where a whole run is already.
        """
        if name is None and out is None:
            return cls._create_unique()
        name = name or new_name()
        path = Path(out) if out is not None else RUNS / name
        with _explained(path):
            path.mkdir(parents=True, exist_ok=True)
        if (path / "run.json").exists():
            raise LocalError(f"there is a run in {path} already: remove it, or give another --out or --name")
        return cls(name, path)

    @classmethod
    def _create_unique(cls) -> RunFolder:
        with _explained(RUNS):
            while True:
                name = new_name()
                with suppress(FileExistsError):
                    RUNS.mkdir(parents=True, exist_ok=True)
                    (RUNS / name).mkdir()
                    return cls(name, RUNS / name)

    @property
    def files(self) -> Path:
        """Where the copies of peers go that are kept."""
        return self.path / "files"

    def write(self, summary: Summary, options: Options, records: Iterable[Record]) -> None:
        """The whole run: its tables (where polars is installed), then run.json."""
        self.write_tables(records)
        run = {"summary": summary.as_dict(), "options": msgspec.to_builtins(options), "versions": versions()}
        text = msgspec.json.format(msgspec.json.encode(run), indent=2)
        self._put("run.json", text + b"\n")

    def write_tables(self, records: Iterable[Record]) -> list[Path]:
        """The four tables, as Parquet; none where polars is not installed (`pip install minibit[lab]`)."""
        try:
            tables = frames(records)
        except ImportError:
            return []
        return [self._put(f"{name}.parquet", _parquet(frame)) for name, frame in tables.items()]

    def _put(self, name: str, data: bytes) -> Path:
        path = self.path / name
        beside = path.with_name(f".{name}.new")
        with _explained(path):
            try:
                beside.write_bytes(data)
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
        return path


def new_name() -> str:
    """Date, time and four letters at random: `2025-06-01-143000-kqzw`."""
    letters = "".join(random.SystemRandom().choices(string.ascii_lowercase, k=4))
    return f"{datetime.now():%Y-%m-%d-%H%M%S}-{letters}"


def frames(records: Iterable[Record]) -> dict[str, pl.DataFrame]:
    """The records as the tables `blocks`, `peers`, `serving`, `samples`, each in order of time.

    Times and durations are Float64 (seconds), counts and bytes Int64, all else String.
    """
    import polars as pl  # noqa: PLC0415  heavy, and peers never need it

    dtypes = {float: pl.Float64, int: pl.Int64}
    rows: dict[type, list[Record]] = {kind: [] for kind in TABLES.values()}
    for record in records:
        rows[type(record)].append(record)
    tables = {}
    for name, kind in TABLES.items():
        schema = {field.name: dtypes.get(field.type, pl.String) for field in msgspec.structs.fields(kind)}
        columns = {column: [getattr(row, column) for row in rows[kind]] for column in schema}
        tables[name] = pl.DataFrame(columns, schema=schema).sort("at_s", "peer", maintain_order=True)
    return tables


def versions() -> dict[str, str]:
    """What ran: Python, the platform, Ray and Minibit."""
    found = {"python": platform.python_version(), "platform": sys.platform}
    for package in ("ray", "minibit"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()  # and not straight to disk: polars hides what the system says about a full one
    frame.write_parquet(buffer)
    return buffer.getvalue()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What the system says about `path`, as an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(f"no room for {path}: free some, or give another --out") from None
        raise LocalError(f"can't write {path} ({error.strerror or error}): give another --out") from None

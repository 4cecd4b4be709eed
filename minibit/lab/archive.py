"""The folder of one run: its options, its summary, and the records of what happened.

    runs/NAME/run.json          "format", what is known beside its records (`Ledger.about`), "written", "versions"
    runs/NAME/blocks.parquet    one row for each block that arrived (`BlockRecord`)
    runs/NAME/peers.parquet     started, completed, left, died, failed, banned (`PeerRecord`)
    runs/NAME/serving.parquet   slots: peer, neighbour, from when (`ServingRecord`)
    runs/NAME/samples.parquet   the progress of each peer, now and then (`SampleRecord`)
    runs/NAME/links.parquet     neighbours that a peer heard of, and its links (`LinkRecord`)
    runs/NAME/peer-07.journal   the events of a simulated peer, with `--journal`
    runs/NAME/files/peer-07/    the peers' copies, with `--keep`
    runs/NAME/earlier/1/        the records of the run that was there before, with its report; then 2, and so on

The columns of a table are the fields of its record, also when it has no row. Each file is written under another name
and then renamed, `run.json` last. So a folder with a `run.json` is a whole run, and a run that is killed leaves no half
one. Only the driver writes here.

Records and copies are apart: a run in a folder where one was before goes on with the copies, and sets the earlier
records aside when it writes its own.
"""

from __future__ import annotations

import errno
import io
import os
import platform
import random
import string
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import msgspec

from minibit.errors import DiskFullError, LocalError, OptionError
from minibit.records import TABLES, Record

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

RUNS = Path("runs")
FORMAT = 1  # of run.json and the tables; a program that knows a smaller number cannot read them


class RunFolder:
    """The folder at `path` of the run called `name`; `create` makes a new one. `ours`: this program made it.

    A new one is locked until `remove_if_empty`, or until this program ends: two runs never write into one folder.
    """

    def __init__(self, name: str, path: Path, *, ours: bool = True) -> None:
        self.name = name
        self.path = path
        self._ours = ours
        self._let_go: Callable[[], object] = lambda: None

    @classmethod
    def create(
        cls,
        name: str | None = None,
        out: str | os.PathLike[str] | None = None,
        source: str | os.PathLike[str] | None = None,
    ) -> RunFolder:
        """A folder for a new run of `source`: `out`, or runs/NAME below the working directory; it can be written.

        A run without a name gets one that no other run has. `OptionError` if the folder would lie in the source, and so
        become content; `LocalError` if a run goes on in it.
        """
        place = Path(out) if out is not None else RUNS / (name or "")
        if source is not None and place.resolve().is_relative_to(Path(source).resolve()):
            raise OptionError("out", str(place), f"{place} lies in {source}, which is shared: give a folder outside it")
        if name is None and out is None:
            return cls._create_unique()
        ours = not place.exists()
        with explained(place):
            place.mkdir(parents=True, exist_ok=True)
            made = cls(name or new_name(), place, ours=ours)
            made._lock()
            with TemporaryFile(dir=place):
                return made

    @classmethod
    def _create_unique(cls) -> RunFolder:
        with explained(RUNS):
            while True:
                name = new_name()
                with suppress(FileExistsError):
                    RUNS.mkdir(parents=True, exist_ok=True)
                    (RUNS / name).mkdir()
                    return cls(name, RUNS / name)

    @property
    def files(self) -> Path:
        """Where `--keep` puts the copies of the peers."""
        return self.path / "files"

    def write(
        self, about: Mapping[str, Any], records: Iterable[Record], journals: Mapping[str, bytes] | None = None
    ) -> None:
        """Write the whole run or nothing: its tables (if polars is installed), the journals, then run.json.

        `about` is what a ledger says of the run; `journals` are those of simulated peers, by the name of the file.
        """
        written = datetime.now().astimezone().isoformat(timespec="seconds")
        told = msgspec.json.encode({"format": FORMAT, **about, "written": written, "versions": versions()})
        text = msgspec.json.format(told, indent=2) + b"\n"
        beside: dict[Path, Path] = {}
        try:
            for name, data in _files(records, {**(journals or {}), "run.json": text}):
                path = self.path / name
                beside[path] = path.with_name(f".{name}.new")
                with explained(path):
                    beside[path].write_bytes(data)
            self._set_aside()
            for path, new in beside.items():
                with explained(path):
                    new.replace(path)
        finally:
            for new in beside.values():
                new.unlink(missing_ok=True)

    def _lock(self) -> None:
        """Keep other runs out of the folder, as far as this system can."""
        if fcntl is None:
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        self._let_go = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._let_go()
            what = f"a run goes on in {self.path}"
            raise LocalError(f"{what}: wait for its end, or give another folder or name") from None
        except OSError:
            return  # this file system has no locks

    def _set_aside(self) -> None:
        """Move the records of the run that was here before into earlier/1, or the next number that is free."""
        names = ("run.json", "report.html", "*.journal", *(f"{table}.parquet" for table in TABLES))
        if not (found := [path for name in names for path in self.path.glob(name)]):
            return
        with explained(self.path):
            numbers = [int(path.name) for path in self.path.glob("earlier/*") if path.name.isdecimal()]
            aside = self.path / "earlier" / str(max(numbers, default=0) + 1)
            aside.mkdir(parents=True)
            for path in found:
                path.rename(aside / path.name)

    def remove_if_empty(self) -> None:
        """Let go of the folder. That of a run that came to nothing is removed, if this program made it."""
        self._let_go()
        if self._ours:
            with suppress(OSError):
                self.path.rmdir()


def new_name() -> str:
    """Date, time and four letters at random: `2025-06-01-143000-kqzw`."""
    letters = "".join(random.SystemRandom().choices(string.ascii_lowercase, k=4))
    return f"{datetime.now():%Y-%m-%d-%H%M%S}-{letters}"


def versions() -> dict[str, str]:
    """The versions of Python, Ray and Minibit, and the platform."""
    found = {"python": platform.python_version(), "platform": sys.platform}
    for package in ("ray", "minibit"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _files(records: Iterable[Record], others: dict[str, bytes]) -> Iterator[tuple[str, bytes | memoryview]]:
    """The tables, if polars is installed (`pip install minibit[lab]`), and then the others."""
    if find_spec("polars") is not None:
        from minibit.lab.frames import each_frame  # noqa: PLC0415  polars is heavy, and peers never need it

        for name, frame in each_frame(records):
            buffer = io.BytesIO()  # not straight to disk: polars hides the system's error about a full disk
            frame.write_parquet(buffer)
            yield f"{name}.parquet", buffer.getbuffer()
    yield from others.items()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error of the system about `path` into one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(f"no room for {path}: free some, or give another folder") from None
        raise LocalError(f"can't write {path} ({error.strerror or error}): give another folder") from None

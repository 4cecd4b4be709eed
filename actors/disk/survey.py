"""What one node says of itself, and of a destination on its disk: plain values, found without changing anything.

To know whether a folder can be written there is one sure way: to make a file in it. That file, the *probe*, has a
random name. With `leave` it stays, so that other nodes can look whether they see it: then they share a file system.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

import minibit
from minibit.actors.disk import scratch
from minibit.actors.disk.files import entries, existing
from minibit.actors.disk.place import Place
from minibit.errors import LocalError
from minibit.manifest import Manifest

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

PROBE = ".minibit-probe-"
STALE_S = 600.0  # a probe so old was left by a driver that was killed
PACKAGES = ("ray", "msgspec", "blake3", "uvloop")

State = Literal["absent", "ours", "other", "source"]


class DestSurvey(msgspec.Struct, frozen=True, kw_only=True):
    """A destination on one node.

    state          `absent`; `ours`: a store made it; `source`: it is the content itself; `other` content
    digest         the name of our content that is there, as `Manifest.digest`; else ""
    content_bytes  the size of our content that is there
    untouched      whether no file of it was changed since
    partial_bytes  what a partial copy beside it has on the disk already
    busy           whether another push is writing there now
    folder         the nearest folder that is there already, to which all of these belong:
    fault          why nothing can be written in it; else ""
    free_bytes     for this user
    free_files     how many more files it takes; None where the file system doesn't count them
    device         the file system, by its number on this node
    """

    path: str
    state: State
    digest: str = ""
    content_bytes: int = 0
    untouched: bool = False
    partial_bytes: int = 0
    busy: bool = False
    folder: str = ""
    fault: str = ""
    free_bytes: int = 0
    free_files: int | None = None
    device: int = 0


class NodeSurvey(msgspec.Struct, frozen=True, kw_only=True):
    """One node; what a later round finds out is put in by the driver.

    versions           of Python, Ray, Minibit and what it stands on, by name
    system             `Linux x86_64`
    python             the program that runs there
    open_files         how many files a process may have open as it starts, and how many it may ask for; 0: unknown
    free_memory_bytes  None: the system doesn't say
    port               one for blocks that is free; 0: none is, and `port_fault` says why
    shares_with        the ids of the nodes that see the probe of this one, and so share its file system
    unreached          the addresses of those nodes, among the ones that it tried, that it can't connect to
    clock_ahead_s      how much its clock is ahead of the driver's; None: not known
    """

    versions: dict[str, str]
    system: str
    python: str
    open_files: tuple[int, int]
    free_memory_bytes: int | None = None
    dest: DestSurvey
    port: int = 0
    port_fault: str = ""
    shares_with: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()
    clock_ahead_s: float | None = None


def survey(dest: str | None, source: str | None = None, leave: str = "") -> NodeSurvey:
    """This node and `dest`, or its temporary folder; never raises for what it finds.

    `source` is the path of the content if it lies on this node. The probe stays under the name `probe_name(leave)`,
    if one is given.
    """
    limits = (0, 0) if resource is None else resource.getrlimit(resource.RLIMIT_NOFILE)
    return NodeSurvey(
        versions=versions(),
        system=f"{platform.system()} {platform.machine()}",
        python=sys.executable,
        open_files=(_count(limits[0]), _count(limits[1])),
        dest=_dest(dest, source, leave),
    )


def versions() -> dict[str, str]:
    """The versions of what runs here, by name; what isn't there is left out."""
    found = {"python": platform.python_version(), "minibit": minibit.__version__}
    for name in PACKAGES:
        version = getattr(sys.modules.get(name), "__version__", None)  # of what is in use, not of what is installed
        with suppress(metadata.PackageNotFoundError):
            found[name] = version or metadata.version(name)
    return found


def probe_name(tag: str) -> str:
    """The name of the probe with this tag."""
    return f"{PROBE}{tag}"


def seen(folder: str, tags: Iterable[str]) -> list[str]:
    """Those of the tags whose probes are in `folder`."""
    return [tag for tag in tags if os.path.lexists(Path(folder, probe_name(tag)))]


def remove_probe(folder: str, tag: str) -> None:
    """Remove the probe with this tag."""
    with suppress(OSError):
        Path(folder, probe_name(tag)).unlink()


def sweep_probes(folder: Path, now_s: float) -> list[str]:
    """Remove probes of this user that nothing waits for any more; their names. `now_s` as by `time.time`."""
    swept: list[str] = []
    with suppress(OSError):
        for path in list(folder.glob(f"{PROBE}*")):
            found = path.lstat()
            if found.st_uid == os.geteuid() and now_s - found.st_mtime > STALE_S:
                path.unlink()
                swept.append(path.name)
    return swept


def allocated_bytes(path: Path) -> int:
    """What a file or a folder takes on the disk; 0 where there is none."""
    total = 0
    with suppress(OSError):
        total += path.lstat().st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            total += sum(entry.stat(follow_symlinks=False).st_blocks * 512 for _, entry in entries(path))
    return total


def _dest(dest: str | None, source: str | None, leave: str) -> DestSurvey:
    try:
        place = Place(Path(dest) if dest else scratch.place() / "copy")
    except LocalError as error:
        return DestSurvey(path="", state="absent", fault=str(error))
    path = str(place.final)
    try:
        folder = existing(place.final.parent)
        sweep_probes(folder, time.time())
        fault = _try_to_write(folder, leave)
        disk = os.statvfs(folder)
        state, manifest, untouched = _state(place, source)
        return DestSurvey(
            path=path,
            state=state,
            digest="" if manifest is None else manifest.digest,
            content_bytes=0 if manifest is None else manifest.content_bytes,
            untouched=untouched,
            partial_bytes=allocated_bytes(place.partial),
            busy=_in_use(place.partial),
            folder=str(folder),
            fault=fault,
            free_bytes=disk.f_bavail * disk.f_frsize,
            free_files=disk.f_favail if disk.f_files else None,
            device=folder.stat().st_dev,
        )
    except OSError as error:
        return DestSurvey(path=path, state="absent", fault=f"{error.strerror or error}")


def _state(place: Place, source: str | None) -> tuple[State, Manifest | None, bool]:
    """What lies at the destination; the manifest of our content, and whether nobody touched that since."""
    if not os.path.lexists(place.final):
        return "absent", None, False
    with suppress(OSError):
        if source is not None and place.final.samefile(source):
            return "source", None, True
    manifest, untouched = _marked(place)
    return ("other" if manifest is None else "ours"), manifest, untouched


class _Mark(msgspec.Struct):
    manifest: Manifest


def _marked(place: Place) -> tuple[Manifest | None, bool]:
    """What the mark beside a copy says of it, and whether that still holds."""
    try:
        return msgspec.json.decode(place.mark.read_bytes(), type=_Mark).manifest, False
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None, False


def _in_use(path: Path) -> bool:
    """Whether a process holds a lock on what lies there."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # its file system can't say
    finally:
        os.close(descriptor)
    return False


def _try_to_write(folder: Path, leave: str) -> str:
    """Why no file can be made in `folder`; "" if one can."""
    probe = folder / probe_name(leave or os.urandom(8).hex())
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if not leave:
            probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _count(limit: int) -> int:
    """A limit as a number; one that is none is the largest."""
    return sys.maxsize if limit < 0 else limit

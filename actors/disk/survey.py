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
from minibit.actors.disk import marks, scratch
from minibit.actors.disk.files import entries, existing
from minibit.actors.disk.place import Place
from minibit.errors import LocalError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

PROBE = ".minibit-probe-"
FILES_MAX = 100_000  # that are looked at where no push made a copy
STALE_S = 600.0  # a probe so old was left by a driver that was killed
PACKAGES = ("ray", "msgspec", "blake3", "uvloop")

State = Literal["absent", "ours", "other", "source"]


class DestSurvey(msgspec.Struct, frozen=True, kw_only=True):
    """A destination on one node.

    state          `absent`; `ours`: a copy that a push made; `source`: it is the content itself; `other` content
    digest         the name of our content that is there, as `Manifest.digest`; else ""
    bytes_digest   that of its bytes and names, as `Manifest.bytes_digest`
    content_bytes  the size of the content that is there; 0 if that would take long to find out
    untouched      whether no file of our content was changed since
    partial_bytes  what a copy beside it, partial or not swapped in yet, has on the disk already
    busy           whether another push is at work there now
    folder         the nearest folder that is there already, to which what follows belongs
    probed         whether a probe was left there
    fault          why no copy can be made there, and what to do; else ""
    free_bytes     for this user
    free_files     how many more files it takes; None where the file system doesn't count them
    device         the file system, by its number on this node
    """

    path: str
    state: State
    digest: str = ""
    bytes_digest: str = ""
    content_bytes: int = 0
    untouched: bool = False
    partial_bytes: int = 0
    busy: bool = False
    folder: str = ""
    probed: bool = False
    fault: str = ""
    free_bytes: int = 0
    free_files: int | None = None
    device: int = 0

    def has(self, digest: str) -> bool:
        """Whether the whole content of that digest is there, and no file of it was touched."""
        return self.state == "source" or (self.state == "ours" and self.untouched and self.digest == digest)


class NodeSurvey(msgspec.Struct, frozen=True, kw_only=True):
    """One node; what a later round finds out is put in by the driver.

    versions           of Python, Ray, Minibit and what it stands on, by name
    system             `Linux x86_64`
    python             the program that runs there
    open_files         how many files a process may have open as it starts, and how many it may ask for; 0: unknown
    free_memory_bytes  None: the system doesn't say
    port               one for blocks that is free; 0: none is, and `port_fault` says why
    shares_with        the ids of the nodes that see the probe of this one, and so share its file system
    cut_off            whether no other node that tried can connect to it
    unreached          the addresses of further nodes that it can't connect to, though others can
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
    cut_off: bool = False
    unreached: tuple[str, ...] = ()
    clock_ahead_s: float | None = None


def survey(dest: str | None, source: str | None = None, leave: str = "", known: str = "") -> NodeSurvey:
    """This node and `dest`, or its temporary folder; never raises for what it finds.

    `source` is the path of the content if it lies on this node, and `known` its digest if that is known: where its copy
    is, nothing is written. Else the probe stays under the name `probe_name(leave)`, if one is given.
    """
    limits = (0, 0) if resource is None else resource.getrlimit(resource.RLIMIT_NOFILE)
    return NodeSurvey(
        versions=versions(),
        system=f"{platform.system()} {platform.machine()}",
        python=sys.executable,
        open_files=(_count(limits[0]), _count(limits[1])),
        dest=_dest(dest, source, leave, known),
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


def _dest(dest: str | None, source: str | None, leave: str, known: str) -> DestSurvey:
    try:
        place = Place(Path(dest) if dest else scratch.place() / "copy")
    except LocalError as error:
        return DestSurvey(path="", state="absent", fault=str(error))
    path = str(place.final)
    try:
        folder = existing(place.final.parent)
        disk, device = os.statvfs(folder), folder.stat().st_dev
        sweep_probes(folder, time.time())
        found = _content(place, source)
    except OSError as error:
        return DestSurvey(path=path, state="absent", fault=_fault(path, error))
    found = msgspec.structs.replace(
        found,
        partial_bytes=sum(map(allocated_bytes, (place.partial, place.new))),
        busy=any(map(_in_use, (place.partial, place.new, place.final))),
        folder=str(folder),
        free_bytes=disk.f_bavail * disk.f_frsize,
        free_files=disk.f_favail if disk.f_files else None,
        device=device,
    )
    if found.fault or (known and found.has(known)):
        return found
    fault = _try_to_write(folder, leave)  # the last thing: whatever interrupts this node leaves no probe
    return msgspec.structs.replace(found, fault=fault, probed=bool(leave) and not fault)


def _content(place: Place, source: str | None) -> DestSurvey:
    """What lies at the destination."""
    final, path = place.final, str(place.final)
    if not os.path.lexists(final):
        return DestSurvey(path=path, state="absent")
    with suppress(OSError):
        if source is not None and final.samefile(source):
            return DestSurvey(path=path, state="source")
    if final.is_mount():
        return DestSurvey(path=path, state="other", fault=f"{path} is a disk of its own: give a folder in it")
    marked = marks.read(place)
    if marked is None or marks.obstacle(place, marked) is not None:
        digest = marked.manifest.digest if marked is not None and marked.untouched(place) else ""  # and there is more
        return DestSurvey(path=path, state="other", digest=digest, content_bytes=_content_bytes(final))
    manifest = marked.manifest
    return DestSurvey(
        path=path,
        state="ours",
        digest=manifest.digest,
        bytes_digest=manifest.bytes_digest,
        content_bytes=manifest.content_bytes,
        untouched=marked.untouched(place),
    )


def _content_bytes(path: Path) -> int:
    """The bytes of all files there; 0 if they are very many."""
    total = 0
    with suppress(OSError):
        if not path.is_dir():
            return path.stat().st_size
        for count, (_, entry) in enumerate(entries(path)):
            if count == FILES_MAX:
                return 0
            total += entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
    return total


def _in_use(path: Path) -> bool:
    """Whether a push holds its lock on what lies there. Nodes that share a file system may ask at once."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # its file system can't say
    finally:
        os.close(descriptor)
    return False


def _try_to_write(folder: Path, leave: str) -> str:
    """Why no file can be made in `folder`; "" if one can."""
    tag = leave or os.urandom(8).hex()
    try:
        os.close(os.open(folder / probe_name(tag), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        if not leave:
            (folder / probe_name(tag)).unlink()
    except OSError as error:
        return _fault(str(folder), error)
    except BaseException:
        remove_probe(str(folder), tag)
        raise
    return ""


def _fault(path: str, error: OSError) -> str:
    owner = "let the user that runs Ray write there, or give another destination"
    return f"can't write in {path} ({error.strerror or error}): {owner}"


def _count(limit: int) -> int:
    """A limit as a number; one that is none is the largest."""
    return sys.maxsize if limit < 0 else limit

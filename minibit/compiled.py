"""The compiled rooms: which these are, whether they fit their sources, and how Python finds them.

Where there is a compiler, `make compiled` makes C of some rooms (with mypyc) and puts them into the folder `_compiled`,
where Python doesn't look by itself. They are the same code: same records, in about half of the time.

Invariant: compiled rooms run only if they were made from exactly the sources that are there. The folder has a digest of
all sources that a compiled room may depend on. If one of these has changed, all rooms run from their sources, and a
warning says so. All or none: a compiled room knows where the fields of another one stand in memory.

Left interpreted: messages, events and records, whose classes msgspec makes; whatever users subclass (pickers, chokers,
behaviours, watchers); and whatever takes no time.
"""

from __future__ import annotations

import os
import sys
import warnings
from hashlib import sha256
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

PACKAGE = Path(__file__).parent
FOLDER = PACKAGE / "_compiled"
DIGEST = "sources.sha256"  # the file in the folder, with the digest of the sources that the rooms were made from
GROUP = "minibit_rooms__mypyc"  # the module that has the code of all rooms

ROOMS = (
    *("announcer", "availability", "contacts", "content", "exchange", "inventory", "life", "membership"),
    *("neighbour", "peer", "pipeline", "rate", "timers", "tracker", "uploads"),
    *("sim.bandwidth", "sim.clock", "sim.link_book", "sim.machine", "sim.network", "sim.simulation", "sim.world"),
)
"""What a simulation spends its time in."""

NAMES = frozenset(f"minibit.{room}" for room in ROOMS)
FLOORS = ("", "wire", "run", "sim")  # the folders of the package that have compiled rooms, or rooms that these import
VARIABLE = "MINIBIT_COMPILED"
OFF = "0"  # its value that says: pure Python, whatever is there

_state = "pure Python"


def digest(package: Path = PACKAGE) -> str:
    """The digest of all sources that a compiled room may depend on; `package` is the folder of `minibit`."""
    found = sha256()
    for path in sorted(path for floor in FLOORS for path in (package / floor).glob("*.py")):
        source = path.read_bytes()
        found.update(f"{path.relative_to(package).as_posix()} {len(source)}\n".encode() + source)
    return found.hexdigest()


def built() -> str:
    """What runs in this process, in words: `compiled`, or `pure Python`, and why if compiled rooms are there."""
    return _state


def use() -> None:
    """Let this process import the compiled rooms, if they fit; before any of them is imported."""
    global _state  # noqa: PLW0603 - a process has one way to import
    sys.meta_path.insert(0, _Finder)
    why = _misfit()
    if why is None:
        _state = "compiled"
        return
    sys.meta_path.remove(_Finder)
    _state = f"pure Python: the compiled rooms {why}"
    os.environ[VARIABLE] = OFF  # the processes that this one starts need not say it again
    warnings.warn(f"{_state}; to make them anew: make compiled", RuntimeWarning, stacklevel=3)


def _misfit() -> str | None:
    """Why the rooms in the folder can't be used; None: they can."""
    if not _file(GROUP).exists():
        return "are of another Python"
    try:
        made_from = (FOLDER / DIGEST).read_text().strip()
    except OSError:
        return "were not made to the end"
    if made_from != digest():
        return "are older than their sources"
    try:
        import_module(GROUP)
    except ImportError as error:
        return f"can't be loaded: {error}"
    return None


def _file(name: str) -> Path:
    """The file of a compiled module."""
    return FOLDER / f"{name.replace('.', '/')}{EXTENSION_SUFFIXES[0]}"


class _Finder:
    """Finds the compiled rooms before Python finds their sources."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return spec_from_file_location(name, _file(name)) if name in NAMES or name == GROUP else None

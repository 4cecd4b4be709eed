"""On other systems: what only Linux has is hidden, and everything is imported, simulated, stored and read again.

That is no proof that it works there. It finds each call without a fallback, which a laptop with another system would
meet first.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

MODULES = ("fcntl", "resource", "uvloop", "termios", "pwd", "grp")
NAMES = {
    "os": (
        "sched_getaffinity O_NOFOLLOW O_DIRECTORY O_CLOEXEC SEEK_DATA SEEK_HOLE pread pwrite preadv pwritev sendfile "
        "posix_fallocate killpg getpgid setsid sysconf uname getuid geteuid mkfifo getloadavg"
    ),
    "signal": "SIGHUP SIGKILL SIGUSR1 SIGUSR2 pthread_sigmask",
}
"""What another system may lack, by its module."""

PROGRAM = f"""
import importlib, os, pkgutil, sys
from pathlib import Path

import bokeh, blake3, click, polars, ray, rich, tornado.web  # they have fallbacks of their own
import bokeh.models, bokeh.plotting, click.testing, multiprocessing, concurrent.futures.process

for module in {MODULES!r}:
    sys.modules[module] = None
for module, names in {NAMES!r}.items():
    for name in names.split():
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)

import minibit
for room in pkgutil.walk_packages(minibit.__path__, "minibit."):
    if not room.name.endswith("__main__"):
        importlib.import_module(room.name)

from click.testing import CliRunner
from minibit.cli.commands import load

def minibit_(*arguments):
    result = CliRunner().invoke(load(arguments[0]), arguments[1:])
    assert result.exit_code == 0, (arguments, result.output, result.exception)

minibit_("swarm", "--world", "sim", "--peers", "3", "--size", "256KiB", "--out", "run")
minibit_("runs", "show", "run")
grid = ['title = "x"', 'repeats = 1', '[options]', 'peers = 2', 'size = "64KiB"', '[grid]', 'slots = [1]']
Path("grid.toml").write_text("\\n".join(grid))
minibit_("compare", "grid.toml", "--jobs", "1", "--quiet")

from minibit.actors.disk import files
from minibit.actors.disk.place import Place
from minibit.actors.disk.store import Store

content = files.make(Path("content"), 300_000, seed=1)
manifest = files.scan(content, lambda _: 1 << 16, "blake3")
whole = content.read_bytes()

def given(copy, *blocks):
    for block in blocks:
        at = block * manifest.block_bytes
        copy.write(block, whole[at : at + manifest.length(block)])

copy = Store.open(Place(Path("copy", manifest.name)), manifest)
given(copy, 0, 2)
copy.close()
copy = Store.open(Place(Path("copy", manifest.name)), manifest)
assert copy.held == 0b101, "resumed"
assert copy.read(2) == whole[2 << 16 : 3 << 16]
given(copy, 1, 3, 4)
assert copy.finish().read_bytes() == whole
assert copy.verify_all()
copy.close()
print("done")
"""


def test_nothing_that_only_linux_has_is_needed_to_import_to_simulate_and_to_store(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stdout.endswith("done\n"), done.stderr[-3000:]

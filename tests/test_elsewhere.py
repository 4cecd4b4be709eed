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
        "posix_fallocate killpg getpgid setsid sysconf uname statvfs getuid geteuid mkfifo getloadavg"
    ),
    "signal": "SIGHUP SIGKILL SIGUSR1 SIGUSR2 pthread_sigmask",
    "errno": "EDQUOT",
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
from minibit.actors.disk.store import Store

content = files.make(Path("content"), 300_000, seed=1)
manifest = files.scan(content, lambda _: 1 << 16, "blake3")
seed, copy = files.SharedFiles(content, manifest) if False else None, Store.open(Path("copy"), manifest)
whole = content.read_bytes()
for block in range(manifest.block_count):
    at = block * manifest.block_bytes
    copy.write(block, whole[at : at + manifest.length(block)])
copy.finish()
assert copy.verify()
assert Path("copy", "content").read_bytes() == whole
copy.close()
print("done")
"""


def test_nothing_that_only_linux_has_is_needed_to_import_to_simulate_and_to_store(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stdout.endswith("done\n"), done.stderr[-3000:]

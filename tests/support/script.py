"""The script as a process of its own, for tests of signals, and of what stays."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[2] / "experiments" / "run_swarm.py"
ENOUGH_S = 90  # for anything that ends by itself
SOON_S = 20  # for a run to end after it was told to, on a busy machine
TOLD = ("env", "--default-signal=INT,TERM,HUP")  # a command starts that one which it runs as if nothing were ignored
SLOW = ["--peers", "2", "--size", "4MiB", "--seed-upload", "64KiB/s"]


class Run:
    """The script as a process of its own, with its own temporary folder; a context manager that leaves nothing."""

    def __init__(
        self, folder: Path, *arguments: object, before: tuple[str, ...] = (), report: bool = False, **env: str
    ) -> None:
        self.tmp = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))  # short: Ray puts sockets below it
        self.out, self.err = self.tmp / "stdout", self.tmp / "stderr"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [
                    *TOLD,
                    *before,
                    sys.executable,
                    str(SCRIPT),
                    *map(str, arguments),
                    *([] if report else ["--no-report"]),
                ],
                cwd=folder,
                env={**os.environ, "TMPDIR": str(self.tmp), **env},
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def stdout(self) -> str:
        return self.out.read_text()

    @property
    def stderr(self) -> str:
        return self.err.read_text()

    def wait(self, timeout_s: float = ENOUGH_S) -> int:
        """Its exit code; 128 and the signal where one ended it."""
        code = self.process.wait(timeout_s)
        return code if code >= 0 else 128 - code

    def said(self, pattern: str) -> re.Match[str]:
        """Wait until that stands on its standard error."""
        until(lambda: re.search(pattern, self.stderr) or self.process.poll() is not None)
        found = re.search(pattern, self.stderr)
        assert found, self.stderr
        return found

    def maps(self) -> str:
        """The libraries that it has loaded, among its maps of memory."""
        return Path(f"/proc/{self.process.pid}/maps").read_text()

    def children(self) -> dict[int, str]:
        """The processes that it started, found by their environment: their parent may be another by now."""
        mark, found = f"TMPDIR={self.tmp}\0".encode(), {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    if mark in (entry / "environ").read_bytes() + b"\0":
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue  # it has just ended, or is another user's
        return {pid: command for pid, command in found.items() if command}

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pid in self.children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        shutil.rmtree(self.tmp, ignore_errors=True)


def until(holds: Callable[[], Any], timeout_s: float = 60, else_say: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"it never came to that: {else_say()}"
        time.sleep(0.02)

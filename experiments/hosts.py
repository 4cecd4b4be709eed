"""Several hosts on one machine, by hosts.sh, as a context manager. Takes root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from types import TracebackType
from typing import Self

from minibit.errors import MinibitError

HOSTS_SH = Path(__file__).with_name("hosts.sh")
HEAD = 1


class Hosts:
    """Hosts with the numbers from 1, one Ray cluster over them, and a disk each. They are gone when it is left.

    uplink       the limit of each, as tc spells it; "": none
    disk_bytes   room at /data of each
    store_bytes  room for Ray's objects on each
    """

    def __init__(
        self, count: int, uplink: str = "", *, disk_bytes: int = 1 << 30, store_bytes: int = 100_000_000
    ) -> None:
        self.numbers = range(1, count + 1)
        self._shape = (str(count), uplink, str(disk_bytes), str(store_bytes))
        self._state = Path(f"/run/mb{os.getpid()}")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._env = {**os.environ, "MINIBIT_HOSTS": str(self._state), "PATH": path}
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        try:
            self.sh("up", *self._shape)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._popen("down").wait()  # it ends its work, also if this process is interrupted meanwhile

    def sh(self, *arguments: str) -> str:
        """Say this to hosts.sh, and wait; what it printed. `MinibitError` with its reason if it fails."""
        process = self._popen(*arguments)
        try:
            return self._output(process, f"hosts.sh {arguments[0]}")
        except BaseException:
            _kill(process)
            raise

    def address(self, host: int) -> str:
        """The address of a host."""
        return f"10.213.0.{host}"

    def disk(self, host: int) -> Path:
        """The folder that is /data on a host."""
        return self._state / str(host) / "data"

    def scratch(self, host: int) -> Path:
        """The folder of temporary files of a host, which it sees under the same name."""
        return self._state / str(host)

    def received_bytes(self, host: int) -> int:
        """The bytes that have come to a host over its wire."""
        show = ["ip", "-n", f"{self._state.name}-{host}", "-s", "-json", "link", "show", "uplink"]
        found = json.loads(subprocess.run(show, capture_output=True, text=True, check=True).stdout)
        return int(found[0]["stats64"]["rx"]["bytes"])

    def start(self, host: int, *command: object) -> subprocess.Popen[str]:
        """Start a command on a host, with pipes as its input and output; `stop` ends it."""
        process = self._popen("on", str(host), *map(str, command))
        self._started.append(process)
        return process

    def run(self, host: int, *command: object) -> str:
        """Run a command on a host; its output. `MinibitError` with what it complained of if it fails."""
        return self._output(self.start(host, *command), f"on host {host}")

    def kill(self) -> None:
        """End all that `start` started; from any thread."""
        for process in list(self._started):
            _kill(process)

    def stop(self) -> None:
        """End all that `start` started, and let go of it."""
        self.kill()
        for process in self._started:
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                with suppress(OSError):
                    pipe and pipe.close()
        self._started.clear()

    def _popen(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", HOSTS_SH, *arguments],
            env=self._env,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for this process, which ends the others
        )

    @staticmethod
    def _output(process: subprocess.Popen[str], what: str) -> str:
        said, complaint = process.communicate()
        if process.returncode:
            lines = [line for line in complaint.splitlines() if line.strip() and " Killed " not in line]
            raise MinibitError(f"{what}: {(lines or ['it takes root and iproute2'])[-1]}")
        return said


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process and those that it started, unless they began a session of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

"""Workers do the runs of a comparison: processes of this machine, or tasks on a Ray cluster.

Both take a run and give a `Future` of its result. The future never raises: a run that is lost says why. The end of the
`with` leaves no process behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from abc import abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from threading import Lock
from typing import Any

import msgspec

from minibit.actors.driver.signals import undisturbed
from minibit.compare import one_run
from minibit.compare.grid import GridRun
from minibit.errors import ClusterError
from minibit.run.options import Options
from minibit.run.scenario import Scenario
from minibit.run.seating import seats

Outcome = dict[str, Any]  # see `one_run.run`

GOODBYE_S = 60.0  # for a swarm of real actors to end by itself


KILLED = -9  # the code of a process that was killed


class Workers(AbstractContextManager["Workers"]):
    """They do runs; the end of the `with` ends what is going on, and waits until it is gone."""

    @abstractmethod
    def submit(self, run: GridRun) -> Future[Outcome]:
        """Have this run done as soon as there is room."""


class Processes(Workers):
    """A process for each run, so many at a time; one that is killed takes no other along.

    `address` is the Ray cluster for swarms of real actors; None: each starts its own.
    """

    def __init__(self, jobs: int, address: str | None = None) -> None:
        self._address = address
        self._threads = ThreadPoolExecutor(jobs)
        self._lock = Lock()
        self._stopped = False
        self._processes: set[subprocess.Popen[bytes]] = set()

    def submit(self, run: GridRun) -> Future[Outcome]:
        return self._threads.submit(self._done, run)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stopped = True
            running = list(self._processes)
        for process in running:
            process.terminate()  # which a swarm of real actors takes as Ctrl-C
        until_s = time.monotonic() + GOODBYE_S
        for process in running:
            try:
                process.wait(max(0.0, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill(process)
        self._threads.shutdown(cancel_futures=True)

    def _done(self, run: GridRun) -> Outcome:
        try:
            return self._in_a_process(run)
        except OSError as error:
            return {"lost": f"no process could be started for it: {error}"}

    def _in_a_process(self, run: GridRun) -> Outcome:
        options = run.options if self._address is None or not run.real else {**run.options, "address": self._address}
        with tempfile.TemporaryFile() as err:
            with self._lock:
                if self._stopped:
                    return {"lost": "stopped"}
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", one_run.__name__],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},  # it finds what we find, as we do
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=err,
                    start_new_session=True,  # Ctrl-C reaches it once, through us
                )
                self._processes.add(process)
            try:
                answer = _answer(process, {"options": options, "scenario": run.scenario})
            finally:
                self._processes.discard(process)
            try:
                return msgspec.json.decode(answer, type=Outcome)
            except msgspec.DecodeError:  # nothing, or not all of it
                return {"lost": _last_words(process.returncode, err)}


def _answer(process: subprocess.Popen[bytes], told: dict[str, Any]) -> bytes:
    """What the process answers, when it is gone; its standard input stays open until then."""
    assert process.stdin is not None and process.stdout is not None
    answer = b""
    with suppress(BrokenPipeError), process:
        with suppress(BrokenPipeError):  # it may end before it listens
            process.stdin.write(msgspec.json.encode(told) + b"\n")
            process.stdin.flush()
        answer = process.stdout.read()
        process.wait()
    return answer


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and, where the system knows groups of processes, what it started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _last_words(code: int, err: Any) -> str:
    """Why a process ended without an answer."""
    if code == KILLED:
        return "its process was killed, perhaps because memory ran out: give fewer --jobs, or smaller runs"
    err.seek(0)
    lines = err.read().decode(errors="replace").strip().splitlines()
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"its process ended with {how}" + (f": {lines[-1]}" if lines else "")


class Tasks(Workers):
    """A Ray task for each run, which needs nothing on its node but Minibit. `ClusterError` without a cluster.

    No task is tried twice: the user shall know which run was lost, and why.
    """

    def __init__(self, address: str) -> None:
        with undisturbed():  # half of Ray can neither run nor end
            import ray  # noqa: PLC0415

        from minibit.actors.driver import cluster, shipping  # noqa: PLC0415  import Ray, which processes don't need

        self._joined = not ray.is_initialized()
        cluster.connect(address)
        if not ray.cluster_resources().get("CPU"):  # type: ignore[no-untyped-call]
            cluster.disconnect()
            raise ClusterError(f"the cluster at {address} has no CPU for tasks: add a node to it")
        self._shipped = shipping.shipped
        self._run = ray.remote(num_cpus=1, max_retries=0)(one_run.run)
        self._refs: list[Any] = []

    def submit(self, run: GridRun) -> Future[Outcome]:
        options = Options.build(**run.options)
        own = self._shipped(seats(options, Scenario.build(run.scenario, options.peers)))
        ref = self._run.remote(run.options, run.scenario, own)
        self._refs.append(ref)
        outcome: Future[Outcome] = Future()
        ref.future().add_done_callback(lambda done: outcome.set_result(_outcome(done)))
        return outcome

    def __exit__(self, *_: object) -> None:
        import ray  # noqa: PLC0415

        for ref in self._refs:
            ray.cancel(ref, force=True)
        if self._joined:
            ray.shutdown()


def _outcome(done: Future[Outcome]) -> Outcome:
    error = done.exception()
    if error is None:
        return done.result()
    lines = str(error).strip().splitlines() or [""]
    return {"lost": f"{type(error).__name__}: {lines[-1] if lines[0].startswith('ray::') else lines[0]}"}

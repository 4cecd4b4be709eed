"""A swarm that this process launched, and ends.

`close`, or the end of the `with`, leaves no actor, no process and no file of it. Only its live page, if there is one,
has threads of its own; all take turns.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import ray
from ray.exceptions import RayError

from minibit.actors.disk import files
from minibit.actors.driver import cluster, launch
from minibit.actors.driver.collector import Collector, Progressing
from minibit.actors.driver.swarm import Swarm
from minibit.actors.driver.turn import Turn
from minibit.actors.peer import copies_folder
from minibit.errors import LocalError
from minibit.lab.archive import RunFolder
from minibit.run import verdict
from minibit.run.options import Options
from minibit.run.seating import late_seats, seats
from minibit.run.summary import Summary
from minibit.units import show_bytes

if TYPE_CHECKING:
    import polars as pl

    from minibit.actors.driver.live import LivePage
    from minibit.lab import Run

STOP_S = 5.0  # for peers to say goodbye
SWEEP_S = 20.0  # for nodes to remove what killed peers left


class OwnSwarm(Swarm):
    """The swarm that `Swarm.launch` gives."""

    summary: Summary | None = None

    def __init__(
        self, folder: RunFolder, launcher: launch.Launcher, began_at: float, undo: ExitStack, *, own_cluster: bool
    ) -> None:
        """Use `Swarm.launch`. `undo` ends or removes all that was made for the swarm, except its actors."""
        super().__init__(folder.name, launcher.actors)
        self.turn = Turn()
        self._folder = folder
        self._launcher = launcher
        self.ledger = launcher.ledger
        self._about = f", {show_bytes(self.ledger.content.content_bytes)}"
        self._collector = Collector(launcher.actors, launcher.ledger, self.turn)
        self._live: LivePage | None = None
        self._began_at = began_at
        self._spawn_s = 0.0
        self._undo = undo
        self._own_cluster = own_cluster

    @classmethod
    def start(cls, path: str | os.PathLike[str] | None, options: Options) -> OwnSwarm:
        """A new swarm, which transfers (`Swarm.launch`)."""
        began_at = time.monotonic()
        if path is not None:
            files.check_source(path)
        with ExitStack() as undo:
            folder = RunFolder.create(options.name, options.out)
            undo.callback(folder.remove_if_empty)
            made = Path(tempfile.gettempdir()) / f"minibit-{folder.name}-content"
            undo.callback(shutil.rmtree, made, ignore_errors=True)
            source = launch.source(path, options, made)
            manifest = files.scan(source, options.block_bytes_for, options.hash)
            if own_cluster := cluster.connect(options.address):
                undo.callback(cluster.disconnect)
            launcher = launch.Launcher(folder, options, source, manifest, cluster.nodes())
            swarm = cls(folder, launcher, began_at, undo.pop_all(), own_cluster=own_cluster)
        try:
            spawned_at = time.monotonic()
            names = launcher.spawn(seats(options))
            swarm._spawn_s = time.monotonic() - spawned_at
            launcher.begin(names)
        except BaseException:
            swarm.close()
            raise
        return swarm

    def wait(self, timeout_s: float | None = None, progress: Progressing | None = None) -> Summary:
        """Wait until every peer is complete or can't be, or until `timeout_s` after the start; the summary.

        Every copy is read back and verified. Ctrl-C closes the swarm. After a time limit the swarm goes on, and can be
        waited for again.
        """
        with self.turn:
            if self.summary is not None and (self.closed or not verdict.waiting(self.ledger.accounts)):
                return self.summary
            self._check_open()
            try:
                why, timed_out = self._collector.until_over(timeout_s, progress)
                ended_at = time.monotonic()
                self._collector.verify()
                verified_at = time.monotonic()
            except KeyboardInterrupt:
                self.close()
                raise
            self.summary = self.ledger.summary(
                nodes=len(self._launcher.places),
                spawn_s=self._spawn_s,
                verify_s=verified_at - ended_at,
                total_s=verified_at - self._began_at,
                now=ended_at,
                why=why,
                timed_out=timed_out,
            )
            self._folder.write(self.ledger.about(self.summary), self.ledger.records())
            return self.summary

    def add(self, count: int = 1, behaviour: str = "honest") -> list[str]:
        """Start `count` more peers, which join at once; their names."""
        with self.turn:
            self._check_open()
            if count < 1:
                raise LocalError(f"add takes a number of peers from 1, not {count!r}")
            launcher = self._launcher
            first = len(launcher.actors)  # the seed counts as number 0
            names = launcher.spawn(late_seats(launcher.options, first, count, behaviour))
            launcher.begin(names)
            self.summary = None
            return names

    def _limit(self, peer: int | str | None, rates: dict[str, float | None]) -> None:
        self.ledger.limits_changed = True
        super()._limit(peer, rates)

    # looking, also after the end

    @property
    def run(self) -> Run:
        """The run so far: its records, and all that follows from them, as of a run that is over."""
        if not self.closed:
            self._collector.drain()
        return self._collector.run(self.summary)

    def records(self) -> dict[str, pl.DataFrame]:
        """The tables of the run so far: `blocks`, `peers`, `serving`, `samples`, `links`."""
        return self.run.records

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write all pictures of the run so far into one HTML file that needs no network; its path."""
        return self.run.report(path)

    def live(self, port: int = 0) -> LivePage:
        """A page that shows the swarm in a browser of this machine, and has buttons: open its `url`.

        It goes on after the swarm is closed, and shows the end. `port` 0 takes any that is free.
        """
        from minibit.actors.driver.live import LivePage  # noqa: PLC0415  not every script wants it

        if self._live is None or self._live.closed:
            self._live = LivePage(self, self._collector, port)
        return self._live

    # the end

    def close(self) -> None:
        """End the swarm: ask its peers to leave, then kill what is left, and remove its files."""
        if self.closed:
            return
        super().close()
        clean = self._launcher.options.keep
        try:
            with self.turn:
                clean |= self._stop()
        except KeyboardInterrupt:
            pass  # a second Ctrl-C: no more goodbyes
        finally:
            with cluster.undisturbed():
                self._kill_all(sweep=not clean)

    def _stop(self) -> bool:
        """Ask the actors to end; whether all did, and so removed their files."""
        if not self._actors or not ray.is_initialized():
            return False
        calls = [actor.stop.remote(not self._launcher.options.keep) for actor in self._actors.values()]
        ray.wait(calls, num_returns=len(calls), timeout=STOP_S)
        with suppress(RayError):  # one died, or is not there yet
            ray.get(calls, timeout=0)
            return True
        return False

    def _kill_all(self, *, sweep: bool) -> None:
        """End every actor; `sweep`: and remove the files that they left on every machine."""
        folder = self._launcher.folder
        if ray.is_initialized():
            for actor in list(self._actors.values()):
                with suppress(RayError, ValueError):
                    ray.kill(actor)  # type: ignore[arg-type]
            if self._live is not None:
                self._live.settle()
            if sweep and not self._own_cluster:  # its temporary folder need not be ours, not even on this machine
                with suppress(RayError):
                    calls = self._launcher.on_each_node(_sweep, folder)
                    ray.wait(calls, num_returns=len(calls), timeout=SWEEP_S)
        self._undo.close()
        if sweep and self._own_cluster:  # all its processes have ended
            _sweep(folder)


def _sweep(folder: str) -> None:
    """Remove the copies of a run on this machine."""
    shutil.rmtree(copies_folder(folder), ignore_errors=True)

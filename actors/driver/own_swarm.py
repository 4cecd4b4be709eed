"""A swarm that this process launched, and ends.

`close`, or the end of the `with`, leaves no actor, no process and no file of it. What a program leaves open is closed
when the program ends; what a killed one left on a disk, the next start removes. Only the live page of a swarm, if there
is one, has threads of its own; all take turns.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
import ray
from ray.exceptions import RayError

from minibit.actors.disk import files, scratch
from minibit.actors.disk.scratch import Scratch
from minibit.actors.driver import cluster, launch, spawn
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.collector import Collector, Progressing
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.signals import undisturbed
from minibit.actors.driver.swarm import Swarm
from minibit.actors.driver.turn import Turn
from minibit.errors import ClusterError, LocalError
from minibit.lab.archive import RunFolder
from minibit.lab.machine import free_memory_bytes, processors
from minibit.manifest import auto_blocks
from minibit.run import needs, verdict
from minibit.run.options import TABLE, Options
from minibit.run.seating import late_seats, seats
from minibit.run.summary import Summary
from minibit.units import parse_duration, show_bytes

if TYPE_CHECKING:
    import polars as pl

    from minibit.actors.driver.live import LivePage
    from minibit.lab import Run

SWEEP_S = 20.0  # for nodes to remove what killed peers left

OPEN: dict[str, OwnSwarm] = {}
"""The swarms of this process that are not closed, by name."""


class Telling(Protocol):
    """Called with what happens before and after the transfer, again and again: `hashing film.mp4`.

    `done` of `total` says how far that is, where anything can tell; `counted` says it in words: `37 are up`.
    """

    def __call__(self, what: str, done: int = 0, total: int = 0, counted: str = "") -> object: ...


def unseen(what: str, done: int = 0, total: int = 0, counted: str = "") -> None:
    """The stages of a swarm that nobody looks at."""


class OwnSwarm(Swarm):
    """The swarm that `Swarm.launch` gives."""

    summary: Summary | None = None

    def __init__(self, folder: RunFolder, launcher: launch.Launcher, began_at: float, undo: ExitStack) -> None:
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
        self._stage: Telling = unseen

    @classmethod
    def start(cls, path: str | os.PathLike[str] | None, options: Options, stage: Telling = unseen) -> OwnSwarm:
        """A new swarm, which transfers (`Swarm.launch`)."""
        began_at = time.monotonic()
        if options.name in OPEN:
            raise LocalError(f"this program has a swarm {options.name} already: close() that, or give another name")
        opening = seats(options)
        cluster.check(options.address)
        if path is not None:
            files.check_source(path)
            if not options.keep:
                scratch.check_apart(path)
        with ExitStack() as undo:
            folder = RunFolder.create(options.name, options.out, path)
            undo.callback(folder.remove_if_empty)
            scratch.sweep()
            if path is None:
                stage("making content")
                made = Scratch.use(scratch.new_name(f"{folder.name}-content"), 0o755)  # peers may be of another user
                undo.callback(made.remove)
                path = launch.source(options, made.path)
            source = Path(path)

            def connect() -> list[ClusterNode]:
                stage("starting Ray" if options.local else f"joining the cluster at {options.address}")
                undo.callback(CONNECTION.give_back, CONNECTION.take(options.address))
                return CONNECTION.head.ask(cluster.nodes)

            # a cluster that there is comes first: blocks go by how many machines it has
            places = connect() if ray.is_initialized() or not options.local else []
            hashing = partial(stage, f"hashing {source.name}")
            manifest = files.scan(source, block_bytes_for(options, places), options.hash, hashing)
            launch.check_room(folder, options, manifest.content_bytes)
            launcher = launch.Launcher(folder, options, source, manifest, places or connect())
            swarm = cls(folder, launcher, began_at, undo.pop_all())
        OPEN[swarm.name] = swarm
        try:
            spawned_at = time.monotonic()
            starting = f"starting {len(opening)} actors"
            stage(starting, 0, len(opening))
            names = launcher.spawn(opening, lambda up: stage(starting, up, len(opening), f"{up} are up"))
            swarm._spawn_s = time.monotonic() - spawned_at
            stage("the peers join")
            launcher.begin(names)
        except BaseException:
            swarm.close()
            raise
        swarm._stage = stage
        return swarm

    def wait(self, timeout: float | str | None = None, progress: Progressing | None = None) -> Summary:
        """Wait until every peer is complete or can't be, or until `timeout` after the start; the summary.

        Without `timeout` that of the launch holds, if it had one. Every copy is read back and verified. Ctrl-C closes
        the swarm. After a time limit the swarm goes on, and can be waited for again.
        """
        timeout_s = self.ledger.options.timeout_s if timeout is None else parse_duration(timeout)
        with self.turn:
            if self.summary is not None and (self.closed or not verdict.waiting(self.ledger.accounts)):
                return self.summary
            self.check_open()
            try:
                why, timed_out = self._collector.until_over(timeout_s, progress, self.check_open)
                ended_at = time.monotonic()
                self._collector.verify(self._stage)
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
            self.check_open()
            launcher = self._launcher
            content = self.ledger.content
            peers = TABLE["peers"].read(count)
            more = msgspec.structs.replace(launcher.options, peers=peers, block_bytes=content.block_bytes)
            block_bytes_for(more, launcher.places)(content.content_bytes)
            first = len(launcher.actors)  # the seed counts as number 0
            names = launcher.spawn(late_seats(launcher.options, first, count, behaviour))
            launcher.begin(names)
            for name in names:
                self.ledger.by_hand(name, "added", time.monotonic(), "" if behaviour == "honest" else behaviour)
            self.summary = None
            return names

    def _acted(self, peer: str, event: Literal["killed", "limited"], why: str = "") -> None:
        self.ledger.by_hand(peer, event, time.monotonic(), why)

    # looking, also after the end

    @property
    def run(self) -> Run:
        """The run so far: its records, and all that follows from them, as of a run that is over."""
        if self.in_reach:
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
        in_reach, self.closed = self.in_reach, True
        ended = False
        try:
            if in_reach:
                with self.turn:
                    ended = self._stop()
        except KeyboardInterrupt:
            pass  # a second Ctrl-C: no more goodbyes
        finally:
            with undisturbed():
                try:
                    if in_reach:
                        self._kill_all(sweep=not ended)
                finally:
                    self._undo.close()
                    scratch.remove(self._launcher.scratch)
                    OPEN.pop(self.name, None)

    def _stop(self) -> bool:
        """Ask the actors to end; whether all did, and so removed their files."""
        return spawn.ask_to_stop(self._actors.values(), erase=not self._launcher.options.keep)

    def _kill_all(self, *, sweep: bool) -> None:
        """End every actor; `sweep`: and remove the files that they left on other machines."""
        for actor in list(self._actors.values()):
            spawn.kill(actor)
        if self._live is not None:
            self._live.settle()
        if sweep and not self._launcher.options.keep and not CONNECTION.started_here and not CONNECTION.head.lost_s:
            with suppress(RayError, ClusterError):
                calls = self._launcher.on_each_node(scratch.remove, self._launcher.scratch)
                ray.wait(calls, num_returns=len(calls), timeout=SWEEP_S)


def _close_all() -> None:
    """Close what the program left open, while Ray is there still: its own end comes after this."""
    for swarm in list(OPEN.values()):
        swarm.close()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=OPEN.clear)  # they are the parent's


def block_bytes_for(options: Options, places: list[ClusterNode]) -> Callable[[int], int]:
    """The size of a block, by that of the content; `OptionError` if this machine has no memory for its peers.

    The machines of these `places`, or this one alone, are taken to have as many processors each as this one.
    """
    machines = len({place.host for place in places}) or 1
    blocks = auto_blocks((options.peers + 1) / (machines * processors()))
    return needs.block_bytes_for(options, free_memory_bytes() if options.local else None, blocks)

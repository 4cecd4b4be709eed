"""The handle of a swarm: what scripts and notebooks hold.

It is used from one thread, and does nothing behind its user's back: it asks the actors when it is asked. Only its live
page, if there is one, has a thread of its own, and these two take turns.
Whoever launched the swarm owns it, and `close` (or the end of the `with`) leaves no actor, no process and no
file of it; an attached handle looks and acts, and leaves everything as it is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from minibit.actors.disk import files
from minibit.actors.driver import cluster, launch, show, tables
from minibit.actors.driver.collector import Collector, Progressing
from minibit.actors.driver.handle import PeerHandle, ask_all
from minibit.actors.driver.launch import Launcher
from minibit.actors.driver.turn import Turn, in_turn
from minibit.actors.names import NAMESPACE, actor_name
from minibit.actors.peer import copies_folder
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.lab.archive import RunFolder
from minibit.run.ledger import Ledger
from minibit.run.options import Options
from minibit.run.seating import late_seats, seats
from minibit.run.summary import Summary
from minibit.seat import number_of
from minibit.units import parse_rate, show_bytes

if TYPE_CHECKING:
    import polars as pl

    from minibit.actors.driver.live import LivePage
    from minibit.lab import Run

STOP_S = 5.0  # for peers to say goodbye
SWEEP_S = 20.0  # for nodes to remove what killed peers left


class Swarm:
    """A running swarm. `Swarm.launch` makes one, `Swarm.attach` finds one."""

    def __init__(self, name: str, actors: dict[str, Any], launcher: Launcher | None = None) -> None:
        """Use `launch` or `attach`."""
        self.name = name
        self.summary: Summary | None = None
        self._actors = actors
        self._launcher = launcher
        self._folder: RunFolder | None = None
        self._content: Path | None = None  # made for this run
        self._owns_cluster = False
        self._closed = False
        self._clean = False  # every actor stopped by itself, and took its files along
        self._began_at = time.monotonic()
        self._spawn_s = 0.0
        self.turn = Turn()
        self._collector = Collector(actors, launcher.ledger, self.turn) if launcher is not None else None
        self._live: LivePage | None = None

    # making and finding

    @classmethod
    def launch(cls, path: str | os.PathLike[str] | None = None, **options: Any) -> Swarm:
        """Start a swarm that shares `path`, or made content; the options are those of the command line.

        It transfers from now on. `MinibitError` says what was wrong, and then nothing is left behind.
        """
        chosen = Options.build(**options)
        began_at = time.monotonic()
        if path is not None:
            files.check_source(path)
        folder = RunFolder.create(chosen.name, chosen.out)
        made = Path(tempfile.gettempdir()) / f"minibit-{folder.name}-content"
        swarm = cls(folder.name, {})
        swarm._folder, swarm._content, swarm._began_at = folder, made, began_at
        try:
            source = launch.source(path, chosen, made)
            manifest = files.scan(source, chosen.block_bytes_for, chosen.hash)
            swarm._owns_cluster = cluster.connect(chosen.address)
            places = cluster.places()
            swarm._launcher = Launcher(folder, chosen, source, manifest, places)
            swarm._actors = swarm._launcher.actors
            swarm._collector = Collector(swarm._actors, swarm._launcher.ledger, swarm.turn)
            spawned_at = time.monotonic()
            names = swarm._launcher.spawn(seats(chosen))
            swarm._spawn_s = time.monotonic() - spawned_at
            swarm._launcher.begin(names)
        except BaseException:
            swarm.close()
            raise
        return swarm

    @classmethod
    def attach(cls, name: str, address: str | None = "auto") -> Swarm:
        """The running swarm of that name, from another process."""
        cluster.connect(address)
        prefix = actor_name(name, "")
        found = [one["name"] for one in ray.util.list_named_actors(all_namespaces=True)]
        names = sorted(one.removeprefix(prefix) for one in found if one.startswith(prefix))
        if not names:
            running = sorted({one.split(":")[1] for one in found if one.startswith("minibit:")})
            there = f"there are {', '.join(running)}" if running else "none is running"
            raise LocalError(f"there is no swarm {name!r} on this cluster: {there}")
        return cls(name, {peer: ray.get_actor(prefix + peer, NAMESPACE) for peer in names})

    # waiting

    @in_turn
    def wait(self, timeout_s: float | None = None, progress: Progressing | None = None) -> Summary:
        """Wait until every peer is complete or can't be, or until `timeout_s` after the start; what it came to.

        Every copy is read back and verified. Ctrl-C closes the swarm.
        """
        if self.summary is not None:
            return self.summary
        self._check_open()
        collector = self._collecting
        try:
            why, timed_out = collector.until_over(timeout_s, progress)
            ended_at = time.monotonic()
            collector.verify()
            collector.drain()
            verified_at = time.monotonic()
        except KeyboardInterrupt:
            self.close()
            raise
        self.summary = collector.ledger.summary(
            nodes=len(self._launched.places),
            spawn_s=self._spawn_s,
            verify_s=verified_at - ended_at,
            total_s=verified_at - self._began_at,
            now=ended_at,
            why=why,
            timed_out=timed_out,
        )
        if self._folder is not None:
            self._folder.write(collector.ledger.about(self.summary), collector.ledger.records())
        return self.summary

    # looking

    def __getitem__(self, peer: int | str) -> PeerHandle:
        """A peer by its number or its name."""
        if isinstance(peer, int):
            found = [name for name in self._actors if number_of(name) == peer]
            name = found[0] if found else str(peer)
        else:
            name = peer
        if name not in self._actors:
            raise LocalError(f"there is no peer {peer!r}: there are {', '.join(self._actors)}")
        return PeerHandle(name, self._actors[name])

    def peers(self) -> pl.DataFrame:
        """A row for each actor: what it holds, its neighbours, its process."""
        return tables.peers(self.snapshot())

    def blocks(self) -> pl.DataFrame:
        """A row for each block: how many peers hold it, the seed not counted."""
        return tables.blocks({name: state for name, state in self.snapshot().items() if name != TRACKER})

    def links(self) -> pl.DataFrame:
        """A row for each end of a link: who serves whom, what is asked and queued."""
        return tables.links(self.snapshot())

    def mailboxes(self) -> pl.DataFrame:
        """A row for each actor, verb and way: how many messages."""
        return tables.mailboxes(self._ask_all("mailbox"))

    def records(self) -> dict[str, pl.DataFrame]:
        """The tables of the run so far: `blocks`, `peers`, `serving`, `samples`, `links`."""
        return self.run.records

    @property
    def run(self) -> Run:
        """The run so far, to look at as at one that is over: its records, and all that follows from them."""
        collector = self._collecting
        if not self._closed:
            collector.drain()
        return collector.run(self.summary)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write all pictures of the run so far into one HTML file that needs no network; its path."""
        return self.run.report(path)

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """The state of every actor, by name, as plain values."""
        return self._ask_all("snapshot")

    def _ask_all(self, method: str) -> dict[str, Any]:
        """The answers of those that are there."""
        self._check_open()
        return ask_all(self._actors, method).found

    def watch(self, timeout_s: float | None = None) -> None:
        """Draw the swarm again and again in one place, until it is over, or until `timeout_s` from now.

        Ctrl-C, or the notebook's button to interrupt, ends the watching; the swarm goes on.
        """
        self._check_open()
        show.watch(self.name, partial(ask_all, self._actors, "snapshot"), show.place(), timeout_s)

    def live(self, port: int = 0) -> LivePage:
        """A page that shows the swarm in a browser of this machine, and has buttons: open its `url`.

        It goes on after the swarm is closed, and shows the end. `port` 0 takes any that is free.
        """
        from minibit.actors.driver.live import LivePage  # noqa: PLC0415  not everybody wants it

        if self._live is None or self._live.closed:
            self._live = LivePage(self, self._collecting, port)
        return self._live

    # acting

    @in_turn
    def add(self, count: int = 1, behaviour: str = "honest") -> list[str]:
        """So many more peers, which join at once; their names."""
        if count < 1:
            raise LocalError(f"add takes a number of peers from 1, not {count!r}")
        launcher = self._launched
        first = len(launcher.actors)  # the seed counts as number 0
        names = launcher.spawn(late_seats(launcher.options, first, count, behaviour))
        launcher.begin(names)
        self.summary = None
        return names

    def kill(self, peer: int | str) -> None:
        """End a peer's process without a word, as a power cut would."""
        ray.kill(self[peer].actor)

    def remove(self, peer: int | str) -> None:
        """Let a peer say goodbye and leave."""
        self[peer].ask("leave", "removed")

    def limit(self, peer: int | str | None = None, **limits: float | str | None) -> None:
        """New `upload_bps` or `download_bps` for one peer, or for all but the seed, as rates or texts (`4MiB/s`).

        None lifts one; one that isn't named stays as it is.
        """
        if unknown := limits.keys() - {"upload_bps", "download_bps"}:
            raise LocalError(f"limit takes upload_bps and download_bps, not {', '.join(sorted(unknown))}")
        rates = {name: None if rate is None else parse_rate(rate) for name, rate in limits.items()}
        if self._launcher is not None:
            self._launcher.ledger.limits_changed = True
        if peer is not None:
            self[peer].ask("limit", rates)
            return
        for name in list(self._actors):
            with suppress(LocalError):  # it is gone
                if name != TRACKER:
                    self[name].ask("limit", rates)

    def close(self) -> None:
        """End the swarm: ask its peers to leave, then kill what is left, and remove its files."""
        if self._closed:
            return
        self._closed = True
        if self._launcher is None and self._folder is None:
            return  # attached: not ours to end
        try:
            self._stop()
        except KeyboardInterrupt:
            pass  # told twice: no more goodbyes
        finally:
            with cluster.undisturbed():
                self._kill_all()

    @in_turn
    def _stop(self) -> None:
        if not self._actors or not ray.is_initialized():
            return
        erase = not self._ledger.options.keep
        calls = [actor.stop.remote(erase) for actor in self._actors.values()]
        ray.wait(calls, num_returns=len(calls), timeout=STOP_S)
        with suppress(RayError):  # one died, or is not there yet
            ray.get(calls, timeout=0)
            self._clean = True

    def _kill_all(self) -> None:
        if ray.is_initialized():
            for actor in list(self._actors.values()):
                with suppress(RayError, ValueError):
                    ray.kill(actor)
            if self._live is not None:
                self._live.settle()
            if self._owns_cluster:
                cluster.disconnect()
            self._sweep()
        if self._content is not None:
            shutil.rmtree(self._content, ignore_errors=True)
        if self._folder is not None:
            self._folder.remove_if_empty()

    def _sweep(self) -> None:
        """Remove what peers that did not stop by themselves left, on every machine."""
        if self._clean or self._launcher is None or self._launcher.options.keep:
            return
        if self._owns_cluster:
            _sweep(self._launcher.folder)
            return
        with suppress(RayError):  # the temporary folder of a cluster need not be ours, not even here
            calls = self._launcher.on_each_node(_sweep, self._launcher.folder)
            ray.wait(calls, num_returns=len(calls), timeout=SWEEP_S)

    @property
    def closed(self) -> bool:
        """Whether it was closed: its actors are gone."""
        return self._closed

    @property
    def _launched(self) -> Launcher:
        self._check_open()
        if self._launcher is None:
            raise LocalError("this handle is attached: only the process that launched the swarm can do that")
        return self._launcher

    @property
    def _collecting(self) -> Collector:
        if self._collector is None:
            raise LocalError("this handle is attached: the records are with the process that launched the swarm")
        return self._collector

    @property
    def _ledger(self) -> Ledger:
        return self._collecting.ledger

    def _check_open(self) -> None:
        if self._closed:
            raise LocalError(f"the swarm {self.name} is closed: launch another")

    # showing

    def __enter__(self) -> Swarm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return tables.as_text(*self._table())

    def _repr_html_(self) -> str:
        return tables.as_html(*self._table())

    def _table(self) -> tuple[str, list[tables.Row]]:
        """A headline, and name, share of the blocks and a note of each peer; never raises."""
        if self._closed:
            return f"Swarm {self.name}: closed", []
        try:
            states = self.snapshot()
        except Exception as error:
            return f"Swarm {self.name}: {error}", []
        size = f", {show_bytes(self._launcher.ledger.content.content_bytes)}" if self._launcher is not None else ""
        names = list(self._actors)
        return tables.headline(self.name, names, states) + size, tables.overview(names, states)


def _sweep(folder: str) -> None:
    """Remove the copies of a run on this machine."""
    shutil.rmtree(copies_folder(folder), ignore_errors=True)

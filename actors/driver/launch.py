"""From a seating plan to a swarm that stands: the content, actors on their nodes, and every peer registered.

The start has two phases, so that a run measures the swarm and not Ray. First all actors stand ready, know the tracker
and have their first links. Then all may ask for blocks.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import ActorAlreadyExistsError

from minibit.actors.disk import files, scratch
from minibit.actors.driver import spawn
from minibit.actors.driver.calls import Calls, Replies, clock_offset_s
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.shipping import shipped
from minibit.actors.names import actor_name, machine
from minibit.actors.peer import Opened, PeerActor, Setup
from minibit.actors.tracker import TrackerActor
from minibit.errors import ClusterError, LocalError, MinibitError, OptionError
from minibit.events import TRACKER
from minibit.lab.archive import RunFolder
from minibit.manifest import Manifest
from minibit.run.ledger import Ledger
from minibit.run.options import Options
from minibit.seat import Seat
from minibit.strategies import Shipment

SPAWN_S = 60.0  # limit for the next actor to come up
SPAWN_EACH_S = 5.0  # for each of them, when all are waited for
CALL_S = 120.0  # limit for any other call to all of them; a network that is cut for a minute may heal meanwhile
STANDING_S = 5.0  # for the head to say which nodes there are, at the end

Told = Callable[[int], object]
"""Called with the number of actors that stand ready."""


def source(options: Options, folder: Path) -> Path:
    """Content made in `folder`."""
    advice = "give a smaller size, or set TMPDIR to a larger disk"
    files.check_room(options.size_bytes, folder, "the content", advice)
    return files.make(folder / "content", options.size_bytes, options.seed)


def check_room(folder: RunFolder, options: Options, content_bytes: int) -> None:
    """`DiskFullError` if this machine, alone, has no room for all copies; nodes of a cluster look for themselves."""
    if options.local and not ray.is_initialized():
        place = folder.files.absolute() if options.keep else scratch.place()
        files.check_copies(options.peers, content_bytes, place, kept=options.keep)


class Launcher:
    """Starts the actors of one run, and more of them later."""

    def __init__(
        self, run: RunFolder, options: Options, path: Path, found: Manifest, places: list[ClusterNode]
    ) -> None:
        self.ledger = Ledger(run.name, options, found)
        self.options = options
        self.places = places
        self.actors: dict[str, Any] = {}
        self._path = path
        self._seats: dict[str, Seat] = {}
        self._places: dict[str, ClusterNode] = {}  # of each actor
        self._offsets_s: dict[str, float] = {machine(): 0.0}  # by machine
        self.scratch = scratch.new_name(run.name)  # for copies that are not kept
        self._setup = Setup(
            run=run.name,
            manifest=found,
            key=secrets.token_bytes(32),
            seed=options.seed,
            by_actor_calls=options.control == "actors",
            seals=options.seals == "on",
            data_ports=options.data_ports,
            folder=str(run.files.absolute()) if options.keep else self.scratch,
            shipment=Shipment({}, {}),
        )
        self._setups: dict[frozenset[str], Any] = {}  # in Ray's object store, by the strategies that it ships

    def spawn(self, seats: Iterable[Seat], tell: Told = lambda count: None) -> list[str]:
        """Start actors for these seats, the seed first in a run, with the tracker; the names of those that stand ready.

        An actor that dies meanwhile is started once more. Peers that can't be started have failed, and the others go
        on; `ClusterError` if the seed is among them, or no peer is left.
        """
        opening = {seat.name: seat for seat in seats}
        setup = self._setup_of(opening.values())
        self._seat(opening.values(), setup)
        copies = -(-sum(not seat.seeds for seat in opening.values()) // len(self.places))
        timeout_s = SPAWN_S + SPAWN_EACH_S * len(opening)
        replies = self._call("open", opening, copies, timeout_s=timeout_s, quiet_s=SPAWN_S, tell=tell)
        free = [name for name in replies.gone if spawn.is_free(actor_name(self.ledger.run, name), self.actors[name])]
        if free:  # the seed is not among them
            self._seat([opening[name] for name in free], setup)
            again = self._call("open", free, copies, timeout_s=timeout_s, quiet_s=SPAWN_S)
            replies.found.update(again.found)
            replies.gone.update(again.gone)
        opened: dict[str, Opened] = replies.found
        for name, seat in opening.items():
            if (found := opened.get(name)) is None:
                self.ledger.open(seat, 0, 0.0, self._places[name].host)
            else:
                self.ledger.open(seat, found.held, self._offset_s(name, found.machine), found.address.host)
        return self._done(opening, replies)

    def _seat(self, seats: Iterable[Seat], setup: Any) -> None:
        """Start the actors of these seats: the seed's on the first node, those of peers by turns on all that stand.

        An actor that is started again stays on its node, if that stands.
        """
        standing = self._standing()
        for seat in seats:
            place = self._places.get(seat.name)
            if place not in standing:
                place = standing[max(0, len(self._seats) - 1) % len(standing)]
            self._seats[seat.name], self._places[seat.name] = seat, place
            kind, last = (TrackerActor, str(self._path.absolute())) if seat.seeds else (PeerActor, self.actors[TRACKER])
            run = self.ledger.run
            try:
                actor = spawn.start(kind, run, seat.name, place.node_id, seat, setup, place.host, last)
                self.actors[seat.name] = actor
            except ActorAlreadyExistsError:
                there = f"a swarm {run} is running on this cluster already"
                raise LocalError(f"{there}: give another name, or wait for its end") from None

    def _setup_of(self, seats: Iterable[Seat]) -> Any:
        """The setup for the actors of these seats, as a reference; one for each set of strategies sent by value."""
        own = shipped(seats)
        key = frozenset(own.strategies)
        if key not in self._setups:
            self._setups[key] = ray.put(msgspec.structs.replace(self._setup, shipment=own))
        return self._setups[key]

    def on_each_node(self, task: Any, *args: Any) -> list[Any]:
        """Run a Ray task once on every node of the swarm that Ray doesn't call dead; its references."""
        return [
            ray.remote(num_cpus=0, max_retries=0)(task)
            .options(scheduling_strategy=spawn.on_node(place.node_id))
            .remote(*args)
            for place in self._standing(STANDING_S)
        ]

    def _standing(self, limit_s: float = CALL_S) -> list[ClusterNode]:
        alive = {node["NodeID"] for node in CONNECTION.head.ask(ray.nodes, limit_s) if node["Alive"]}
        return [place for place in self.places if place.node_id in alive]

    def begin(self, names: list[str]) -> None:
        """Let these members join, and, when they know each other, ask for blocks."""
        block_count = self.ledger.content.block_count
        if self.options.initial.count(block_count):
            peers = [name for name in names if not self._seats[name].seeds]
            names = [name for name in names if name not in peers]
            for name in self._done(peers, self._call("take", peers, timeout_s=CALL_S * 10)):
                self.ledger.give(name, self._seats[name].held(block_count, self.options.seed))
                names.append(name)
        for method in ("join", "start"):
            names = self._done(names, self._call(method, names))

    def _call(
        self,
        method: str,
        names: Iterable[str],
        *args: Any,
        timeout_s: float = CALL_S,
        quiet_s: float = inf,
        tell: Told = lambda count: None,
    ) -> Replies[Any]:
        """Call a method of all of these actors, and wait for all answers.

        Raises what a user must mend: an error of ours from any of them, a node without Minibit, a lost seed.
        """

        def look(replies: Replies[Any]) -> None:
            CONNECTION.head.check()
            for name, failed in replies.failed.items():
                if isinstance(failed.cause, MinibitError):
                    raise self._at_its_host(name, failed.cause) from None
            for name, gone in replies.gone.items():
                if spawn.NO_MINIBIT in str(gone):
                    raise ClusterError(f"there is no Minibit on {self._places[name].host}: {spawn.ADVICE}") from None
                if self._seats[name].seeds:
                    self._done([name], replies)
            tell(len(replies.found))

        calls = Calls(lambda name: getattr(self.actors[name], method).remote(*args))
        try:
            return calls.all(names, timeout_s, quiet_s, look)
        finally:
            self.ledger.actor_calls += calls.count

    def _done(self, names: Iterable[str], replies: Replies[Any]) -> list[str]:
        """The actors that did what they were called for. The others are given up; `ClusterError` if they are the seed,
        or all peers.
        """
        lost = {name: spawn.why_lost(replies, name) for name in names if name not in replies.found}
        for name, why in lost.items():
            said = str(self._at_its_host(name, ClusterError(f"could not be started: {why}")))
            if self._seats[name].seeds:
                raise ClusterError(f"the tracker {said}")
            spawn.kill(self.actors[name])
            self.ledger.died(name, time.monotonic(), said)
        if lost and all(self._seats[name].seeds for name in replies.found):
            raise ClusterError(f"no peer could be started; {name} {said}")
        return list(replies.found)

    def _at_its_host(self, name: str, error: MinibitError) -> MinibitError:
        """The error, with the host of that actor in its text, where there is more than one."""
        if len(self.places) == 1 or isinstance(error, OptionError):
            return error
        return type(error)(f"{error} (on {self._places[name].host})")

    def _offset_s(self, name: str, there: str) -> float:
        """Seconds to add to the clock of a peer's machine for ours, asked once."""

        def clock() -> Iterable[float]:
            return self._call("clock", [name]).found.values()

        if there not in self._offsets_s:
            self._offsets_s[there] = clock_offset_s(clock)
        return self._offsets_s[there]

"""From a seating plan to a swarm that stands: the content, actors on their nodes, and every peer registered.

The start has two phases, so that a run measures the swarm and not Ray. First all actors stand ready, know the tracker
and have their first links. Then all may ask for blocks.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray import cloudpickle
from ray.exceptions import ActorAlreadyExistsError, GetTimeoutError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from minibit import strategies
from minibit.actors.disk import files, scratch
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.names import NAMESPACE, actor_name
from minibit.actors.peer import Opened, PeerActor, Setup, machine
from minibit.actors.tracker import TrackerActor
from minibit.errors import ClusterError, LocalError, MinibitError
from minibit.events import TRACKER
from minibit.lab.archive import RunFolder
from minibit.manifest import Manifest
from minibit.run.ledger import Ledger
from minibit.run.options import Options
from minibit.seat import Seat

SPAWN_S = 60.0  # limit for the actors to come up
SPAWN_EACH_S = 5.0  # more time for each of them
CALL_S = 60.0  # limit for any other call to all of them
OFFSET_TRIES = 3


def source(options: Options, folder: Path) -> Path:
    """Content made in `folder`."""
    advice = "give a smaller size, or set TMPDIR to a larger disk"
    files.check_room(options.size_bytes, folder, "the content", advice)
    return files.make(folder / "content", options.size_bytes, options.seed)


def shipped(seats: Iterable[Seat]) -> dict[str, type]:
    """The strategies from outside Minibit in these seats, by name, to be sent by value: workers need not have them."""
    found: dict[str, type] = {}
    for seat in seats:
        for name, find in (
            (seat.rules.picker, strategies.picker),
            (seat.rules.choker, strategies.choker),
            (seat.behaviour, strategies.behaviour),
        ):
            if ":" not in name or name in found:
                continue
            kind = found[name] = find(name)
            module = sys.modules.get(kind.__module__)
            if module is not None and kind.__module__ != "__main__":  # Ray sends those by value anyway
                cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    return found


# made once for each class: every call of ray.remote would send the class anew
REMOTE: dict[type, Any] = {kind: ray.remote(kind) for kind in (PeerActor, TrackerActor)}


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
        self.scratch = scratch.new_name(run.name)  # for copies that are not kept
        self._setup = Setup(
            run=run.name,
            manifest=found,
            key=secrets.token_bytes(32),
            seed=options.seed,
            by_actor_calls=options.control == "actors",
            data_ports=options.data_ports,
            folder=str(run.files.absolute()) if options.keep else self.scratch,
            strategies={},
        )
        self._setups: dict[frozenset[str], Any] = {}  # in Ray's object store, by the strategies that it ships

    def spawn(self, seats: Iterable[Seat]) -> list[str]:
        """Start actors for these seats, the seed first in a run, with the tracker; wait until all are ready."""
        opening = {seat.name: seat for seat in seats}
        setup = self._setup_of(opening.values())
        for seat in opening.values():
            self._seat(seat, setup)
        copies = -(-sum(not seat.seeds for seat in opening.values()) // len(self.places))
        timeout_s = SPAWN_S + SPAWN_EACH_S * len(opening)
        opened: dict[str, Opened] = self.call("open", opening, copies, timeout_s=timeout_s)
        here = machine()
        for name, found in opened.items():
            offset_s = 0.0 if found.machine == here else self._offset(name)
            self.ledger.open(opening[name], found.held, offset_s, found.address.host)
        return list(opening)

    def _seat(self, seat: Seat, setup: Any) -> None:
        """Start the actor of a seat: the seed's on the first node, those of peers on all nodes by turns."""
        place = self.places[max(0, len(self._seats) - 1) % len(self.places)]
        self._seats[seat.name] = seat
        kind, last = (TrackerActor, str(self._path.absolute())) if seat.seeds else (PeerActor, self.actors[TRACKER])
        options = {
            "name": actor_name(self.ledger.run, seat.name),
            "namespace": NAMESPACE,
            "num_cpus": 0,
            "max_restarts": 0,
            "scheduling_strategy": _on(place.node_id),
        }
        try:
            self.actors[seat.name] = REMOTE[kind].options(**options).remote(seat, setup, place.host, last)
        except ActorAlreadyExistsError:
            raise LocalError(
                f"a swarm {self.ledger.run} is running on this cluster already: give another name, or wait for its end"
            ) from None

    def _setup_of(self, seats: Iterable[Seat]) -> Any:
        """The setup for the actors of these seats, as a reference; one for each set of strategies sent by value."""
        own = shipped(seats)
        key = frozenset(own)
        if key not in self._setups:
            self._setups[key] = ray.put(msgspec.structs.replace(self._setup, strategies=own))
        return self._setups[key]

    def on_each_node(self, task: Any, *args: Any) -> list[Any]:
        """Run a Ray task once on every node of the swarm; its references."""
        return [
            ray.remote(num_cpus=0, max_retries=0)(task).options(scheduling_strategy=_on(place.node_id)).remote(*args)
            for place in self.places
        ]

    def begin(self, names: list[str]) -> None:
        """Let these members join, and, when they know each other, ask for blocks."""
        block_count = self.ledger.content.block_count
        peers = [name for name in names if not self._seats[name].seeds]
        if self.options.initial.count(block_count):
            self.call("take", peers, timeout_s=CALL_S * 10)
            for name in peers:
                self.ledger.give(name, self._seats[name].held(block_count, self.options.seed))
        self.call("join", names)
        self.call("start", names)

    def call(self, method: str, names: Iterable[str], *args: Any, timeout_s: float = CALL_S) -> dict[str, Any]:
        """Call a method of all of these actors, and wait for all answers."""
        calls = {name: getattr(self.actors[name], method).remote(*args) for name in names}
        self.ledger.actor_calls += len(calls)
        try:
            return dict(zip(calls, ray.get(list(calls.values()), timeout=timeout_s), strict=True))
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, MinibitError) else error) from None
        except RayActorError as error:
            raise ClusterError(f"an actor died while the swarm was started: {error}") from None
        except GetTimeoutError:
            raise ClusterError(
                f"the swarm did not start within {timeout_s:.0f} s: give fewer peers, or a larger cluster"
            ) from None

    def _offset(self, name: str) -> float:
        """Seconds to add to the clock of a peer on another machine for ours, by the fastest of some answers."""
        best = (float("inf"), 0.0)
        for _ in range(OFFSET_TRIES):
            asked_at = time.monotonic()
            theirs = self.call("clock", [name])[name]
            round_trip_s = time.monotonic() - asked_at
            best = min(best, (round_trip_s, asked_at + round_trip_s / 2 - theirs))
        return best[1]


def _on(node_id: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node_id, soft=False)

"""From options to a swarm that stands: content, manifest, actors on their nodes, everybody registered.

The start has two phases, so that what is measured is the swarm and not Ray: first all actors stand ready, know
the tracker and have their first links; then all may ask for blocks.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray import cloudpickle
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from minibit import strategies
from minibit.actors.disk import files
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.names import NAMESPACE, actor_name
from minibit.actors.peer import Opened, PeerActor, Setup, machine
from minibit.actors.tracker import TrackerActor
from minibit.errors import ClusterError, DiskFullError, MinibitError
from minibit.events import TRACKER
from minibit.lab.archive import RunFolder
from minibit.manifest import Manifest
from minibit.rules import Rules
from minibit.run.ledger import Ledger
from minibit.run.options import Options, initial_blocks
from minibit.strategies import Team
from minibit.units import show_bytes

SPAWN_S = 60.0  # for the actors to come up, and for each of them
SPAWN_EACH_S = 5.0
CALL_S = 60.0  # for anything else that is asked of all of them
OFFSET_TRIES = 3


def source(path: str | os.PathLike[str] | None, options: Options, folder: Path) -> Path:
    """The content: the one that was named, or content made in `folder`."""
    if path is not None:
        return Path(path)
    free_bytes = shutil.disk_usage(tempfile.gettempdir()).free
    if options.size_bytes > free_bytes:
        raise DiskFullError(
            f"--size {show_bytes(options.size_bytes)} has no room in {tempfile.gettempdir()} "
            f"({show_bytes(free_bytes)} free): give a smaller one, or set TMPDIR to a larger disk"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return files.make(folder / "content", options.size_bytes, options.seed)


def shipped(name: str, find: Any) -> Any:
    """The class of a strategy of somebody's own, to be sent by value: workers need not have its module."""
    if ":" not in name:
        return None
    found = find(name)
    module = __import__(found.__module__, fromlist=["_"])
    if found.__module__ != "__main__":
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    return found


def limits(name: str, behaviour: str, options: Options) -> dict[str, float | None]:
    """The `upload_bps` and `download_bps` that bind a peer: those of the options, and its behaviour's own."""
    if name == TRACKER:
        return {"upload_bps": options.seed_upload_bps, "download_bps": None}
    uploads_bps = (options.upload_bps, strategies.behaviour(behaviour).upload_bps)
    upload_bps = min((rate for rate in uploads_bps if rate is not None), default=None)
    return {"upload_bps": upload_bps, "download_bps": options.download_bps}


# once for each class: every call of ray.remote would send the class anew
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
        self._launched = 0
        # a name that no other run has, also none of the same name that was cut short: only kept copies are resumed
        scratch = f"minibit-{run.name}-{secrets.token_hex(4)}"
        self.folder = str(run.files.absolute()) if options.keep else scratch
        self._setup = Setup(
            run=run.name,
            manifest=found,
            rules=options.rules,
            key=secrets.token_bytes(32),
            seed=options.seed,
            by_actor_calls=options.control == "actors",
            picker=None,
            choker=None,
            upload_bps=options.upload_bps,
            download_bps=options.download_bps,
            seed_upload_bps=options.seed_upload_bps,
            data_ports=options.data_ports,
            folder=self.folder,
        )
        self._setups: dict[Rules, Any] = {}  # in Ray's object store

    def spawn(self, teams: list[Team]) -> list[str]:
        """Actors for the tracker (the first time) and for a peer of each of these teams, all of them ready."""
        width = max(2, len(str(self.options.peers)))
        names = [f"peer-{self._launched + 1 + index:0{width}}" for index in range(len(teams))]
        team_of = dict(zip(names, teams, strict=True))
        if TRACKER not in self.actors:
            place = self.places[0]
            self._actor(TrackerActor, TRACKER, place, self._setup_of(Team()), place.host, str(self._path.absolute()))
            team_of = {TRACKER: Team(), **team_of}
        copies = -(-len(names) // len(self.places))
        for name in names:
            self._add_peer(name, team_of[name])
        opened: dict[str, Opened] = self.call("open", team_of, copies, timeout_s=SPAWN_S + SPAWN_EACH_S * len(team_of))
        here = machine()
        for name, found in opened.items():
            team, offset_s = team_of[name], 0.0 if found.machine == here else self._offset(name)
            more = {"kind": team.name, "node": found.address.host, "picker": team.picker, "choker": team.choker}
            rates = limits(name, team.behaviour, self.options)
            self.ledger.open(name, team.behaviour, offset_s, found.held, **more, **rates)
        return list(team_of)

    def _add_peer(self, name: str, team: Team) -> None:
        place = self.places[self._launched % len(self.places)]
        self._launched += 1
        find = strategies.behaviour
        kind = shipped(team.behaviour, find) or find(team.behaviour)
        self._actor(PeerActor, name, place, name, self._setup_of(team), place.host, kind, self.actors[TRACKER])

    def _setup_of(self, team: Team) -> Any:
        """What the actors of a team are told; teams with the same rules are told the same."""
        rules = team.rules(self.options.rules)
        if rules not in self._setups:
            picker, choker = shipped(rules.picker, strategies.picker), shipped(rules.choker, strategies.choker)
            setup = msgspec.structs.replace(self._setup, rules=rules, picker=picker, choker=choker)
            self._setups[rules] = ray.put(setup)
        return self._setups[rules]

    def on_each_node(self, task: Any, *args: Any) -> list[Any]:
        """Run a Ray task once on every node of the swarm; its references."""
        return [
            ray.remote(num_cpus=0, max_retries=0)(task).options(scheduling_strategy=_on(place.node_id)).remote(*args)
            for place in self.places
        ]

    def begin(self, names: list[str]) -> None:
        """Let them join, and, when they know each other, ask for blocks."""
        ledger = self.ledger
        count = self.options.initial.count(ledger.content.block_count)
        if count:
            block_count, seed = ledger.content.block_count, self.options.seed
            shares = {name: initial_blocks(count, name, seed, block_count) for name in names if name != TRACKER}
            calls = {name: self.actors[name].take.remote(share) for name, share in shares.items()}
            self._get(calls, CALL_S * 10)
            for name, share in shares.items():
                ledger.give(name, share)
        self.call("join", names)
        self.call("start", names)

    def call(self, method: str, names: Iterable[str], *args: Any, timeout_s: float = CALL_S) -> dict[str, Any]:
        """Call a method of all of these actors, and wait for all answers."""
        return self._get({name: getattr(self.actors[name], method).remote(*args) for name in names}, timeout_s)

    def _get(self, calls: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        self.ledger.actor_calls += len(calls)
        try:
            return dict(zip(calls, ray.get(list(calls.values()), timeout=timeout_s), strict=True))
        except RayTaskError as error:
            if isinstance(error.cause, MinibitError):
                raise error.cause from None
            raise
        except RayActorError as error:
            raise ClusterError(f"an actor died while the swarm was started: {error}") from None
        except GetTimeoutError:
            raise ClusterError(
                f"the swarm did not start within {timeout_s:.0f} s: give fewer --peers, or a larger cluster"
            ) from None

    def _actor(self, kind: type, name: str, place: ClusterNode, *args: Any) -> None:
        options = {
            "name": actor_name(self.ledger.run, name),
            "namespace": NAMESPACE,
            "num_cpus": 0,
            "max_restarts": 0,
            "scheduling_strategy": _on(place.node_id),
        }
        self.actors[name] = REMOTE[kind].options(**options).remote(*args)

    def _offset(self, name: str) -> float:
        """What to add to the clock of a peer on another machine for ours, by the quickest of some answers."""
        best = (float("inf"), 0.0)
        for _ in range(OFFSET_TRIES):
            asked_at = time.monotonic()
            theirs = self.call("clock", [name])[name]
            round_trip_s = time.monotonic() - asked_at
            best = min(best, (round_trip_s, asked_at + round_trip_s / 2 - theirs))
        return best[1]


def _on(node_id: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node_id, soft=False)

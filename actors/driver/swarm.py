"""The handle of a running swarm: what scripts and notebooks hold.

Use it from one thread. It has no thread of its own: it asks the actors only while a method runs. `attach` gives a
`Swarm`, which looks and acts, and leaves the swarm running. `launch` gives an `OwnSwarm`, which also waits, adds peers,
has the records, and ends the swarm.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import ray

from minibit.actors.driver import cluster, show, tables
from minibit.actors.driver.handle import PeerHandle, ask_all
from minibit.actors.names import NAMESPACE, actor_name
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.run.options import Options
from minibit.seat import number_of
from minibit.units import parse_rate

if TYPE_CHECKING:
    import polars as pl

    from minibit.actors.driver.own_swarm import OwnSwarm
    from minibit.actors.names import ActorHandle
    from minibit.snapshots import PeerSnapshot

T = TypeVar("T")


def _owners_only(why: str) -> property:
    """What only `OwnSwarm` has: on an attached handle, a `LocalError` says why."""

    def refuse(swarm: Swarm) -> NoReturn:
        swarm._check_open()
        raise LocalError(f"this handle is attached: {why}")

    return property(refuse)


class Swarm:
    """A running swarm. `Swarm.launch` makes one, `Swarm.attach` finds one."""

    def __init__(self, name: str, actors: dict[str, ActorHandle]) -> None:
        """Use `launch` or `attach`."""
        self.name = name
        self.closed = False
        self._actors = actors
        self._about = ""  # more for the headline

    @staticmethod
    def launch(path: str | os.PathLike[str] | None = None, options: Options | None = None, **given: Any) -> OwnSwarm:
        """Start a swarm that shares `path`, or made content.

        What is `given` are options of the command line; `options` are all of them at once, built already. The swarm
        transfers from now on. If it can't start, `MinibitError` says why, and nothing is left behind.
        """
        from minibit.actors.driver.own_swarm import OwnSwarm  # noqa: PLC0415  it imports this room

        return OwnSwarm.start(path, Options.build(**given) if options is None else options)

    @staticmethod
    def attach(name: str, address: str | None = "auto") -> Swarm:
        """The running swarm of that name, from another process."""
        cluster.connect(address)
        prefix = actor_name(name, "")
        named = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
        names = sorted(actor.removeprefix(prefix) for actor in named if actor.startswith(prefix))
        if not names:
            running = sorted({actor.split(":")[1] for actor in named if actor.startswith("minibit:")})
            there = f"there are {', '.join(running)}" if running else "none is running"
            raise LocalError(f"there is no swarm {name!r} on this cluster: {there}")
        actors: dict[str, Any] = {peer: ray.get_actor(prefix + peer, NAMESPACE) for peer in names}
        return Swarm(name, actors)

    if not TYPE_CHECKING:  # a type checker reports these by itself
        summary = wait = records = run = report = live = _owners_only(
            "the records are with the process that launched the swarm"
        )
        add = _owners_only("only the process that launched the swarm can do that")

    # looking

    def __getitem__(self, peer: int | str) -> PeerHandle:
        """A peer, by its number or its name."""
        self._check_open()
        numbers = {number_of(name): name for name in self._actors}
        name = numbers.get(peer, "") if isinstance(peer, int) else peer
        if name not in self._actors:
            raise LocalError(f"there is no peer {peer!r}: there are {', '.join(self._actors)}")
        return PeerHandle(name, self._actors[name], self._check_open)

    def peers(self) -> pl.DataFrame:
        """A row for each actor: what it holds, its neighbours, its process."""
        return tables.peers(self.snapshot())

    def blocks(self) -> pl.DataFrame:
        """A row for each block: how many peers hold it, the seed not counted."""
        return tables.blocks({name: state for name, state in self.snapshot().items() if name != TRACKER})

    def links(self) -> pl.DataFrame:
        """A row for each end of a link: its slot, what is asked and queued."""
        return tables.links(self.snapshot())

    def mailboxes(self) -> pl.DataFrame:
        """A row for each actor, verb and way: how many messages."""
        return tables.mailboxes(self._ask_all(lambda actor: actor.mailbox.remote()))

    def snapshot(self) -> dict[str, PeerSnapshot]:
        """The state of every actor that is there, by name."""
        return self._ask_all(lambda actor: actor.snapshot.remote())

    def _ask_all(self, ask: Callable[[ActorHandle], ray.ObjectRef[T]]) -> dict[str, T]:
        """The answers of the actors that are there."""
        self._check_open()
        return ask_all(self._actors, ask).found

    def watch(self, timeout_s: float | None = None) -> None:
        """Draw the swarm again and again in one place, until it is over, or for `timeout_s`.

        Ctrl-C, or the notebook's interrupt button, ends the watching; the swarm goes on.
        """
        self._check_open()
        ask = partial(ask_all, self._actors, lambda actor: actor.snapshot.remote())
        show.watch(self.name, ask, show.canvas(), timeout_s)

    # acting

    def kill(self, peer: int | str) -> None:
        """End a peer's process without a goodbye, as a power cut would."""
        ray.kill(self[peer].actor)  # type: ignore[arg-type]

    def remove(self, peer: int | str) -> None:
        """Let a peer say goodbye and leave."""
        self[peer].ask("leave", "removed")

    def limit(self, peer: int | str | None = None, **limits: float | str | None) -> None:
        """Set `upload_bps` or `download_bps` of one peer, or of all but the seed, as numbers or texts (`4MiB/s`).

        None lifts a limit; a limit that isn't named stays as it is.
        """
        self._check_open()
        if unknown := limits.keys() - {"upload_bps", "download_bps"}:
            raise LocalError(f"limit takes upload_bps and download_bps, not {', '.join(sorted(unknown))}")
        self._limit(peer, {name: None if rate is None else parse_rate(rate) for name, rate in limits.items()})

    def _limit(self, peer: int | str | None, rates: dict[str, float | None]) -> None:
        if peer is not None:
            self[peer].ask("limit", rates)
            return
        for name in list(self._actors):
            with suppress(LocalError):  # it is gone
                if name != TRACKER:
                    self[name].ask("limit", rates)

    def close(self) -> None:
        """Let go of the swarm: this handle can't be used any more."""
        self.closed = True

    def _check_open(self) -> None:
        if self.closed:
            raise LocalError(f"the swarm {self.name} is closed: launch another")

    # showing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return tables.as_text(*self._table())

    def _repr_html_(self) -> str:
        return tables.as_html(*self._table())

    def _table(self) -> tuple[str, list[tables.OverviewRow]]:
        """A headline, and a row for each actor; never raises."""
        if self.closed:
            return f"Swarm {self.name}: closed", []
        try:
            states = self.snapshot()
        except Exception as error:
            return f"Swarm {self.name}: {error}", []
        names = list(self._actors)
        return tables.headline(self.name, names, states) + self._about, tables.overview(names, states)

"""The handle of a running swarm: what scripts and notebooks hold.

Use it from one thread. It has no thread of its own: it asks the actors only while a method runs. `attach` gives a
`Swarm`, which looks and acts, and leaves the swarm running. `launch` gives an `OwnSwarm`, which also waits, adds peers,
has the records, and ends the swarm.

Whatever reaches an actor asks `check_open` first: Ray would start a cluster for a handle that has none any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar, Unpack

import ray

from minibit.actors.driver import connection, show, tables
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.handle import ANSWER_S, PeerHandle, ask_all
from minibit.actors.names import NAMESPACE, actor_name
from minibit.errors import ClusterError, LocalError
from minibit.events import TRACKER
from minibit.run.given import Keywords, chosen, with_options
from minibit.run.options import TABLE, Options
from minibit.seat import number_of
from minibit.units import parse_duration, show_rate

if TYPE_CHECKING:
    import polars as pl

    from minibit.actors.driver.own_swarm import OwnSwarm
    from minibit.actors.names import ActorHandle
    from minibit.snapshots import PeerSnapshot

T = TypeVar("T")

UNCHANGED: Any = object()  # a limit that is not given: None lifts one


def _owners_only(why: str) -> property:
    """What only `OwnSwarm` has: on an attached handle, a `LocalError` says why."""

    def refuse(swarm: Swarm) -> NoReturn:
        swarm.check_open()
        raise LocalError(f"this handle is attached: {why}")

    return property(refuse)


class Swarm:
    """A running swarm. `Swarm.launch` makes one, `Swarm.attach` finds one.

    `swarm[7]` is a peer, and `swarm["tracker"]` the tracker; `len` counts the peers, and a loop goes over them.
    """

    def __init__(self, name: str, actors: dict[str, ActorHandle]) -> None:
        """Use `launch` or `attach`."""
        self.name = name
        self.closed = False
        self._actors = actors
        self._about = ""  # more for the headline
        self._node = connection.here()

    @staticmethod
    @with_options("ray")
    def launch(
        path: str | os.PathLike[str] | None = None, options: Options | None = None, **given: Unpack[Keywords]
    ) -> OwnSwarm:
        """Start a swarm that shares `path`, or made content.

        What is `given` are options of the command line, as the same texts or as numbers of bytes, bytes a second or
        seconds; `options` are all of them at once, built already. What is not given may stand in the environment, as
        for the command line: MINIBIT_PEERS, RAY_ADDRESS. The swarm transfers from now on. If it can't start,
        `MinibitError` says why, and nothing is left behind.
        """
        from minibit.actors.driver.own_swarm import OwnSwarm  # noqa: PLC0415  it imports this room

        return OwnSwarm.start(path, chosen("ray", options, given, os.environ))

    @staticmethod
    def attach(name: str, address: str | None = None) -> Swarm:
        """The running swarm of that name, from another process.

        Without `address` it is looked for on the cluster that MINIBIT_ADDRESS or RAY_ADDRESS says, or that this machine
        is a node of (`auto`). It starts nothing: without a cluster, or without such a swarm there, an error says so.
        """
        variables = (os.environ.get(variable) for variable in TABLE["address"].variables)
        address = address or next(filter(None, variables), "auto")
        if address == "local" and connection.here() is None:
            raise ClusterError("there is no swarm to attach to: give the address of its cluster, or auto")
        node = CONNECTION.take(address)
        try:
            prefix = actor_name(name, "")
            listed = CONNECTION.head.ask(partial(ray.util.list_named_actors, all_namespaces=True))
            named = [actor["name"] for actor in listed]
            names = sorted(actor.removeprefix(prefix) for actor in named if actor.startswith(prefix))
            actors: dict[str, Any] = {}
            for peer in names:
                with suppress(ValueError):  # it has just ended
                    actors[peer] = CONNECTION.head.ask(partial(ray.get_actor, prefix + peer, NAMESPACE))
            if not actors:
                running = sorted({actor.split(":")[1] for actor in named if actor.startswith("minibit:")} - {name})
                there = f"there are {', '.join(running)}" if running else "none is running"
                raise LocalError(f"there is no swarm {name!r} on this cluster: {there}")
        except BaseException:
            CONNECTION.give_back(node)
            raise
        return Swarm(name, actors)

    if not TYPE_CHECKING:  # a type checker reports these by itself
        summary = wait = records = run = report = live = _owners_only(
            "the records are with the process that launched the swarm"
        )
        add = _owners_only("only the process that launched the swarm can do that")

    # looking

    def __getitem__(self, peer: int | str) -> PeerHandle:
        """A peer, by its number or its name."""
        self.check_open()
        name = self._named(peer)
        if name is None:
            raise LocalError(f"there is no peer {peer!r}: there are {', '.join(self._actors)}")
        return PeerHandle(name, self._actors[name], self.check_open)

    def __contains__(self, peer: object) -> bool:
        """Whether there is, or was, a peer of that number or name."""
        return self._named(peer.name if isinstance(peer, PeerHandle) else peer) is not None

    def __len__(self) -> int:
        """How many peers there are, or were, beside the seed."""
        return len(self._actors.keys() - {TRACKER})

    def __iter__(self) -> Iterator[PeerHandle]:
        """The peers, without the seed."""
        return (self[name] for name in list(self._actors) if name != TRACKER)

    def _named(self, peer: object) -> str | None:
        """The name of a peer by its number or its name; None if there is none."""
        if isinstance(peer, int):
            return next((name for name in self._actors if number_of(name) == peer), None)
        return peer if isinstance(peer, str) and peer in self._actors else None

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
        self.check_open()
        return ask_all(self._actors, ask).found

    def watch(self, timeout: float | str | None = None) -> None:
        """Draw the swarm again and again in one place, until it is over, or for `timeout`.

        Ctrl-C, or the notebook's interrupt button, ends the watching; the swarm goes on.
        """
        self.check_open()
        timeout_s = None if timeout is None else parse_duration(timeout)
        ask = partial(ask_all, self._actors, lambda actor: actor.snapshot.remote())
        show.watch(self.name, ask, show.canvas(), timeout_s)

    # acting

    def kill(self, peer: int | str) -> None:
        """End a peer's process without a goodbye, as a power cut would."""
        one = self[peer]
        ray.kill(one.actor)  # type: ignore[arg-type]
        self._acted(one.name, "killed")

    def remove(self, peer: int | str) -> None:
        """Let a peer say goodbye and leave."""
        self[peer].ask("leave", "removed")

    def limit(
        self,
        peer: int | str | None = None,
        *,
        upload: float | str | None = UNCHANGED,
        download: float | str | None = UNCHANGED,
    ) -> None:
        """Limit what one peer, or each but the seed, sends or receives a second: a text (`4MiB/s`), or bytes.

        None lifts a limit; one that isn't given stays as it is.
        """
        given = {way: rate for way, rate in (("upload", upload), ("download", download)) if rate is not UNCHANGED}
        if not given:
            raise LocalError("limit takes upload and download: give one of them, or both")
        read = Options.build(**given)
        rates: dict[str, float | None] = {way: getattr(read, f"{way}_bps") for way in given}
        limits = ", ".join(f"{way} {'no limit' if rate is None else show_rate(rate)}" for way, rate in rates.items())
        rates_bps = {f"{way}_bps": rate for way, rate in rates.items()}
        if peer is not None:
            one = self[peer]
            one.ask("limit", rates_bps)
            self._acted(one.name, "limited", limits)
            return
        self.check_open()
        answers = ask_all({each.name: each.actor for each in self}, lambda actor: actor.limit.remote(rates_bps))
        for name in answers.found:
            self._acted(name, "limited", limits)
        if answers.slow:
            raise LocalError(f"no answer within {ANSWER_S:g} s from {', '.join(answers.slow)}: try again")

    def _acted(self, peer: str, event: Literal["killed", "limited"], why: str = "") -> None:
        """Note what was done by hand: the process that launched the swarm has the records."""

    def close(self) -> None:
        """Let go of the swarm: this handle can't be used any more."""
        if not self.closed:
            self.closed = True
            CONNECTION.give_back(self._node)

    @property
    def in_reach(self) -> bool:
        """Whether the handle can reach its actors: it is not closed, and this process is still in their cluster."""
        return not self.closed and connection.here() == self._node

    def check_open(self) -> None:
        """`LocalError` if the handle can reach no actor any more."""
        if self.closed:
            raise LocalError(f"the swarm {self.name} is closed: launch another")
        if not self.in_reach:
            raise LocalError(f"this program has left the Ray cluster of the swarm {self.name}: launch or attach anew")

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

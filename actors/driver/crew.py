"""The actors of a push, one for each member and the tracker, and the calls of them that are under way."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import msgspec
import ray

from minibit.actors.driver import spawn
from minibit.actors.driver.calls import Calls
from minibit.actors.driver.members import PushMember
from minibit.actors.driver.plan import Plan
from minibit.actors.driver.signals import undisturbed
from minibit.actors.peer import MemberStanding, Opened, PeerActor, Setup
from minibit.actors.tracker import RosterActor
from minibit.delivery import seats
from minibit.events import TRACKER
from minibit.manifest import Manifest
from minibit.messages import Desligamento
from minibit.rules import Rules
from minibit.seat import Seat
from minibit.strategies import Shipment

GOODBYE_S = 0.5  # for goodbyes at the end


class Crew:
    """The actors by the names of their members. `tracker` is None while there is none.

    upload_bps  the limit of each member; None: it has none
    opens, deliveries, standings, learning
                the calls of these methods of theirs
    lessons     what each is to learn next, by its name: a block, the digests of that and those behind it
    """

    def __init__(self, plan: Plan, rules: Rules, *, records: bool) -> None:
        self.tracker: Any = None
        self.upload_bps = plan.order.upload_bps
        self.opens: Calls[Opened] = Calls(lambda name: self._actors[name].open.remote())
        self.deliveries: Calls[MemberStanding] = Calls(lambda name: self._actors[name].deliver.remote())
        self.standings: Calls[MemberStanding] = Calls(lambda name: self._actors[name].standing.remote())
        self.learning: Calls[MemberStanding] = Calls(lambda name: self._actors[name].learn.remote(*self.lessons[name]))
        self.lessons: dict[str, tuple[int, bytes]] = {}
        self._actors: dict[str, Any] = {}
        self._name = plan.name
        self._rules = rules
        self._options = {} if plan.env is None else {"runtime_env": plan.env}
        self._given = Setup(
            run=plan.name,
            manifest=plan.manifest,
            key=secrets.token_bytes(32),
            seed=1,
            by_actor_calls=False,
            data_ports=plan.order.data_ports,
            folder="",
            shipment=Shipment({}, {}),
            dest=plan.order.dest,
            replace=plan.order.replace,
            full=plan.order.verify == "full",
            records=records,
        )
        self._setup = ray.put(self._given)

    def learn(self, manifest: Manifest) -> None:
        """All that are started from now on know these digests."""
        self._setup = ray.put(msgspec.structs.replace(self._given, digests=manifest.digests))

    def start_tracker(self) -> None:
        """Start the tracker, where this process is. Ray's `ActorAlreadyExistsError` as long as there is one."""
        here = str(ray.get_runtime_context().get_node_id())
        seat = seats.tracker_seat(self._rules)
        self.tracker = spawn.start(RosterActor, self._name, TRACKER, here, seat, self._setup, **self._options)
        self._actors[TRACKER] = self.tracker

    def start(self, member: PushMember, now: float) -> None:
        """Start the actor of a member on its node. Ray's `ActorAlreadyExistsError` as long as it has one."""
        args = (self.seat(member), self._setup, member.node.host, self.tracker, member.path)
        actor = spawn.start(PeerActor, self._name, member.name, member.node.node_id, *args, **self._options)
        self._actors[member.name] = actor
        member.begin(actor, now)

    def seat(self, member: PushMember) -> Seat:
        """The seat of a member, as it is now."""
        return Seat(name=member.name, rules=self._rules, upload_bps=self.upload_bps, seeds=member.seeds)

    def drop(self, name: str) -> None:
        """End an actor, or forget a dead one: another may be started under its name."""
        for calls in (self.opens, self.deliveries, self.standings, self.learning):
            calls.drop(name)
        self.lessons.pop(name, None)
        if (actor := self._actors.pop(name, None)) is not None:
            spawn.kill(actor)  # also a dead one, else this process remembers whose name it was
        if name == TRACKER:
            self.tracker = None
        elif self.tracker is not None and actor is not None:
            self.tracker.desligamento.remote(name, Desligamento(name, "died"))

    def keep(self, names: Iterable[str]) -> None:
        """Drop all actors of members but these."""
        for name in self._actors.keys() - {*names, TRACKER}:
            self.drop(name)

    def limit(self, upload_bps: float | None) -> None:
        """Let each member send so much at most from now on."""
        self.upload_bps = upload_bps
        for name, actor in self._actors.items():
            if name != TRACKER:
                actor.limit.remote({"upload_bps": upload_bps})

    def end(self) -> None:
        """End all actors; the copies stay, whole or partial."""
        actors = list(self._actors.values())
        with undisturbed():
            spawn.ask_to_stop(actors, erase=False, timeout_s=GOODBYE_S)
            for actor in actors:
                spawn.kill(actor)

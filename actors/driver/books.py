"""The records of a push, for those that ask for a report: a run folder, as that of a swarm.

The laboratory calls the member that has the content from the beginning `tracker`, and so do these books; the others are
called by their nodes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from minibit import inventory
from minibit.actors.driver.calls import Calls, clock_offset_s
from minibit.actors.driver.members import Members, PushMember
from minibit.actors.driver.plan import Plan
from minibit.actors.names import machine
from minibit.actors.peer import Drained, Opened
from minibit.delivery.result import PushResult
from minibit.events import TRACKER
from minibit.lab.archive import RunFolder
from minibit.manifest import Manifest
from minibit.records import BlockRecord, LinkRecord, Record, ServingRecord, decode
from minibit.rules import Rules
from minibit.run.ledger import Ledger
from minibit.run.options import Options
from minibit.seat import Seat

EVERY_S = 1.0  # between two collections
DRAIN_S = 2.0  # for all members to give what they have
CLOCK_S = 2.0  # for a member to say what its clock is


class Books:
    """The ledger of one push, which is written into `folder` at the end."""

    def __init__(self, plan: Plan, rules: Rules, folder: RunFolder) -> None:
        order, manifest = plan.order, plan.manifest
        options = Options(
            peers=len(plan.nodes),
            block_bytes=manifest.block_bytes,
            hash=manifest.hash,
            rules=rules,
            upload_bps=order.upload_bps,
            seed_upload_bps=order.upload_bps,
            address=order.address,
            data_ports=order.data_ports,
            timeout_s=order.timeout_s,
            name=plan.name,
        )
        self._ledger = Ledger(plan.name, options, manifest)
        self._folder = folder
        self._full = inventory.full(manifest.block_count)
        self._offsets_s: dict[str, float] = {machine(): 0.0}  # by machine
        self._actors: dict[str, Any] = {}  # by the name in the books
        self._seed = ""  # the member that is `tracker` here
        self._drains: Calls[Drained] = Calls(
            lambda name: self._actors[name].drain.remote(self._ledger.accounts[name].batches)
        )
        self._drained_at = -inf

    def open(self, member: PushMember, seat: Seat, opened: Opened) -> None:
        """A member takes part, for the first time or again."""
        if member.seeds:
            self._seed = member.name
        name = self._called(member.name)
        self._drains.drop(name)
        self._actors[name] = member.actor
        offset_s = self._offset_s(member.actor, opened.machine)
        held = self._full if member.seeds else opened.held  # also where it is not hashed yet
        self._ledger.open(msgspec.structs.replace(seat, name=name), held, offset_s, member.node.host)

    def learn(self, manifest: Manifest) -> None:
        """The content, now that all of it is hashed."""
        self._ledger.content = manifest

    def drain(self, members: Members, *, last: bool = False) -> None:
        """Collect what the members noted, if it is time for that, or for the last time."""
        now, ledger = time.monotonic(), self._ledger
        if not last and now < self._drained_at + EVERY_S:
            return
        self._drained_at = now
        there = {self._called(member.name) for member in members if member.actor is not None}
        asked = [name for name, one in ledger.accounts.items() if name in there and one.answers]
        for name, batch in self._drains.some(asked, DRAIN_S, patient=last).found.items():
            records = [self._renamed(record) for record in decode(batch.records)]
            ledger.enter(name, records, batch.messages, batch.actor_calls)
            ledger.lose(name, batch.lost)

    def close(self, members: Members, result: PushResult, why: str) -> None:
        """Write the folder, if the push moved anything, with a report if that can be drawn."""
        ledger, now = self._ledger, time.monotonic()
        if TRACKER not in ledger.accounts:
            self._folder.remove_if_empty()
            return
        for member in members:
            if (account := ledger.accounts.get(self._called(member.name))) is None:
                continue
            if member.status == "failed" and member.wants:
                ledger.died(self._called(member.name), now, member.why)
            account.verified = member.placed_at is not None
            if member.placed_at is not None and account.completed_at is None:  # it was copied from the source here
                account.completed_at = member.completed_at
        summary = ledger.summary(
            nodes=len(result.nodes),
            spawn_s=0.0,
            verify_s=result.seconds.verifying,
            total_s=result.seconds.total,
            now=now,
            why=why,
            timed_out=result.timed_out,
        )
        self._folder.write(ledger.about(summary), ledger.records())
        with suppress(Exception):  # without the extra `lab`, or without room: the records are written
            from minibit.lab import load, report  # noqa: PLC0415  heavy

            report.write(load(self._folder.path), self._folder.path / "report.html")

    def _called(self, name: str) -> str:
        return TRACKER if name == self._seed else name

    def _renamed(self, record: Record) -> Record:
        """The record, where it speaks of the seed, with the name that it has here."""
        fields = ["peer"]
        if isinstance(record, BlockRecord):
            fields.append("source")
        elif isinstance(record, ServingRecord | LinkRecord):
            fields.append("neighbour")
        found = {field: TRACKER for field in fields if getattr(record, field) == self._seed}
        return msgspec.structs.replace(record, **found) if found else record

    def _offset_s(self, actor: Any, there: str) -> float:
        """Seconds to add to the clock of a member's machine for ours, asked once."""

        def clock() -> Iterator[float]:
            with suppress(RayError):
                yield ray.get(actor.clock.remote(), timeout=CLOCK_S)

        if there not in self._offsets_s:
            self._offsets_s[there] = clock_offset_s(clock)
        return self._offsets_s[there]

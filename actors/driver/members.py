"""The members of a push, and what is decided about each: started again, given up, skipped, done.

It knows no Ray and asks nobody: it is told what happened, and says what follows. A member is one node's peer, by the
name of its seat; a push whose source is at no node's DEST has one more, which only shares the source.

What is decided: an actor that died on a node that stands is started again there, a few times. A node that is dead has
failed, until it is back. One that comes late, or is back, is surveyed first (`late`). Any other failure is that of one
member. Of nodes that share a file system under DEST one writes; if its node is lost, the next one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import reduce
from operator import or_
from typing import Any

from minibit import inventory
from minibit.actors.peer import MemberStanding
from minibit.delivery import seats
from minibit.delivery.nodes import NodeRow
from minibit.delivery.result import Status
from minibit.manifest import Manifest

STARTS_MOST = 4  # of an actor on one node: once, and three times again
PAUSE_S = 0.5  # before an actor is started again; it doubles
NODE_GONE = "its node is gone: Ray calls it dead"


class Part(Enum):
    """The part that a member takes."""

    JOINING = "joining"
    """Its node came while the push went on, and is surveyed."""
    PLANNED = "planned"
    """Its actor is to be started."""
    OPENING = "opening"
    """Its actor starts, or reads what its disk has."""
    READY = "ready"
    """It waits for the others, for a short time, to begin with them."""
    MOVING = "moving"
    """It fetches blocks, or puts its copy in place."""
    PLACED = "placed"
    """Its copy is in its place, or needs none; it shares it."""
    FAILED = "failed"
    SKIPPED = "skipped"


TAKING_PART = {Part.JOINING, Part.PLANNED, Part.OPENING, Part.READY, Part.MOVING, Part.PLACED}


class PushMember:
    """One member.

    node     where it is
    wants    whether its node gets a copy; the one beside the tracker that only shares the source does not
    path     the source, where this member shares that, or copies it
    local    whether it copies the source, which is on its own node: then it takes no part in the swarm
    writer   the name of the member that writes for this one, on a file system that their nodes share
    """

    def __init__(
        self,
        name: str,
        node: NodeRow,
        *,
        wants: bool = True,
        path: str = "",
        local: bool = False,
        writer: str = "",
    ) -> None:
        self.name = name
        self.node = node
        self.wants = wants
        self.path = path
        self.local = local
        self.writer = ""
        self.stage = Part.PLANNED
        self.why = ""
        self.actor: Any = None
        self.starts = 0
        self.due_at = 0.0  # when its actor is to be started
        self.standing = MemberStanding()
        self.first: MemberStanding | None = None  # the first word of its first process
        self.held_at_first: int | None = None  # the inventory that its disk had when the push came
        self.node_alive = True
        self.began_at = 0.0  # when its process was started
        self.heard = False  # whether that has said anything
        self.full_at: float | None = None  # when that was first known to hold every block
        self.placed_at: float | None = None
        self.completed_at: float | None = None
        self._before = (0, 0)  # bytes that its earlier processes sent and received
        if writer:
            self.skip(writer)

    @property
    def active(self) -> bool:
        """Whether it takes part."""
        return self.stage in TAKING_PART

    @property
    def seeds(self) -> bool:
        """Whether it shares the source itself."""
        return bool(self.path) and not self.local

    @property
    def settled(self) -> bool:
        """Whether nothing more need happen to it."""
        return self.placed_at is not None or not self.active

    @property
    def status(self) -> Status:
        """What became of its node."""
        if self.stage is Part.FAILED or (self.placed_at is None and self.stage is not Part.SKIPPED):
            return "failed"
        if self.stage is Part.SKIPPED:
            return "skipped"
        first = self.first or MemberStanding()
        return "had" if first.had else "resumed" if first.resumed else "done"

    @property
    def sent_bytes(self) -> int:
        return self._before[0] + self.standing.sent_bytes

    @property
    def received_bytes(self) -> int:
        return self._before[1] + self.standing.received_bytes

    def told(self, standing: MemberStanding) -> None:
        """What its actor says of itself."""
        self.heard = True
        if standing.opened:
            self.standing = standing
            self.first = self.first or standing

    def begin(self, actor: Any, now: float) -> None:
        """Its actor is started."""
        self.began_at, self.heard, self.full_at = now, False, None
        self._before = (self.sent_bytes, self.received_bytes)
        self.standing = MemberStanding(held=self.standing.held)  # what it had is on its disk still
        self.actor = actor
        self.starts += 1
        self.stage = Part.OPENING

    def opened(self, held: int) -> None:
        """It takes part, and its disk has these blocks (an inventory)."""
        self.stage = Part.READY
        if self.held_at_first is None:
            self.held_at_first = held

    def place(self, standing: MemberStanding, now: float) -> None:
        """Its copy is in its place."""
        self.told(standing)
        self.stage = Part.PLACED
        if self.placed_at is None:
            self.placed_at, self.completed_at = now, now - standing.verify_s

    def skip(self, writer: str) -> None:
        """Another one writes for it."""
        self.stage, self.writer, self.why = Part.SKIPPED, writer, f"{writer} writes it to the same file system"

    def fail(self, why: str) -> None:
        """It takes part no more."""
        self.stage, self.why = Part.FAILED, why

    def again(self, now: float) -> None:
        """Its actor is to be started again, after a pause."""
        self.stage = Part.PLANNED
        self.due_at = now + PAUSE_S * 2 ** (self.starts - 1)

    def anew(self, node: NodeRow) -> None:
        """Its node is there again, as this one."""
        self.node, self.node_alive = node, True
        self.stage, self.why, self.writer = Part.JOINING, "", ""
        self.starts = 0
        self.first = self.held_at_first = self.placed_at = self.completed_at = None


class Members:
    """All members by name. `wanted` says of a node that comes later whether it gets a copy."""

    def __init__(
        self, manifest: Manifest, members: Iterable[PushMember], wanted: Callable[[NodeRow], bool] = lambda node: True
    ) -> None:
        self._manifest = manifest
        self._wanted = wanted
        self._by_name = {member.name: member for member in members}
        self._ids = {member.node.node_id for member in self}
        self._refused: set[str] = set()  # ids of nodes that get no copy

    def __getitem__(self, name: str) -> PushMember:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[PushMember]:
        return iter(self._by_name.values())

    def at(self, *stages: Part) -> list[PushMember]:
        """The members at these stages."""
        return [member for member in self if member.stage in stages]

    @property
    def copies(self) -> list[PushMember]:
        """The members whose nodes get a copy."""
        return [member for member in self if member.wants]

    @property
    def settled(self) -> bool:
        """Whether every node is done, or failed."""
        return all(member.settled for member in self.copies)

    # what happened

    def lost(self, name: str, why: str, now: float, *, for_good: bool = False) -> None:
        """Its actor is dead; `for_good`: another one would die of the same."""
        member = self[name]
        member.actor = None
        if not member.active:
            return
        if not member.node_alive:
            self.node_lost(member)
        elif for_good:
            self.fail(member, why)
        elif member.starts < STARTS_MOST:
            member.again(now)
        elif member.placed_at is None:
            self.fail(member, f"its process died {member.starts} times: {why}")
        else:  # its copy stays what it is
            member.stage = Part.PLACED

    def fail(self, member: PushMember, why: str) -> None:
        """It can't go on, nor can the nodes for which it writes."""
        member.fail(why)
        for other in self._for(member):
            other.fail(f"{member.name}, which writes on the same file system, failed: {why}")

    def node_lost(self, member: PushMember) -> None:
        """Its node is dead. If it wrote for others, the first of them does now."""
        member.node_alive = False
        member.actor = None
        member.fail(NODE_GONE)
        if others := self._for(member):
            heir = others.pop(0)
            heir.stage, heir.writer, heir.why = Part.PLANNED, "", ""
            for other in others:
                other.skip(heir.name)

    def _for(self, writer: PushMember) -> list[PushMember]:
        return [member for member in self if member.writer == writer.name and member.stage is Part.SKIPPED]

    def see(self, alive: Iterable[NodeRow]) -> list[PushMember]:
        """These nodes are alive, and no others; the members that are new, or whose nodes are back."""
        rows = {row.node_id: row for row in alive}
        for member in self:
            if member.node_alive and member.node.node_id not in rows:
                self.node_lost(member)
        found = []
        for row in rows.values():
            if row.node_id in self._ids or row.node_id in self._refused:
                continue
            back = next((one for one in self if not one.node_alive and one.node.host == row.host and one.wants), None)
            if back is not None:
                back.anew(row)
                found.append(back)
            elif self._wanted(row):
                taken = frozenset(self._by_name)
                ((name, _),) = seats.names([row], taken).items()
                found.append(PushMember(name, row))
                found[-1].stage = Part.JOINING
                self._by_name[name] = found[-1]
            else:
                self._refused.add(row.node_id)
                continue
            self._ids.add(row.node_id)
        return found

    # what follows

    def out_of_reach(self) -> int:
        """The blocks that can't come any more (an inventory): no member holds them, and none may hold them yet."""
        active = [member for member in self if member.active and not member.local]
        if not all(member.standing.opened for member in active):
            return inventory.EMPTY
        held = reduce(or_, (member.standing.held for member in active), inventory.EMPTY)
        return inventory.full(self._manifest.block_count) & ~held

    def why_out_of_reach(self, blocks: int) -> str:
        """Why these blocks can't come, with the addresses of the members that had them, as far as that is known."""
        count = blocks.bit_count()
        said = "a block that is missing was" if count == 1 else f"{count:,} blocks that are missing were"
        lost = [one for one in self if not one.active]
        had = [one for one in lost if one.standing.held & blocks] or [one for one in self if one.standing.damaged]
        where = {one.node.host: one.why or one.standing.damaged for one in had or lost}
        return f"{said} only on {' and '.join(f'{host} ({why})' for host, why in where.items()) or 'the source'}"

    @property
    def moved_bytes(self) -> int:
        """Payload that the nodes have fetched."""
        return sum(member.received_bytes for member in self)

    def measure(self) -> int:
        """A number that grows, or at least changes, with everything that moves."""
        return self.moved_bytes + sum(member.standing.held.bit_count() for member in self)

    @property
    def busy(self) -> bool:
        """Whether one of them does what no bytes tell of: its process starts, or its disk is read."""
        full = inventory.full(self._manifest.block_count)
        opening = {Part.JOINING, Part.PLANNED, Part.OPENING}
        return any(
            one.stage in opening or (one.stage is Part.MOVING and one.standing.held == full and one.placed_at is None)
            for one in self
        )

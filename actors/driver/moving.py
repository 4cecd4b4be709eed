"""The transfer of a push, from the plan to the result: event by event, in the driver's process or in that of a
detached actor.

It looks again and again at Ray's nodes and at all members, and changes the plan at once. Silence is not death: only
what Ray calls dead is gone. A member that is ready begins soon, and one that is complete puts its copy in place without
waiting for any other. Everything has a bound. Whatever ends the waiting, Ctrl-C too, ends all actors; partial copies
stay.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from math import inf
from typing import Any

import msgspec
import ray
from ray.exceptions import ActorAlreadyExistsError, RayError

from minibit import inventory
from minibit.actors.disk.files import Scan
from minibit.actors.driver import spawn, tally
from minibit.actors.driver.books import Books
from minibit.actors.driver.calls import Replies
from minibit.actors.driver.cluster import rows
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.crew import Crew
from minibit.actors.driver.digests import Digests
from minibit.actors.driver.gauges import Gauges
from minibit.actors.driver.head import begun
from minibit.actors.driver.late import LateNodes
from minibit.actors.driver.members import Members, Part, PushMember
from minibit.actors.driver.plan import Plan
from minibit.actors.peer import MemberStanding
from minibit.delivery import seats
from minibit.delivery.nodes import NodeRow
from minibit.delivery.progress import Pushing
from minibit.delivery.result import PushResult
from minibit.errors import IntegrityError, LocalError, MinibitError
from minibit.events import TRACKER
from minibit.lab.archive import RunFolder
from minibit.units import show_duration

TICK_S = 0.2  # between two looks at what came; a node that ends is seen at once
ASK_S, ASK_EACH_S = 1.0, 0.005  # between two questions to all members: at least, and for each of them
SHORT_S = 0.05  # the shortest pause: what fails at once is not asked again at once
STANDING_S = 0.5  # for the answers
NODES_S = 1.0  # between two looks at the nodes
NODES_ANSWER_S = 60.0  # for that look
GATHER_S = 10.0  # members that are ready wait so long for the others, so that all begin together
SPAWN_S = 120.0  # for an actor to come up
OPEN_S = 7200.0  # for a disk to be read: a partial copy is hashed
DELIVER_S = 7200.0  # for a copy to be verified and put in place
AWAY_S = 300.0  # a member that gives no answer is given up, if Ray doesn't say before that it is dead
STALL_S = 300.0  # the same for all of them, when nothing moves
HOPELESS_S = 3.0  # blocks that nobody holds are waited for
FREE_S = 30.0  # for the name of a dead actor to be free
LAST = 0.1  # of the time after which Ray ends this process without the head: then it is over


class Moving:
    """The transfer of one push; `run` it once. `limit` and `cancel` may be called from other threads.

    With a `folder`, it is written there as a run. With a `scan` of the source, which goes on, the plan is not `hashed`
    yet. Then it is told what is hashed, and the members that the plan begins with move that; any other process that is
    started finds blocks on its disk to compare, and so waits for the end of the scan.
    """

    def __init__(
        self,
        plan: Plan,
        tell: Pushing = lambda progress: None,
        folder: RunFolder | None = None,
        scan: Scan | None = None,
    ) -> None:
        self.plan = plan
        self.members = Members(plan.manifest, plan.members(), self._is_wanted)
        self._late = LateNodes(self.members)
        self._tell = tell
        self._full = inventory.full(plan.manifest.block_count)
        self._crew = Crew(plan, seats.RULES, records=folder is not None)
        self._limits: list[float | None] = []  # asked for, and not set yet
        self._books = None if folder is None else Books(plan, seats.RULES, folder)
        self._gauges = Gauges(plan.name)
        self._digests = None if scan is None else Digests(scan, self._crew)
        self._first = {member.name for member in self.members.at(Part.PLANNED)}  # that were never started
        self._cancelled = threading.Event()
        self._began_at = time.monotonic()
        self._gathered_at = inf  # when the first member was ready
        self._moving_at: float | None = None  # when the members were told to begin
        self._served_at = self._began_at  # when the last node was served
        self._asked_at = -inf  # when the members were last asked how far they are
        self._nodes: Future[list[NodeRow]] | None = None
        self._nodes_at = -inf
        self._progress = (0, self._began_at)  # a measure of it, and when that last changed
        self._hopeless_at = inf
        self._moved = (self._began_at, 0)  # when members were last asked, and the bytes that had moved
        self._rate_bps = 0.0

    # from any thread

    def limit(self, upload_bps: float | None) -> None:
        """Let each member send so much at most from now on; None: no limit."""
        self._limits.append(upload_bps)

    def cancel(self) -> None:
        """End it soon; partial copies stay."""
        self._cancelled.set()

    # the whole

    def run(self) -> PushResult:
        """Wait until each node is done or failed, or nothing more can come; what came of it."""
        try:
            why, timed_out = ("", False) if self._all_had() else self._move()
            now, self._asked_at = time.monotonic(), -inf
            self._hear_standings(now)  # the last word of all
            if self._books:
                self._books.drain(self.members, last=True)
            for member in self.members.copies:
                if not member.settled:
                    self.members.fail(member, why)
            began_at = self._began_at if self._moving_at is None else self._moving_at
            elapsed_s = self._elapsed_s(now)
            if not self.plan.hashed:
                self.plan = msgspec.structs.replace(self.plan, hashing_s=self._hashing_s(now))
            result = tally.result(self.plan, self.members, began_at=began_at, elapsed_s=elapsed_s, timed_out=timed_out)
        finally:
            self._late.close()
            self._crew.end()
        if self._books:
            self._books.close(self.members, result, why)
        return result

    def _move(self) -> tuple[str, bool]:
        """Move it until that is over; why it ended early ("": it did not), and whether by the time limit."""
        try:
            self._crew.start_tracker()
        except ActorAlreadyExistsError:
            there = f"a push {self.plan.name} is running on this cluster already"
            raise LocalError(f"{there}: give another name, or wait for its end") from None
        while True:
            now = time.monotonic()
            self._step(now)
            why, timed_out = self._why_over(now)
            self._show(now)
            if why is not None:
                return why, timed_out
            self._rest(now)

    def _all_had(self) -> bool:
        """Whether all nodes are known to have the copy, and nothing else is asked for: then they have it now."""
        plan = self.plan
        lacking = [
            one for one in self.members.copies if one.active and not one.seeds and one.node.node_id not in plan.had
        ]
        if lacking or plan.order.follow_s or plan.order.verify == "full":
            return False
        for member in self.members.at(Part.PLANNED):
            member.opened(self._full)
            member.place(MemberStanding(held=self._full, opened=True, finished=True, had=True), self._began_at)
        return True

    def _step(self, now: float) -> None:
        """Look at everything once, and do what follows."""
        self._look_at_nodes(now)
        if self.plan.hashed:  # what lies at its destination is compared with the whole
            self._late.step(self.plan, now)
        self._start_planned(now)
        self._hear_opens(now)
        self._hand_on_digests(now)
        self._begin_ready(now)
        self._hear_deliveries(now)
        self._hear_standings(now)
        if self._books:
            self._books.drain(self.members)
        while self._limits:
            self._crew.limit(self._limits.pop(0))

    def _rest(self, since: float) -> None:
        """Wait for what comes next, for a tick at most."""
        crew = self._crew
        awaited = [*crew.opens.open, *crew.deliveries.open, *crew.learning.open]
        if awaited:  # the first that answers ends the pause
            ray.wait(awaited, num_returns=1, timeout=TICK_S)
        self._cancelled.wait(max(0.0, since + (SHORT_S if awaited else TICK_S) - time.monotonic()))

    # nodes

    def _is_wanted(self, node: NodeRow) -> bool:
        return seats.is_asked_for(node, self.plan.order.nodes)

    def _look_at_nodes(self, now: float) -> None:
        """Ask for the nodes, and take the answer when it is there: the head may be out of reach for a while."""
        if self._nodes is not None and self._nodes.done():
            asked, self._nodes = self._nodes, None
            with suppress(RayError, RuntimeError):  # the next one may answer
                self.members.see(asked.result())
                self._crew.keep(member.name for member in self.members if member.actor is not None)
        if self._nodes is None and now >= self._nodes_at + NODES_S:
            self._nodes, self._nodes_at = begun(rows), now
        elif self._nodes is not None and now >= self._nodes_at + NODES_ANSWER_S:
            self._nodes = None

    # actors

    def _start_planned(self, now: float) -> None:
        if CONNECTION.head.lost_s:  # it starts actors; the others go on without it for a while
            return
        if self._crew.tracker is None:
            with suppress(ActorAlreadyExistsError):  # its name is soon free
                self._crew.start_tracker()
        for member in self.members.at(Part.PLANNED):
            if now < member.due_at or not (self.plan.hashed or member.name in self._first):
                continue
            try:
                self._crew.start(member, now)
                self._first.discard(member.name)
            except ActorAlreadyExistsError:  # that of its last process is soon free
                if now > max(member.due_at, self._began_at) + FREE_S:
                    self.members.fail(member, "its last process does not end")

    def _hear_opens(self, now: float) -> None:
        opening = self.members.at(Part.OPENING)
        replies = self._crew.opens.some((member.name for member in opening), 0.0)
        for name, opened in replies.found.items():
            member = self.members[name]
            member.opened(opened.held)
            if self._books:
                self._books.open(member, self._crew.seat(member), opened)
            self._gathered_at = min(self._gathered_at, now)
        self._hear_ends(replies, now)
        for name in replies.silent:
            member = self.members[name]
            limit_s = OPEN_S if member.heard else SPAWN_S
            if now > member.began_at + limit_s:
                what = "read what its disk has" if member.heard else "start"
                self._give_up(member, f"it could not {what} within {limit_s:.0f} s")

    def _hand_on_digests(self, now: float) -> None:
        """Let all members know what is hashed by now."""
        if self._digests is None:
            return
        if not self.plan.hashed and self._digests.scan.over:
            manifest = self._digests.scan.end()
            self.plan = msgspec.structs.replace(
                self.plan, manifest=manifest, hashed=True, hashing_s=self._hashing_s(now)
            )
            self._crew.learn(manifest)
            if self._books:
                self._books.learn(manifest)
        replies = self._digests.hand_on(self.members, now)
        for name, standing in replies.found.items():
            self.members[name].told(standing)
        self._hear_ends(replies, now)

    def _hashing_s(self, now: float) -> float:
        """How long the source has been hashed."""
        return self.plan.hashing_s + now - self._began_at

    def _knows_all(self, member: PushMember) -> bool:
        """Whether it has heard every digest."""
        return self._digests is None or self._digests.knows_all(member)

    def _begin_ready(self, now: float) -> None:
        """Let those that are ready begin: all at once, if the others are ready soon."""
        ready = [member for member in self.members.at(Part.READY) if not member.local or self._knows_all(member)]
        waiting = self._moving_at is None and self.members.at(Part.PLANNED, Part.OPENING)
        if not ready or (waiting and now < self._gathered_at + GATHER_S):
            return
        self._moving_at = self._moving_at or now
        for member in ready:
            member.stage = Part.MOVING

    def _hear_deliveries(self, now: float) -> None:
        moving = self.members.at(Part.MOVING)
        replies = self._crew.deliveries.some((member.name for member in moving), 0.0)
        for name, standing in replies.found.items():
            self.members[name].place(standing, now)
            self._served_at = now
        self._hear_ends(replies, now)

    def _hear_standings(self, now: float) -> None:
        """Ask all members how far they are; one that gives no answer for long is given up."""
        asked = [member.name for member in self.members if member.actor is not None and member.active]
        if now < self._asked_at + max(ASK_S, ASK_EACH_S * len(asked)):
            return
        self._asked_at = now
        standings = self._crew.standings
        replies = standings.some([*asked, *[TRACKER] * (self._crew.tracker is not None)], STANDING_S)
        for name, standing in replies.found.items():
            if name == TRACKER:
                continue
            member = self.members[name]
            member.told(standing)
            if standing.held == self._full:
                member.full_at = member.full_at or now
            if standing.failure and member.stage in (Part.PLACED, Part.READY):  # else its delivery says so
                self._give_up(member, standing.failure)
            elif member.placed_at is None and now > (member.full_at or now) + DELIVER_S:
                self._give_up(member, f"its copy could not be verified and placed within {DELIVER_S:.0f} s")
        (before_at, before_bytes), self._moved = self._moved, (now, self.members.moved_bytes)
        self._rate_bps = (self._moved[1] - before_bytes) / max(now - before_at, SHORT_S)
        self._hear_ends(replies, now)
        for name, since in list(standings.silent_since.items()):
            if now <= since + AWAY_S:
                continue
            if name == TRACKER:
                self._crew.drop(name)
            elif self.members[name].heard:
                self._give_up(self.members[name], f"it gave no answer for {AWAY_S:.0f} s")

    def _hear_ends(self, replies: Replies[Any], now: float) -> None:
        """Some can't go on, or are gone."""
        for name, failed in replies.failed.items():
            if name != TRACKER and self.members[name].active:
                cause = failed.cause
                if isinstance(cause, IntegrityError):  # the next process finds what is wrong, and fetches it again
                    self._lose(name, str(cause), now)
                    continue
                ours = isinstance(cause, MinibitError)
                self._give_up(self.members[name], str(cause) if ours else spawn.why_lost(replies, name))
        for name, error in replies.gone.items():
            if name == TRACKER:
                self._crew.drop(name)
                continue
            if self.members[name].actor is None:
                continue
            if "its node has died" in str(error):
                self.members[name].node_alive = False
            self._lose(name, spawn.why_gone(error), now, for_good=spawn.NO_MINIBIT in str(error))

    def _lose(self, name: str, why: str, now: float, *, for_good: bool = False) -> None:
        """Its actor is gone, or does no good any more."""
        self._crew.drop(name)
        self.members.lost(name, why, now, for_good=for_good)

    def _give_up(self, member: PushMember, why: str) -> None:
        """It has failed: the others go on without it."""
        self._crew.drop(member.name)
        member.actor = None
        self.members.fail(member, why)

    # the end

    def _why_over(self, now: float) -> tuple[str | None, bool]:
        """Why it is over, or None; and whether the time limit ended it."""
        order = self.plan.order
        if self._cancelled.is_set():
            return "the push was cancelled", False
        if order.timeout_s is not None and self._elapsed_s(now) >= order.timeout_s:
            return f"the time limit of {show_duration(order.timeout_s)} came first", True
        if self.members.settled and now >= self._served_at + order.follow_s:
            return "", False
        if gone := CONNECTION.head.gone(LAST):
            return gone, False
        hashing = not all(self._knows_all(member) for member in self.members if member.active and member.seeds)
        blocks = inventory.EMPTY if hashing else self.members.out_of_reach()
        self._hopeless_at = min(self._hopeless_at, now + HOPELESS_S) if blocks else inf
        if now >= self._hopeless_at:
            return self.members.why_out_of_reach(blocks), False
        measure = self.members.measure()
        if measure != self._progress[0] or self._crew.standings.silent_since or self.members.busy or hashing:
            self._progress = (measure, now)
        if now >= self._progress[1] + STALL_S and not self.members.settled:
            return f"nothing moved for {STALL_S:.0f} s", False
        return None, False

    def _show(self, now: float) -> None:
        """Tell how far it is."""
        hashed_bytes = None if self.plan.hashed or self._digests is None else self._digests.scan.hashed_bytes
        seen = tally.progress(
            self.plan,
            self.members,
            elapsed_s=self._elapsed_s(now),
            rate_bps=self._rate_bps,
            hashed_bytes=hashed_bytes,
        )
        self._gauges.show(seen, sum(member.standing.held.bit_count() for member in self.members.copies))
        self._tell(seen)

    def _elapsed_s(self, now: float) -> float:
        """Seconds since the push began."""
        return self.plan.spent_s + now - self._began_at

"""The digests of a source that is hashed while its blocks move already, on their way to the members of a push.

They go in batches, by one actor call for each member and batch. A member asks for no block whose digest it doesn't
know. So the one that shares the source gets a batch after the others, or when they have had time enough: a slow member
can miss blocks for a while, and holds up nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from minibit.actors.disk.files import Scan
from minibit.actors.driver.calls import Replies
from minibit.actors.driver.crew import Crew
from minibit.actors.driver.members import Part, PushMember
from minibit.actors.peer import MemberStanding
from minibit.manifest import DIGEST_BYTES

BATCH_S = 0.5  # between two batches
PATIENCE_S = 1.0  # for the answers to a batch, before the source gets it
LEARNING = {Part.READY, Part.MOVING, Part.PLACED}


class Digests:
    """What `scan` has hashed, and how much of it each member knows."""

    def __init__(self, scan: Scan, crew: Crew) -> None:
        self.scan = scan
        self._crew = crew
        self._known: dict[str, int] = {}  # how many digests a member knows, from the first on
        self._batch = 0  # the end of the batch that is on its way
        self._batch_at = -inf

    def knows_all(self, member: PushMember) -> bool:
        """Whether a member is known to know every digest."""
        return self._known.get(member.name, 0) == self.scan.manifest.block_count

    def hand_on(self, members: Iterable[PushMember], now: float) -> Replies[MemberStanding]:
        """Let all members whose disks are open learn what is hashed by now; what came of the calls."""
        learning = [one for one in members if one.stage in LEARNING and one.actor is not None]
        digests, lessons = self.scan.digests, self._crew.lessons
        asked = self._taught([one for one in learning if not one.seeds], digests)
        waited = any(self._end(*lessons[name]) == self._batch for name in asked)  # and not for an older batch
        if not waited or now >= self._batch_at + PATIENCE_S:
            sources = self._taught([one for one in learning if one.seeds], digests)
            asked += sources
            if not sources and (self.scan.over or now >= self._batch_at + BATCH_S):
                self._batch, self._batch_at = len(digests) // DIGEST_BYTES, now
        replies = self._crew.learning.some(asked, 0.0)
        for name in [*replies.found, *replies.failed, *replies.gone]:
            lesson = lessons.pop(name)
            if name in replies.found:
                self._known[name] = self._end(*lesson)
        return replies

    def _taught(self, members: list[PushMember], digests: bytes) -> list[str]:
        """Those that don't know the whole batch, each with a lesson."""
        found = []
        for member in members:
            if (first := self._known.get(member.name, 0)) < self._batch:
                found.append(member.name)
                part = digests[first * DIGEST_BYTES : self._batch * DIGEST_BYTES]
                self._crew.lessons.setdefault(member.name, (first, part))
        return found

    @staticmethod
    def _end(first: int, digests: bytes) -> int:
        return first + len(digests) // DIGEST_BYTES

"""The driver's side of a swarm: it collects the records of all peers, waits until nothing more will come, and has the
copies verified.

All that it learns goes into the ledger. It has no thread of its own: actors are asked only while a method runs. Threads
that share it (a live page has its own) take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING

from minibit.actors.driver.calls import Calls, Replies
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.handle import ANSWER_S, ask_all
from minibit.actors.driver.turn import Turn
from minibit.events import TRACKER
from minibit.messages import Desligamento
from minibit.records import decode
from minibit.run import verdict
from minibit.run.causes import causes
from minibit.run.ledger import Ledger

if TYPE_CHECKING:
    from minibit.actors.names import ActorHandle
    from minibit.lab import Run
    from minibit.lab.frames import GrowingFrames
    from minibit.run.summary import Summary

STALL_S = 120.0  # the waiting ends when no byte moved anywhere for so long
HOPELESS_S = 5.0  # the same, when blocks are lost
AWAY_S = 300.0  # a member that is out of reach is waited for so long, if Ray doesn't say before that it is dead
DRAIN_S = 2.0  # for news; what comes later is in the next collection
VERIFY_S = 600.0
SOONEST = 0.25  # of the time between two collections, when the rest may have come by then
LAST = 0.1  # of the time after which Ray ends this process without the head: then nothing is verified any more

Progressing = Callable[[int, int, int, int, float], object]
"""Called with the progress of a swarm: peers complete, peers, blocks held, blocks in all, bytes a second."""


class Collector:
    """The actors of one swarm by name, and the ledger of what they told."""

    def __init__(self, actors: Mapping[str, ActorHandle], ledger: Ledger, turn: Turn) -> None:
        self.actors = actors
        self.ledger = ledger
        self.turn = turn
        self._drains = Calls(lambda name: actors[name].drain.remote(ledger.accounts[name].batches))
        self._drained_at = -inf
        self._moved = (0, 0.0)  # bytes so far, and when that last grew
        self._away_at = 0.0  # when a member was last out of reach
        self._frames: GrowingFrames | None = None

    @property
    def every_s(self) -> float:
        """Seconds between two collections of records while wait() runs."""
        return min(2.0, 0.1 + 0.03 * len(self.ledger.accounts))

    @property
    def late_s(self) -> float:
        """By how many seconds the records are older than a wait() would let them become."""
        return time.monotonic() - self._drained_at - self.every_s

    def until_over(
        self,
        timeout_s: float | None,
        progress: Progressing | None,
        check_open: Callable[[], object] = lambda: None,
    ) -> tuple[str, bool]:
        """Wait in turn until nothing more comes; why that ended early ("": it did not), and whether by the limit.

        `check_open` raises when another thread has closed the swarm meanwhile.
        """
        ledger = self.ledger
        self._moved = (0, 0.0)  # since an earlier call nobody looked
        polled_at, moved_before = time.monotonic(), 0
        while True:
            left_s = inf if timeout_s is None else timeout_s - ledger.elapsed_s(time.monotonic())
            self.drain(min(DRAIN_S, max(0.0, left_s)))
            now = time.monotonic()
            rate_bps = (ledger.moved_bytes - moved_before) / max(now - polled_at, 1e-3)
            blocks, held = ledger.content.block_count * len(ledger.peers), ledger.held
            if progress is not None:
                progress(ledger.completed, len(ledger.peers), held, blocks, rate_bps)
            polled_at, moved_before = now, ledger.moved_bytes
            if not verdict.waiting(ledger.accounts):
                return "", False
            why = self._hopeless(now)
            if timeout_s is not None and ledger.elapsed_s(now) >= timeout_s:
                return f"the time limit of {timeout_s:g} s came first{self._causes(now)}", True
            if why is not None:
                return why, False
            rest_s = (blocks - held) * ledger.content.length_max / rate_bps if rate_bps else inf
            left_s = min(self.every_s, max(SOONEST * self.every_s, rest_s))
            if timeout_s is not None:
                left_s = min(left_s, timeout_s - ledger.elapsed_s(now))
            self.turn.wait(max(0.0, left_s))
            check_open()

    def _hopeless(self, now: float) -> str | None:
        """Why nothing more will come, or None."""
        if gone := CONNECTION.head.gone():
            return gone
        ledger = self.ledger
        moved_bytes, moved_at = self._moved
        away_s = max((account.silent_s for account in ledger.accounts.values() if account.answers), default=0.0)
        if ledger.moved_bytes != moved_bytes or not moved_at:
            self._moved = (ledger.moved_bytes, now)
        if ANSWER_S < away_s < AWAY_S:
            self._away_at = now
        still_s = now - max(self._moved[1], self._away_at)
        if still_s > HOPELESS_S:
            stalled = still_s > max(STALL_S, 4 * ledger.options.rules.request_timeout_s)
            otherwise = f"nothing moved for {still_s:.0f} s{self._causes(now)}" if stalled else None
            why = verdict.why_hopeless(ledger.accounts, ledger.content.block_count, otherwise)
            seed = ledger.seed
            gone = f"the seed is gone ({seed.gone})" if seed.gone else seed.damaged
            return f"{gone}, and {why}" if why and gone else why
        return None

    def _causes(self, now: float) -> str:
        """What keeps the peers from blocks, in words, if nothing has moved for some time."""
        if now - self._moved[1] < HOPELESS_S:
            return ""
        heard = {
            name: self.actors[name]
            for name, one in self.ledger.accounts.items()
            if one.answers and one.silent_s <= DRAIN_S
        }
        found = causes(ask_all(heard, lambda actor: actor.snapshot.remote(), DRAIN_S).found.values())
        return found and f": {found}"

    def verify(self, stage: Callable[[str, int, int], object] = lambda what, done, total: None) -> None:
        """Collect the last news, then have every finished copy read back from disk.

        So what is verified is what is complete: no news is taken after this.
        """
        self.drain(ANSWER_S, patient=True)
        ledger = self.ledger
        complete = [name for name, account in ledger.peers.items() if account.completed_at is not None]
        calls = Calls(lambda name: self.actors[name].verify.remote())
        verifying = f"verifying {len(complete)} {'copy' if len(complete) == 1 else 'copies'}"
        head = CONNECTION.head

        def look(replies: Replies[bool]) -> None:
            stage(verifying, len(replies.found), len(complete))
            head.check(LAST)

        replies = calls.all(complete, min(VERIFY_S, head.left_s / 2), look=look)
        ledger.actor_calls += calls.count
        for name in complete:
            account = ledger.accounts[name]
            if name in replies.gone:
                ledger.died(name, time.monotonic(), "died before its copy could be verified")
            elif name in replies.found:
                account.verified, account.unproved = replies.found[name], ""
            elif name in replies.failed:
                account.unproved = f"its finished copy could not be read back: {replies.failed[name].cause}"
            else:
                account.unproved = f"it was complete, and gave no answer within {VERIFY_S:.0f} s to verify its copy"

    def drain(self, timeout_s: float = DRAIN_S, *, patient: bool = False) -> None:
        """Collect the new records of every peer. The tracker is told which peers died, for its roster.

        `patient`: wait also for those that gave no answer the last time.
        """
        with self.turn:
            ledger, before = self.ledger, self._drains.count
            asked = [name for name, account in ledger.accounts.items() if account.answers]
            replies = self._drains.some(asked, timeout_s, patient=patient)
            now = time.monotonic()
            ledger.actor_calls += self._drains.count - before
            for name, batch in replies.found.items():
                ledger.enter(name, decode(batch.records), batch.messages, batch.actor_calls)
                ledger.lose(name, batch.lost)
            for name in asked:
                ledger.accounts[name].silent_s = now - self._drains.silent_since.get(name, now)
            for name, error in replies.gone.items():
                ledger.died(name, now, "died with its machine" if "its node has died" in str(error) else "died")
                if name != TRACKER and ledger.accounts[TRACKER].gone is None:
                    self.actors[TRACKER].desligamento.remote(name, Desligamento(name, "died"))
                    ledger.actor_calls += 1
            self._drained_at = now

    def run(self, summary: Summary | None) -> Run:
        """The run so far. Each call costs only what is new since the last one."""
        from minibit.lab import Run  # noqa: PLC0415  polars is heavy, and not every script wants tables
        from minibit.lab.frames import GrowingFrames  # noqa: PLC0415

        with self.turn:
            self._frames = self._frames or GrowingFrames()
            ledger = self.ledger
            return Run(ledger.about(summary), self._frames.of(ledger.noted, ledger.started_at or 0.0))

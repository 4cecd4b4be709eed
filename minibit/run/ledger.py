"""The books of a run, real or simulated: the records of all members on one time axis, and what they add up to.

A peer notes the time of its own machine's clock. The ledger adds the offset that was measured when the peer was
opened, and sets zero to the first PEDIDO allowed. Where all share one clock, no record is moved or copied: a
simulation may have millions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any, Literal

import msgspec

from minibit.content import SharedContent
from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, shifted
from minibit.run import bounds, verdict
from minibit.run.account import Account, Departure
from minibit.run.options import Options
from minibit.run.summary import ContentSummary, MessageCounts, Summary, Times, Traffic, jain
from minibit.seat import Seat


class Ledger:
    """The accounts of the seed and the peers, by name, and all records; `world` is `ray` or `sim`."""

    def __init__(self, run: str, options: Options, content: SharedContent, world: str = "ray") -> None:
        self.run = run
        self.options = options
        self.content = content
        self.world = world
        self.accounts: dict[str, Account] = {}
        self.actor_calls = 0  # those of the driver
        self.started_at: float | None = None
        self.limits_changed = False  # by hand, while the swarm ran
        self.scenario: dict[str, Any] | None = None  # None in a real run
        self.faults: list[dict[str, Any]] = []  # planned moments of a simulated run
        self.noted: list[Record] = []  # append-only; times are on the ledger's clock

    @property
    def peers(self) -> dict[str, Account]:
        """The accounts of all but the seed."""
        return {name: account for name, account in self.accounts.items() if not account.seat.seeds}

    @property
    def seed(self) -> Account:
        """The account of the seed."""
        return next(account for account in self.accounts.values() if account.seat.seeds)

    def open(self, seat: Seat, held: int, offset_s: float = 0.0, node: str | None = None) -> None:
        """A new account; see `Account`."""
        self.accounts[seat.name] = Account(seat, held, offset_s, node)

    def give(self, name: str, blocks: int) -> None:
        """Add blocks (an inventory) that a peer was given before it started."""
        account = self.accounts[name]
        account.held |= blocks
        account.held_at_start |= blocks

    def enter(self, name: str, records: Iterable[Record], messages: dict[str, int], actor_calls: int = 0) -> None:
        """Take a peer's news: records by its own clock, messages so far by verb, actor calls so far."""
        account = self.accounts[name]
        account.batches += 1
        account.messages = messages
        account.actor_calls = actor_calls
        offset_s = account.offset_s
        self.enter_all((shifted(record, offset_s) for record in records) if offset_s else records)

    def lose(self, name: str, blocks: int) -> None:
        """Note that a peer lost these blocks (an inventory)."""
        self.accounts[name].held &= ~blocks

    def enter_all(self, records: Iterable[Record]) -> None:
        """Take records of any members that are on the ledger's axis already, in the order of time."""
        accounts, keep = self.accounts, self.noted.append
        for record in records:
            keep(record)
            if isinstance(record, BlockRecord):
                if record.verdict == "useful":
                    accounts[record.peer].held |= 1 << record.block
            elif isinstance(record, SampleRecord):
                accounts[record.peer].sample = record
            elif isinstance(record, PeerRecord):
                self._enter_event(record)

    def died(self, name: str, now: float, why: str = "died") -> None:
        """Note that a peer is gone without a word, and its copy with it, unless that was verified before."""
        if self.accounts[name].die(why):
            self.noted.append(PeerRecord(now, name, "died", why))

    def by_hand(self, name: str, event: Literal["added", "killed", "limited"], now: float, why: str = "") -> None:
        """Note what the user did to a peer while the swarm ran."""
        self.noted.append(PeerRecord(now, name, event, why))
        self.limits_changed |= event == "limited"

    def records(self) -> Iterator[Record]:
        """All records, on the run's axis."""
        zero = self.started_at
        return (shifted(record, -zero) for record in self.noted) if zero else iter(self.noted)

    def elapsed_s(self, now: float) -> float:
        """Seconds since the first PEDIDO was allowed; 0 before."""
        return 0.0 if self.started_at is None else now - self.started_at

    def _enter_event(self, record: PeerRecord) -> None:
        if record.event == "banned":  # a neighbour's note, perhaps about a stranger that is not in the books
            if (banned := self.accounts.get(record.peer)) is not None:
                banned.banned_by.add(record.why)
            return
        account = self.accounts[record.peer]
        match record.event:
            case "started":
                self.started_at = record.at_s if self.started_at is None else min(record.at_s, self.started_at)
            case "completed":
                account.completed_at = record.at_s
            case "failed":
                account.gone = Departure("failed", record.why)
            case "left":
                account.gone = account.gone or Departure("left", record.why)
            case "died":
                account.die(record.why or "died")
            case "damaged":
                account.damaged = account.damaged or record.why

    # what the books add up to

    @property
    def completed(self) -> int:
        """Peers that are complete."""
        return sum(account.finished for account in self.peers.values())

    @property
    def held(self) -> int:
        """Blocks held by all peers together."""
        return sum(account.held.bit_count() for account in self.peers.values())

    @property
    def moved_bytes(self) -> int:
        """Payload that arrived so far, over all peers."""
        return sum(account.sample.received_bytes for account in self.peers.values() if account.sample)

    def summary(
        self, *, nodes: int, spawn_s: float, verify_s: float, total_s: float, now: float, why: str, timed_out: bool
    ) -> Summary:
        """The whole run; `now` is when waiting ended. Complete is a peer whose copy was compared, right or wrong."""
        options = self.options
        zero = self.started_at if self.started_at is not None else now
        done = sorted(a.completed_at - zero for a in self.peers.values() if a.done and a.completed_at is not None)
        transfer_s = now - zero if verdict.waiting(self.accounts) or not done else done[-1]
        arrivals = [record for record in self.noted if isinstance(record, BlockRecord)]
        useful_bytes = sum(record.bytes for record in arrivals if record.verdict == "useful")
        moved_bytes = sum(record.bytes for record in arrivals)
        samples = [account.sample for account in self.accounts.values() if account.sample is not None]
        seed = self.seed.sample
        messages: Counter[str] = Counter()
        for account in self.accounts.values():
            messages.update(account.messages)
        bound_s, all_done = self.bound_s(), len(done) == len(self.peers)
        return Summary(
            run=self.run,
            world=self.world,
            preset=options.preset,
            seed=options.seed,
            content=self._content(),
            peers=len(self.peers),
            completed=len(done),
            verified=sum(account.done and account.verified is True for account in self.peers.values()),
            nodes=nodes,
            seconds=Times(
                spawn=spawn_s,
                transfer=transfer_s,
                first=done[0] if done else None,
                median=median(done) if done else None,
                last=done[-1] if done else None,
                verify=verify_s,
                total=total_s,
            ),
            bytes=Traffic(
                moved=moved_bytes,
                wasted=moved_bytes - useful_bytes,
                seed_sent=seed.sent_bytes if seed else 0,
                control=sum(sample.control_bytes for sample in samples),
            ),
            goodput_bps=useful_bytes / transfer_s if transfer_s > 0 else 0.0,
            bound_s=bound_s,
            efficiency=bound_s / transfer_s if all_done and bound_s is not None and transfer_s > 0 else None,
            fairness_jain=jain(s.sent_bytes for account in self.peers.values() if (s := account.sample)),
            actor_calls=self.actor_calls + sum(account.actor_calls for account in self.accounts.values()),
            messages=MessageCounts(**messages),
            failed=verdict.failures(self.accounts, self.content.block_count, why),
            timed_out=timed_out,
            source_changed=self.seed.damaged,
        )

    def about(self, summary: Summary | None) -> dict[str, Any]:
        """All that is known beside the records, as plain values: the content of run.json."""
        return {
            "run": self.run,
            "world": self.world,
            "content": msgspec.to_builtins(self._content()),
            "summary": summary.as_dict() if summary is not None else None,
            "options": msgspec.to_builtins(self.options),
            "peers": [{"peer": name, **account.about()} for name, account in self.accounts.items()],
            **({"scenario": self.scenario} if self.scenario is not None else {}),
            **({"faults": self.faults} if self.faults else {}),
        }

    def _content(self) -> ContentSummary:
        content = self.content
        return ContentSummary(
            name=content.name,
            bytes=content.content_bytes,
            blocks=content.block_count,
            block_bytes=content.block_bytes,
            digest=content.digest,
        )

    def bound_s(self) -> float | None:
        """The lower bound on the transfer time of peers that are complete or may be; None: too little is known."""
        if self.limits_changed:
            return None
        members = [
            bounds.Capacity(
                upload_bps=account.seat.upload_bps,
                download_bps=account.seat.download_bps,
                wants=account.waited_for or (account.wanted and account.completed_at is not None),
                serves=account.seat.behaviour != "free-rider",
                held_bytes=self.content.bytes_of(account.held_at_start),
            )
            for account in self.peers.values()
        ]
        content, seed_bps = self.content, self.seed.seat.upload_bps
        return bounds.makespan(content.content_bytes, content.block_bytes, members, seed_upload_bps=seed_bps)

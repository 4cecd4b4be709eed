"""What is known of a run, real or simulated: the records of all peers on one time axis, and what they add up to.

Peers note the time of their own machine's clock. The ledger moves it to its own by the offset that was measured
when the peer was opened, and sets zero to the first PEDIDO allowed. Where all share one clock nothing is moved,
and no record is copied: a simulation may have millions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

import msgspec

from minibit import inventory
from minibit.content import SharedContent
from minibit.events import TRACKER
from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, shifted
from minibit.run import bounds
from minibit.run.options import Options
from minibit.run.summary import ContentSummary, Failure, MessageCounts, Summary, Times, Traffic, jain

UNWANTED = ("corrupter", "liar")  # nobody expects that they complete: one is banned, one seems to want nothing
USELESS = ("corrupter", "free-rider")  # nobody gets a right block from them


class Account:
    """One peer in the ledger. `offset_s` takes its clock to the ledger's, `held` is its inventory.

    `upload_bps` and `download_bps` are its own limits, in bytes a second; None for no limit. `kind` is its class in a
    scenario, `node` the host it runs on, `picker` and `choker` are its own; None for none.
    """

    def __init__(
        self,
        behaviour: str,
        offset_s: float,
        held: int,
        *,
        upload_bps: float | None = None,
        download_bps: float | None = None,
        kind: str | None = None,
        node: str | None = None,
        picker: str | None = None,
        choker: str | None = None,
    ) -> None:
        self.behaviour = behaviour
        self.offset_s = offset_s
        self.held = held
        self.held_at_start = held
        self.upload_bps = upload_bps
        self.download_bps = download_bps
        self.kind = kind
        self.node = node
        self.picker = picker
        self.choker = choker
        self.completed_at: float | None = None
        self.gone: str | None = None  # why nothing more comes from it
        self.verified: bool | None = None
        self.banned_by: set[str] = set()
        self.sample: SampleRecord | None = None
        self.batches = 0  # of news that came
        self.messages: dict[str, int] = {}
        self.actor_calls = 0

    @property
    def waited_for(self) -> bool:
        """Whether the run isn't over before this peer is complete."""
        return self.completed_at is None and self.gone is None and self.behaviour not in UNWANTED

    @property
    def expected(self) -> bool:
        """Whether it is one of those whose completion makes the run: complete, or waited for."""
        return self.behaviour not in UNWANTED and (self.completed_at is not None or self.gone is None)

    def about(self) -> dict[str, Any]:
        """What is known of it beside its records, as plain values."""
        return {
            "behaviour": self.behaviour,
            "class": self.kind,
            "held_at_start": inventory.to_hex(self.held_at_start),
            "upload_bps": self.upload_bps,
            "download_bps": self.download_bps,
            "node": self.node,
            "messages": self.messages,
            "picker": self.picker,
            "choker": self.choker,
        }

    def die(self, why: str) -> bool:
        """It is gone without a word, and its copy with it, unless that was verified before; whether that is news."""
        if self.verified is None:
            self.completed_at = None
        news = self.gone is None or self.gone.startswith("left")
        if news:
            self.gone = why
        return news


class Ledger:
    """The accounts of tracker and peers, by name, and all records; of a run in the `world` `ray` or `sim`."""

    def __init__(self, run: str, options: Options, content: SharedContent, world: str = "ray") -> None:
        self.run = run
        self.options = options
        self.content = content
        self.world = world
        self.accounts: dict[str, Account] = {}
        self.actor_calls = 0  # of the driver
        self.started_at: float | None = None
        self.limits_changed = False  # while the swarm ran
        self.scenario: dict[str, Any] | None = None  # of a simulated run, and
        self.faults: list[dict[str, Any]] = []  # what was planned to go wrong in it
        self.noted: list[Record] = []  # of the ledger's axis, never to be changed

    @property
    def peers(self) -> dict[str, Account]:
        """The accounts of all but the tracker."""
        return {name: account for name, account in self.accounts.items() if name != TRACKER}

    def open(self, name: str, behaviour: str, offset_s: float, held: int, **more: Any) -> None:
        """A new account, of a peer that holds these blocks (an inventory); `more`: see `Account`."""
        self.accounts[name] = Account(behaviour, offset_s, held, **more)

    def give(self, name: str, blocks: int) -> None:
        """These blocks (an inventory) were given to a peer before it started."""
        account = self.accounts[name]
        account.held |= blocks
        account.held_at_start |= blocks

    def enter(self, name: str, records: Iterable[Record], messages: dict[str, int], actor_calls: int = 0) -> None:
        """Take what a peer told: records of its own clock, messages so far by verb, actor calls so far."""
        account = self.accounts[name]
        account.batches += 1
        account.messages = messages
        account.actor_calls = actor_calls
        offset_s = account.offset_s
        self.enter_all((shifted(record, offset_s) for record in records) if offset_s else records)

    def enter_all(self, records: Iterable[Record]) -> None:
        """Take records of any peers, in the order of time, that are on the ledger's axis already."""
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
        """The peer is gone without a word, and its copy with it, unless that was verified before."""
        if self.accounts[name].die(why):
            self.noted.append(PeerRecord(now, name, "died", why))

    def records(self) -> Iterator[Record]:
        """All records, on the run's axis."""
        zero = self.started_at
        return (shifted(record, -zero) for record in self.noted) if zero else iter(self.noted)

    def elapsed_s(self, now: float) -> float:
        """Seconds since the first PEDIDO was allowed; 0 before."""
        return 0.0 if self.started_at is None else now - self.started_at

    def _enter_event(self, record: PeerRecord) -> None:
        if record.event == "banned":  # noted by who banned it, perhaps of somebody who is not in the books
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
                account.gone = record.why
            case "left":
                account.gone = account.gone or f"left ({record.why})"
            case "died":
                account.die(record.why or "died")

    # what it adds up to

    @property
    def completed(self) -> int:
        """Peers that are complete."""
        return sum(account.completed_at is not None for account in self.peers.values())

    @property
    def held(self) -> int:
        """Blocks held by all peers together."""
        return sum(account.held.bit_count() for account in self.peers.values())

    @property
    def moved_bytes(self) -> int:
        """Payload that arrived so far, over all peers."""
        return sum(account.sample.received_bytes for account in self.peers.values() if account.sample)

    def waiting(self) -> list[str]:
        """The peers that the run waits for."""
        return [name for name, account in self.peers.items() if account.waited_for]

    def lost_blocks(self) -> list[int]:
        """Blocks that nobody holds who is still there and gives them."""
        there = inventory.EMPTY
        for account in self.accounts.values():
            if account.gone is None and account.behaviour not in USELESS:
                there |= account.held
        return list(inventory.indices(inventory.full(self.content.block_count) & ~there))

    def why_hopeless(self, otherwise: str | None) -> str | None:
        """Why nobody is waited for any longer, though nothing moves: all that wait lack blocks that are lost, or
        `otherwise`. None: somebody may still complete.
        """
        lost = self.lost_blocks()
        if not lost:
            return otherwise
        some = ", ".join(map(str, lost[:10])) + (", ..." if len(lost) > 10 else "")
        told = f"nobody holds {len(lost)} {'block' if len(lost) == 1 else 'blocks'} any more ({some})"
        blocks = inventory.of(lost)
        if any(not blocks & ~account.held for account in self.peers.values() if account.waited_for):
            return otherwise and f"{otherwise}, and {told}"
        return told

    def failures(self, why: str) -> list[Failure]:
        """The peers that should have a complete and right copy and have none; `why` for those that just wait."""
        failed = []
        for name, account in self.peers.items():
            if account.completed_at is None and account.behaviour not in UNWANTED:
                missing = self.content.block_count - account.held.bit_count()
                failed.append(Failure(peer=name, why=account.gone or f"{why}, {missing} blocks missing"))
            elif account.verified is False:
                failed.append(Failure(peer=name, why="its finished copy is not what the manifest says"))
        return failed

    def summary(
        self, *, nodes: int, spawn_s: float, verify_s: float, total_s: float, now: float, why: str, timed_out: bool
    ) -> Summary:
        """The whole run; `now` is when waiting ended."""
        options = self.options
        zero = self.started_at if self.started_at is not None else now
        done = sorted(a.completed_at - zero for a in self.peers.values() if a.completed_at is not None)
        transfer_s = now - zero if self.waiting() or not done else done[-1]
        arrivals = [record for record in self.noted if isinstance(record, BlockRecord)]
        useful_bytes = sum(record.bytes for record in arrivals if record.verdict == "useful")
        moved_bytes = sum(record.bytes for record in arrivals)
        samples = [account.sample for account in self.accounts.values() if account.sample is not None]
        seed = self.accounts[TRACKER].sample
        messages = dict.fromkeys(MessageCounts.__struct_fields__, 0)
        for account in self.accounts.values():
            for verb, count in account.messages.items():
                messages[verb] += count
        bound_s, all_done = self.bound_s(), self.completed == len(self.peers)
        return Summary(
            run=self.run,
            world=self.world,
            preset=options.preset,
            seed=options.seed,
            content=self._content(),
            peers=len(self.peers),
            completed=self.completed,
            verified=sum(account.verified is True for account in self.peers.values()),
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
            fairness_jain=jain(s.sent_bytes for s in samples if s.peer != TRACKER),
            actor_calls=self.actor_calls + sum(account.actor_calls for account in self.accounts.values()),
            messages=MessageCounts(**messages),
            failed=self.failures(why),
            timed_out=timed_out,
        )

    def about(self, summary: Summary | None) -> dict[str, Any]:
        """All that is known beside the records, as plain values: what a run's folder says in run.json."""
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
        """The lower bound on the transfer, of those who are complete or may be; None where too little is known."""
        if self.limits_changed:
            return None
        members = [
            bounds.Capacity(
                upload_bps=account.upload_bps,
                download_bps=account.download_bps,
                wants=account.expected,
                serves=account.behaviour != "free-rider",
                held_bytes=self._bytes_of(account.held_at_start),
            )
            for account in self.peers.values()
        ]
        content, seed = self.content, self.accounts[TRACKER]
        return bounds.makespan(content.content_bytes, content.block_bytes, members, seed_upload_bps=seed.upload_bps)

    def _bytes_of(self, held: int) -> int:
        """The bytes of these blocks (an inventory)."""
        content = self.content
        last = content.block_count - 1
        short_bytes = content.block_bytes - content.length(last) if last >= 0 and held >> last else 0
        return held.bit_count() * content.block_bytes - short_bytes

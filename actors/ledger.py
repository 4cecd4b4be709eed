"""What the driver knows of a run: the records of all peers on one time axis, and what they add up to.

Peers note the time of their own machine's clock. The ledger moves it to the driver's clock by the offset that
was measured when the peer was opened, and sets zero to the first PEDIDO allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from actors.peer import Drained
from minibit import bounds, inventory
from minibit.events import TRACKER
from minibit.manifest import Manifest
from minibit.options import Options
from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord, decode, shifted
from minibit.summary import Bytes, Content, Failure, Messages, Seconds, Summary, jain

UNWANTED = ("corrupter", "liar")  # nobody expects that they complete: one is banned, one seems to want nothing
USELESS = ("corrupter", "free-rider")  # nobody gets a right block from them


class Account:
    """One peer in the ledger. `offset_s` takes its clock to the driver's, `held` is its inventory."""

    def __init__(self, behaviour: str, offset_s: float, held: int) -> None:
        self.behaviour = behaviour
        self.offset_s = offset_s
        self.held = held
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


class Ledger:
    """The accounts of tracker and peers, by name, and all records."""

    def __init__(self, run: str, options: Options, manifest: Manifest) -> None:
        self.run = run
        self.options = options
        self.manifest = manifest
        self.accounts: dict[str, Account] = {}
        self.actor_calls = 0  # of the driver
        self.started_at: float | None = None
        self.limits_changed = False  # while the swarm ran
        self._records: list[Record] = []

    @property
    def peers(self) -> dict[str, Account]:
        """The accounts of all but the tracker."""
        return {name: account for name, account in self.accounts.items() if name != TRACKER}

    def open(self, name: str, behaviour: str, offset_s: float, held: int) -> None:
        """A new account, of a peer that holds these blocks (an inventory)."""
        self.accounts[name] = Account(behaviour, offset_s, held)

    def give(self, name: str, blocks: int) -> None:
        """These blocks (an inventory) were given to a peer before it started."""
        self.accounts[name].held |= blocks

    def enter(self, name: str, drained: Drained) -> None:
        """Take what a peer told."""
        account = self.accounts[name]
        account.batches += 1
        account.messages = drained.messages
        account.actor_calls = drained.actor_calls
        for record in decode(drained.records):
            self._enter(account, shifted(record, account.offset_s))

    def died(self, name: str, now: float, why: str = "died") -> None:
        """The peer is gone without a word, and its copy with it, unless that was verified before."""
        account = self.accounts[name]
        if account.verified is None:
            account.completed_at = None
        if account.gone is None or account.gone.startswith("left"):
            account.gone = why
            self._records.append(PeerRecord(now, name, "died", why))

    def records(self) -> Iterator[Record]:
        """All records, on the run's axis."""
        zero = self.started_at or 0.0
        return (shifted(record, -zero) for record in self._records)

    def _enter(self, account: Account, record: Record) -> None:
        self._records.append(record)
        if isinstance(record, SampleRecord):
            account.sample = record
        elif isinstance(record, BlockRecord):
            if record.verdict == "useful":
                account.held |= 1 << record.block
        elif isinstance(record, PeerRecord):
            self._enter_event(account, record)

    def _enter_event(self, account: Account, record: PeerRecord) -> None:
        match record.event:
            case "started":
                self.started_at = min(record.at_s, self.started_at or record.at_s)
            case "completed":
                account.completed_at = record.at_s
            case "failed":
                account.gone = record.why
            case "left":
                account.gone = account.gone or f"left ({record.why})"
            case "banned":
                if (banned := self.accounts.get(record.peer)) is not None:
                    banned.banned_by.add(record.why)

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
        return list(inventory.indices(inventory.full(self.manifest.block_count) & ~there))

    def failures(self, why: str) -> list[Failure]:
        """The peers that should have a complete and right copy and have none; `why` for those that just wait."""
        failed = []
        for name, account in self.peers.items():
            if account.completed_at is None and account.behaviour not in UNWANTED:
                missing = self.manifest.block_count - account.held.bit_count()
                failed.append(Failure(peer=name, why=account.gone or f"{why}, {missing} blocks missing"))
            elif account.verified is False:
                failed.append(Failure(peer=name, why="its finished copy is not what the manifest says"))
        return failed

    def summary(
        self, *, nodes: int, spawn_s: float, verify_s: float, total_s: float, now: float, why: str, timed_out: bool
    ) -> Summary:
        """The whole run; `now` is when waiting ended."""
        manifest, options = self.manifest, self.options
        zero = self.started_at if self.started_at is not None else now
        done = sorted(a.completed_at - zero for a in self.peers.values() if a.completed_at is not None)
        transfer_s = now - zero if self.waiting() or not done else done[-1]
        arrivals = [record for record in self._records if isinstance(record, BlockRecord)]
        useful_bytes = sum(record.bytes for record in arrivals if record.verdict == "useful")
        moved_bytes = sum(record.bytes for record in arrivals)
        samples = [account.sample for account in self.accounts.values() if account.sample is not None]
        seed = self.accounts[TRACKER].sample
        messages = dict.fromkeys(Messages.__struct_fields__, 0)
        for account in self.accounts.values():
            for verb, count in account.messages.items():
                messages[verb] += count
        bound_s, all_done = self.bound_s(), self.completed == len(self.peers)
        return Summary(
            run=self.run,
            world="ray",
            preset=options.preset,
            seed=options.seed,
            content=Content(
                name=manifest.name,
                bytes=manifest.content_bytes,
                blocks=manifest.block_count,
                block_bytes=manifest.block_bytes,
                digest=manifest.digest,
            ),
            peers=len(self.peers),
            completed=self.completed,
            verified=sum(account.verified is True for account in self.peers.values()),
            nodes=nodes,
            seconds=Seconds(
                spawn=spawn_s,
                transfer=transfer_s,
                first=done[0] if done else None,
                median=median(done) if done else None,
                last=done[-1] if done else None,
                verify=verify_s,
                total=total_s,
            ),
            bytes=Bytes(
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
            messages=Messages(**messages),
            failed=self.failures(why),
            timed_out=timed_out,
        )

    def bound_s(self) -> float | None:
        """The lower bound on the transfer, where all uplinks are known."""
        if self.limits_changed:
            return None
        options, manifest = self.options, self.manifest
        serving = [account for account in self.peers.values() if account.behaviour == "honest"]
        others = [account for account in self.peers.values() if account.behaviour not in ("honest", "free-rider")]
        if others or not manifest.block_count:
            return None
        return bounds.fluid(
            manifest.content_bytes,
            len(self.peers),
            seed_upload_bps=options.seed_upload_bps,
            upload_bps=options.upload_bps if options.upload_bps is None else [options.upload_bps] * len(serving),
            download_bps=options.download_bps,
            free_riders=len(self.peers) - len(serving),
            held_bytes=options.initial.count(manifest.block_count) * manifest.block_bytes,
        )

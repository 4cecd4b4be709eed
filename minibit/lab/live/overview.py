"""The table of peers, as BitTorrent clients show it: who gives, who gets, with the same letters.

It reads each record of a ledger once, as they come, so an update costs what is new and not what there is.

Each row is a peer. In the table of a whole swarm, "we" are all peers that are linked with it; on the page of one peer,
"we" are that peer. A capital excludes its small letter:

    D  we download from it      d  it has blocks that we want, and chokes us
    U  we upload to it          u  it wants blocks that we have, and we choke it
    O  it has a guest slot (the optimistic unchoke)
    S  it is snubbed: it should send blocks, and sent none for as long as a PEDIDO may wait
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

from minibit.records import BlockRecord, LinkRecord, Record, SampleRecord, ServingRecord
from minibit.run import verdict
from minibit.run.account import Account
from minibit.run.ledger import Ledger
from minibit.run.summary import Summary
from minibit.units import show_rate

LINKING = {"linked": set.add, "lost": set.discard}
RATE_OVER_S = 5.0  # rates are means over about this time


def letters(*, down: bool, choked: bool, up: bool, choking: bool, guest: bool = False, snubbed: bool = False) -> str:
    """The flags of one row; `down` hides `choked`, and `up` hides `choking`."""
    shown = {"D": down, "d": choked and not down, "U": up, "u": choking and not up, "O": guest, "S": snubbed}
    return "".join(letter for letter, true in shown.items() if true)


class Overview:
    """The state of every peer, from the records of `ledger`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.ended = False  # the swarm is closed
        self._seen = 0  # records
        self._slots: dict[str, dict[str, tuple[str, float]]] = defaultdict(dict)  # peer: neighbour: (slot, since when)
        self._linked: dict[str, set[str]] = defaultdict(set)
        self._samples: dict[str, deque[SampleRecord]] = defaultdict(deque)
        self._sent_at: dict[str, float] = {}  # when a block from this peer last arrived

    def take(self, records: Sequence[Record]) -> None:
        """Read the new ones of all `records` so far."""
        for at in range(self._seen, len(records)):  # a slice would copy, and islice walk from the start
            record = records[at]
            if isinstance(record, BlockRecord):
                self._sent_at[record.source] = record.at_s
            elif isinstance(record, ServingRecord):
                self._take_serving(record)
            elif isinstance(record, SampleRecord):
                samples = self._samples[record.peer]
                samples.append(record)
                while len(samples) > 2 and samples[1].at_s <= record.at_s - RATE_OVER_S:
                    samples.popleft()
            elif isinstance(record, LinkRecord) and record.event in LINKING:
                LINKING[record.event](self._linked[record.peer], record.neighbour)
        self._seen = max(self._seen, len(records))

    def _take_serving(self, record: ServingRecord) -> None:
        served = self._slots[record.peer]
        before = served.pop(record.neighbour, None)
        if record.slot != "none":
            served[record.neighbour] = (record.slot, before[1] if before else record.at_s)

    def head(self, now: float, summary: Summary | None = None) -> dict[str, Any]:
        """The progress of all together, also as a sentence. `now` is on the clock of the ledger's records."""
        ledger = self._ledger
        peers, content = ledger.peers, ledger.content
        complete = [account.completed_at for account in peers.values() if account.completed_at is not None]
        rows = [self._traffic(name, now, account.gone is None) for name, account in peers.items()]
        until = now if summary is None and verdict.waiting(ledger.accounts) else max(complete, default=now)
        elapsed_s = ledger.elapsed_s(until) if summary is None else summary.seconds.transfer
        everything = content.block_count * len(peers)
        rate_bps = sum(row["down_bps"] for row in rows)
        said = f"{len(complete)} of {len(peers)} {'peer' if len(peers) == 1 else 'peers'} complete"
        if ledger.started_at is None:
            said = "The peers are starting."
        elif summary is not None:
            said += f", {summary.verified} verified; {show_rate(summary.goodput_bps)} all together"
        return {
            "run": ledger.run,
            "said": said,
            "completed": len(complete),
            "peers": len(peers),
            "share": ledger.held / everything if everything else 1.0,
            "rate_bps": rate_bps,
            "left_s": self._missing_bytes() / rate_bps if rate_bps and summary is None else None,
            "elapsed_s": elapsed_s,
            "content_bytes": content.content_bytes,
            "blocks": content.block_count,
        }

    def _missing_bytes(self) -> int:
        """What the peers that the run waits for still miss."""
        content, accounts = self._ledger.content, self._ledger.accounts
        return sum(content.content_bytes - content.bytes_of(accounts[name].held) for name in verdict.waiting(accounts))

    def rows(self, now: float) -> list[dict[str, Any]]:
        """A row for each actor, the tracker first."""
        accounts = self._ledger.accounts
        there = {name: account for name, account in accounts.items() if account.gone is None}
        flags = self._flags(there, now)
        blocks = self._ledger.content.block_count
        return [
            {
                "peer": name,
                "flags": flags.get(name, ""),
                "share": account.held.bit_count() / blocks if blocks else 1.0,
                "links": len(self._linked[name] & there.keys()) if name in there else 0,
                "serves": len(self._slots[name].keys() & there.keys()) if name in there else 0,
                "note": _note(account) or ("" if name in self._samples or self._linked[name] else "not here yet"),
                "there": name in there,
                **self._traffic(name, now, name in there),
            }
            for name, account in accounts.items()
        ]

    def _traffic(self, name: str, now: float, there: bool) -> dict[str, float]:
        samples = self._samples[name]
        if not samples:
            return {"down_bps": 0.0, "up_bps": 0.0, "got_bytes": 0, "gave_bytes": 0}
        first, last = samples[0], samples[-1]
        over_s = last.at_s - first.at_s
        fresh = there and not self.ended and over_s > 0 and now - last.at_s < 2 * RATE_OVER_S
        return {
            "down_bps": (last.received_bytes - first.received_bytes) / over_s if fresh else 0.0,
            "up_bps": (last.sent_bytes - first.sent_bytes) / over_s if fresh else 0.0,
            "got_bytes": last.received_bytes,
            "gave_bytes": last.sent_bytes,
        }

    def _flags(self, there: dict[str, Account], now: float) -> dict[str, str]:
        """The letters of the peers that are there, each as all its neighbours together see it."""
        wanting: dict[str, set[str]] = {}  # peer -> neighbours that it serves and that want its blocks
        refused: dict[str, set[str]] = {}  # peer -> neighbours that it chokes and that want its blocks
        for name, account in there.items():
            served, linked = self._slots[name].keys() & there.keys(), self._linked[name] & there.keys()
            want = {other for other in served | linked if account.held & ~there[other].held}
            wanting[name], refused[name] = want & served, want - served
        getting, choked = set().union(*wanting.values()), set().union(*refused.values())
        guests = {other for name in there for other, (slot, _) in self._slots[name].items() if slot == "guest"}
        return {
            name: letters(
                down=bool(wanting[name]),
                choked=bool(refused[name]),
                up=name in getting,
                choking=name in choked,
                guest=name in guests,
                snubbed=self._is_late(name, wanting[name], now),
            )
            for name in there
        }

    def _is_late(self, name: str, wanting: set[str], now: float) -> bool:
        """Whether it serves a peer that wants its blocks, and sent no block for too long."""
        since = max(self._sent_at.get(name, 0.0), min((self._slots[name][other][1] for other in wanting), default=now))
        return now - since > self._ledger.options.rules.request_timeout_s


def _note(account: Account) -> str:
    """The state of a peer, in a few words."""
    behaviour = "" if account.seat.behaviour == "honest" else account.seat.behaviour
    if account.gone is not None:
        state = str(account.gone)
    elif account.seat.seeds:
        state = "seed"
    elif account.completed_at is not None:
        state = "complete" if account.verified is None else "verified" if account.verified else "wrong copy"
    else:
        state = f"banned by {len(account.banned_by)}" if account.banned_by else ""
    return ", ".join(part for part in (behaviour, state) if part)

"""One member in the books of a run: its seat, and what is known of it so far."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from minibit import inventory
from minibit.records import SampleRecord
from minibit.seat import Seat

UNWANTED = ("corrupter", "liar")  # nobody expects them to complete: one is banned, the other seems to want nothing


class Departure(NamedTuple):
    """Why nothing more comes from a member: it said goodbye, it could not go on, or it died without a word."""

    kind: Literal["left", "failed", "died"]
    why: str

    def __str__(self) -> str:
        return f"left ({self.why})" if self.kind == "left" else self.why


class Account:
    """One member in the ledger.

    held           its inventory
    held_at_start  the inventory that it joined with
    offset_s       seconds to add to its clock for the ledger's
    node           the host that it runs on; None in a simulation
    silent_s       for so long it has given no answer to the driver; it may be out of reach, and is not given up
    damaged        what of the content that it shares is not what it was; "" if nothing is
    unproved       why its finished copy could not be verified; "" if it was, or was not tried
    """

    def __init__(self, seat: Seat, held: int, offset_s: float = 0.0, node: str | None = None) -> None:
        self.seat = seat
        self.held = held
        self.held_at_start = held
        self.offset_s = offset_s
        self.node = node
        self.completed_at: float | None = None
        self.gone: Departure | None = None
        self.silent_s = 0.0
        self.verified: bool | None = None
        self.damaged = ""
        self.unproved = ""
        self.banned_by: set[str] = set()
        self.sample: SampleRecord | None = None
        self.batches = 0  # of news that came
        self.messages: dict[str, int] = {}
        self.actor_calls = 0

    @property
    def wanted(self) -> bool:
        """Whether the run expects a copy of it."""
        return not self.seat.seeds and self.seat.behaviour not in UNWANTED

    @property
    def finished(self) -> bool:
        """Whether it has a finished copy, right or wrong: one that failed on the way to that has none."""
        failed = self.gone is not None and self.gone.kind == "failed"
        return self.completed_at is not None and not (failed and self.verified is False)

    @property
    def done(self) -> bool:
        """Whether it has a finished copy that was read back and compared, right or wrong."""
        return self.finished and self.verified is not None

    @property
    def waited_for(self) -> bool:
        """Whether the run must wait for it."""
        return self.completed_at is None and self.gone is None and self.wanted

    @property
    def answers(self) -> bool:
        """Whether it can still be asked for news: also after it left the swarm, while its process stands."""
        return self.gone is None or self.gone.kind == "left"

    def die(self, why: str) -> bool:
        """It is gone without a word, and its copy with it, unless that was verified before; whether that is news."""
        if self.verified is None:
            self.completed_at = None
        news = self.answers
        if news:
            self.gone = Departure("died", why)
        return news

    def about(self) -> dict[str, Any]:
        """What is known of it beside its records, as plain values."""
        seat = self.seat
        return {
            "behaviour": seat.behaviour,
            "class": seat.class_name,
            "held_at_start": inventory.to_hex(self.held_at_start),
            "upload_bps": seat.upload_bps,
            "download_bps": seat.download_bps,
            "node": self.node,
            "messages": self.messages,
            "picker": seat.picker,
            "choker": seat.choker,
        }

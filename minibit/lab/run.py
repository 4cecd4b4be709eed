"""One run: its records as tables, and what follows from them.

A run is plain values (what run.json says) and five tables, so a run from a folder and one that still goes on look
alike. What follows from the records is computed when it is asked for. Times are seconds on the run's axis, whose 0 is
the moment of the first PEDIDO allowed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.lab import derived, story, words
from minibit.lab.extra import installed
from minibit.lab.frames import empty, frames
from minibit.records import TABLES
from minibit.seat import number_of

if TYPE_CHECKING:
    from minibit.lab.plot import Plot
    from minibit.run.ledger import Ledger
    from minibit.run.summary import Summary

MEMBERS = {
    "peer": pl.String,
    "behaviour": pl.String,
    "class": pl.String,
    "held_at_start": pl.String,
    "upload_bps": pl.Float64,
    "download_bps": pl.Float64,
    "node": pl.String,
    "picker": pl.String,
    "choker": pl.String,
}
OF_INTEREST = 200  # the most peers among which interest is measured
DERIVED = (
    "lives", "arrivals", "availability", "completion", "rates", "gave", "shares", "outcomes", "choking", "reciprocity",
    "interest", "messages", "events",
)  # fmt: skip


class Run:
    """All that is known of one run.

    about     what run.json says, as `Ledger.about` gives it; parts may be missing
    summary   its `minibit.run.summary.Summary` as plain values; None while it goes on, or if it was killed
    options   those that it was given
    scenario  that of a simulated run
    versions  of the programs that ran it
    faults    the planned ones of a simulated run: `at_s`, `what`, `who`, `until_s` (None: it lasts)
    records   the tables of records (`minibit.records`) by name: `blocks`, `peers`, `serving`, `samples`, `links`.
              Each is an attribute too
    folder    where it is stored; None for a run that still goes on
    missing   sentences on what is missing
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        tables: Mapping[str, pl.DataFrame],
        folder: Path | None = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        self.about = dict(about)
        self.summary: dict[str, Any] | None = about.get("summary")
        self.options: dict[str, Any] = about.get("options") or {}
        self.scenario: dict[str, Any] | None = about.get("scenario")
        self.versions: dict[str, str] = about.get("versions") or {}
        self.faults: list[dict[str, Any]] = about.get("faults") or []
        self.records = {name: tables[name] if name in tables else empty(name) for name in TABLES}
        self.blocks, self.peers, self.serving, self.samples, self.links = self.records.values()
        self.folder = folder
        self.missing = missing

    @classmethod
    def of(cls, ledger: Ledger, summary: Summary | None = None) -> Run:
        """The run in a ledger, for example of a simulation: `Run.of(simulation.ledger, summary)`."""
        return cls(ledger.about(summary), frames(ledger.records()))

    # what run.json says

    @property
    def name(self) -> str:
        """The name of the run."""
        told = self.about.get("run") or (self.summary or {}).get("run")
        return str(told or (self.folder.name if self.folder else "run"))

    @property
    def world(self) -> str | None:
        """`ray` or `sim`; None if it is not known."""
        world: str | None = self.about.get("world") or (self.summary or {}).get("world")
        return world

    @property
    def content(self) -> dict[str, Any]:
        """The content: `name`, `bytes`, `blocks`, `block_bytes`, `digest`. If run.json lacks it, it is guessed from the
        records."""
        told = self.about.get("content") or (self.summary or {}).get("content")
        if told:
            return dict(told)
        most = self.blocks.select(pl.max("block") + 1, pl.max("bytes")).row(0)
        count, block_bytes = (one or 0 for one in most)
        return {"name": None, "bytes": count * block_bytes, "blocks": count, "block_bytes": block_bytes, "digest": None}

    @cached_property
    def content_blocks(self) -> int:
        """Blocks of the content."""
        return int(self.content["blocks"])

    @cached_property
    def block_bytes(self) -> int:
        """Bytes of a block; the last may be shorter."""
        return int(self.content["block_bytes"])

    @cached_property
    def end_s(self) -> float:
        """The last time on the axis. Samples count only while the run goes on: peers are sampled after it too."""
        last = [0.0]
        if self.summary is not None:
            last.append(float(self.summary["seconds"]["transfer"]))
        for name, table in self.records.items():
            if table.height and (name != "samples" or self.summary is None):
                last.append(float(table["at_s"][-1]))
        return max(last)

    @cached_property
    def members(self) -> pl.DataFrame:
        """A row for each actor, the tracker first: behaviour, class, the inventory at the start (hex), limits (bytes a
        second, null: none), the host that it ran on, strategies of its own."""
        told = self.about.get("peers")
        if told is None:  # an older run: the names in its records
            names = pl.concat([table["peer"] for table in self.records.values()]).unique().sort()
            told = [{"peer": name} for name in sorted(names, key=lambda one: one != TRACKER)]
        return pl.DataFrame([{column: one.get(column) for column in MEMBERS} for one in told], schema=MEMBERS)

    @cached_property
    def peer_names(self) -> list[str]:
        """The names of all peers but the seed."""
        return [peer for peer in self.members["peer"] if peer != TRACKER]

    # what follows from its records

    def lives(self) -> pl.DataFrame:
        """`peer, joined_s, started_s, completed_s, gone_s` of each member; null for what did not happen."""
        return self._lives

    def arrivals(self) -> pl.DataFrame:
        """`peer, block, at_s`: when each peer first held each block; the seed is left out.

        A block that a peer held at the start counts from its joining, or from 0.
        """
        return self._arrivals

    def held(self, at_s: float) -> pl.DataFrame:
        """`peer, block`: the blocks that each peer has at that time, without the seed and peers that are gone."""
        return derived.held(self._arrivals, self._lives, at_s)

    def copies(self, at_s: float) -> pl.DataFrame:
        """`block, copies`: how many peers hold each block at that time, the seed not counted."""
        return derived.copies(self.held(at_s), self.content_blocks)

    def availability(self, every_s: float | None = None) -> pl.DataFrame:
        """`at_s, least, mean, most, alone`: copies of a block among peers over time; blocks only the seed has."""
        step_s = _step_s(every_s) or derived.nice_step_s(self.end_s)
        return derived.availability(self._arrivals, self._lives, self.content_blocks, self.end_s, step_s)

    def completion(self) -> pl.DataFrame:
        """`at_s, peer, complete`: when each peer was complete, and how many were by then."""
        return derived.completion(self.peers)

    def rates(self, every_s: float | None = None) -> pl.DataFrame:
        """`at_s, peer, up_bps, down_bps`: payload a second in the `every_s` from `at_s` on, of each member."""
        step_s = _step_s(every_s) or derived.nice_step_s(self.end_s, 50)
        return derived.rates(self.blocks, self.members, self.end_s, step_s)

    def gave(self) -> pl.DataFrame:
        """`source, peer, blocks, bytes`: useful blocks from one peer to another, and payload wanted or not."""
        return self._gave

    def shares(self) -> pl.DataFrame:
        """`peer, behaviour, up_bytes, down_bytes, share_ratio`: up / down, infinite for a peer that got nothing."""
        return derived.shares(self.members, self._gave)

    def outcomes(self) -> pl.DataFrame:
        """`peer, behaviour, class, node, joined_s, completed_s, got_bytes, gave_bytes, ended_s, end` of each member:
        null for what did not happen, or is not known."""
        return derived.outcomes(self.members, self._lives, self.shares(), self.peers)

    def choking(self) -> pl.DataFrame:
        """`peer, neighbour, slot, from_s, until_s`: `peer` served `neighbour` in that slot (`fixed`, `guest`)."""
        return self._choking

    def choking_at(self, at_s: float) -> pl.DataFrame:
        """`peer, neighbour, slot`: the slots at that time."""
        return derived.choking_at(self._choking, at_s, self.end_s)

    def reciprocity(self) -> pl.DataFrame:
        """`peer, reciprocity`: the share that was returned of all that moved between it and other peers."""
        return derived.reciprocity(self.peer_names, self._gave)

    @property
    def reciprocity_of_all(self) -> float:
        """The same over all pairs: 1 if each got back from each what it gave it, 0 if all went one way."""
        return derived.reciprocity_of_all(self._gave)

    def interest(self, most: int = OF_INTEREST) -> pl.DataFrame:
        """`peer, other, share`: the part of the time when both are there and incomplete in which `peer` wants blocks of
        `other`.

        There is a row for each ordered pair, so at `most` so many peers are taken, evenly from all.
        """
        lives = self._lives.filter(pl.col("peer") != TRACKER)
        if lives.height > most:
            lives = lives[[index * lives.height // most for index in range(most)]]
        return derived.interest(self._arrivals, lives, self.content_blocks, self.end_s)

    def messages(self) -> pl.DataFrame:
        """`peer, verb, messages`: how many messages each actor has sent."""
        told = self.about.get("peers") or []
        rows = [(one["peer"], *sent) for one in told for sent in sorted((one.get("messages") or {}).items())]
        return pl.DataFrame(rows, schema={"peer": pl.String, "verb": pl.String, "messages": pl.Int64}, orient="row")

    def events(self) -> pl.DataFrame:
        """`at_s, peer, event, why`: peers that left, died, failed or were banned, and planned faults (`fault`)."""
        happened = self.peers.filter(~pl.col("event").is_in(["started", "completed"]))
        planned = [
            (one["at_s"], one["who"], "fault", one["what"] + ("" if until_s is None else f" until {until_s:.2f} s"))
            for one in self.faults
            for until_s in [one.get("until_s")]
            if one["at_s"] <= self.end_s
        ]
        faults = pl.DataFrame(planned, schema=happened.schema, orient="row")
        return pl.concat([faults, happened]).sort("at_s", maintain_order=True)

    def each_table(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Every table by its name: the records, `members`, and what follows from them over the whole run."""
        yield from self.records.items()
        yield "members", self.members
        for name in DERIVED:
            yield name, getattr(self, name)()

    # in words and pictures

    def story(self, peer: int | str | None = None, block: int | None = None) -> story.Story:
        """The history of one peer (by number or name), or of one block, in words."""
        if peer is not None and block is None:
            return story.of_peer(self, self.find(peer))
        if block is not None and peer is None:
            return story.of_block(self, block)
        raise LocalError("a story is of one peer or of one block: give peer=7, or block=120")

    def find(self, peer: int | str) -> str:
        """The name of a peer by its number or its name; `LocalError` when there is none."""
        names: list[str] = self.members["peer"].to_list()
        for name in names:
            if peer in (name, number_of(name)):
                return name
        there = f"there are {names[0]} to {names[-1]}" if names else "nobody is known"
        raise LocalError(f"there is no peer {peer!r} in {self.name}: {there}")

    @property
    def plot(self) -> Plot:
        """Its pictures, each by one call: `run.plot.blocks()`."""
        with installed():
            from minibit.lab.plot import Plot  # noqa: PLC0415  Bokeh is heavy, and tables don't need it

        return Plot(self)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write all pictures into one HTML file that needs no network."""
        with installed():
            from minibit.lab.report import write  # noqa: PLC0415

        return write(self, Path(path))

    def __repr__(self) -> str:
        return words.as_text(self)

    def _repr_html_(self) -> str:
        return words.as_html(self)

    # kept, because several tables need them

    @cached_property
    def _lives(self) -> pl.DataFrame:
        return derived.lives(self.members, self.peers, self.links)

    @cached_property
    def _arrivals(self) -> pl.DataFrame:
        return derived.arrivals(self.blocks, self.members, self._lives)

    @cached_property
    def _gave(self) -> pl.DataFrame:
        return derived.gave(self.blocks)

    @cached_property
    def _choking(self) -> pl.DataFrame:
        return derived.choking(self.serving, self._lives, self.end_s)


def _step_s(every_s: float | None) -> float | None:
    if every_s is not None and not every_s > 0:
        raise LocalError(f"every_s: {every_s!r} won't do: give seconds above 0")
    return every_s

"""The history of one peer or of one block, in words.

Every sentence is read off the records. What they do not say is left out.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from minibit import inventory
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.units import show_bytes

if TYPE_CHECKING:
    from minibit.lab.run import Run

MOST_NAMED = 3  # neighbours named in one sentence
MOST_COPIES = 12  # copies of a block listed one by one


class Story(str):
    """Sentences, one a line, that a notebook shows as they are."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "<div>" + "".join(f"<div>{html.escape(line)}</div>" for line in self.splitlines()) + "</div>"


def of_peer(run: Run, name: str) -> Story:
    """The history of a peer: where its blocks came from, which peers it served, how it ended."""
    got = run.blocks.filter(peer=name)
    told = [_entered(run, name), _knew(run, name), _first(run, got), _slots(run, name, got), _bad(got)]
    told += [_gave(run, name), *_bans(run, name), *_faults(run, name), *_ended(run, name)]
    return Story("\n".join(sentence for sentence in told if sentence))


def of_block(run: Run, block: int) -> Story:
    """How a block spread: where it started, its copies in order, how long it was rare."""
    count = run.content_blocks
    if not isinstance(block, int) or not 0 <= block < count:
        raise LocalError(f"there is no block {block!r} in {run.name}: it has {count}, counted from 0")
    came = run.blocks.filter(pl.col("peer") != TRACKER, block=block, verdict="useful")
    had = [
        peer
        for peer, held in run.members.select("peer", "held_at_start").iter_rows()
        if peer != TRACKER and int(held or "0", 16) >> block & 1
    ]
    length = came["bytes"][0] if came.height else run.block_bytes
    told = [f"Block {block} of {count} (counted from 0), {show_bytes(length)}."]
    if had:
        told.append(f"At the start {_names(had)} had it beside the seed.")
    elif not run.members["held_at_start"].null_count():
        told.append("At the start only the seed had it.")
    ways = came.select("at_s", "source", "peer").iter_rows()
    copies = [f"  {_at(at_s):>9}  {source} -> {peer}" for at_s, source, peer in ways]
    told += copies[:MOST_COPIES]
    if len(copies) > MOST_COPIES:
        last = came.tail(1).row(0, named=True)
        told.append(
            f"  and {_count(len(copies) - MOST_COPIES, 'more copy', 'more copies')}, the last at {_at(last['at_s'])} "
            f"from {last['source']} to {last['peer']}"
        )
    if not copies:
        told.append("Nobody got a copy.")
    if wrong := run.blocks.filter(block=block, verdict="rejected").height:
        told.append(f"{_count(wrong, 'copy was', 'copies were').capitalize()} wrong and thrown away.")
    told.append(_rare(run, block))
    return Story("\n".join(told))


# a peer


def _entered(run: Run, name: str) -> str:
    member = run.members.row(by_predicate=pl.col("peer") == name, named=True)
    life = _life(run, name)
    if name == TRACKER:
        return f"{name} is the seed: it had all {run.content_blocks} blocks."
    odd = member["behaviour"] if member["behaviour"] != "honest" else None
    what = ", ".join(part for part in (odd, member["class"] and f"of class {member['class']}") if part)
    when = f" at {_at(max(0.0, life['joined_s']))}" if life["joined_s"] is not None else ""
    return f"{name}{f' ({what})' if what else ''} joined{when}{_with_blocks(run, member['held_at_start'])}."


def _with_blocks(run: Run, held_at_start: str | None) -> str:
    if held_at_start is None:
        return ""
    held = int(held_at_start, 16)
    if held == inventory.full(run.content_blocks):
        return " with every block"
    return f" with {_count(held.bit_count(), 'block', 'blocks')}" if held else " without a block"


def _knew(run: Run, name: str) -> str:
    links = run.links.filter(peer=name)
    if links.is_empty():
        return ""
    heard = links.filter(pl.col("event").is_in(["listed", "announced"]))["neighbour"].n_unique()
    linked = links.filter(event="linked")
    standing = max(0, linked.height - links.filter(event="lost").height)
    met = _count(linked["neighbour"].n_unique(), "neighbour", "neighbours")
    return (
        f"The tracker named it {_count(heard, 'peer', 'peers')}; it was linked with {met}, "
        f"and {_count(standing, 'link', 'links')} stood at the end."
    )


def _first(run: Run, got: pl.DataFrame) -> str:
    useful = got.filter(verdict="useful").head(1)
    if useful.is_empty():
        return ""
    at_s, block, source = useful.select("at_s", "block", "source").row(0)
    how = {"fixed": ", in a fixed slot", "guest": ", as a guest"}.get(_with_slots(run, useful)["slot"][0], "")
    return f"Its first block was {block}, from {source} at {_at(at_s)}{how}."


def _with_slots(run: Run, got: pl.DataFrame) -> pl.DataFrame:
    """Blocks that a peer got, and the slot in which it was served at that time; null if it was not noted."""
    slots = run.choking().select(source="peer", peer="neighbour", at_s="from_s", slot="slot").sort("at_s")
    return got.sort("at_s").join_asof(slots, on="at_s", by=["source", "peer"], check_sortedness=False)


def _slots(run: Run, name: str, got: pl.DataFrame) -> str:
    useful = _with_slots(run, got.filter(verdict="useful"))
    if useful.is_empty():
        return "It got no block." if name != TRACKER else ""
    fixed, guest = (useful.filter(slot=slot).height for slot in ("fixed", "guest"))
    most = useful.group_by("source").len().sort("len", "source", descending=[True, False])
    how = f", {fixed} in fixed slots and {guest} as a guest" if fixed or guest else ""
    blocks, of = _count(useful.height, "block", "blocks"), _count(most.height, "neighbour", "neighbours")
    return f"It got {blocks} from {of}{how}; the most from {_counted(most)}."


def _bad(got: pl.DataFrame) -> str:
    double = got.filter(verdict="double").height
    wrong = got.filter(verdict="rejected")
    parts = [f"{double} that it had already"] * bool(double)
    parts += [f"{wrong.height} wrong, from {_names(wrong['source'].unique().sort().to_list())}"] * bool(wrong.height)
    return f"Beside these it got {' and '.join(parts)}." if parts else ""


def _gave(run: Run, name: str) -> str:
    gave = run.gave().filter(source=name)
    if gave.is_empty():
        return "It gave nothing to anybody."
    to = _count(gave.height, "neighbour", "neighbours")
    sent_bytes, sent_blocks = int(gave["bytes"].sum()), int(gave["blocks"].sum())
    if not sent_blocks:
        return f"It gave {show_bytes(sent_bytes)} to {to}, and not one useful block."
    ratio = run.shares().filter(peer=name)["share_ratio"][0]
    most = gave.select("peer", "blocks").sort("blocks", "peer", descending=[True, False])
    copies = sent_bytes / run.content["bytes"]
    share = f"{copies:.2f} copies of the content" if name == TRACKER else f"{ratio:.2f} times what it got"
    blocks = _count(sent_blocks, "useful block", "useful blocks")
    return f"It gave {blocks} to {to}, {share}; the most to {_counted(most)}."


def _bans(run: Run, name: str) -> list[str]:
    bans = run.peers.filter(event="banned")
    told = []
    by = bans.filter(peer=name)
    if by.height:
        who = by["why"].str.strip_prefix("by ").unique(maintain_order=True).to_list()
        told.append(f"It was banned by {_names(who)}, first at {_at(by['at_s'][0])}.")
    of = bans.filter(why=f"by {name}")
    if of.height:
        told.append(f"It banned {_names(of['peer'].unique(maintain_order=True).to_list())}.")
    return told


def _faults(run: Run, name: str) -> list[str]:
    return [
        f"A fault was planned for it at {_at(fault['at_s'])}: {fault['what']}."
        for fault in run.faults
        if name in fault["who"].split(", ") and fault["at_s"] <= run.end_s
    ]


def _ended(run: Run, name: str) -> list[str]:
    life = _life(run, name)
    told = []
    if name != TRACKER:
        if life["completed_s"] is not None:
            done = run.completion()
            place = int(done.filter(peer=name)["complete"][0])
            told.append(f"It was complete at {_at(life['completed_s'])}, number {place} of {done.height}.")
        else:
            held = run.arrivals().filter(peer=name).height
            told.append(f"It was never complete: it had {held} of {run.content_blocks} blocks.")
    gone = run.peers.filter(pl.col("event").is_in(["left", "died", "failed"]), peer=name)
    for at_s, event, why in gone.select("at_s", "event", "why").rows():
        told.append(f"It {event} at {_at(at_s)}{f': {why}' if why else ''}.")
    return told


def _life(run: Run, name: str) -> dict[str, Any]:
    return run.lives().row(by_predicate=pl.col("peer") == name, named=True)


# a block


def _rare(run: Run, block: int) -> str:
    """Until when the block was among those with the fewest copies, to the step of the table of availability."""
    table = run.availability()
    times = run.arrivals().filter(block=block).join(run.lives(), on="peer", how="left")
    mine = [
        times.filter((pl.col("at_s") <= at_s) & (pl.col("gone_s").is_null() | (pl.col("gone_s") > at_s))).height
        for at_s in table["at_s"]
    ]
    rare = table.with_columns(mine=pl.Series(mine, dtype=pl.Int64)).filter(
        (pl.col("mine") == pl.col("least")) & (pl.col("mine") < pl.col("most"))
    )
    if rare.is_empty():
        return "It was never among the blocks with the fewest copies while others had more."
    at_s, copies = rare.select("at_s", "mine").row(-1)
    step_s = table["at_s"][1] if table.height > 1 else 0.0
    if at_s + step_s >= run.end_s:
        return f"It was among the rarest blocks to the end, with {_count(copies, 'copy', 'copies')}."
    return (
        f"It was last among the rarest blocks at about {_at(at_s)}, with {_count(copies, 'copy', 'copies')}: "
        "from then on others were rarer."
    )


# words


def _at(at_s: float) -> str:
    return f"{at_s:.2f} s"


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _names(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - MOST_NAMED
    shown = ", ".join(names[:MOST_NAMED])
    if more > 0:
        return f"{shown} and {more} more"
    head, _, last = shown.rpartition(", ")
    return f"{head} and {last}" if head else last


def _counted(table: pl.DataFrame) -> str:
    """The first rows of a name and a count."""
    return _names([f"{name} ({count})" for name, count in table.head(MOST_NAMED).iter_rows()])

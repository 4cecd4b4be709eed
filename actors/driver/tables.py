"""The state of a swarm as tables: polars DataFrames to work with, text and HTML to look at."""

from __future__ import annotations

import html
from collections.abc import Container, Iterable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import asdict

from minibit.events import TRACKER
from minibit.lab.extra import installed
from minibit.units import show_share

if TYPE_CHECKING:
    import polars as pl

    from minibit.mailbox import MailboxSnapshot
    from minibit.snapshots import PeerSnapshot

    Snapshots = Mapping[str, PeerSnapshot]

ROWS_MAX = 100  # drawn at once
STRIP = 40  # characters
LINKED = {"linked", "sharing"}

PEERS = {
    **{"peer": str, "behaviour": str, "held": int, "blocks": int, "complete": bool, "leaving": str, "failure": str},
    **{"host": str, "port": int, "pid": int, "neighbours": int, "served": int},
}
LINKS = {
    **{"peer": str, "neighbour": str, "standing": str, "held": int, "serves_us": bool, "slot": str},
    **{"blocks_in": int, "blocks_out": int, "strikes": int, "asked": int, "wanted": int},
}


class OverviewRow(NamedTuple):
    """An actor as it is drawn: `share` of the blocks that it holds, from 0 to 1, as a `strip` too, and a `note`."""

    name: str
    share: float
    strip: str
    note: str


def peers(snapshots: Snapshots) -> pl.DataFrame:
    """A row for each actor: what it holds, its neighbours, its process."""

    def row(state: PeerSnapshot) -> dict[str, Any]:
        ends = state.neighbours.values()
        sharing, served = (end.standing == "sharing" for end in ends), (end.slot != "none" for end in ends)
        return asdict(state) | {"neighbours": sum(sharing), "served": sum(served)}

    return _table(PEERS, map(row, snapshots.values()))


def blocks(snapshots: Snapshots) -> pl.DataFrame:
    """A row for each block: how many of these peers hold it."""
    count = max((state.blocks for state in snapshots.values()), default=0)
    inventories = [int(state.inventory, 16) for state in snapshots.values()]
    copies = ({"block": block, "copies": sum(held >> block & 1 for held in inventories)} for block in range(count))
    return _table({"block": int, "copies": int}, copies)


def links(snapshots: Snapshots) -> pl.DataFrame:
    """A row for each end of a link: its slot, what is asked and queued."""
    ends = ((name, end) for name, state in snapshots.items() for end in state.neighbours.values())
    rows = (
        {**asdict(end), "peer": name, "neighbour": end.peer, "asked": len(end.asked), "wanted": len(end.wanted)}
        for name, end in ends
        if end.standing in LINKED
    )
    return _table(LINKS, rows)


def mailboxes(boxes: Mapping[str, MailboxSnapshot]) -> pl.DataFrame:
    """A row for each actor, verb and way: how many messages."""
    rows = (
        {"peer": name, "way": way, "verb": verb, "messages": count}
        for name, box in boxes.items()
        for way, counts in (("in", box.incoming), ("out", box.outgoing))
        for verb, count in sorted(counts.items())
    )
    return _table({"peer": str, "way": str, "verb": str, "messages": int}, rows)


def overview(names: Iterable[str], snapshots: Snapshots, slow: Container[str] = ()) -> list[OverviewRow]:
    """A row for each name, also without a snapshot. The `slow` actors gave no answer: their snapshots are older."""

    def row(name: str) -> OverviewRow:
        missing = "no answer" if name in slow else ""
        if (state := snapshots.get(name)) is None:
            return OverviewRow(name, 0.0, "", missing or "gone")
        note = "seed" if name == TRACKER else _note(state)
        share = state.held / state.blocks if state.blocks else 1.0
        return OverviewRow(name, share, strip(state.inventory, state.blocks), note or missing)

    return [row(name) for name in names]


def headline(swarm: str, names: Sequence[str], snapshots: Snapshots) -> str:
    """How many of the peers among `names` are complete."""
    complete = sum(state.complete for name, state in snapshots.items() if name != TRACKER)
    return f"Swarm {swarm}: {complete} of {len(names) - (TRACKER in names)} peers complete"


def as_text(head: str, rows: list[OverviewRow]) -> str:
    """A headline, and a bar for each row."""
    drawn = [f"  {row.name:<10} {bar(row.share)} {show_share(row.share, 1):>5}  {row.note}" for row in rows[:ROWS_MAX]]
    return "\n".join([head, *drawn, *(f"  {more}" for more in _more(rows))])


def as_html(head: str, rows: list[OverviewRow]) -> str:
    """The same for a notebook, with a strip of the blocks in each row."""
    cells = "".join(
        f"<tr><td>{html.escape(row.name)}</td><td><progress max='1' value='{row.share:.3f}'></progress></td>"
        f"<td style='text-align:right'>{_share(row.share, 1)}</td>"
        f"<td>{row.strip and f'<code>{row.strip}</code>'}</td><td>{html.escape(row.note)}</td></tr>"
        for row in rows[:ROWS_MAX]
    )
    return f"<div><b>{html.escape(head)}</b><table>{cells}</table>{''.join(_more(rows))}</div>"


def peer_as_html(state: PeerSnapshot) -> str:
    """One actor for a notebook: which blocks it holds, and a row for each neighbour with a link."""
    linked = [end for _, end in sorted(state.neighbours.items()) if end.standing in LINKED]
    rows = [
        (
            html.escape(end.peer),
            _share(end.held, state.blocks),
            "yes" if end.serves_us else "",
            "" if end.slot == "none" else end.slot,
            *(end.blocks_in, end.blocks_out, len(end.asked), len(end.wanted)),
        )
        for end in linked
    ]
    behaviour = "" if state.behaviour == "Honest" else state.behaviour
    neighbours = f"{len(linked)} neighbour{'s' * (len(linked) != 1)}"
    held = f"{state.peer}: {state.held} of {state.blocks} blocks"
    head = ", ".join(filter(None, (held, neighbours, behaviour, _note(state))))
    names = ("neighbour", "holds", "serves it", "is served", "blocks from", "blocks to", "asked of", "asked by")
    heads = "".join(f"<th>{name}</th>" for name in names)
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    blocks = f"<div><code>{strip(state.inventory, state.blocks, 2 * STRIP)}</code></div>"
    return f"<div><b>{html.escape(head)}</b>{blocks}<table><tr>{heads}</tr>{cells}</table></div>"


def strip(inventory: str, blocks: int, width: int = STRIP) -> str:
    """The content from its first block to its last, at most `width` characters: fuller where more is held, a dot
    where nothing is."""
    held, width = int(inventory, 16), min(width, blocks)
    parts = [range(blocks * at // width, blocks * (at + 1) // width) for at in range(width)]
    shares = [sum(held >> block & 1 for block in part) / len(part) for part in parts]
    return "".join("·▁▂▃▄▅▆▇█"[ceil(8 * share)] for share in shares)


def bar(share: float, width: int = 20) -> str:
    """A share from 0 to 1 as a bar of characters."""
    full = round(share * width)
    return "█" * full + "░" * (width - full)


def _share(part: float, whole: float) -> str:
    return show_share(part, whole).replace(" ", "&nbsp;")


def _note(state: PeerSnapshot) -> str:
    return state.failure or state.leaving or ("complete" if state.complete else "")


def _more(rows: list[OverviewRow]) -> list[str]:
    return [f"and {len(rows) - ROWS_MAX} more"] if len(rows) > ROWS_MAX else []


def _table(schema: Mapping[str, type], rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """The rows with the columns of `schema`, and no others."""
    with installed():
        import polars as pl  # noqa: PLC0415  heavy, and scripts without tables don't need it

    return pl.DataFrame([{column: row[column] for column in schema} for row in rows], schema=dict(schema))

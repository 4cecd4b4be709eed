"""The figures of a run in words: a question, its answer, and what stands behind it, for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from minibit.units import show_bytes, show_duration, show_rate, show_share

if TYPE_CHECKING:
    from minibit.run.summary import Failure, Summary, Times

NAMED_AT_ONCE = 6  # peers named in one row; the summary itself names them all


class Figure(NamedTuple):
    """A row of the figures: a question, its answer, and what stands behind the answer."""

    question: str
    answer: str
    behind: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The answer and what stands behind it."""
        return ", ".join((self.answer, *self.behind))


def figures(summary: Summary) -> Iterator[Figure]:
    """What the run came to. A figure that is not known, or says nothing in this world, has no row."""
    seconds, sent, messages = summary.seconds, summary.bytes, summary.messages
    real = summary.world != "sim"
    yield _figure("run", summary.world, summary.run, summary.preset and f"preset {summary.preset}",
                  f"seed {summary.seed}")  # fmt: skip
    yield content_figure(msgspec.structs.asdict(summary.content))
    nodes = "on 1 node" if summary.nodes == 1 else f"on {summary.nodes} nodes"
    where = (f"{summary.verified} verified", nodes) if real else ()
    late = "time limit reached" if summary.timed_out else None
    yield _figure("complete", f"{summary.completed} of {summary.peers}", *where, late)
    yield _figure("transfer", show_duration(seconds.transfer), _finishes(summary))
    if summary.bound_s is not None and summary.efficiency is not None:
        yield _figure("at best", show_duration(summary.bound_s), f"efficiency {summary.efficiency:.2f}")
    fairness = f"fairness {summary.fairness_jain:.2f} (Jain)"
    yield _figure("goodput", show_rate(summary.goodput_bps), "all peers together", fairness)
    wasted, control = _small(sent.wasted_share), _small(sent.control_share)
    copies = None if summary.seed_copies is None else f"seed sent {summary.seed_copies:.2f} copies"
    yield _figure("moved", show_bytes(sent.moved), f"{wasted} wasted", f"{control} control", copies)
    each = f"{messages.total / summary.peers:,.0f} a peer" if summary.peers else None
    yield _figure("messages", f"{messages.total:,}", each, f"{summary.actor_calls:,} actor calls" if real else None)
    yield Figure("in all", show_duration(seconds.total), tuple(_parts(seconds)) if real else ("in virtual time",))
    for why, failures in summary.failed_by_reason().items():
        yield Figure("failed", str(len(failures)), (told_of(failures, why, summary.nodes, NAMED_AT_ONCE),))


def told_of(failures: Sequence[Failure], why: str, nodes: int, most: int | None = None) -> str:
    """Which peers failed for this reason, where if there are several `nodes`, and what they lacked.

    At most `most` of them are named.
    """
    places: dict[str | None, list[str]] = {}
    for failure in failures[:most]:
        places.setdefault(failure.node if nodes > 1 else None, []).append(failure.peer)
    named = ", ".join(", ".join(names) + (f" on {node}" if node else "") for node, names in places.items())
    more = f" and {len(failures) - most} more" if most is not None and len(failures) > most else ""
    fewest, largest = (pick(failure.missing for failure in failures) for pick in (min, max))
    count = f"{largest:,}" if fewest == largest else f"{fewest:,} to {largest:,}"
    return f"{named}{more}: {why}" + (f", {count} {'block' if largest == 1 else 'blocks'} missing" if largest else "")


def as_rows(rows: Iterable[tuple[str, str]]) -> str:
    """Names and texts as the rows of an HTML table."""
    return "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)


def content_figure(content: Mapping[str, Any]) -> Figure:
    """What was shared."""
    blocks = f"{content['blocks']:,} blocks of {show_bytes(content['block_bytes'])}" if content["blocks"] else None
    return _figure("content", show_bytes(content["bytes"]), content["name"], blocks)


def _finishes(summary: Summary) -> str:
    first, median, last = summary.seconds.first, summary.seconds.median, summary.seconds.last
    if first is None or median is None or last is None:
        return "no peer complete"
    return f"first {show_duration(first)}, median {show_duration(median)}, last {show_duration(last)}"


def _figure(question: str, answer: str, *behind: str | None) -> Figure:
    return Figure(question, answer, tuple(part for part in behind if part))


def _parts(seconds: Times) -> Iterator[str]:
    """What the time of a real run went into beside the transfer; together that is all of it."""
    rest_s = max(0.0, seconds.total - seconds.transfer - seconds.spawn - seconds.verify)  # hashing, Ray, joining
    for name, spent_s in (("spawning", seconds.spawn), ("verifying", seconds.verify), ("all else", rest_s)):
        yield f"{name} {show_duration(spent_s)}"


def _small(share: float | None) -> str:
    """A share that ought to be small, of something that may not be there at all."""
    if not share:
        return "0 %"
    return show_share(share, 1, digits=2) if share >= 0.0001 else "<0.01 %"

"""How a run was told to go: its limits, its hosts, its date; and the command that runs the same again.

All of it is read off what run.json says. What an older run does not say has no row.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.run.figures import Figure
from minibit.run.options import TABLE, Option, Options
from minibit.seat import Initial
from minibit.units import show_bytes, show_duration, show_rate

if TYPE_CHECKING:
    from minibit.lab.run import Run

MADE = ("made content", "content")  # what content is called that nobody gave
OF_ONE_RUN = {"preset", "name", "out"}  # the first is told first, and two runs can't share the others
UNITS: dict[str, tuple[Callable[[float], str], str]] = {
    "bytes": (show_bytes, "B"),
    "bps": (show_rate, "B/s"),
    "s": (show_duration, "s"),
}
"""By the unit of a field: how its value is shown, and the unit that stands behind a value in full."""


def told(run: Run) -> Iterator[Figure]:
    """The rows about it, for the head of a report."""
    limits = [*_limits(run, "upload_bps", "sends"), *_limits(run, "download_bps", "receives")]
    if limits:
        by_hand = not run.peers.filter(event="limited").is_empty()
        yield Figure("limits", limits[0], (*limits[1:], *["changed by hand while it ran"] * by_hand))
    hosts = Counter(host for host in run.members["node"] if host is not None)
    if hosts:
        seat = dict(run.members.select("peer", "node").iter_rows()).get(TRACKER)
        said = [f"{host} ({count}{', the seed among them' if host == seat else ''})" for host, count in hosts.items()]
        yield Figure("hosts", said[0], tuple(said[1:]))
    if written := run.about.get("written"):
        yield Figure("date", str(written).replace("T", " "))


def command(run: Run) -> str | None:
    """The command that runs the same again, under another name; None if the options are not known."""
    try:
        options = msgspec.convert(run.options, Options)
        usual = Options.build(preset=options.preset)
    except (msgspec.ValidationError, LocalError):  # of another version
        return None
    if not run.options:
        return None
    words = ["minibit", "swarm"]
    if (name := run.content["name"]) and name not in MADE:
        words.append(name)
    if options.preset:
        words += [_switch("preset"), options.preset]
    for option in TABLE.values():
        value = _value(options, option)
        if option.name not in OF_ONE_RUN and value != _value(usual, option):
            words.append(_switch(option.name))
            words += [] if value is True else [_as_given(option, value)]
    if run.scenario:
        words += [_switch("scenario"), "FILE"]
    return shlex.join(words)


def _switch(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _value(options: Options, option: Option) -> Any:
    return getattr(options.rules if option.field in options.rules.__struct_fields__ else options, option.field)


def _as_given(option: Option, value: Any) -> str:
    """The value as one gives it to this option, with nothing lost."""
    if value is None:
        return option.unset
    if isinstance(value, Initial):
        return f"{value.share!r}" + f"+{value.blocks}" * bool(value.blocks)
    if isinstance(value, dict):
        return ",".join(f"{name}={count}" for name, count in value.items())
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    show, unit = UNITS.get(option.field.rpartition("_")[2], (str, ""))
    short = show(value).replace(" ", "")
    try:
        if option.reader(short) == value:
            return short
    except LocalError:  # `2 min 05 s` is for people
        pass
    return f"{value:.17g}{unit}"


def _limits(run: Run, column: str, does: str) -> Iterator[str]:
    """What limits the seed and the peers, from the largest group to the smallest."""
    limits = run.members.select("peer", column).rows()
    for name, limit in limits:
        if name == TRACKER and limit is not None:
            yield f"the seed {does} at most {show_rate(limit)}"
    groups = Counter(limit for name, limit in limits if name != TRACKER)
    if set(groups) - {None}:
        yield from _groups(groups.most_common(), does)


def _groups(groups: Sequence[tuple[float | None, int]], does: str) -> Iterator[str]:
    for limit, count in groups:
        who = "each peer" if len(groups) == 1 else f"{count} {'peer' if count == 1 else 'peers'}"
        what = "without a limit" if limit is None else f"at most {show_rate(limit)}"
        yield f"{who} {does if len(groups) == 1 or count == 1 else does.removesuffix('s')} {what}"

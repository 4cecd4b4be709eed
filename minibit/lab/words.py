"""The figures of a run in words, for the command line, a report and a notebook alike.

`minibit.run.figures` says what a summary says. `known` says it of a `Run`, with what is known of a run besides, or as
much as is known of one without a summary. This room imports neither rich nor polars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

import msgspec

from minibit.run.figures import Figure, as_rows, content_figure, figures
from minibit.run.summary import Summary
from minibit.units import show_duration

if TYPE_CHECKING:
    from minibit.lab.run import Run

NOT_AT_A_GLANCE = {"run", "rules", "messages", "in all", "versions"}


def known(run: Run) -> Iterator[Figure]:
    """What the run was and came to; without a summary, how far it came."""
    if run.summary is None:
        content, complete, *rest = _so_far(run)
    else:
        first, content, complete, *rest = figures(msgspec.convert(run.summary, Summary))
        yield first
    yield content
    yield complete
    if rules := run.options.get("rules"):
        yield Figure("rules", f"{rules['picker']}, {rules['choker']}, {rules['slots']} + {rules['guests']} slots")
    odd = Counter(behaviour for behaviour in run.members["behaviour"] if behaviour not in (None, "honest"))
    if odd:
        sorts = (f"{count} {behaviour}" for behaviour, count in sorted(odd.items()))
        yield Figure("behaviour", f"{', '.join(sorts)}, all others honest")
    yield from rest
    if versions := [f"{name} {version}" for name, version in run.versions.items() if name != "platform"]:
        yield Figure("versions", ", ".join(versions))


def as_text(run: Run) -> str:
    """A headline, and a line for each figure."""
    head, rows = glance(run)
    return "\n".join([head, *(f"  {name:<9} {text}" for name, text in rows)])


def as_html(run: Run) -> str:
    """The same for a notebook."""
    head, rows = glance(run)
    return f"<div><b>{escape(head)}</b><table>{as_rows(rows)}</table></div>"


def glance(run: Run) -> tuple[str, list[tuple[str, str]]]:
    """A headline, and the names and texts of a few figures."""
    try:
        rows = [(one.question, one.text) for one in known(run) if one.question not in NOT_AT_A_GLANCE]
        rows.append(("records", ", ".join(f"{table.height:,} {name}" for name, table in run.records.items())))
        return _headline(run), rows + [("missing", sentence) for sentence in run.missing]
    except Exception as error:  # a run in a notebook's cell, however broken, must show itself
        return f"Run: {error}", []


def _headline(run: Run) -> str:
    complete = run.completion().height if run.summary is None else run.summary["completed"]
    world = f" ({run.world})" if run.world else ""
    return f"Run {run.name}{world}: {complete} of {len(run.peer_names)} peers complete in {show_duration(run.end_s)}"


def _so_far(run: Run) -> Iterator[Figure]:
    yield content_figure(run.content)
    yield Figure("complete", f"{run.completion().height:,} of {len(run.peer_names):,}")
    yield Figure("until", show_duration(run.end_s))

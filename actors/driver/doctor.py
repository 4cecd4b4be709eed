"""What the nodes of a cluster are like, side by side: a row for each, and in words how one differs from the others."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any, NamedTuple

import msgspec

from minibit.actors.disk.survey import NodeSurvey
from minibit.actors.driver.everywhere import names
from minibit.actors.driver.preflight import Surveyed, faults
from minibit.units import show_bytes, show_duration

CLOCK_S = 2.0  # by which clocks may differ
UNNAMED = "-"
VERSIONS = ("python", "ray", "minibit")
COMPARED = ("msgspec", "blake3", "uvloop")  # faults speak of the others
COLUMNS = ("disk", "memory", "files", "port", "clock", "copy")
"""Free bytes of the disk and in memory; how many files a process may have open; a free port for blocks; how much
the clock is ahead of the driver's; the copy."""


class NodeTable(NamedTuple):
    """A headline with the versions that all nodes have, and a row for each node; other versions have columns."""

    headline: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def table(surveyed: Surveyed, *, with_copy: bool = True) -> NodeTable:
    """The nodes side by side."""
    called = names([*surveyed.found, *surveyed.lost])
    had = {name: {survey.versions.get(name, UNNAMED) for survey in surveyed.found.values()} for name in VERSIONS}
    alike = [f"{name.capitalize()} {min(versions)}" for name, versions in had.items() if len(versions) == 1]
    unlike = [name for name, versions in had.items() if len(versions) > 1]
    columns = ("node", *unlike, *COLUMNS[: len(COLUMNS) - (not with_copy)])
    rows = [
        (called[node], *(survey.versions.get(name, UNNAMED) for name in unlike), *_figures(survey))[: len(columns)]
        for node, survey in surveyed.found.items()
    ]
    rows += [(called[node], *[UNNAMED] * (len(columns) - 1)) for node in surveyed.lost]
    return NodeTable(", ".join(alike), columns, rows)


def remarks(surveyed: Surveyed) -> dict[str, list[str]]:
    """What is wrong with each node, or unlike the others, and what to do; by the name of the node."""
    called = names([*surveyed.found, *surveyed.lost])
    said = faults(surveyed, replace=True)
    usual = {name: _most(survey.versions.get(name, "none") for survey in surveyed.found.values()) for name in COMPARED}
    for node, survey in surveyed.found.items():
        unlike = said.get(called[node], [])
        for name, version in usual.items():
            if (theirs := survey.versions.get(name, "none")) != version:
                unlike.append(f"it has {name} {theirs}, and other nodes have {version}: install the same")
        if abs(ahead_s := survey.clock_ahead_s or 0.0) > CLOCK_S:
            way = "ahead of" if ahead_s > 0 else "behind"
            unlike.append(f"its clock is {show_duration(abs(ahead_s))} {way} that of this machine: set it")
        if unlike:
            said[called[node]] = unlike
    return said


def shared(surveyed: Surveyed) -> list[list[str]]:
    """The names of the nodes of each file system that several nodes have under the destination."""
    called = names(list(surveyed.found))
    return [[called[node] for node in group] for group in surveyed.groups if len(group) > 1]


def as_object(surveyed: Surveyed) -> dict[str, Any]:
    """All of it as plain values."""
    nodes = [
        {"host": node.host, "node_id": node.node_id, **msgspec.to_builtins(survey)}
        for node, survey in surveyed.found.items()
    ]
    lost = [{"host": node.host, "node_id": node.node_id, "why": why} for node, why in surveyed.lost.items()]
    return {"nodes": nodes, "lost": lost, "shared": shared(surveyed), "remarks": remarks(surveyed)}


def _figures(survey: NodeSurvey) -> tuple[str, ...]:
    dest, memory_bytes, ahead_s = survey.dest, survey.free_memory_bytes, survey.clock_ahead_s
    changed = dest.state == "ours" and not dest.untouched
    return (
        show_bytes(dest.free_bytes),
        UNNAMED if memory_bytes is None else show_bytes(memory_bytes),
        _limit(survey.open_files[1]),
        f"{survey.port}" if survey.port else UNNAMED,
        UNNAMED if ahead_s is None else f"{'-' * (ahead_s < 0)}{show_duration(abs(ahead_s))}",
        "changed" if changed else dest.state,
    )


def _limit(count: int) -> str:
    return (
        UNNAMED if not count else "any" if count == sys.maxsize else f"{count // 1000}k" if count > 9999 else f"{count}"
    )


def _most(values: Any) -> str:
    return str(max(Counter(values).items(), key=lambda item: (item[1], item[0]), default=("none", 0))[0])

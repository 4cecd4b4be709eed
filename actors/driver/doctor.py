"""What the nodes of a cluster are like, side by side: a row for each, and in words how one differs from the others."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import msgspec

from minibit.actors.disk.survey import NodeSurvey
from minibit.actors.driver.everywhere import names
from minibit.actors.driver.preflight import Surveyed, faults
from minibit.units import show_bytes, show_duration

CLOCK_S = 2.0  # by which clocks may differ
UNNAMED = "-"
COMPARED = ("msgspec", "blake3", "uvloop")  # faults speak of Python, Ray and Minibit

COLUMNS = ("node", "python", "ray", "minibit", "disk", "memory", "files", "clock", "copy")
"""Versions; free bytes of the disk and in memory; how many files a process may have open; the clock; the copy."""


def rows(surveyed: Surveyed) -> list[tuple[str, ...]]:
    """The `COLUMNS` of each node."""
    called = names([*surveyed.found, *surveyed.lost])
    found = [(called[node], *_row(survey)) for node, survey in surveyed.found.items()]
    return found + [(called[node], *[UNNAMED] * (len(COLUMNS) - 1)) for node in surveyed.lost]


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


def _row(survey: NodeSurvey) -> tuple[str, ...]:
    dest, memory_bytes, ahead_s = survey.dest, survey.free_memory_bytes, survey.clock_ahead_s
    changed = dest.state == "ours" and not dest.untouched
    return (
        *(survey.versions.get(name, UNNAMED) for name in ("python", "ray", "minibit")),
        show_bytes(dest.free_bytes),
        UNNAMED if memory_bytes is None else show_bytes(memory_bytes),
        _limit(survey.open_files[1]),
        UNNAMED if ahead_s is None else f"{'-' * (ahead_s < 0)}{show_duration(abs(ahead_s))}",
        "changed" if changed else dest.state,
    )


def _limit(count: int) -> str:
    return (
        UNNAMED if not count else "any" if count == sys.maxsize else f"{count // 1000}k" if count > 9999 else f"{count}"
    )


def _most(values: Any) -> str:
    return str(max(Counter(values).items(), key=lambda item: (item[1], item[0]), default=("none", 0))[0])

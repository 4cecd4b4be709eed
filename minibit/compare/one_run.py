"""One run of a comparison, as a process of its own: what to run on standard input, what it came to on standard output.

Both are one line of JSON. The comparison keeps standard input open. When it ends, the run ends too, so no run outlives
its comparison, however that died. On a Ray cluster `run` is the task instead.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from math import inf
from pathlib import Path
from statistics import fmean, median
from threading import Thread
from typing import Any

import msgspec

from minibit.errors import MinibitError
from minibit.events import TRACKER
from minibit.lab.machine import free_memory_bytes
from minibit.records import Record
from minibit.run import needs
from minibit.run.measures import bytes_between, presences
from minibit.run.options import Options
from minibit.run.seating import seats
from minibit.run.summary import Summary
from minibit.seat import Seat
from minibit.sim import Scenario, Simulation
from minibit.strategies import Shipment

Figures = dict[str, float | None]


def run(options: dict[str, Any], scenario: dict[str, Any], shipment: Shipment | None = None) -> dict[str, Any]:
    """The result of one run: `figures` and `summary`, or why it was `lost`; and how long it `took_s`, by our clock.

    `shipment` has strategies by the names that the options give. Their modules need not be on this machine.
    """
    if shipment is not None:
        shipment.unpack()
    began_at = time.monotonic()
    found: dict[str, Any]
    try:
        go = _simulated if options["world"] == "sim" else _real
        summary, figures = go(options, scenario)
        found = {"figures": figures, "summary": summary.as_dict()}
    except MinibitError as error:
        found = {"lost": str(error)}
    except Exception as error:  # also MemoryError, and anything that a user's strategy raises
        where = traceback.extract_tb(error.__traceback__)[-1]
        found = {"lost": f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"}
    return {**found, "took_s": time.monotonic() - began_at}


def _simulated(given: dict[str, Any], scenario: dict[str, Any]) -> tuple[Summary, Figures]:
    options = Options.build(**given)
    needs.block_bytes_for(options, free_memory_bytes())(options.size_bytes)
    simulation = Simulation(options, Scenario.build(scenario, options.peers))
    summary = simulation.run()
    return summary, figures(summary, simulation.records, _groups(simulation.seats))


def _real(given: dict[str, Any], scenario: dict[str, Any]) -> tuple[Summary, Figures]:
    from minibit.actors.driver.swarm import Swarm  # noqa: PLC0415  imports Ray, which a simulation doesn't need

    with tempfile.TemporaryDirectory(prefix="minibit-compare-") as folder:
        options = Options.build(**{**given, "out": str(Path(folder, "run"))})
        with Swarm.launch(options=options) as swarm:
            summary = swarm.wait()
            records = list(swarm.ledger.records())
    return summary, figures(summary, records, _groups(seats(options)))


def _groups(seats: Iterable[Seat]) -> dict[str, list[str]]:
    """The names of the peers of each behaviour, and of each class or team (`class.NAME`)."""
    groups: dict[str, list[str]] = {}
    for seat in seats:
        if not seat.seeds:
            groups.setdefault(seat.behaviour, []).append(seat.name)
            if seat.class_name is not None:
                groups.setdefault(f"class.{seat.class_name}", []).append(seat.name)
    return groups


def completions(records: Iterable[Record]) -> dict[str, float]:
    """How long each peer that became complete took for that, in seconds from its own start."""
    return {
        peer: presence.completed_s - presence.started_s
        for peer, presence in presences(records).items()
        if presence.started_s <= presence.completed_s < inf and peer != TRACKER
    }


def figures(summary: Summary, records: Iterable[Record], groups: dict[str, list[str]]) -> Figures:
    """All measures of a run (see columns.py), in base units; None where there is nothing to measure.

    `groups` are the peers of a behaviour, or of a class or team (`class.NAME`). A class also has what its peers gave
    and took, in copies of the content for each peer on average, and how many of them never became complete.
    """
    records = list(records)
    took_s = completions(records)
    all_s = list(took_s.values())
    found: Figures = {
        "transfer_s": None if summary.failed else summary.seconds.transfer,
        "mean_s": fmean(all_s) if all_s else None,
        "median_s": median(all_s) if all_s else None,
        "efficiency": summary.efficiency,
        "goodput_bps": summary.goodput_bps,
        "seed_copies": summary.seed_copies,
        "wasted_share": summary.bytes.wasted_share,
        "control_share": summary.bytes.control_share,
        "jain": summary.fairness_jain,
        "incomplete": len(summary.failed),
    }
    means = {name: [took_s[peer] for peer in peers if peer in took_s] for name, peers in groups.items()}
    honest_s = fmean(means.get("honest") or [0.0])
    for name, theirs_s in means.items():
        found[f"mean_s.{name}"] = fmean(theirs_s) if theirs_s else None
        if theirs_s and honest_s and name != "honest" and not name.startswith("class."):
            found[f"slowdown.{name}"] = fmean(theirs_s) / honest_s
    classes = {name: set(peers) for name, peers in groups.items() if name.startswith("class.")}
    between = bytes_between(records) if classes else Counter()
    for name, peers in classes.items():
        gave_bytes = sum(size_bytes for (source, _), size_bytes in between.items() if source in peers)
        took_bytes = sum(size_bytes for (_, target), size_bytes in between.items() if target in peers)
        copies_bytes = len(peers) * summary.content.bytes
        found[f"median_s.{name}"] = median(means[name]) if means[name] else None
        found[f"gave.{name}"] = gave_bytes / copies_bytes if copies_bytes else None
        found[f"took.{name}"] = took_bytes / copies_bytes if copies_bytes else None
        found[f"share.{name}"] = gave_bytes / took_bytes if took_bytes else None
        found[f"incomplete.{name}"] = len(peers) - len(means[name])
    return found


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Read what to run, run it, and tell."""
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # Ray and strategies may print
        told = msgspec.json.decode(sys.stdin.buffer.readline())
        if told["options"]["world"] == "ray":
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # a swarm is closed first
        Thread(target=_end_with_parent, daemon=True).start()
        out.write(msgspec.json.encode(run(**told)))


if __name__ == "__main__":
    main()

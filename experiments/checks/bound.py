"""Check 1: no swarm beats the lower bound, no byte is lost or made, and rarest first comes close to the bound."""

from __future__ import annotations

from functools import partial
from typing import Any

from checks import rounds
from checks.check import Check, CheckRow, Found, Scale, Task, at_least, at_most, average
from checks.runs import UPLOAD_BPS, Figures, figures, run, standard

ELSEWHERE = "the runs of other checks"  # the case under which their figures are added

# swarms of every sort: how each differs from the standard swarm
SORTS: dict[str, dict[str, Any]] = {
    "as fast a seed as a peer": {"seed_upload": UPLOAD_BPS},
    "a slow seed": {"seed_upload": UPLOAD_BPS / 2},
    "few blocks": {"blocks": 16},
    "two slots": {"slots": 1},
    "downlinks that bind": {"download": 1.5 * UPLOAD_BPS},
    "few neighbours": {"neighbours": 8},
    "who is complete leaves": {"leave": "complete"},
    "no choking": {"choker": "none"},
    "the original's choker": {"choker": "rarity"},
    "random picker": {"picker": "random"},
    "free riders": {"behave": {"free-rider": 4}},
    "corrupters": {"behave": {"corrupter": 2}},
    "two peers": {"peers": 2},
}


def tasks(scale: Scale) -> list[Task]:
    """Swarms of every sort, and synchronous rounds."""
    dimensions, blocks = scale.of((8, 256), (5, 32))
    peers = 2**dimensions - 1
    found = [Task("hypercube", partial(planned, dimensions, blocks))]
    found += [
        Task(picker, partial(in_rounds, picker, peers, blocks, seed), 100)
        for picker in ("rarest-first", "random")
        for seed in scale.chances(3)
    ]
    size = scale.of({"peers": 40}, {"peers": 12, "blocks": 24})
    return found + [Task(sort, partial(swarm, 1, size | changes), 50) for sort, changes in SORTS.items()]


def planned(dimensions: int, blocks: int) -> Figures:
    """The figures of the plan by a hypercube."""
    return of_rounds(rounds.by_hypercube(dimensions, blocks), 2**dimensions - 1, blocks)


def in_rounds(picker: str, peers: int, blocks: int, seed: int) -> Figures:
    """The figures of synchronous rounds with a picker."""
    return of_rounds(rounds.with_picker(picker, peers, blocks, seed).rounds, peers, blocks)


def of_rounds(count: int, peers: int, blocks: int) -> Figures:
    """The number of rounds, beside the least possible."""
    return {"rounds": count, "least": rounds.least(peers, blocks), "ratio": count / rounds.least(peers, blocks)}


def swarm(seed: int, changes: dict[str, Any]) -> Figures:
    """The figures of a simulated swarm of some sort."""
    return figures(*run(standard(seed, **changes)))


def rows(found: Found) -> list[CheckRow]:
    """Bound and conservation over all runs, then the rounds of the pickers."""
    runs = [one for case, many in found.items() if case in SORTS or case == ELSEWHERE for one in many]
    bounded = [one["over_bound"] for one in runs if one.get("over_bound")]
    counted = [one for one in runs if "sent_bytes" in one]
    leaks = sum(one["sent_bytes"] != one["received_bytes"] + one["lost_bytes"] for one in counted)
    plan = found["hypercube"][0]
    return [
        at_least(f"least makespan / bound of {len(bounded)} runs", min(bounded), 1.0),
        CheckRow(f"runs of {len(counted)} in which bytes sent ≠ bytes received + lost", "0", str(leaks), not leaks),
        CheckRow("rounds, hypercube", str(plan["least"]), str(plan["rounds"]), plan["rounds"] == plan["least"]),
        at_most("rounds / least, rarest first", average(found["rarest-first"], "ratio"), 1.06),
        at_least("rounds / least, random", average(found["random"], "ratio"), 1.10),
    ]


def draw(found: Found, figure: Any) -> None:
    """How far above the bound each sort of swarm is."""
    axes = figure.subplots()
    sorts = [sort for sort in SORTS if found[sort][0]["over_bound"] is not None]
    axes.barh(sorts[::-1], [found[sort][0]["over_bound"] for sort in sorts[::-1]], color="C0")
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel("makespan / lower bound")


CHECK = Check(
    "Bound and conservation",
    "No swarm is faster than its lower bound, and what is sent arrives. Where all send one block in each round and"
    " know everything, M + floor(log2 N) rounds are the least possible (Mundinger, Weber and Weiss 2008).",
    tasks,
    rows,
    draw,
    """\
The swarms have 40 peers and are odd in one way each; all runs of the other checks count too, but for the open swarm of
check 9, which has no bound. Bytes are compared when the blocks that were under way at the end have come. A corrupter's
blocks are sent and received like any others. Lost is a block whose last byte has left, and whose receiver leaves
within the latency, before it is there: it was asked twice, and the other came first. That happened to one block in one
run of all (check 3, where complete peers leave).

The rounds: 255 peers and a seed, 256 blocks, with the pickers and the counts of Minibit; the peers that are served are
drawn at random.
""",
)

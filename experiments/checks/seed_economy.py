"""Check 2: the copies that the seed must send until the peers do not need it any more."""

from __future__ import annotations

from functools import partial
from typing import Any

from checks import rounds
from checks.check import Check, CheckRow, Found, Scale, Task, at_least, at_most, average
from checks.runs import UPLOAD_BPS, Figures, figures, run, standard
from minibit.events import TRACKER
from minibit.run import measures

IN_ROUNDS = "random, in rounds"  # the cost of whole blocks even with perfect information
TIMES = (1, 2, 4)  # the uplink of the seed / of a peer
CASES = [(picker, times) for picker in ("rarest-first", "random") for times in TIMES] + [("sequential", 1)]


def tasks(scale: Scale) -> list[Task]:
    """The standard swarm with three pickers, and a seed as fast as a peer, twice, and four times as fast."""
    size = scale.of({"peers": 100, "blocks": 128}, {"peers": 20, "blocks": 48})
    ideal = [Task(IN_ROUNDS, partial(in_rounds, seed, **size), 5) for seed in scale.chances(5)]
    return ideal + [
        Task(case, partial(one, seed, *case, size), 300 if case[0] == "sequential" else 100)
        for case in CASES
        for seed in scale.chances(1 if case[0] == "sequential" else 3)
    ]


def one(seed: int, picker: str, times: int, size: dict[str, Any]) -> Figures:
    """One run, with the copies that the seed had sent when every block was at some peer too."""
    simulation, summary = run(standard(seed, picker=picker, seed_upload=times * UPLOAD_BPS, **size))
    records, content = list(simulation.records), simulation.content
    spread_s = measures.spread_s(records, content.block_count)
    copies = measures.seed_copies(records, TRACKER, content.content_bytes, spread_s)
    return figures(simulation, summary) | {"copies": copies}


def in_rounds(seed: int, peers: int, blocks: int) -> Figures:
    """The same for a random picker in synchronous rounds with perfect information, with a seed as fast as a peer."""
    course = rounds.with_picker("random", peers, blocks, seed)
    return {"copies": course.seed_rounds / blocks, "ratio": course.rounds / rounds.least(peers, blocks)}


def rows(found: Found) -> list[CheckRow]:
    """The copies, and their effect on the makespan."""
    copies = {case: average(some, "copies") for case, some in found.items()}
    ratio = average(found[IN_ROUNDS], "ratio")
    return [
        *(at_most(f"seed copies, rarest first, seed {one} u", copies["rarest-first", one], 1.3) for one in TIMES),
        at_least("seed copies, random, seed 1 u", copies["random", 1], copies[IN_ROUNDS]),
        at_most("makespan / bound, rarest first, seed 1 u", average(found["rarest-first", 1], "over_bound"), 1.4),
        at_least("makespan / bound, random, seed 1 u", average(found["random", 1], "over_bound"), ratio),
        at_least("makespan / bound, sequential, seed 1 u", average(found["sequential", 1], "over_bound"), 5.0),
    ]


def draw(found: Found, figure: Any) -> None:
    """Copies by picker and by the speed of the seed."""
    axes = figure.subplots()
    for picker, marker in (("rarest-first", "o"), ("random", "s")):
        axes.plot(TIMES, [average(found[picker, times], "copies") for times in TIMES], marker=marker, label=picker)
    axes.axhline(1.3, color="black", linewidth=1, linestyle="--", label="most expected of rarest first")
    axes.set(xlabel="uplink of the seed / of a peer", ylabel="copies sent by the seed\nuntil every block is elsewhere")
    axes.set_ylim(bottom=1)
    axes.legend()


CHECK = Check(
    "Seed economy",
    "Rarest first lets the seed send few blocks twice before each is somewhere else; other pickers waste its uplink"
    " (Bharambe, Herley and Padmanabhan 2006; Legout, Urvoy-Keller and Michiardi 2006).",
    tasks,
    rows,
    draw,
    """\
For the random picker, ranges of 1.9 copies and 1.8 bounds are known from swarms where a block arrives in parts from
several neighbours: there the seed also goes on with blocks that somebody else has begun. Minibit's blocks travel whole,
each asked of one neighbour only, so less is wasted. What is wasted at least is what synchronous rounds waste in which
everybody knows everything, with the same picker, as many peers and as many blocks (`experiments/checks/rounds.py`):
that is the range here. What comes on top is news that is late.

The seed's economy hangs on the pipeline. Blocks that wait in its queue can't be chosen anew when others have become
rarer. With two open PEDIDOs for each neighbour the seed sent 1.16 copies, with one 1.08 (50 peers, seed 2 u, one seed
of chance): [decision 10](decisions/0010-a-slow-neighbour-is-asked-for-one-block-at-a-time.md).
""",
    large=("seed copies, rarest first",),
)

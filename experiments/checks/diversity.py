"""Check 8: while only the seed has some blocks, it gives new ones away; after that all are common (Legout 2006)."""

from __future__ import annotations

from functools import partial
from statistics import mean
from typing import Any

from checks.check import Check, CheckRow, Found, Scale, Task, at_most, average, between
from checks.runs import SLOTS, UPLOAD_BPS, Figures, figures, run, standard
from minibit.lab import Run
from minibit.run import bounds, measures

SAMPLE_S = 10.0
COMMON = 0.7  # the copies of the rarest block, as a share of the mean, from which it is common
MOST_STARTUPS = 2.0  # the longest time until then, after the last block came from the seed


def tasks(scale: Scale) -> list[Task]:
    """The standard swarm with a seed twice as fast as a peer."""
    peers, blocks = scale.of((100, 128), (30, 48))
    return [Task("rarest-first", partial(one, seed, peers, blocks), 100) for seed in scale.chances(5)]


def one(seed: int, peers: int, blocks: int) -> Figures:
    """One run, sampled every 10 s."""
    seed_bps = 2 * UPLOAD_BPS
    simulation, summary = run(standard(seed, peers=peers, blocks=blocks, seed_upload=seed_bps))
    seen = Run.of(simulation.ledger, summary)
    copies = seen.availability(SAMPLE_S).select("at_s", "alone", "least", "mean", "most").rows()
    spread_s = measures.spread_s(simulation.records, blocks)
    rare = [at_s for at_s, _, least, middle, _ in copies if at_s > spread_s and least < COMMON * middle]
    startup_s = bounds.startup_s(peers, SLOTS, simulation.content.block_bytes / UPLOAD_BPS)
    shares = sorted(seen.interest()["share"])
    return figures(simulation, summary) | {
        "spread_s": spread_s,
        "fall": blocks * simulation.content.block_bytes / spread_s / seed_bps,
        "common": (max(rare, default=spread_s) + SAMPLE_S - spread_s) / startup_s,
        "interest": [measures.percentile(shares, percent) for percent in (20, 50, 80)],
        "curve": copies,
    }


def rows(found: Found) -> list[CheckRow]:
    """The speed at which the seed gives new blocks away, and the time until the last one is common."""
    runs = found["rarest-first"]
    low, middle, high = (mean(one["interest"][place] for one in runs) for place in range(3))
    return [
        between("blocks that only the seed holds: fall / uplink of the seed", average(runs, "fall"), 0.75, 1.0),
        at_most("start-ups until the rarest block has 0.7 of the mean copies", average(runs, "common"), MOST_STARTUPS),
        CheckRow("interest, 20th, 50th, 80th percentile", "reported", f"{low:.2f}, {middle:.2f}, {high:.2f}", True),
    ]


def draw(found: Found, figure: Any) -> None:
    """One run: blocks that only the seed holds, and copies of each block."""
    left, right = figure.subplots(1, 2)
    at_s, alone, least, middle, most = zip(*found["rarest-first"][0]["curve"], strict=True)
    left.plot(at_s, alone)
    left.set(xlabel="seconds", ylabel="blocks held by the seed alone")
    right.fill_between(at_s, least, most, alpha=0.3, label="rarest to commonest")
    right.plot(at_s, middle, label="mean")
    right.set(xlabel="seconds", ylabel="copies of a block")
    right.legend(loc="lower right")


CHECK = Check(
    "Diversity",
    "While the seed alone has some blocks, it gives away new ones at nearly its full rate; soon after the last one"
    " came, no block is rare (Legout, Urvoy-Keller and Michiardi 2006).",
    tasks,
    rows,
    draw,
    """\
*Then* has a length with whole blocks. The last block to leave the seed must itself be handed on: one start-up, k /
log2(1 + k) · log2(N) τ = 29 s. And a peer that could have it next is mostly receiving another block, half of which is
still to come: half a start-up more. With samples 10 s apart that is two start-ups at most, which is the range here.

With two open PEDIDOs for each neighbour, and news that waited behind blocks, it took 3.5 start-ups: the rarest block
was common 87 s after the last one had left the seed, and 45 s with neither (50 peers, one seed of chance; decisions
[9](decisions/0009-messages-pass-between-the-parts-of-a-block.md) and
[10](decisions/0010-a-slow-neighbour-is-asked-for-one-block-at-a-time.md)).

Interest is the share of the common time in which one peer wants something of another; Legout and others find most pairs
near 1.
""",
    large=("blocks that only", "start-ups until"),
)

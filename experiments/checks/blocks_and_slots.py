"""Check 5: many small blocks start sooner; many slots start later."""

from __future__ import annotations

from functools import partial
from typing import Any

from checks.check import Check, CheckRow, Found, Scale, Task, ascending, at_least, at_most, average, between
from checks.runs import CONTENT_BYTES, SLOTS, UPLOAD_BPS, Figures, figures, run, standard
from minibit.run import bounds

BLOCKS = (16, 32, 64, 128, 256, 512, 1024)
SLOTS_TRIED = (2, 4, 8, 16)  # with the guest's
CASES = [*((blocks, SLOTS) for blocks in BLOCKS), *((128, slots) for slots in SLOTS_TRIED if slots != SLOTS)]
MANY_BLOCKS = 256  # from here on one random seed is enough, and takes long
PEERS = 100


def tasks(scale: Scale) -> list[Task]:
    """The same content in more and more blocks, then with more and more slots."""
    cases = scale.of(CASES, [(16, 4), (64, 4), (128, 4), (128, 2), (128, 16)])
    return [
        Task((blocks, slots), partial(one, seed, scale.of(PEERS, 20), blocks, slots), blocks)
        for blocks, slots in cases
        for seed in scale.chances(3 if blocks < MANY_BLOCKS else 1)
    ]


def one(seed: int, peers: int, blocks: int, slots: int) -> Figures:
    """One run."""
    return figures(*run(standard(seed, peers=peers, blocks=blocks, slots=slots - 1)))


def rows(found: Found) -> list[CheckRow]:
    """The start-up for each number of blocks, the makespan, and the order of slots."""
    over = {case: average(some, "over_bound") for case, some in found.items()}
    tried = [slots for slots in SLOTS_TRIED if (128, slots) in found]
    return [
        at_least("makespan / bound, 16 blocks", over[16, SLOTS], 2.0),
        at_most("makespan / bound, 64 blocks", over[64, SLOTS], 1.5),
        at_most("makespan / bound, 128 blocks", over[128, SLOTS], 1.18),
        *(at_most("makespan / bound, 1024 blocks", over[case], 1.05) for case in found if case == (1024, SLOTS)),
        *(
            between(f"start-up in τ, {blocks} blocks", average(found[blocks, SLOTS], "startup_tau"), 8, 18)
            for blocks in BLOCKS
            if blocks >= 128 and (blocks, SLOTS) in found
        ),
        ascending(f"makespan / bound with {', '.join(map(str, tried))} slots", [over[128, slots] for slots in tried]),
    ]


def draw(found: Found, figure: Any) -> None:
    """Makespan by blocks, beside the law; and by slots."""
    left, right = figure.subplots(1, 2)
    left.semilogx(BLOCKS, [average(found[blocks, SLOTS], "over_bound") for blocks in BLOCKS], marker="o", base=2)
    fluid_s = PEERS * CONTENT_BYTES / ((PEERS + 4) * UPLOAD_BPS)
    law = [1 + bounds.startup_s(PEERS, SLOTS, CONTENT_BYTES / blocks / UPLOAD_BPS) / fluid_s for blocks in BLOCKS]
    left.semilogx(BLOCKS, law, color="black", linewidth=1, linestyle="--", base=2, label="law")
    left.set(xlabel="blocks", ylabel="makespan / lower bound")
    left.legend()
    right.plot(SLOTS_TRIED, [average(found[128, slots], "over_bound") for slots in SLOTS_TRIED], marker="o")
    right.set_xlabel("slots, the guest's included")


CHECK = Check(
    "Block size and slots",
    "A block is served on when it is whole, and slots share an uplink: a swarm of N peers with k slots starts for about"
    " k / log2(1 + k) · log2(N) blocks of one uplink (derived), whatever their size.",
    tasks,
    rows,
    draw,
    """\
With 16 blocks the runs lie on both sides of the limit: 1.87, 1.88 and 2.05. Less is no fault: it is a loss.
""",
    large=("makespan / bound, 16 blocks", "makespan / bound with"),
)

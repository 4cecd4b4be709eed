"""Check 3: peers trade with those of their own speed (Legout and others 2007)."""

from __future__ import annotations

from functools import partial
from statistics import mean
from typing import Any

from checks.check import Check, CheckRow, Found, Scale, Task, at_least, at_most, average, between
from checks.runs import Figures, figures, run, standard
from minibit.run import measures

CLASSES = {"slow": (13, 20_000.0), "medium": (14, 50_000.0), "fast": (13, 200_000.0)}  # peers, bytes a second
BLOCK_BYTES = 256_000
FAST_SEED_BPS, SLOW_SEED_BPS = 200_000, 100_000
CASES = {  # choker, uplink of the seed, when a peer leaves
    "fast seed": ("tit-for-tat", FAST_SEED_BPS, "complete"),
    "slow seed": ("tit-for-tat", SLOW_SEED_BPS, "complete"),
    "slow seed, all stay": ("tit-for-tat", SLOW_SEED_BPS, "never"),
    "no choking": ("none", FAST_SEED_BPS, "complete"),
}


def tasks(scale: Scale) -> list[Task]:
    """Runs with a fast seed, with a slow seed that limits all, and with the fast seed and no choking."""
    blocks = scale.of(453, 60)
    return [Task(case, partial(one, seed, case, blocks), 60) for case in CASES for seed in scale.chances(5)]


def one(seed: int, case: str, blocks: int) -> Figures:
    """One run: the bytes between classes, when each class was complete, and the use of the uplinks until then."""
    choker, seed_bps, leave = CASES[case]
    classes = [{"name": name, "peers": peers, "upload": bps} for name, (peers, bps) in CLASSES.items()]
    options = standard(
        seed,
        peers=sum(peers for peers, _ in CLASSES.values()),
        size=blocks * BLOCK_BYTES,
        block_size=BLOCK_BYTES,
        seed_upload=seed_bps,
        choker=choker,
        leave=leave,
    )
    simulation, summary = run(options, classes=classes)
    found = figures(simulation, summary)
    records = list(simulation.records)
    class_of = {seat.name: seat.class_name for seat in simulation.seats if seat.class_name is not None}
    shares = measures.class_shares(measures.bytes_between(records), class_of)
    completed_s = {peer: presence.completed_s for peer, presence in measures.presences(records).items()}
    for name in CLASSES:
        found[f"{name} own"] = shares[name, name]
        found[f"{name} s"] = mean(completed_s[peer] for peer, kind in class_of.items() if kind == name)
    uplinks_bps = {peer: CLASSES[name][1] for peer, name in class_of.items()}
    found["use"] = measures.upload_utilisation(records, uplinks_bps, summary.seconds.transfer)
    found["shares"] = [[shares[giver, taker] for taker in CLASSES] for giver in CLASSES]
    return found


def rows(found: Found) -> list[CheckRow]:
    """The rows of a fast seed, a slow one, and a swarm without choking."""
    fast_s, slow_s, stay_s, _ = ({name: average(found[case], f"{name} s") for name in CLASSES} for case in CASES)

    def own(case: str) -> list[tuple[str, float]]:
        what = f"{case}: own-class share of what the {{}} ones send"
        return [(what.format(name), average(found[case], f"{name} own")) for name in CLASSES]

    return [
        *(at_least(*share, 0.45) for share in own("fast seed")),
        at_least("fast seed: mean time, slow / medium", fast_s["slow"] / fast_s["medium"], 1.4),
        at_least("fast seed: mean time, medium / fast", fast_s["medium"] / fast_s["fast"], 1.5),
        at_least("fast seed: use of the uplinks", average(found["fast seed"], "use"), 0.85),
        at_most("slow seed: slowest / fastest class", max(slow_s.values()) / min(slow_s.values()), 1.15),
        *(at_most(*share, 0.40) for share in own("slow seed")),
        at_most("slow seed, all stay: slowest / fastest class", max(stay_s.values()) / min(stay_s.values()), 1.15),
        *(at_most(*share, 0.40) for share in own("slow seed, all stay")),
        *(between(*share, 0.28, 0.38) for share in own("no choking")),
    ]


def draw(found: Found, figure: Any) -> None:
    """Shares from class to class in each case."""
    for axes, case in zip(figure.subplots(1, len(CASES), sharey=True), CASES, strict=True):
        runs = [one["shares"] for one in found[case]]
        shares = [[mean(cells) for cells in zip(*rows, strict=True)] for rows in zip(*runs, strict=True)]
        axes.imshow(shares, vmin=0, vmax=0.7, cmap="Blues")
        for row, giver in enumerate(shares):
            for column, share in enumerate(giver):
                axes.text(column, row, f"{share:.2f}", ha="center", va="center", color="w" if share > 0.45 else "k")
        axes.set_xticks(range(3), CLASSES)
        axes.set_yticks(range(3), CLASSES)
        axes.set(xlabel="to", title=case)
    figure.axes[0].set_ylabel("from")


CHECK = Check(
    "Clustering",
    "Peers of three speeds end up trading with those of their own speed, unless the seed holds all back (Legout,"
    " Liogkas, Kohler and Zhang 2007).",
    tasks,
    rows,
    draw,
    """\
The swarm: 13 peers with 20 kB/s, 14 with 50 and 13 with 200; 453 blocks of 256 kB. Complete peers leave, but for the
rows "all stay". The fast seed has 200 kB/s, the slow one 100.

What differs with the slow seed happens after the first peers have left. At 1300 s the seed has sent each block once,
and a slow peer holds 344 blocks, a medium one 432, a fast one 444 (one seed of chance). A fast peer then gets the last
ones from fast neighbours, is complete at 1356 s on average, and leaves; most medium ones leave soon after. They take
nine tenths of all uplinks with them. The slow ones must get what they lack from the seed and from each other, which
takes until 2020 s. Before [decision 15](decisions/0015-endgame-asks-the-faster-neighbour-at-once.md) a fast peer
waited for its last blocks at slow neighbours until about 1460 s, and served others meanwhile; so all classes were late
alike, and slow ones complete at 1520 s. Where complete peers stay, the law holds, and nobody pays for the new rule:
slow, medium and fast peers take 1425, 1348 and 1332 s instead of 1492, 1468 and 1462 s.

This check found the worst fault of the simulated swarm so far: a PEDIDO that waits behind a block. With the slow seed,
one seed of chance, mean times of slow, medium and fast peers were then

| what may pass the block under way | slow, medium, fast | own-class share of the slow ones |
|---|---|---|
| nothing | 2657 s, 1548 s, 1462 s | 0.56 |
| ESTOQUE | 2665 s, 1544 s, 1447 s | 0.60 |
| PEDIDO | 1540 s, 1467 s, 1456 s | 0.32 |
| both, as it is now | 1517 s, 1491 s, 1490 s | 0.31 |

([decision 9](decisions/0009-messages-pass-between-the-parts-of-a-block.md).) Without choking the swarm sent 16 % of its
bytes twice before, and hardly any since.

How sharply classes part hangs on the window of the measured rates. A slow peer's block takes 51 s with four at once,
and the window is two rounds, 20 s: a neighbour that gives steadily looks as if it gave now and then. With longer
windows (three seeds of chance):

| window | fast seed: slow / medium | fast seed: own-class share, slow | slow seed: slow / fast |
|---|---|---|---|
| 2 rounds | 1.58 | 0.61 | 1.46 |
| 3 rounds | 1.63 | 0.63 | 1.65 |
| 4 rounds | 1.71 | 0.68 | 1.89 |
| 6 rounds | 1.69 | 0.65 | 1.93 |

With two rounds both halves of the check hold, as long as all are there. A longer window parts classes hardly better,
and slow peers pay for it.
""",
    large=("fast seed",),
)

"""What follows from the records of a run: tables of tables, each a plain function of columns.

Columns are computed as a whole, so that millions of rows cost seconds. What records alone define is taken from
`minibit.run.measures`. Peers that are gone hold and give nothing; the seed's own copy never counts.
"""

from __future__ import annotations

from math import ceil, floor, inf, log10, nextafter

import numpy as np
import polars as pl

from minibit import inventory
from minibit.events import TRACKER
from minibit.records import BY_HAND, PeerRecord
from minibit.run import measures

STEPS = 200  # the most steps of a time axis, unless the caller says how many


def nice_step_s(end_s: float, steps: int = STEPS) -> float:
    """The smallest of 1, 2 or 5 times a power of ten seconds that makes at most `steps` steps until `end_s`."""
    if end_s <= 0:
        return 1.0
    power = 10.0 ** floor(log10(end_s / steps))
    return next(power * times for times in (1, 2, 5, 10) if power * times * steps >= end_s)


# lives and holdings


def lives(members: pl.DataFrame, peers: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """When each member had its first record, started, was complete, and was gone; null for what did not happen."""
    presences = measures.presences(PeerRecord(*row) for row in peers.iter_rows())
    found = pl.DataFrame(
        [(peer, *(None if at_s == inf else at_s for at_s in presence)) for peer, presence in presences.items()],
        schema={"peer": pl.String} | dict.fromkeys(measures.Presence._fields, pl.Float64),
        orient="row",
    )
    own = peers.filter(~pl.col("event").is_in(BY_HAND))
    joined = pl.concat([own.select("peer", "at_s"), links.select("peer", "at_s")]).group_by("peer")
    return (
        members.select("peer")
        .join(joined.agg(joined_s=pl.col("at_s").min()), on="peer", how="left", maintain_order="left")
        .join(found, on="peer", how="left", maintain_order="left")
    )


def arrivals(blocks: pl.DataFrame, members: pl.DataFrame, lives: pl.DataFrame) -> pl.DataFrame:
    """When each peer (not the seed) first held each block. Blocks held at the start count from joining, or from 0."""
    came = blocks.lazy().filter(verdict="useful").filter(pl.col("peer") != TRACKER).select("peer", "block", "at_s")
    had = members.filter((pl.col("peer") != TRACKER) & (pl.col("held_at_start") != "0"))
    if had.is_empty():
        return came.collect()
    blocks_had = [list(inventory.indices(int(held, 16))) for held in had["held_at_start"]]
    at_start = (
        had.select("peer", block=pl.Series(blocks_had, dtype=pl.List(pl.Int64)))
        .join(lives.select("peer", at_s=pl.col("joined_s").fill_null(0.0).clip(0.0)), on="peer", maintain_order="left")
        .explode("block")
    )
    return pl.concat([at_start.lazy(), came]).sort("at_s", maintain_order=True).collect()


def held(arrivals: pl.DataFrame, lives: pl.DataFrame, at_s: float) -> pl.DataFrame:
    """The blocks that each peer has at that time; peers that are gone by then are left out."""
    gone = lives.filter(pl.col("gone_s") <= at_s)
    return arrivals.filter(pl.col("at_s") <= at_s).select("peer", "block").join(gone, on="peer", how="anti")


def copies(held: pl.DataFrame, block_count: int) -> pl.DataFrame:
    """How many peers hold each block."""
    every = pl.DataFrame({"block": range(block_count)}, schema={"block": pl.Int64})
    counted = held.group_by("block").agg(copies=pl.len().cast(pl.Int64))
    return every.join(counted, on="block", how="left", maintain_order="left").with_columns(
        pl.col("copies").fill_null(0)
    )


def availability(
    arrivals: pl.DataFrame, lives: pl.DataFrame, block_count: int, end_s: float, every_s: float
) -> pl.DataFrame:
    """The copies of a block among peers, every `every_s` seconds from 0 until the end: fewest, mean, most, and the
    number of blocks that only the seed holds."""
    steps = ceil(end_s / every_s) + 1
    gone = arrivals.select("peer", "block").join(
        lives.filter(pl.col("gone_s").is_not_null()).select("peer", at_s="gone_s"), on="peer"
    )
    changes = pl.concat(
        [arrivals.select("at_s", "block", by=pl.lit(1)), gone.select("at_s", "block", by=pl.lit(-1))]
    ).filter(pl.col("at_s") <= (steps - 1) * every_s)
    counted = (
        changes.lazy()
        .with_columns(step=(pl.col("at_s") / every_s).ceil().cast(pl.Int64).clip(0))
        .group_by("step", "block")
        .agg(pl.col("by").sum())
        .collect()
    )
    there = np.zeros((steps, max(1, block_count)), dtype=np.int64)
    there[counted["step"].to_numpy(), counted["block"].to_numpy()] = counted["by"].to_numpy()
    there = there.cumsum(axis=0)
    return pl.DataFrame(
        {
            "at_s": np.arange(steps) * every_s,
            "least": there.min(axis=1),
            "mean": there.mean(axis=1),
            "most": there.max(axis=1),
            "alone": (there == 0).sum(axis=1) if block_count else np.zeros(steps, dtype=np.int64),
        }
    )


def completion(peers: pl.DataFrame) -> pl.DataFrame:
    """When each peer was complete, and how many were by then."""
    done = peers.filter((pl.col("event") == "completed") & (pl.col("peer") != TRACKER))
    return done.select("at_s", "peer", complete=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))


# payload between peers


def rates(blocks: pl.DataFrame, members: pl.DataFrame, end_s: float, every_s: float) -> pl.DataFrame:
    """Payload a second of each member, up and down, in the step from `at_s` on.

    The last step goes to the end. It is at least half as long as the others: the rate of a shorter one would be that of
    a block or two.
    """
    steps = max(1, floor(end_s / every_s + 0.5))
    step = (pl.col("at_s") / every_s).floor().cast(pl.Int64).clip(0, steps - 1).alias("step")
    grid = members.select("peer").join(pl.DataFrame({"step": range(steps)}, schema={"step": pl.Int64}), how="cross")
    for end, column in (("source", "up"), ("peer", "down")):
        moved = blocks.lazy().group_by(step, pl.col(end).alias("peer")).agg(pl.col("bytes").sum().alias(column))
        grid = grid.join(moved.collect(), on=["peer", "step"], how="left", maintain_order="left")
    at_s = pl.col("step") * every_s
    took_s = pl.when(pl.col("step") < steps - 1).then(every_s).otherwise(end_s - at_s if end_s > 0 else every_s)
    return grid.select(
        at_s.alias("at_s"),
        "peer",
        up_bps=pl.col("up").fill_null(0) / took_s,
        down_bps=pl.col("down").fill_null(0) / took_s,
    ).sort("at_s", maintain_order=True)


def gave(blocks: pl.DataFrame) -> pl.DataFrame:
    """Useful blocks, and payload wanted or not, from each peer to each other."""
    return (
        blocks.lazy()
        .group_by("source", "peer")
        .agg(blocks=(pl.col("verdict") == "useful").sum().cast(pl.Int64), bytes=pl.col("bytes").sum())
        .sort("source", "peer")
        .collect()
    )


def shares(members: pl.DataFrame, gave: pl.DataFrame) -> pl.DataFrame:
    """Bytes that each member gave and got, and given / got: infinite if it got nothing, null if it gave nothing too."""
    up = gave.group_by(peer="source").agg(up_bytes=pl.col("bytes").sum())
    down = gave.group_by("peer").agg(down_bytes=pl.col("bytes").sum())
    found = members.select("peer", "behaviour")
    for table in (up, down):
        found = found.join(table, on="peer", how="left", maintain_order="left")
    up_bytes, down_bytes = pl.col("up_bytes"), pl.col("down_bytes")
    return found.with_columns(pl.col("up_bytes", "down_bytes").fill_null(0)).with_columns(
        share_ratio=pl.when((up_bytes > 0) | (down_bytes > 0)).then(up_bytes / down_bytes)
    )


def outcomes(members: pl.DataFrame, lives: pl.DataFrame, shares: pl.DataFrame, peers: pl.DataFrame) -> pl.DataFrame:
    """How each member fared: what it was and where, when it joined and was complete, what it got and gave, its end."""
    ends = peers.filter(pl.col("event").is_in(["left", "died", "failed"])).group_by("peer").last()
    why = pl.concat_str("event", pl.when(pl.col("why") != "").then(": " + pl.col("why")).otherwise(pl.lit("")))
    return (
        members.select("peer", "behaviour", "class", "node")
        .join(lives.select("peer", "joined_s", "completed_s"), on="peer", how="left", maintain_order="left")
        .join(
            shares.select("peer", got_bytes="down_bytes", gave_bytes="up_bytes"),
            on="peer", how="left", maintain_order="left",
        )
        .join(ends.select("peer", ended_s="at_s", end=why), on="peer", how="left", maintain_order="left")
    )  # fmt: skip


def reciprocity(peers: list[str], gave: pl.DataFrame) -> pl.DataFrame:
    """The part of what moved between each of these and other peers that was returned; null where nothing moved."""
    found = measures.reciprocities(*_among_peers(gave))
    columns = {"peer": peers, "reciprocity": [found.get(peer) for peer in peers]}
    return pl.DataFrame(columns, schema={"peer": pl.String, "reciprocity": pl.Float64})


def reciprocity_of_all(gave: pl.DataFrame) -> float:
    """The same over all pairs of peers; 0 where nothing moved."""
    return measures.reciprocity(*_among_peers(gave))


def _among_peers(gave: pl.DataFrame) -> tuple[dict[tuple[str, str], int], set[str]]:
    """Bytes by (source, target), and all peers but the seed."""
    between = {(source, peer): size_bytes for source, peer, size_bytes in gave.select("source", "peer", "bytes").rows()}
    return between, {peer for pair in between for peer in pair} - {TRACKER}


# choking and interest


def choking(serving: pl.DataFrame, lives: pl.DataFrame, end_s: float) -> pl.DataFrame:
    """Each span in which a peer served a neighbour, and the slot; a span that lasts is cut at the end."""
    gone = lives.select("peer", "gone_s")
    return (
        serving.lazy()
        .with_columns(until_s=pl.col("at_s").shift(-1).over("peer", "neighbour"))
        .filter(pl.col("slot") != "none")
        .join(gone.lazy(), on="peer", how="left", maintain_order="left")
        .join(gone.lazy().rename({"peer": "neighbour"}), on="neighbour", how="left", maintain_order="left", suffix="_2")
        .select(
            "peer",
            "neighbour",
            "slot",
            from_s="at_s",
            until_s=pl.min_horizontal(pl.col("until_s").fill_null(end_s), "gone_s", "gone_s_2"),
        )
        .filter(pl.col("until_s") > pl.col("from_s"))
        .collect()
    )


def choking_at(choking: pl.DataFrame, at_s: float, end_s: float) -> pl.DataFrame:
    """The slots at that time; at the end, those that lasted until then."""
    now = min(at_s, nextafter(end_s, -1.0))
    return choking.filter((pl.col("from_s") <= now) & (pl.col("until_s") > now)).select("peer", "neighbour", "slot")


def interest(arrivals: pl.DataFrame, lives: pl.DataFrame, block_count: int, end_s: float) -> pl.DataFrame:
    """For each ordered pair of these peers: of the time when both are there and incomplete, the share in which the
    first wants blocks of the other.

    Pairs without such a time have no row. All peers count as neighbours. If most shares are near 1, the choker decides
    which peers trade, and not a lack of blocks to trade. (The a/b of A. Legout, G. Urvoy-Keller and P. Michiardi,
    "Rarest first and choke algorithms are enough", IMC 2006.)
    """
    there = lives.filter((pl.col("peer") != TRACKER) & pl.col("started_s").is_not_null())
    names = there["peer"]
    begin_s = there["started_s"].to_numpy()
    over_s = there.select(pl.min_horizontal("completed_s", "gone_s", pl.lit(end_s))).to_series().to_numpy()
    held_s = np.full((len(names), block_count), np.inf)
    places = pl.DataFrame({"peer": names, "row": range(len(names))}, schema={"peer": pl.String, "row": pl.Int64})
    found = arrivals.join(places, on="peer")
    held_s[found["row"].to_numpy(), found["block"].to_numpy()] = found["at_s"].to_numpy()
    shares = np.full((len(names), len(names)), np.nan)  # how far the row's peer is interested in the column's
    for other in range(len(names)):
        from_s, until_s = np.maximum(begin_s, begin_s[other]), np.minimum(over_s, over_s[other])
        order = np.argsort(held_s[other], kind="stable")
        # a peer wants a block while the other has it and it has not: sum the length of the union of these spans
        starts = np.clip(held_s[other][order][None, :], from_s[:, None], None)
        ends = np.minimum(held_s[:, order], until_s[:, None])
        covered = np.maximum.accumulate(np.maximum(ends, from_s[:, None]), axis=1)
        before = np.concatenate([from_s[:, None], covered[:, :-1]], axis=1)
        wanted_s = np.clip(ends - np.maximum(starts, before), 0.0, None).sum(axis=1)
        both = until_s > from_s
        both[other] = False
        shares[both, other] = wanted_s[both] / (until_s - from_s)[both]
    rows, columns = np.nonzero(~np.isnan(shares))
    peers = names.to_numpy()
    return pl.DataFrame(
        {"peer": peers[rows], "other": peers[columns], "share": shares[rows, columns]},
        schema={"peer": pl.String, "other": pl.String, "share": pl.Float64},
    )

"""How fast a swarm can be at best: lower bounds on the makespan, the time at which the last peer completes.

A makespan below a bound means that bytes were counted wrong. A *mean* time below it is legal. `bound /
makespan` is the efficiency of a run.
"""

from __future__ import annotations

from collections.abc import Sequence

from minibit.errors import LocalError


def fluid(
    content_bytes: int,
    peers: int,
    *,
    seed_upload_bps: float | None,
    upload_bps: float | Sequence[float] | None,
    download_bps: float | None = None,
    free_riders: int = 0,
    held_bytes: int = 0,
) -> float | None:
    """Seconds in which `peers` could have the content if it flowed like water; None if nothing limits them.

    `max(F / u_s, F / d_min, N F / (u_s + sum u_i))`: the seed must send everything once, the slowest peer
    must receive everything, and all together must send everything to everybody. Free riders want the content
    and give nothing: they leave the sum but stay in N. (R. Kumar and K. W. Ross, "Peer-assisted file
    distribution: the minimum distribution time", HotWeb 2006.)

    seed_upload_bps  u_s, bytes a second; None for no limit
    upload_bps       u_i of every peer that serves (one number for all, or one each); None for no limit
    download_bps     d_min, of the slowest peer; None for no limit
    held_bytes       what each peer holds at the start, picked at random: it needs that much less, and the
                     seed may be spared any block, so its own term is left out
    """
    serving = peers - free_riders
    if isinstance(upload_bps, Sequence) and len(upload_bps) != serving:
        raise LocalError(f"{len(upload_bps)} uplinks for {serving} peers that serve: give one for each")
    missing_bytes = content_bytes - held_bytes
    terms = []
    if seed_upload_bps is not None and not held_bytes:
        terms.append(content_bytes / seed_upload_bps)
    if download_bps is not None:
        terms.append(missing_bytes / download_bps)
    if seed_upload_bps is not None and (upload_bps is not None or not serving):
        uplinks_bps = sum(upload_bps) if isinstance(upload_bps, Sequence) else serving * (upload_bps or 0.0)
        terms.append(peers * missing_bytes / (seed_upload_bps + uplinks_bps))
    return max(terms, default=None)


def blocks(block_count: int, peers: int, block_s: float) -> float:
    """Seconds that `peers` need at least for blocks that travel whole, all uplinks equal, the seed's too.

    `(M + floor(log2 N)) tau`, where tau (`block_s`) is the time that one uplink needs for one block: M rounds
    for the seed to send each block once, and log2 N for the last one to double until everybody holds it.
    (J. Mundinger, R. Weber and G. Weiss, "Optimal scheduling of peer-to-peer file dissemination", Journal of
    Scheduling 11, 2008.)
    """
    return (block_count + peers.bit_length() - 1) * block_s

"""How fast a swarm can be at best, and the laws that good swarms follow.

`fluid`, `blocks` and `makespan` are lower bounds on the makespan: the time from the first PEDIDO allowed until
the last peer that wants the content has it. They hold for any picker and choker, if a block travels whole, from one
neighbour, and no peer serves it before it is complete. A makespan below a bound means that bytes were counted wrong.
A *mean* time below it is legal. `bound / makespan` is the efficiency of a run. The other functions are laws, of
theory or of measurement: each says where it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log2
from typing import NamedTuple

from minibit.errors import LocalError


class Capacity(NamedTuple):
    """What a bound needs to know about a peer. The seed has no entry.

    upload_bps    bytes a second; None for no limit. Ignored for peers that do not serve
    download_bps  the same
    wants         whether the run must wait until it is complete
    serves        whether it ever uploads: a free rider wants but does not serve
    held_bytes    bytes of the content that it holds at the start
    """

    upload_bps: float | None = None
    download_bps: float | None = None
    wants: bool = True
    serves: bool = True
    held_bytes: int = 0


def makespan(
    content_bytes: int, block_bytes: int, members: Sequence[Capacity], *, seed_upload_bps: float | None
) -> float | None:
    """The best lower bound in seconds that is known here; None if nothing limits, or nothing is missing.

    It is the larger of `fluid` and `blocks`, which say what they assume.
    """
    water_s = fluid(content_bytes, members, seed_upload_bps=seed_upload_bps)
    blocks_s = blocks(content_bytes, block_bytes, members, seed_upload_bps=seed_upload_bps)
    return max(water_s or 0.0, blocks_s or 0.0) or None


def fluid(content_bytes: int, members: Sequence[Capacity], *, seed_upload_bps: float | None) -> float | None:
    """Seconds in which all peers that want the content could have it if it flowed like water; None if nothing limits.

    `max(F / u_s, F / d_min, N F / (u_s + sum u_i))`: the seed must send everything once, the slowest peer
    must receive everything, and all together must send everything to each. A peer that wants nothing does not count
    in N, and one that does not serve does not count in the sum. Blocks held at the start need not be sent: the seed may
    be spared all of them, even if no block is held twice. (R. Kumar and K. W. Ross, "Peer-assisted file distribution:
    the minimum distribution time", HotWeb 2006.)
    """
    wanting = [member for member in members if member.wants]
    if not wanting:
        return None
    serving_bps = sum(_limit_bps(member.upload_bps) for member in members if member.serves)
    fresh_bytes = max(0, content_bytes - sum(member.held_bytes for member in members))
    missing_bytes = sum(content_bytes - member.held_bytes for member in wanting)
    seed_s = _took_s(fresh_bytes, seed_upload_bps)
    slowest_s = max(_took_s(content_bytes - member.held_bytes, member.download_bps) for member in wanting)
    together_s = _took_s(missing_bytes, serving_bps + _limit_bps(seed_upload_bps))
    return max(seed_s, slowest_s, together_s) or None


def blocks(
    content_bytes: int, block_bytes: int, members: Sequence[Capacity], *, seed_upload_bps: float | None
) -> float | None:
    """Seconds that whole blocks need at least; None if nothing limits, or some peer holds something at the start.

    `F / u_s + floor(log2 N) b / u_max`: no peer can give a block before the seed has sent it, and the block that
    the seed sends last must still double until N hold it. With all uplinks equal, the seed's too, that is
    `(M + floor(log2 N)) tau`, where tau is the time that one uplink needs for one block. (J. Mundinger, R. Weber
    and G. Weiss, "Optimal scheduling of peer-to-peer file dissemination", Journal of Scheduling 11, 2008.)

    It stays a bound with any uplinks, also if several blocks share an uplink (derived): until the j-th copy of the
    last block is out, the seed has sent F and (j - 1) blocks. A peer that holds a block sends its k-th copy of it no
    earlier than k times tau after that, with tau of the fastest uplink of all. So at most 2^(r+1) - 1 peers hold it
    r times tau after F / u_s. A short last block of the content might be the one that the seed sends last. Then the
    bound is the larger of that one and the one of the whole blocks alone.
    """
    wanting = sum(member.wants for member in members)
    if not wanting or any(member.held_bytes for member in members):
        return None
    serving_bps = (_limit_bps(member.upload_bps) for member in members if member.serves)
    fastest_bps = max(_limit_bps(seed_upload_bps), *serving_bps, 0.0)
    doublings = wanting.bit_length() - 1
    whole_bytes = content_bytes - content_bytes % block_bytes
    cases = ((content_bytes, content_bytes % block_bytes or block_bytes), (whole_bytes, min(block_bytes, whole_bytes)))
    bounds_s = (_took_s(sent, seed_upload_bps) + doublings * _took_s(last, fastest_bps) for sent, last in cases)
    return max(bounds_s) or None


def startup_s(peers: int, slots: int, block_s: float) -> float:
    """Seconds that slots cost at the start: the time that a good swarm needs beyond the fluid bound.

    `k / log2(1 + k) log2(N) tau`: a peer that serves k at once hands a block on k times later, to k times as many, so
    the holders grow by 1 + k in k tau. It is derived, and no bound but a law to be compared with measurements, for a
    seed at least twice as fast as a peer, k <= 5 and M >= 100, with all uplinks of peers equal.

    peers    N
    slots    k, the guest slot included
    block_s  tau, the time that one uplink needs for one block
    """
    if peers < 1 or slots < 1:
        raise LocalError(f"{peers} peers and {slots} slots: give 1 of each or more")
    return slots / log2(1 + slots) * log2(peers) * block_s


def free_rider_share(slots: int) -> float:
    """The rate at which a free rider receives, as a share of an honest peer's.

    `1 / (n + 1)` with n regular slots and one for a guest: a peer is the guest of one neighbour at a time, on average,
    and a peer that gives is served in n regular slots besides. It holds with equal uplinks while peers still trade,
    before the first are complete. (D. Qiu and R. Srikant, "Modeling and performance analysis of
    BitTorrent-like peer-to-peer networks", SIGCOMM 2004.)
    """
    if slots < 0:
        raise LocalError(f"{slots} slots: give a number from 0")
    return 1 / (slots + 1)


def stable(seed_blocks_per_s: float, arrivals_per_s: float) -> bool:
    """Whether the peers of an open swarm stay few for ever; if not, they gather, all without the same block.

    Peers arrive empty, at random, and leave when complete; the seed stays. Then the swarm is stable if the seed gives
    more blocks a second than peers arrive (U_s > lambda). If it gives less, the peers that lack one block grow by
    lambda - U_s a second, with every picker. The theorem leaves the border open, which counts as not stable here.
    (B. Hajek and J. Zhu, "The missing piece syndrome in peer-to-peer communication", ISIT 2010.)
    """
    return seed_blocks_per_s > arrivals_per_s


def _limit_bps(rate_bps: float | None) -> float:
    return inf if rate_bps is None else rate_bps


def _took_s(sent_bytes: int, rate_bps: float | None) -> float:
    """Seconds for so many bytes; infinite at rate 0."""
    if not sent_bytes or rate_bps is None:
        return 0.0
    return sent_bytes / rate_bps if rate_bps else inf

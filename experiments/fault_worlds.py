"""Random worlds with random faults, as plain data: what `fuzz_swarm.py` tries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from minibit.events import TRACKER
from minibit.seat import peer_name

Plain = dict[str, Any]


def random_world(seed: str, peers_max: int) -> Plain:
    """A world of at most so many peers; it follows from its seed."""
    rng = Random(f"fuzz/{seed}")
    peers = _about(rng, 2, peers_max)
    block_bytes = _about(rng, 1 << 10, 256 << 10)
    blocks = _about(rng, 1, 60)
    size_bytes = blocks * block_bytes - (rng.randrange(block_bytes) if rng.random() < 0.5 else 0)
    options: Plain = {"seed": rng.randrange(1 << 30), "peers": peers, "size": size_bytes, "block_size": block_bytes}
    choices: dict[str, Callable[[], Any]] = {
        "picker": lambda: rng.choice(["random", "sequential"]),
        "choker": lambda: rng.choice(["rarity", "none"]),
        "slots": lambda: rng.randint(0, 8),
        "guests": lambda: rng.randint(0, 3),
        "round": lambda: rng.choice([0.5, 1.0, 2.0, 5.0, 20.0]),
        "guest_rounds": lambda: rng.randint(1, 5),
        "neighbours": lambda: _about(rng, 2, 40),
        "announce": lambda: rng.choice([0.0, 0.01, 0.5, 3.0]),
        "request_timeout": lambda: rng.choice([1.0, 5.0, 10.0, 60.0]),
        "pipeline": lambda: rng.randint(1, 8),
        "tracker": lambda: rng.choice([2.0, 10.0, 60.0]),
        "retry": lambda: rng.choice([0.1, 0.5, 5.0]),
        "leave": lambda: "complete",
        "initial": lambda: rng.choice(["0.1", "0.5", "0+1", "0.3+1", "0.9"]),
        "upload": lambda: _rate(rng),
        "download": lambda: _rate(rng),
        "seed_upload": lambda: _rate(rng),
        "behave": lambda: _behaviours(rng, peers),
    }
    options |= {name: choose() for name, choose in choices.items() if rng.random() < 0.35}
    options.setdefault("upload", _rate(rng))
    about_s = 2 * size_bytes / (options.get("seed_upload") or options["upload"])  # that the transfer may take
    scenario: Plain = {"faults": [_fault(rng, peers, about_s) for _ in range(rng.choice([0, 1, 2, 3, 5, 8, 12]))]}
    more: dict[str, tuple[float, Callable[[], Any]]] = {  # with the probability of each
        "latency": (0.3, lambda: rng.choice([0.0, 0.001, 0.1, 0.5])),
        "connect": (0.15, lambda: rng.choice([0.0, 0.5, 3.0])),
        "stay": (0.15, lambda: rng.choice([0.0, 1.0, 30.0])),
        "classes": (0.3, lambda: list(_classes(rng, peers, blocks))),
        "arrivals": (0.5, lambda: _arrivals(rng, peers)),
    }
    scenario |= {name: choose() for name, (odds, choose) in more.items() if rng.random() < odds}
    return {"options": options, "scenario": scenario}


def members(peers: int) -> list[str]:
    """The names of the seed and of so many peers."""
    return [TRACKER, *(peer_name(number, peers) for number in range(1, peers + 1))]


def _about(rng: Random, least: int, most: int) -> int:
    """A whole number, small ones as likely as large ones."""
    return min(most, int(least * ((most + 1) / least) ** rng.random()))


def _rate(rng: Random) -> int:
    return _about(rng, 20_000, 10_000_000)


def _behaviours(rng: Random, peers: int) -> Plain:
    left, counts = peers, {}
    for behaviour in rng.sample(["free-rider", "liar", "corrupter", "slow"], rng.randint(1, 3)):
        counts[behaviour] = rng.randint(0, max(1, left // 3)) if left > 1 else 0
        left -= counts[behaviour]
    return counts


def _classes(rng: Random, peers: int, blocks: int) -> Iterator[Plain]:
    left = peers
    for name in ("one", "two", "three")[: rng.randint(1, 3)]:
        kind: Plain = {"name": name, "peers": rng.randint(0, left), "upload": _rate(rng)}
        left -= kind["peers"]
        if rng.random() < 0.3:
            kind["download"] = _rate(rng)
        if rng.random() < 0.2:
            kind["lacks"] = sorted(rng.sample(range(blocks), rng.randint(0, blocks)))
        if rng.random() < 0.2:
            kind["behaviour"] = rng.choice(["free-rider", "slow"])
        yield kind


def _arrivals(rng: Random, peers: int) -> Plain:
    arrivals: Plain = {"pattern": rng.choice(["together", "poisson", "crowd"]), "already": rng.randint(0, peers)}
    if arrivals["pattern"] == "poisson":
        return {**arrivals, "rate": rng.choice([0.1, 0.5, 5.0])}
    return {**arrivals, "within": rng.choice([0.5, 10.0, 100.0])}


def _fault(rng: Random, peers: int, about_s: float) -> Plain:
    kinds = ["dies", "leaves", "pauses", "cut", "split", "slow", "delayed", "corrupt", "tracker-gone"]
    fault: Plain = {"kind": rng.choice(kinds), "at": round(rng.uniform(0, rng.choice([about_s, 10])), 3)}
    if rng.random() < 0.4:
        fault["until"] = round(fault["at"] + rng.uniform(0, rng.choice([about_s, 50])), 3)
    if fault["kind"] not in ("dies", "leaves") and rng.random() < 0.75:
        fault["lasts"] = round(rng.uniform(0, rng.choice([about_s, 1, 20, 200])), 3)
    sort = rng.random()
    if sort < 0.2:
        seed, *others = members(peers)
        fault["peers"] = [seed, *rng.sample(others, rng.randint(1, peers))][: rng.choice([2, 3, 10])]
    elif sort < 0.6:
        fault["peers"] = rng.randint(1, max(1, peers // 2))
    else:
        fault["probability"] = rng.choice([0.05, 0.2, 0.5, 1.0])
    match fault["kind"]:
        case "slow":
            fault["rate"] = _about(rng, 1_000, 100_000)
        case "delayed":
            fault["by"] = rng.choice([0.1, 1.0, 10.0])
        case "corrupt":
            fault["share"] = rng.choice([0.05, 0.5, 1.0])
    return fault

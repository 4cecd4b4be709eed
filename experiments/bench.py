"""The cost of a swarm of real actors on this machine: one question for each command.

    python experiments/bench.py spawn      # the start, beside that of as many actors that do nothing
    python experiments/bench.py start      # from the command to the first block: where does that time go?
    python experiments/bench.py growth     # goodput with 10, 20 ... 50 peers, beside bare sockets: does it fall?
    python experiments/bench.py networks   # on each kind of network: are the defaults as good as the best preset?
    python experiments/bench.py limited    # uplinks limited: how far above the lower bound?
    python experiments/bench.py control    # actor calls, control bytes and waste, by block size and way
    python experiments/bench.py live       # goodput with an open live page, and without
    python experiments/bench.py --json growth --peers 5,10 --size 16MiB

Each command starts Ray clusters of its own and leaves nothing behind. The figures come from the run's summary; compare
them with each other, not with those of another hour. Where goodput is compared, all write over the same files: warm.py
says why.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean, median
from threading import Event, Thread
from typing import Any, NamedTuple
from urllib.request import urlopen

import click
import psutil
import ray
from control import control
from growth import growth
from networks import networks
from own_cluster import TIMEOUT_S, ray_cluster, run, swarm
from quiet import Quiet
from results import SHOWN, tell
from start import start
from warm import shown_warm, warm_copies

from minibit.actors.driver.live import make_ready
from minibit.actors.driver.own_swarm import OwnSwarm
from minibit.cli.ending import complain
from minibit.run import bounds
from minibit.units import parse_bytes, parse_rate, show_bytes, show_duration, show_rate

MB = 1e6


@click.group(context_settings=SHOWN)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_context
def main(context: click.Context, as_json: bool) -> None:
    """Measure what a swarm of real actors costs on this machine."""
    context.obj = as_json


for command in (control, growth, networks, start):
    main.add_command(command)


# spawn


class Noop:
    """An actor that does nothing: it shows the cost of Ray itself."""

    async def pid(self) -> int:
        return os.getpid()


class Start(NamedTuple):
    """One start: the time until all actors answered, and the private memory of each at rest."""

    spawn_s: float
    private_bytes: float


@main.command()
@click.option("--peers", default=50, type=click.IntRange(1))
@click.option("--repeat", default=2, type=click.IntRange(1), help="Runs of each, in turn; medians count.")
@click.pass_obj
def spawn(as_json: bool, peers: int, repeat: int) -> None:
    """Compare the start of a swarm with that of as many actors that do nothing."""
    with ray_cluster():
        noops(2)  # not measured: the first start pays for the files that Ray reads from the disk
        starts = [(noops(peers + 1), peers_and_tracker(peers)) for _ in range(repeat)]
    nothing, ours = (Start(*map(median, zip(*some, strict=True))) for some in zip(*starts, strict=True))
    found = {
        "actors": peers + 1,
        "noop_spawn_s": nothing.spawn_s,
        "swarm_spawn_s": ours.spawn_s,
        "spawn_ratio": ours.spawn_s / nothing.spawn_s,
        "noop_private_bytes": nothing.private_bytes,
        "peer_private_bytes": ours.private_bytes,
        "extra_private_bytes": ours.private_bytes - nothing.private_bytes,
    }
    rows = [
        {
            f"{peers + 1} actors": which,
            "up in": show_duration(start.spawn_s),
            "private memory, each": f"{start.private_bytes / MB:.1f} MB",
        }
        for which, start in (("no-op", nothing), ("a swarm", ours))
    ]
    more = f"spawn ratio {found['spawn_ratio']:.2f}, {found['extra_private_bytes'] / MB:.1f} MB more a peer"
    tell(as_json, found, rows, more)


def noops(count: int) -> Start:
    """Start so many actors that do nothing, with the options of peers, and end them."""
    kind: Any = ray.remote(num_cpus=0, max_restarts=0)(Noop)
    started_at = time.monotonic()
    actors = [kind.remote() for _ in range(count)]
    pids = ray.get([actor.pid.remote() for actor in actors])
    spawn_s = time.monotonic() - started_at
    private_bytes = private_memory(pids)
    for actor in actors:
        ray.kill(actor)
    wait_for_end(pids)
    return Start(spawn_s, private_bytes)


def peers_and_tracker(peers: int) -> Start:
    """Start a swarm of so many peers, let it share very little, and end it."""
    with swarm(peers=peers, size="1MiB", preset="lan") as running:
        summary = running.wait(timeout=TIMEOUT_S)
        states = running.snapshot()
        private_bytes = private_memory([state.pid for name, state in states.items() if name != "tracker"])
    wait_for_end([state.pid for state in states.values()])
    return Start(summary.seconds.spawn, private_bytes)


def private_memory(pids: list[int]) -> float:
    """The bytes that would be freed if one of these processes ended, on average."""
    return float(mean(psutil.Process(pid).memory_full_info().uss for pid in pids))


def wait_for_end(pids: list[int]) -> None:
    """Wait until these processes are gone: the next start must not share the machine with them."""
    psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)


# limited


@main.command()
@click.option("--peers", default=20, type=click.IntRange(1))
@click.option("--size", default="32MiB", metavar="SIZE")
@click.option("--upload", default="2MiB/s", metavar="RATE", help="Upload limit of each peer.")
@click.option("--seed-upload", default="2MiB/s", metavar="RATE", help="Upload limit of the tracker.")
@click.option("--preset", default=None, metavar="NAME")
@click.option("--block-size", default=None, metavar="SIZE")
@click.pass_obj
def limited(as_json: bool, /, seed_upload: str, upload: str, **options: Any) -> None:
    """Compare a swarm with limited uplinks with the lower bound; exit code 1 if it is below the bound."""
    with ray_cluster():
        summary = run(upload=upload, seed_upload=seed_upload, **options)
    content, peers, transfer_s = summary.content, summary.peers, summary.seconds.transfer
    bound_s = summary.bound_s or 0.0
    members = [bounds.Capacity(parse_rate(upload))] * peers
    found = {
        "peers": peers,
        "content_bytes": content.bytes,
        "blocks": content.blocks,
        "transfer_s": transfer_s,
        "bound_s": bound_s,
        "fluid_bound_s": bounds.fluid(content.bytes, members, seed_upload_bps=parse_rate(seed_upload)),
        "over_bound": transfer_s / bound_s,
        "fairness_jain": summary.fairness_jain,
        "seed_copies": summary.bytes.seed_sent / content.bytes,
    }
    shown = {
        "transfer": show_duration(transfer_s),
        "lower bound": show_duration(bound_s),
        "transfer / bound": f"{found['over_bound']:.3f}",
        "copies that the seed sent": f"{found['seed_copies']:.2f}",
        "fairness (Jain)": f"{found['fairness_jain']:.3f}",
    }
    title = f"{peers} peers, {show_bytes(content.bytes)} in {content.blocks} blocks"
    tell(as_json, found, [{title: what, "": value} for what, value in shown.items()])
    if transfer_s < bound_s:
        complain("the transfer is faster than possible: bytes or time are counted wrong")
        sys.exit(1)


# live


@main.command()
@click.option("--peers", default=50, type=click.IntRange(1))
@click.option("--size", default="100MiB", metavar="SIZE")
@click.option("--preset", default=None, metavar="NAME")
@click.option("--repeat", default=3, type=click.IntRange(1), help="Runs of each, in turn; medians count.")
@click.pass_obj
def live(as_json: bool, /, repeat: int, **options: Any) -> None:
    """Measure goodput with an open live page, all its pictures in sight, and without.

    The page is a thread that asks what the page's script asks. A browser on the same machine would also draw, which
    costs more than all the rest.
    """
    make_ready()
    quiet = Quiet()
    with ray_cluster(), warm_copies(options["peers"], parse_bytes(options["size"])) as copies:
        rounds = []
        for _ in range(repeat):
            quiet.rest()
            rounds.append((run(copies, **options), run(copies, looked_at, **options)))
    without, looked = ([summary.goodput_bps for summary in summaries] for summaries in zip(*rounds, strict=True))
    found = {
        "peers": options["peers"],
        "content_bytes": parse_bytes(options["size"]),
        "without_bps": without,
        "live_bps": looked,
        "ratio": median(looked) / median(without),
        "machine": quiet.figures(),
    }
    pairs = zip(without, looked, strict=True)
    rows = [{"nobody looks": show_rate(one), "live page": show_rate(other)} for one, other in pairs]
    measured = f"{shown_warm(copies.rewrite_bps)} {Quiet.shown(found['machine'])}."
    tell(as_json, found, rows, f"live / nobody looks, medians: {found['ratio']:.3f}\n{measured}")


@contextmanager
def looked_at(running: OwnSwarm) -> Iterator[None]:
    """Open the live page of a swarm meanwhile; a thread asks what the page's script asks, and draws nothing."""
    page, over = running.live(), Event()
    watcher = Thread(target=look_at, args=(page.url, over))
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        page.close()


def look_at(url: str, over: Event) -> None:
    """Ask what the page's script asks, until `over` is set."""
    base, _, token = url.partition("?")

    def ask(path: str) -> bytes:
        with urlopen(f"{base}{path}{'&' if '?' in path else '?'}{token}") as answer:
            told: bytes = answer.read()
            return told

    for path in ("", "bokeh.js"):
        ask(path)
    stamps: dict[str, int] = {}
    poll_s = 0.0
    while not over.wait(poll_s):
        if not stamps:  # the first time, not all pictures are drawn yet
            stamps = {section["name"]: 0 for section in json.loads(ask("pictures")).get("sections", ())}
        told = json.loads(ask("data?pictures=" + ",".join(f"{name}:{stamp}" for name, stamp in stamps.items())))
        stamps |= {name: fed["stamp"] for name, fed in told["pictures"].items()}
        poll_s = told["poll_s"]


if __name__ == "__main__":
    main()

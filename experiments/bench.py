"""The cost of a swarm of real actors on this machine: one question for each command.

    python experiments/bench.py spawn      # the start, beside that of as many actors that do nothing
    python experiments/bench.py growth     # goodput with 10, 20 ... 50 peers, beside bare sockets: does it fall?
    python experiments/bench.py limited    # uplinks limited: how far above the lower bound?
    python experiments/bench.py control    # actor calls, control bytes and waste, at two block sizes
    python experiments/bench.py live       # goodput with an open live page, and without
    python experiments/bench.py --json growth --peers 5,10 --size 16MiB

Each command starts a Ray cluster of its own and leaves nothing behind. The figures come from the run's summary;
compare them with each other, not with those of another hour.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import mean, median
from threading import Event, Thread
from typing import Any, NamedTuple
from urllib.request import urlopen

import bare_trees
import click
import psutil
import ray
from results import SHOWN, tell

from minibit.actors import Swarm
from minibit.actors.driver import cluster
from minibit.actors.driver.live import make_ready
from minibit.actors.driver.own_swarm import OwnSwarm
from minibit.cli.ending import complain, ending
from minibit.errors import LocalError
from minibit.run import bounds
from minibit.run.summary import Summary
from minibit.units import parse_bytes, parse_rate, show_bytes, show_duration, show_rate

TIMEOUT_S = 900.0
MB = 1e6


def _numbers(context: click.Context, option: click.Parameter, value: str) -> list[int]:
    """Whole numbers from 1, with commas between them."""
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in value.split(",")]
    if min(numbers) < 1:
        raise click.BadParameter(f"{value!r}: give whole numbers from 1, e.g. 10,20,50", context, option)
    return numbers


@click.group(context_settings=SHOWN)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_context
def main(context: click.Context, as_json: bool) -> None:
    """Measure what a swarm of real actors costs on this machine."""
    context.obj = as_json


@contextmanager
def ray_cluster() -> Iterator[None]:
    """A Ray cluster for one command; an error becomes one line and an exit code."""
    try:
        with ending():
            cluster.connect()
            yield
    finally:
        cluster.disconnect()


@contextmanager
def swarm(**options: Any) -> Iterator[OwnSwarm]:
    """A swarm whose run folder is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="minibit-bench-") as folder, Swarm.launch(out=folder, **options) as running:
        yield running


def run(beside: Callable[[OwnSwarm], AbstractContextManager[object]] = nullcontext, **options: Any) -> Summary:
    """Run one swarm with every copy verified, and `beside` meanwhile. `LocalError` if a peer is incomplete."""
    with swarm(**options) as running, beside(running):
        summary = running.wait(timeout=TIMEOUT_S)
    if summary.exit_code:
        why = {failure.why for failure in summary.failed}
        raise LocalError(f"{summary.verified} of {summary.peers} peers have a verified copy: {', '.join(why)}")
    told = f"{show_duration(summary.seconds.transfer)}, {show_rate(summary.goodput_bps)}"
    click.echo(f"{summary.peers} peers, {show_bytes(summary.content.bytes)}: {told}", err=True)
    return summary


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


# growth


@main.command()
@click.option("--peers", default="10,20,30,40,50", metavar="N,N,...", callback=_numbers)
@click.option("--size", default="100MiB", metavar="SIZE")
@click.option("--preset", default="lan", metavar="NAME")
@click.option("--repeat", default=1, type=click.IntRange(1), help="Runs of each, in turn; medians count.")
@click.pass_obj
def growth(as_json: bool, peers: list[int], size: str, preset: str, repeat: int) -> None:
    """Measure the goodput of all peers together, for more and more peers and the same content.

    Beside it stands the goodput of bare sockets in as many Ray actors (bare_trees.py): the most that Ray and the
    machine leave to any swarm.
    """
    with ray_cluster():
        rounds = [[beside_bare(peers=count, size=size, preset=preset) for count in peers] for _ in range(repeat)]
    medians = [Both(*map(median, zip(*same, strict=True))) for same in zip(*rounds, strict=True)]
    rows = [
        {"peers": count, **both._asdict(), "ratio": both.goodput_bps / both.bare_bps}
        for count, both in zip(peers, medians, strict=True)
    ]
    spreads = {who: spread([row[who] for row in rows]) for who in ("goodput_bps", "bare_bps")}
    shown = [
        {
            "peers": row["peers"],
            "transfer": show_duration(row["transfer_s"]),
            "goodput": show_rate(row["goodput_bps"]),
            "bare sockets": show_rate(row["bare_bps"]),
            "ratio": f"{row['ratio']:.2f}",
        }
        for row in rows
    ]
    ours, bare = spreads.values()
    found = {"content_bytes": parse_bytes(size), "runs": rows, "spread": spreads}
    tell(as_json, found, shown, f"spread (max - min) / mean: {ours:.2f}, of bare sockets {bare:.2f}")


class Both(NamedTuple):
    """A swarm, and bare sockets in as many actors."""

    transfer_s: float
    goodput_bps: float
    bare_bps: float


def beside_bare(**options: Any) -> Both:
    """Run a swarm, then send the same content in the same blocks to as many actors without a protocol."""
    summary = run(**options)
    peers, content = summary.peers, summary.content
    bare_s = bare_trees.share(peers, content.bytes, content.block_bytes, TIMEOUT_S)
    return Both(summary.seconds.transfer, summary.goodput_bps, peers * content.bytes / bare_s)


def spread(figures: list[float]) -> float:
    """The distance between the extremes / the mean."""
    return (max(figures) - min(figures)) / mean(figures)


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


# control


@main.command()
@click.option("--peers", default=20, type=click.IntRange(1))
@click.option("--size", default="64MiB", metavar="SIZE")
@click.option("--preset", default="lan", metavar="NAME")
@click.option("--block-size", multiple=True, default=("64KiB", "1MiB"), metavar="SIZE")
@click.pass_obj
def control(as_json: bool, /, block_size: tuple[str, ...], **options: Any) -> None:
    """Measure the bytes beside the blocks, for the same content in small and in large blocks."""
    with ray_cluster():
        summaries = [run(block_size=size, **options) for size in block_size]
    rows = [
        {
            "block_bytes": summary.content.block_bytes,
            "blocks": summary.content.blocks,
            "transfer_s": summary.seconds.transfer,
            "actor_calls": summary.actor_calls,
            "messages": summary.messages.total,
            "control_share": summary.bytes.control / summary.bytes.moved,
            "waste_share": summary.bytes.wasted / summary.bytes.moved,
        }
        for summary in summaries
    ]
    shown = [
        {
            "blocks": show_bytes(row["block_bytes"]),
            "count": row["blocks"],
            "transfer": show_duration(row["transfer_s"]),
            "actor calls": row["actor_calls"],
            "messages": row["messages"],
            "control / payload": f"{100 * row['control_share']:.3f} %",
            "waste / payload": f"{100 * row['waste_share']:.3f} %",
        }
        for row in rows
    ]
    found = {"peers": options["peers"], "content_bytes": parse_bytes(options["size"]), "runs": rows}
    tell(as_json, found, shown)


# live


@main.command()
@click.option("--peers", default=50, type=click.IntRange(1))
@click.option("--size", default="100MiB", metavar="SIZE")
@click.option("--preset", default="lan", metavar="NAME")
@click.option("--repeat", default=3, type=click.IntRange(1), help="Runs of each, in turn; medians count.")
@click.pass_obj
def live(as_json: bool, /, repeat: int, **options: Any) -> None:
    """Measure goodput with an open live page, all its pictures in sight, and without.

    The page is a thread that asks what the page's script asks. A browser on the same machine would also draw, which
    costs more than all the rest.
    """
    make_ready()
    with ray_cluster():
        rounds = [(run(**options), run(looked_at, **options)) for _ in range(repeat)]
    without, looked = ([summary.goodput_bps for summary in summaries] for summaries in zip(*rounds, strict=True))
    found = {
        "peers": options["peers"],
        "content_bytes": parse_bytes(options["size"]),
        "without_bps": without,
        "live_bps": looked,
        "ratio": median(looked) / median(without),
    }
    pairs = zip(without, looked, strict=True)
    rows = [{"nobody looks": show_rate(one), "live page": show_rate(other)} for one, other in pairs]
    tell(as_json, found, rows, f"live / nobody looks, medians: {found['ratio']:.3f}")


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

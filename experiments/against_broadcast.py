"""A file from one host to all others: Minibit's push beside other ways, on limited uplinks, and beside the lower bound.

    python experiments/against_broadcast.py                               # as root: all ways, a turn each
    python experiments/against_broadcast.py --turns 3 --into broadcast.md
    python experiments/against_broadcast.py --hosts 16 --rate 50Mbit/s --size 64MiB --only push,libtorrent

The hosts are network namespaces of this machine, by hosts.sh: one Ray cluster, a disk (in memory) at /data each. The
first has the file; every way brings it to /data on all others, one way after another, in turn. Each copy is read back
and compared. Spawning is not part of the makespan; *in all* is the whole command. The bound is that of
minibit/run/bounds.py for bytes that flow like water: the seed must send everything once. It knows no headers: TCP/IP
over Ethernet adds 4.6 % to every byte, and the limit of an uplink counts them. The first MiB that a host sends is free.

All hosts share the processors of this machine. So ratios of a quiet machine count, and only within one run.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from threading import Event, Timer
from typing import Any, NamedTuple

import click
from blake3 import blake3
from broadcast_ways import NAME, WAYS, Contestant
from hosts import HEAD, Hosts
from results import SHOWN, tell

from minibit.actors.disk.files import make
from minibit.cli.ending import complain, ending
from minibit.errors import LocalError, MinibitError
from minibit.run import bounds
from minibit.units import parse_bytes, parse_duration, parse_rate, show_bytes, show_duration, show_rate

REST_S = 5.0  # before each, so that nothing of the one before runs any more


class Lap(NamedTuple):
    """One way, once: from the first byte until the last host has the file, and the whole command, in seconds."""

    makespan_s: float
    whole_s: float


def _some_ways(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    names = list(WAYS) if value == "all" else value.split(",")
    if unknown := [name for name in names if name not in WAYS]:
        raise click.BadParameter(f"no way is called {unknown[0]!r}: there are {', '.join(WAYS)}", context, option)
    return names


@click.command(context_settings=SHOWN)
@click.option("--hosts", "count", default=6, type=click.IntRange(2, 100), help="The first has the file.")
@click.option("--rate", default="400Mbit/s", metavar="RATE", help="Uplink of each host.")
@click.option("--size", default="200MiB", metavar="SIZE", help="Size of the file, which is made.")
@click.option("--turns", default=1, type=click.IntRange(1), help="All ways so often, in turn; medians count.")
@click.option("--only", "names", default="all", metavar="WAY,...", callback=_some_ways, help=", ".join(WAYS))
@click.option("--limit", default="10m", metavar="TIME", help="Time limit of each way.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write a page, and pictures beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    count: int, rate: str, size: str, turns: int, names: list[str], limit: str, into: Path | None, as_json: bool
) -> None:
    """Bring a file to all hosts in several ways, one after another."""
    with ending():
        rate_bps, size_bytes, limit_s = parse_rate(rate), parse_bytes(size), parse_duration(limit)
        for name in names:
            if why := WAYS[name].lacks():
                click.echo(f"{WAYS[name].title} is left out: {why}", err=True)
        ways = {name: WAYS[name] for name in names if not WAYS[name].lacks()}
        if not ways:
            raise LocalError("no way is left: install what they need")
        found: dict[str, Any] = {
            "hosts": count,
            "rate_bps": rate_bps,
            "content_bytes": size_bytes,
            "bound_s": bound_s(count, size_bytes, rate_bps),
            "cores": os.cpu_count(),
            "ways": measured(ways, count, rate_bps, size_bytes, turns, limit_s),
        }
        if not found["ways"]:
            raise MinibitError("no way brought the file to all hosts")
        if into:
            write(into, found)
    tell(as_json, found, rows(found), below(found))
    sys.exit(len(found["ways"]) < len(ways))


def bound_s(hosts: int, size_bytes: int, rate_bps: float) -> float:
    """The least makespan in seconds if one host has the content and all uplinks are equal."""
    receiving = [bounds.Capacity(rate_bps)] * (hosts - 1)
    return bounds.fluid(size_bytes, receiving, seed_upload_bps=rate_bps) or 0.0


def measured(
    ways: dict[str, Contestant], count: int, rate_bps: float, size_bytes: int, turns: int, limit_s: float
) -> list[dict[str, Any]]:
    """All ways in turn; of each its title and its turns. A way that fails is told, and left out of the turns after."""
    found: dict[str, list[Lap]] = {name: [] for name in ways}
    failed: set[str] = set()
    room_bytes = 2 * size_bytes + (64 << 20)
    with Hosts(count, f"{8 * rate_bps:.0f}bit", disk_bytes=room_bytes, store_bytes=room_bytes) as hosts:
        digest = _digest(make(hosts.disk(HEAD) / NAME, size_bytes, seed=1))
        for name in list(ways) * turns:
            if name in failed:
                continue
            time.sleep(REST_S)
            try:
                found[name].append(one_turn(hosts, ways[name], digest, limit_s))
                click.echo(f"{ways[name].title}: {show_duration(found[name][-1].makespan_s)}", err=True)
            except MinibitError as error:
                failed.add(name)
                complain(f"{ways[name].title} failed: {error}")
    return [
        {"name": name, "title": ways[name].title, "turns": [turn._asdict() for turn in turns]}
        for name, turns in found.items()
        if name not in failed
    ]


def one_turn(hosts: Hosts, way: Contestant, digest: bytes, limit_s: float) -> Lap:
    """Bring the file to all hosts, compare each copy, and remove all but the file itself."""
    late = Event()

    def give_up() -> None:
        late.set()
        hosts.kill()

    watchdog = Timer(limit_s, give_up)
    watchdog.start()
    began_at = time.monotonic()
    try:
        makespan_s = way.bring(hosts)
        whole_s = time.monotonic() - began_at
        if differ := [host for host in hosts.numbers if _digest(hosts.disk(host) / NAME) != digest]:
            raise MinibitError(f"the copies of hosts {differ} are not the file")
    except (MinibitError, OSError) as error:
        raise MinibitError(f"it took longer than {show_duration(limit_s)}" if late.is_set() else str(error)) from None
    finally:
        watchdog.cancel()
        hosts.stop()
        for host in hosts.numbers:
            for path in hosts.disk(host).iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif (host, path.name) != (HEAD, NAME):
                    path.unlink()
    return Lap(makespan_s, whole_s)


def _digest(path: Path) -> bytes:
    return blake3(max_threads=blake3.AUTO).update_mmap(path).digest()


# What is shown


def rows(found: dict[str, Any]) -> list[dict[str, str]]:
    """The comparison as the rows of a table, the fastest first."""
    shown = []
    for way in sorted(found["ways"], key=makespan_s):
        times = sorted(turn["makespan_s"] for turn in way["turns"])
        shown.append(
            {
                "way": way["title"],
                "makespan": show_duration(makespan_s(way)),
                "of the bound": f"{makespan_s(way) / found['bound_s']:.2f}",
                "turns": "" if len(times) == 1 else f"{show_duration(times[0])} to {show_duration(times[-1])}",
                "in all": show_duration(median(turn["whole_s"] for turn in way["turns"])),
            }
        )
    return shown


def makespan_s(way: dict[str, Any]) -> float:
    """The median of its turns."""
    return float(median(turn["makespan_s"] for turn in way["turns"]))


def below(found: dict[str, Any]) -> str:
    """What was measured, in a sentence."""
    return (
        f"{show_bytes(found['content_bytes'])} from one host to {found['hosts'] - 1}, every uplink "
        f"{show_rate(found['rate_bps'])}: at least {show_duration(found['bound_s'])}. All hosts share "
        f"{found['cores']} cores; every copy was compared."
    )


def write(page: Path, found: dict[str, Any]) -> None:
    """Write a page of Markdown with the table, and its picture, for light and for dark pages."""
    shown = rows(found)
    lines = [below(found), "", "| " + " | ".join(shown[0]) + " |", "|---" + "|--:" * (len(shown[0]) - 1) + "|"]
    lines += ["| " + " | ".join(row.values()) + " |" for row in shown]
    pictures = {dark: page.with_name(f"{page.stem}{'-dark' * dark}.svg") for dark in (False, True)}
    lines += [
        "",
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{pictures[True].name}">',
        f'<img alt="Makespan of each way / the lower bound" src="{pictures[False].name}"></picture>',
        "",
    ]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines))
    for dark, path in pictures.items():
        draw(path, found, dark=dark)


def draw(path: Path, found: dict[str, Any], *, dark: bool) -> None:
    """A bar for each way: makespan / bound."""
    from matplotlib import rc_context  # noqa: PLC0415  only the pictures need it
    from matplotlib.figure import Figure  # noqa: PLC0415

    from minibit.lab.pictures.canvas import BLUE, GREY, INK  # noqa: PLC0415
    from minibit.lab.pictures.shade import DARK  # noqa: PLC0415

    blue, grey, ink = (DARK[one] if dark else one for one in (BLUE, GREY, INK))
    ways = sorted(found["ways"], key=makespan_s, reverse=True)  # the first bar is the lowest
    ratios = [makespan_s(way) / found["bound_s"] for way in ways]
    look: dict[Any, Any] = {"svg.hashsalt": path.stem, "font.size": 9, "text.color": ink, "axes.spines.left": False}
    look |= {f"axes.spines.{side}": False for side in ("top", "right", "bottom")}
    with rc_context(look):
        figure = Figure(figsize=(8, 0.7 + 0.35 * len(ways)), layout="constrained")
        axes = figure.subplots()
        colours = [blue if way["name"] == "push" else grey for way in ways]
        bars = axes.barh([way["title"] for way in ways], ratios, color=colours, height=0.65)
        axes.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=4, color=ink)
        axes.axvline(1, color=ink, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.tick_params(length=0, colors=ink)
        axes.set_xticks([1], ["lower bound"])
        axes.set_xlim(0, 1.08 * max(ratios))
        figure.savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()

"""Minibit beside libtorrent: the same content, as many peers and neighbours, the same files, the same hour.

    python experiments/against_libtorrent.py --peers 1,8,50 --repeat 3 --into docs/speed.md
    python experiments/against_libtorrent.py --peers 20 --size 100MiB --json -- --block-size 1MiB

Both give one file to N peers on this machine, and both verify every copy. They run in turn, and each is gone before the
other starts. libtorrent runs in processes of its own (libtorrent_swarm.py says what makes it as fast as possible);
Minibit is `run_swarm.py` with its defaults, or with the options after `--`. Spawning is not part of the transfer, on
either side. Both are measured warm: they write over the same files, whose pages are in memory (warm.py says why).

Goodput is peers x content / transfer time. libtorrent runs with each --piece-size, and its best result counts. With
--repeat everything runs so often, in turn, and medians count. Compare the ratio, not the figures: they change with the
machine and the hour. Before each swarm there is a rest, in which the bench looks whether the machine is quiet.
"""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import click
import libtorrent
import page
from libtorrent_swarm import RivalResult, share
from quiet import Quiet
from results import SHOWN, numbers, tell
from swarms import SIZE_HELP, minibit, usual_size
from warm import WarmCopies, shown_warm

from minibit.actors.disk.files import make
from minibit.cli.ending import ending
from minibit.units import parse_bytes, parse_duration, show_bytes, show_duration, show_rate

NAME = "against-libtorrent"  # of its section and its picture


@click.command(context_settings=SHOWN)
@click.option("--peers", default="1,8,50", metavar="N,N,...", callback=numbers, help="Beside the seed; a swarm each.")
@click.option("--size", metavar="SIZE", help=SIZE_HELP)
@click.option("--neighbours", default=20, type=click.IntRange(2), help="Most links of one peer.")
@click.option("--repeat", default=1, type=click.IntRange(1), help="Rounds; medians count.")
@click.option("--preset", metavar="NAME", help="Preset of Minibit. [its defaults]")
@click.option("--piece-size", multiple=True, default=("256KiB", "1MiB"), metavar="SIZE", help="Pieces of libtorrent.")
@click.option("--processes", default=1, type=click.IntRange(1), help="Processes of libtorrent.")
@click.option("--untuned", is_flag=True, help="Leave libtorrent's settings as they are.")
@click.option("--timeout", default="10m", metavar="TIME", help="Time limit of each swarm.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write a section of this page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("ours", nargs=-1)
def main(
    *,
    peers: list[int],
    size: str | None,
    neighbours: int,
    repeat: int,
    preset: str | None,
    piece_size: tuple[str, ...],
    processes: int,
    untuned: bool,
    timeout: str,
    into: Path | None,
    as_json: bool,
    ours: tuple[str, ...],
) -> None:
    """Measure Minibit and libtorrent side by side. OURS, after --, goes to run_swarm.py as it stands."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ending():
        quiet = Quiet()
        options = ["--neighbours", neighbours, "--timeout", timeout, *(["--preset", preset] if preset else []), *ours]
        theirs = {
            "neighbours": neighbours,
            "processes": processes,
            "tuned": not untuned,
            "timeout_s": parse_duration(timeout),
        }
        pieces = [parse_bytes(one) for one in piece_size]
        swarms = [
            side_by_side(count, parse_bytes(size or usual_size(count)), repeat, pieces, theirs, options, quiet)
            for count in peers
        ]
        found = {
            "libtorrent_version": libtorrent.__version__,
            "neighbours": neighbours,
            "options": [*(["--preset", preset] if preset else []), *ours],
            "warm": shown_warm(min(swarm["rewrite_bps"] for swarm in swarms)),
            "machine": quiet.figures(),
            "swarms": swarms,
        }
        if into:
            write(into, found)
    tell(as_json, found, shown(found), below(found))


def side_by_side(
    peers: int,
    size_bytes: int,
    repeat: int,
    pieces: list[int],
    theirs: dict[str, Any],
    ours: list[object],
    quiet: Quiet,
) -> dict[str, Any]:
    """One swarm of both, in turn, over the same files: what `compared` gives."""
    rivals: dict[int, list[RivalResult]] = {piece_bytes: [] for piece_bytes in pieces}
    minibits: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="minibit-rival-") as name:
        content = make(Path(name, "source", "content"), size_bytes, seed=1)
        copies = WarmCopies(Path(name), peers, size_bytes)
        for _ in range(repeat):
            for piece_bytes, results in rivals.items():
                quiet.rest()
                with tempfile.TemporaryDirectory(prefix="copies-", dir=name) as folder:
                    copies.lend([Path(folder, f"{node}", content.name) for node in range(1, peers + 1)])
                    results.append(share(content, Path(folder), peers, piece_bytes=piece_bytes, **theirs))
                say(f"libtorrent, pieces of {show_bytes(piece_bytes)}", results[-1].transfer_s, results[-1].goodput_bps)
            quiet.rest()
            minibits.append(minibit(content, peers, ours, copies))
            say("Minibit", minibits[-1]["seconds"]["transfer"], minibits[-1]["goodput_bps"])
        return compared(rivals, minibits) | {"rewrite_bps": copies.rewrite_bps}


def say(name: str, transfer_s: float, goodput_bps: float) -> None:
    """Print the result of one swarm on standard error."""
    click.echo(f"{name}: {show_duration(transfer_s)}, {show_rate(goodput_bps)}", err=True)


def compared(rivals: dict[int, list[RivalResult]], minibits: list[dict[str, Any]]) -> dict[str, Any]:
    """All results, the medians of each contestant, and the ratio of goodputs: Minibit / libtorrent's best.

    `ratios` are those of each round alone.
    """
    theirs: list[dict[str, Any]] = [
        {
            "piece_bytes": piece_bytes,
            "spawn_s": median(result.spawn_s + result.link_s for result in results),
            "transfer_s": median(result.transfer_s for result in results),
            "goodput_bps": median(result.goodput_bps for result in results),
            "verified": min(result.verified for result in results),
            "runs": [result._asdict() for result in results],
        }
        for piece_bytes, results in rivals.items()
    ]
    ours = {
        "block_bytes": minibits[0]["content"]["block_bytes"],
        "spawn_s": median(summary["seconds"]["spawn"] for summary in minibits),
        "transfer_s": median(summary["seconds"]["transfer"] for summary in minibits),
        "goodput_bps": median(summary["goodput_bps"] for summary in minibits),
        "verified": min(summary["verified"] for summary in minibits),
        "runs": minibits,
    }
    best = max(theirs, key=lambda row: row["goodput_bps"])
    rounds = zip(minibits, rivals[best["piece_bytes"]], strict=True)
    return {
        "peers": minibits[0]["peers"],
        "content_bytes": minibits[0]["content"]["bytes"],
        "ratio": ours["goodput_bps"] / best["goodput_bps"],
        "ratios": [summary["goodput_bps"] / result.goodput_bps for summary, result in rounds],
        "best_piece_bytes": best["piece_bytes"],
        "libtorrent": theirs,
        "minibit": ours,
    }


# What is shown


def shown(found: dict[str, Any]) -> list[dict[str, str]]:
    """The comparison as the rows of a table: the contestants of each swarm."""
    rows = []
    for swarm in found["swarms"]:
        contestants = [("libtorrent", row["piece_bytes"], row) for row in swarm["libtorrent"]]
        contestants.append(("Minibit", swarm["minibit"]["block_bytes"], swarm["minibit"]))
        for name, block_bytes, row in contestants:
            ratio = ""
            if name == "Minibit":
                low, high = min(swarm["ratios"]), max(swarm["ratios"])
                ratio = f"{swarm['ratio']:.2f}" + (f" ({low:.2f} to {high:.2f})" if low < high else "")
            rows.append(
                {
                    "peers x content": f"{swarm['peers']} x {show_bytes(swarm['content_bytes'])}",
                    "": name,
                    "blocks": show_bytes(block_bytes),
                    "spawn": show_duration(row["spawn_s"]),
                    "transfer": show_duration(row["transfer_s"]),
                    "goodput": show_rate(row["goodput_bps"]),
                    "ratio to the best": ratio,
                    "verified": f"{row['verified']} of {swarm['peers']}",
                }
            )
    return rows


def below(found: dict[str, Any]) -> str:
    """How it was measured, in sentences."""
    rounds = len(found["swarms"][0]["minibit"]["runs"])
    options = " ".join(map(str, found["options"])) or "its defaults"
    return (
        f"{found['warm']} libtorrent {found['libtorrent_version']}; Minibit with {options}; at most "
        f"{found['neighbours']} neighbours; medians of {rounds}, by turns. {Quiet.shown(found['machine'])}."
    )


def write(into: Path, found: dict[str, Any]) -> None:
    """Write the table into its section of a page, with a picture in the folder img/ beside the page."""
    drawn = into.parent / "img" / f"{NAME}.svg"
    groups = {}
    for swarm in found["swarms"]:
        best_bps = max(row["goodput_bps"] for row in swarm["libtorrent"])
        bars = {f"libtorrent, {show_bytes(row['piece_bytes'])}": row["goodput_bps"] for row in swarm["libtorrent"]}
        bars["Minibit"] = swarm["minibit"]["goodput_bps"]
        title = f"{swarm['peers']} x {show_bytes(swarm['content_bytes'])}"
        groups[title] = {name: goodput_bps / best_bps for name, goodput_bps in bars.items()}
    page.bars(drawn, groups, "goodput / libtorrent's best", ours="Minibit")
    picture = f"![Goodput of Minibit and libtorrent, warm](img/{NAME}.svg)"
    page.put(into, NAME, "\n\n".join([page.table(shown(found)), below(found), picture]))


if __name__ == "__main__":
    main()

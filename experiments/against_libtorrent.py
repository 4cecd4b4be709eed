"""Minibit beside libtorrent: the same content, as many peers and neighbours, the same disk, the same hour.

    python experiments/against_libtorrent.py --peers 50 --size 100MiB
    python experiments/against_libtorrent.py --peers 20 --repeat 3 --json -- --block-size 1MiB

Both give one file to N peers on this machine, each with its own folder in the temporary folder, and both verify
every copy. They run in turn, and each is gone before the other starts. libtorrent runs in processes of its own
(libtorrent_swarm.py says what makes it as fast as possible); Minibit is `run_swarm.py` with the options below and those
after `--`. Spawning is not part of the transfer, on either side.

Goodput is peers x content / transfer time. libtorrent runs with each --piece-size, and its best result counts. With
--repeat everything runs so often, in turn, and medians count. Compare the ratio, not the figures: they change with the
machine and the hour.

Before each swarm there is a rest. A virtual machine may return freed memory to its host within seconds, and must then
ask for it anew. A swarm that began at once after another would write its copies three times as fast into the memory of
the other (measured: 4 GiB at 3.4 instead of 0.8 GB/s).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import click
import libtorrent
from libtorrent_swarm import RivalResult, share
from results import SHOWN, tell

from minibit.actors.disk.files import make
from minibit.cli.ending import ending
from minibit.errors import LocalError
from minibit.units import parse_bytes, parse_duration, show_bytes, show_duration, show_rate

RUN_SWARM = Path(__file__).with_name("run_swarm.py")
REST_S = 15.0  # longer than freed memory stays with the virtual machine
GOODBYE_S = 60.0  # the time that an interrupted swarm has to end by itself


@click.command(context_settings=SHOWN)
@click.option("--peers", default=50, type=click.IntRange(1), help="Beside the seed.")
@click.option("--size", default="100MiB", metavar="SIZE", help="Size of the content, which is made.")
@click.option("--neighbours", default=20, type=click.IntRange(2), help="Most links of one peer.")
@click.option("--repeat", default=1, type=click.IntRange(1), help="Rounds; medians count.")
@click.option("--preset", default="lan", metavar="NAME", help="Preset of Minibit.")
@click.option("--piece-size", multiple=True, default=("256KiB", "1MiB"), metavar="SIZE", help="Pieces of libtorrent.")
@click.option("--processes", default=1, type=click.IntRange(1), help="Processes of libtorrent.")
@click.option("--untuned", is_flag=True, help="Leave libtorrent's settings as they are.")
@click.option("--timeout", default="10m", metavar="TIME", help="Time limit of each swarm.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("ours", nargs=-1)
def main(
    *,
    peers: int,
    size: str,
    neighbours: int,
    repeat: int,
    preset: str,
    piece_size: tuple[str, ...],
    processes: int,
    untuned: bool,
    timeout: str,
    as_json: bool,
    ours: tuple[str, ...],
) -> None:
    """Measure Minibit and libtorrent side by side. OURS, after --, goes to run_swarm.py as it stands."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rivals: dict[int, list[RivalResult]] = {}
    minibits: list[dict[str, Any]] = []
    with ending():
        pieces = [parse_bytes(size) for size in piece_size]
        options = ["--peers", peers, "--neighbours", neighbours, "--preset", preset, "--timeout", timeout, *ours]
        with tempfile.TemporaryDirectory(prefix="minibit-rival-") as name:
            content = make(Path(name, "source", "content"), parse_bytes(size), seed=1)
            for _ in range(repeat):
                for piece_bytes in pieces:
                    time.sleep(REST_S)
                    with tempfile.TemporaryDirectory(prefix="copies-", dir=name) as copies:
                        result = share(
                            content,
                            Path(copies),
                            peers,
                            neighbours=neighbours,
                            piece_bytes=piece_bytes,
                            processes=processes,
                            tuned=not untuned,
                            timeout_s=parse_duration(timeout),
                        )
                    rivals.setdefault(piece_bytes, []).append(result)
                    say(f"libtorrent, pieces of {show_bytes(piece_bytes)}", result.transfer_s, result.goodput_bps)
                time.sleep(REST_S)
                with tempfile.TemporaryDirectory(prefix="run-", dir=name) as folder:
                    minibits.append(minibit(content, [*map(str, options), "--out", folder]))
                say("Minibit", minibits[-1]["seconds"]["transfer"], minibits[-1]["goodput_bps"])
    found = compared(rivals, minibits)
    tell(as_json, found, shown(found), f"Minibit / libtorrent's best: {found['ratio']:.2f}")


def minibit(content: Path, options: list[str]) -> dict[str, Any]:
    """The summary of one swarm of Minibit, with every copy verified. An interrupted swarm ends before this script."""
    command = [sys.executable, str(RUN_SWARM), str(content), "--json", "--quiet", *options]
    # in a session of its own it gets Ctrl-C once, from this script
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        try:
            told, _ = child.communicate()
        except BaseException:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(GOODBYE_S)
            except subprocess.TimeoutExpired:
                child.kill()
            raise
    if child.returncode:
        raise LocalError(f"run_swarm.py failed with exit code {child.returncode}: it said why")
    summary: dict[str, Any] = json.loads(told)
    return summary


def say(name: str, transfer_s: float, goodput_bps: float) -> None:
    """Print the result of one swarm on standard error."""
    click.echo(f"{name}: {show_duration(transfer_s)}, {show_rate(goodput_bps)}", err=True)


def compared(rivals: dict[int, list[RivalResult]], minibits: list[dict[str, Any]]) -> dict[str, Any]:
    """All results, the medians of each contestant, and the ratio of goodputs: Minibit / libtorrent's best."""
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
    return {
        "peers": minibits[0]["peers"],
        "content_bytes": minibits[0]["content"]["bytes"],
        "ratio": ours["goodput_bps"] / best["goodput_bps"],
        "best_piece_bytes": best["piece_bytes"],
        "libtorrent_version": libtorrent.__version__,
        "libtorrent": theirs,
        "minibit": ours,
    }


def shown(found: dict[str, Any]) -> list[dict[str, str]]:
    """The comparison as the rows of a table."""
    rows = [(f"libtorrent {found['libtorrent_version']}", row["piece_bytes"], row) for row in found["libtorrent"]]
    rows.append(("Minibit", found["minibit"]["block_bytes"], found["minibit"]))
    return [
        {
            f"{found['peers']} x {show_bytes(found['content_bytes'])}": name,
            "blocks": show_bytes(block_bytes),
            "spawn": show_duration(row["spawn_s"]),
            "transfer": show_duration(row["transfer_s"]),
            "goodput": show_rate(row["goodput_bps"]),
            "verified": f"{row['verified']} of {found['peers']}",
        }
        for name, block_bytes, row in rows
    ]


if __name__ == "__main__":
    main()

"""The four media of the original, shared by its rules, beside the original's times; and the rules that a run kept.

    python experiments/classic.py
    python experiments/classic.py --peers 9 --only mp3 --json
    python experiments/classic.py --check
    python experiments/classic.py --check --world sim
    python experiments/classic.py --check --of runs/NAME

A song, a film, an image and a document (see media.py) are given to five peers each with the preset `classic`:
blocks of 32 KiB, every peer starts with a tenth of them and one more, slots go by rarity, and a complete peer leaves.
At the end a real decoder opens every copy to its end. The original's figures were taken on other machines, years ago:
only the order of magnitude can be compared.

With `--check` a swarm runs that is slow enough to show every rule (`CHECKED`), or an existing run is read, and a sheet
says which of the original's rules it kept (conformance.py, docs/classic.md). The exit code is 9 if a rule is broken,
else 0; the others are those of run_swarm.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import click
from conformance import SheetRow, sheet
from media import MEDIA, open_whole
from results import SHOWN
from rich.console import Console
from rich.table import Table

from minibit.actors import Swarm
from minibit.actors.driver import cluster
from minibit.cli.ending import ending
from minibit.cli.progress import Progress
from minibit.cli.table import put, show
from minibit.errors import LocalError
from minibit.lab import Run, load
from minibit.lab.archive import RunFolder
from minibit.run.options import Options
from minibit.run.summary import Summary
from minibit.sim import Simulation
from minibit.units import show_duration

BROKEN = 9  # exit code: a rule is broken
TIMEOUT_S = 300.0
SHEET_COLUMNS = 110  # the least width of a printed sheet

# Two minutes, in which rounds of 10 s decide something a hundred times.
# Each peer has links with twelve others, so that some wait for its five slots.
# The tracker names twelve of sixteen, and is asked once a round.
CHECKED: dict[str, Any] = {
    "preset": "classic",
    "peers": 16,
    "size": "6MiB",
    "upload": "64KiB/s",
    "seed_upload": "64KiB/s",
    "neighbours": 12,
    "tracker": "10s",
}


class Original(NamedTuple):
    """The times of the original with 5 peers: as its authors said, and as measured again on two cores."""

    blocks: int
    seconds: str
    messages_a_peer: str


ORIGINALS = {"mp3": Original(61, "61 to 87 s", "170 to 195"), "mp4": Original(131, "124 s", "360")}


@click.command(context_settings=SHOWN)
@click.option("--peers", type=click.IntRange(1), help="Number of peers.  [5; with --check 16]")
@click.option("--only", type=click.Choice(tuple(MEDIA)), multiple=True, help="Share only this medium; may be repeated.")
@click.option("--check", is_flag=True, help="Say which of the original's rules a run kept.")
@click.option("--world", type=click.Choice(("ray", "sim")), default="ray", help="World of the run of --check.")
@click.option("--seed", default=1, help="Random seed of the run of --check.")
@click.option("--out", metavar="DIR", help="The folder for the run of --check.  [none stays]")
@click.option("--of", metavar="DIR", help="Check the run in this folder, and run none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(
    peers: int | None,
    only: tuple[str, ...],
    check: bool,
    world: str,
    seed: int,
    out: str | None,
    of: str | None,
    as_json: bool,
) -> None:
    """Share the original's four media by its rules and open every copy; or check a run against these rules."""
    with ending(), tempfile.TemporaryDirectory(prefix="minibit-classic-") as name:
        if check or of:
            given = {"seed": seed, **({"peers": peers} if peers else {})}
            run = load(of) if of else checked(world, out=out or str(Path(name, "run")), **given)
            sys.exit(show_sheet(run, sheet(run), as_json))
        show_media(Path(name), only, peers or 5, as_json)


def checked(world: str, *, out: str, **given: Any) -> Run:
    """A run of `CHECKED` in that world, where `given` options take precedence; its records are in `out`."""
    chosen = {**CHECKED, **given, "world": world}
    with Progress() as progress:
        progress.say(f"a swarm of {chosen['peers']} peers, to be checked")
        if world == "sim":
            simulation = Simulation(Options.build(**chosen))
            simulation.run()
            simulation.write(RunFolder.create(out=out))
        else:
            with Swarm.launch(**chosen, out=out) as swarm:
                swarm.wait(timeout=TIMEOUT_S, progress=progress.update)
    return load(out)


def show_sheet(run: Run, rows: list[SheetRow], as_json: bool) -> int:
    """Print the sheet, as a table or as JSON, and return the exit code."""
    code = BROKEN if any(row.verdict == "broken" for row in rows) else 0
    if as_json:
        click.echo(json.dumps({"run": run.name, "world": run.world, "rules": [row._asdict() for row in rows]}))
        return code
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("rule", ratio=2)
    table.add_column("verdict", no_wrap=True)
    table.add_column("evidence", ratio=5)
    for row in rows:
        table.add_row(row.rule, row.verdict, row.evidence)
    console = Console(highlight=False)
    console.width = max(console.width, SHEET_COLUMNS)
    put(table, console)
    return code


def show_media(folder: Path, only: tuple[str, ...], peers: int, as_json: bool) -> None:
    """Share the media, all or only some, and print our figures beside the original's."""
    try:
        cluster.connect()
        rows = [shared(kind, folder, peers) for kind in only or MEDIA]
    finally:
        cluster.disconnect()
    if as_json:
        click.echo(json.dumps({"peers": peers, "media": rows}))
        return
    show(
        ("", "blocks", "time", "messages a peer", "opened", "the original: blocks", "time", "messages a peer"),
        [
            (
                row["name"],
                row["blocks"],
                show_duration(row["seconds"]),
                f"{row['messages_a_peer']:.0f}",
                f"{row['opened']} of {row['peers']}",
                *(row["original"] or dict.fromkeys(Original._fields, "-")).values(),
            )
            for row in rows
        ],
    )


def shared(kind: str, folder: Path, peers: int = 5) -> dict[str, Any]:
    """Make one medium, give it to `peers` by the classic rules, and open every copy; the row of the table.

    Everything happens below `folder`. `MediaError` names a copy that does not open.
    """
    original = MEDIA[kind].make(folder)
    out = folder / kind
    with Swarm.launch(original, peers=peers, preset="classic", out=str(out), keep=True) as swarm:
        summary: Summary = swarm.wait(timeout=TIMEOUT_S)
    if summary.exit_code:
        why = {failure.why for failure in summary.failed}
        raise LocalError(f"{summary.verified} of {peers} peers have a verified {original.name}: {', '.join(why)}")
    copies = sorted((out / "files").glob(f"*/{original.name}"))
    for copy in copies:
        open_whole(copy)
    return {
        "kind": kind,
        "name": original.name,
        "bytes": summary.content.bytes,
        "blocks": summary.content.blocks,
        "seconds": summary.seconds.transfer,
        "median_s": summary.seconds.median,
        "messages_a_peer": summary.messages.total / peers,
        "peers": peers,
        "opened": len(copies),
        "original": ORIGINALS[kind]._asdict() if kind in ORIGINALS else None,
    }


if __name__ == "__main__":
    main()

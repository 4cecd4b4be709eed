"""`bench.py start`: where the time goes from the command to the first block.

The command is `minibit swarm`, a process of its own each time; its stages are those that it tells its user. Beside this
state of Minibit runs another one, in turn: that in the folder --before, or this one without the fork server, whose
workers import for themselves. Medians count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import click
import page
from checks.page import picture
from quiet import Quiet
from results import tell

from minibit.actors.worker import ADDRESS
from minibit.cli.ending import ending
from minibit.errors import LocalError
from minibit.units import show_duration

NAME = "start"  # of its section and its picture
LIMIT_S = 600.0  # for a whole run
HERE = Path(__file__).resolve().parents[1]
PARTS = {
    "making content": "Python, imports",
    "hashing content": "making the content",
    "starting Ray": "hashing it",
    "starting actors": "starting Ray",
    "the peers join": "starting the actors",
    "asking": "joining, first links",
    "first block": "the first block",
}
"""The part of the start that ends when this stage begins."""
COLORS = ("#B0B5BA", "#F0E442", "#CC79A7", "#E69F00", "#0072B2", "#56B4E9", "#009E73")
WATCHED = """
import json, os, time
from minibit.cli import main
from minibit.cli.progress import Progress
from minibit.records import BlockRecord
from minibit.run.ledger import Ledger

def stage(self, what, *args):
    begun.setdefault("starting actors" if what.endswith(" actors") else what, time.monotonic())
    usual_stage(self, what, *args)

def summary(self, **given):
    begun["asking"] = self.started_at
    begun["first block"] = min(record.at_s for record in self.noted if isinstance(record, BlockRecord))
    with open(os.environ["MOMENTS"], "w") as file:
        json.dump(begun, file)
    return usual_summary(self, **given)

begun = {}
usual_stage, Progress.stage = Progress.stage, stage
usual_summary, Ledger.summary = Ledger.summary, summary
main("swarm")
"""
"""A program that is `minibit swarm`, and notes by the clock of this machine when each stage began."""


@click.command()
@click.option("--peers", default=50, type=click.IntRange(1))
@click.option("--size", default="64MiB", metavar="SIZE")
@click.option("--repeat", default=3, type=click.IntRange(1), help="Runs of each, in turn; medians count.")
@click.option("--before", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A clone to compare.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write a section of this page.")
@click.pass_obj
def start(as_json: bool, peers: int, size: str, repeat: int, before: Path | None, into: Path | None) -> None:
    """Show where the time goes from the command to the first block, beside another state of Minibit."""
    quiet = Quiet()
    other = "before" if before else "without fork server"
    trees = {other: (before or HERE, {} if before else {ADDRESS: "0"}), "now": (HERE, {})}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    with ending():
        for _ in range(repeat):
            for name, (tree, env) in trees.items():
                quiet.rest()
                runs[name].append(one_start(tree, ["--peers", str(peers), "--size", size], env))
                click.echo(f"{name}: {show_duration(sum(runs[name][-1].values()))}", err=True)
    found = {"peers": peers, "size": size, "repeat": repeat, "machine": quiet.figures(), **compared(runs)}
    if into:
        draw(into.parent / "img" / f"{NAME}.svg", found["parts_s"])
        seen = f"![The parts of the start, one after another](img/{NAME}.svg)"
        page.put(into, NAME, "\n\n".join([page.table(shown(found)), below(found), seen]))
    tell(as_json, found, shown(found), below(found))


def one_start(tree: Path, options: list[str], env: Mapping[str, str]) -> dict[str, float]:
    """Run a swarm of the Minibit in `tree`; the seconds of each part of its start, in order."""
    with tempfile.TemporaryDirectory(prefix="minibit-start-") as folder:
        moments = Path(folder, "moments")
        began_at = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, *options, "--no-report", "--quiet", "--out", str(Path(folder, "run"))],
            cwd=folder,
            env={**os.environ, **env, "PYTHONPATH": str(tree), "MOMENTS": str(moments)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise LocalError(f"a swarm failed: {done.stderr.strip()}")
        begun = json.loads(moments.read_text())
    parts = {}
    for stage, part in PARTS.items():
        parts[part], began_at = begun[stage] - began_at, begun[stage]
    return parts


def compared(runs: Mapping[str, list[dict[str, float]]]) -> dict[str, Any]:
    """The median of each part, of the whole, and of the ratios of the last contestant to the first, pair by pair."""
    totals = {name: [sum(parts.values()) for parts in some] for name, some in runs.items()}
    first, last = totals
    return {
        "parts_s": {
            name: {part: median(parts[part] for parts in some) for part in some[0]} for name, some in runs.items()
        },
        "total_s": {name: median(found) for name, found in totals.items()},
        "runs_s": totals,
        "ratio": median(now / before for before, now in zip(totals[first], totals[last], strict=True)),
    }


def shown(found: dict[str, Any]) -> list[dict[str, str]]:
    """A row for each part."""
    names = list(found["total_s"])
    rows = {part: [found["parts_s"][name][part] for name in names] for part in found["parts_s"][names[0]]}
    rows["all, to the first block"] = list(found["total_s"].values())
    return [
        {f"{found['peers']} peers": part, **{name: f"{took_s:.2f} s" for name, took_s in zip(names, each, strict=True)}}
        for part, each in rows.items()
    ]


def below(found: dict[str, Any]) -> str:
    """The ratio, and how it was measured."""
    first, last = found["total_s"]
    ratio = f"{last} / {first}, command to first block: {found['ratio']:.2f}"
    medians = f"Medians of {found['repeat']}, each row by itself, by turns, {found['size']}"
    return f"{ratio}. {medians}. {Quiet.shown(found['machine'])}."


def draw(path: Path, parts_s: Mapping[str, Mapping[str, float]]) -> None:
    """A picture: a bar for each contestant, made of the parts of its start."""

    def bars(_: object, figure: Any) -> None:
        figure.set_size_inches(8, 2.4)
        axes = figure.subplots()
        for contestant, parts in parts_s.items():
            at_s = 0.0
            for (part, took_s), color in zip(parts.items(), COLORS, strict=True):
                label = part if contestant == next(iter(parts_s)) else None
                axes.barh(contestant, took_s, left=at_s, height=0.6, color=color, label=label)
                at_s += took_s
        axes.invert_yaxis()
        axes.tick_params(length=0)
        axes.set_xlabel("seconds since the command began")
        axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.45, -0.3), frameon=False)

    picture(path, bars, {})

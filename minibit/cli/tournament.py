"""Let strategies compete in one swarm, with equally many peers each, and rank them.

    minibit tournament                                         # all that are built in
    minibit tournament rarest-first random+none mine:Greedy free-rider
    minibit tournament tit-for-tat mine:Fair --world ray --seeds 2 --upload 512KiB/s --round 2s

What a contestant doesn't name is as the options say. The places of its peers are random, and differ from run to run.

docs/strategies.md says how they are ranked. A single run is ranked by its figures, and a contestant with incomplete
peers comes after those without. Nothing is kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click

from minibit import strategies
from minibit.choker import CHOKERS
from minibit.cli.commands import Subcommand
from minibit.cli.compare import do_missing, end, marked, put_into
from minibit.cli.ending import complain
from minibit.cli.options import many_runs, number, some_options
from minibit.cli.table import show
from minibit.compare.columns import Estimate, estimate, shown
from minibit.compare.grid import File, Grid, GridRun, of_file
from minibit.compare.results import ResultsFolder, RunResult
from minibit.compare.rows import in_markdown, lost_runs
from minibit.content import VirtualContent
from minibit.errors import LocalError
from minibit.picker import PICKERS
from minibit.rules import Rules
from minibit.run.options import Options
from minibit.run.seating import seats
from minibit.seat import Seat

BUILT_IN = [*map("+".join, product(PICKERS, CHOKERS)), "free-rider"]
TABLE = "tournament"  # its name in a page

OPTIONS = {  # those of a swarm that may be given, with what is usual here
    "world": "sim",
    "size": "16MiB",
    "block_size": "128KiB",
    "upload": "64KiB/s",
    "seed_upload": "256KiB/s",
    "leave": "complete",
    **dict.fromkeys(("download", "preset", "picker", "choker", "slots", "round", "neighbours", "initial", "timeout")),
}
MEASURES = {"mean_s": "mean s", "median_s": "median s", "gave": "gave", "took": "took", "share": "share ratio"}
LEGEND = """
mean, median: until a peer was complete; gave, took: copies of the content, of each peer on average, and their ratio;
rank: 1 plus the number of those that are surely better, run by run"""


class Ranking(NamedTuple):
    """How a contestant did; `share_rank` is by the share ratio, the largest first, and `why` is of incomplete peers."""

    contestant: str
    rank: int
    share_rank: int
    measures: dict[str, Estimate]
    peers: int  # in all runs together
    incomplete: int
    why: str | None


@click.command(cls=Subcommand, params=some_options("Options of the swarm", **OPTIONS))
@click.argument("contestants", metavar="[CONTESTANT]...", nargs=-1)
@number("--peers", "1", "10000", "Peers of each contestant.", default=10)
@number("--seeds", "1", "1000", "Runs, each with another random seed.", default=5)
@many_runs
def main(
    contestants: tuple[str, ...],
    peers: int,
    seeds: int,
    jobs: int | None,
    address: str | None,
    into: Path | None,
    as_json: bool,
    quiet: bool,
    **options: str | None,
) -> None:
    """Let CONTESTANTs compete in one swarm: pickers, chokers, behaviours, or some of these joined by +.

    For example random, mine:Greedy, rarest-first+none, free-rider. Without any: each picker with each choker that is
    built in, and free riders.
    """
    if into is not None:
        marked(into, TABLE)
    fit, out = admitted(contestants or BUILT_IN)
    grid = the_grid(fit, peers, seeds, {name: value for name, value in options.items() if value is not None})
    with TemporaryDirectory(prefix="minibit-tournament-") as folder, ResultsFolder(Path(folder)) as results:
        do_missing(grid, results, jobs, address, quiet)
        found = [(run, result) for run in grid.runs() if (result := results.whole(run)) is not None]
        lost = lost_runs(grid, results)
    standings = ranked(fit, peers, found) if found else []
    table = cells(standings, len(found))
    if into is not None and not lost:
        put_into(into, TABLE, in_markdown(*table))
    if as_json:
        click.echo(json.dumps(as_object(grid, standings, out, lost)))
    elif standings:
        click.echo(f"{grid.title}\n")
        show(*table)
        click.echo(LEGEND)
    for name, why in out.items():
        complain(f"left out: {name}: {why}")
    for one in standings:
        if one.incomplete:
            why = f", e.g. {one.why}" if one.why else ""
            complain(f"incomplete: {one.contestant}: {one.incomplete} of {one.peers} peers{why}")
    end(lost)


# before


def admitted(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """The contestants that can be made, and why the others can't.

    `LocalError` for a name that is none, one that comes twice, and fewer than two contestants.
    """
    fit, out = [], {}
    for name in names:
        if name in fit or name in out:
            raise LocalError(f"{name} is there twice: give each contestant once, and more --peers for more of each")
        team = strategies.team(name)
        try:
            Seat(name=name, rules=team.rules(Rules()), behaviour=team.behaviour).peer(VirtualContent("", 1, 1), 0, 0)
        except Exception as error:  # anything that a user's strategy raises
            out[name] = str(error)
        else:
            fit.append(name)
    if len(fit) < 2:
        those = "".join(f"; {name} is left out: {why}" for name, why in out.items())
        raise LocalError(f"it takes two contestants: give another, e.g. rarest-first, tit-for-tat or free-rider{those}")
    return fit, out


def the_grid(names: list[str], peers: int, seeds: int, options: Mapping[str, str]) -> Grid:
    """The runs of a tournament, as those of a comparison that has one cell."""
    world = {"sim": "simulated", "ray": "real"}.get(options["world"], "")
    title = f"{len(names)} contestants with {peers} peers each in one swarm, runs: {seeds}, {world}"
    given = {**options, "peers": len(names) * peers, "teams": dict.fromkeys(names, peers)}
    return of_file("", File(title=title, repeats=seeds, options=given))


# after


def ranked(names: list[str], peers: int, found: list[tuple[GridRun, RunResult]]) -> list[Ranking]:
    """How each contestant did in the runs that ended, the first first."""
    values = {
        measure: {name: [result.figures.get(f"{measure}.class.{name}") for _, result in found] for name in names}
        for measure in (*MEASURES, "incomplete")
    }
    incomplete = {name: int(sum(count or 0 for count in values["incomplete"][name])) for name in names}
    by_time = ranks(values["mean_s"], incomplete)
    kept = {name: [None if one is None else -one for one in shares] for name, shares in values["share"].items()}
    by_share = ranks(kept, incomplete)
    whys = said_of(found)
    standings = [
        Ranking(
            contestant=name,
            rank=by_time[name],
            share_rank=by_share[name],
            measures={measure: estimate(values[measure][name]) for measure in MEASURES},
            peers=peers * len(found),
            incomplete=incomplete[name],
            why=whys.get(name),
        )
        for name in names
    ]
    return sorted(standings, key=lambda one: (one.rank, one.measures["mean_s"].mean or 0.0))


def ranks(values: Mapping[str, list[float | None]], behind: Mapping[str, int]) -> dict[str, int]:
    """For each, 1 plus the number of those that surely have less, run by run; one that is more `behind` comes later."""

    def surely_less(one: str, other: str) -> bool:
        if behind[one] != behind[other]:
            return behind[one] < behind[other]
        pairs = zip(values[one], values[other], strict=True)
        found = estimate(a - b for a, b in pairs if a is not None and b is not None)
        return found.mean is not None and found.mean + (found.half or 0.0) < 0

    return {name: 1 + sum(surely_less(other, name) for other in values) for name in values}


def said_of(found: list[tuple[GridRun, RunResult]]) -> dict[str, str]:
    """Why most of the peers of a contestant that should have become complete didn't."""
    whys: dict[str, Counter[str]] = {}
    for run, result in found:
        teams = {seat.name: seat.class_name for seat in seats(Options.build(**run.options))}
        for failure in result.summary["failed"]:
            whys.setdefault(teams[failure["peer"]] or "", Counter())[failure["why"]] += 1
    return {name: counts.most_common(1)[0][0] for name, counts in whys.items()}


def cells(standings: list[Ranking], runs: int) -> tuple[list[str], list[list[str]]]:
    """The table as texts: its headings, its rows."""
    some = any(one.incomplete for one in standings)
    headings = ["contestant", "rank", *MEASURES.values(), "rank by share", *(["incomplete"] if some else [])]
    return headings, [
        [
            one.contestant,
            str(one.rank),
            *(shown(name, one.measures[name], runs) for name in MEASURES),
            str(one.share_rank),
            *([f"{one.incomplete} of {one.peers}"] if some else []),
        ]
        for one in standings
    ]


def as_object(grid: Grid, standings: list[Ranking], out: dict[str, str], lost: dict[str, str]) -> dict[str, Any]:
    """What --json prints: all measures, in base units."""
    rows = [
        {**one._asdict(), "measures": {name: found._asdict() for name, found in one.measures.items()}}
        for one in standings
    ]
    return {"title": grid.title, "standings": rows, "left_out": out, "lost": lost}

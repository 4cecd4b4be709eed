"""Many runs side by side: every cell of a grid with several seeds, and one table of means and 95 % intervals.

    minibit compare experiments/grids/pickers.toml
    minibit compare my.toml --out shared/my --address auto --json

A grid file (see docs/compare.md) says what is compared. Each run is a process on this machine, one for each core at a
time; with --address it is a task on a Ray cluster. Swarms of real actors (`world = "ray"` in the grid) run one after
the other, when all simulations are done. A run that is lost takes no other along: it is named, and tried again at the
next start. Each result is kept in the folder at once. After Ctrl-C, or a power cut, the same command goes on where it
stopped.
"""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import NoReturn

import click

from minibit.cli.commands import Subcommand
from minibit.cli.ending import complain, ending, lacking
from minibit.cli.options import many_runs
from minibit.cli.progress import Progress
from minibit.cli.table import show
from minibit.compare.grid import Grid, GridRun, load
from minibit.compare.results import ResultsFolder, RunResult, replace
from minibit.compare.rows import as_markdown, as_object, as_parquet, cells_of, incomplete, lost_runs, row
from minibit.compare.workers import Outcome, Processes, Tasks, Workers
from minibit.errors import LocalError
from minibit.lab.archive import RUNS
from minibit.lab.formats import read_text
from minibit.lab.machine import processors

LOST = 4


@click.command(cls=Subcommand)
@click.argument("grid_file", metavar="GRID", type=click.Path(path_type=Path))
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="[runs/compare-NAME of the grid file]")
@click.option("--fresh", is_flag=True, help="Forget the results in DIR.")
@many_runs
def main(
    grid_file: Path,
    out: Path | None,
    jobs: int | None,
    address: str | None,
    fresh: bool,
    into: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Do every run that GRID asks for and that is not done yet; then print the table of all of them."""
    out = out or RUNS / f"compare-{grid_file.stem}"
    with ending(f"interrupted: what ended is kept in {out}; the same command goes on from there"):
        grid = load(grid_file)
        if into is not None:
            marked(into, grid_file.stem)
        with ResultsFolder(out, fresh) as results:
            tell_of_before(grid, results)
            do_missing(grid, results, jobs, address, quiet)
            rows = [row(cell, results) for cell in grid.cells]
            markdown = as_markdown(grid, rows)
            replace(out / "table.md", f"# {grid.title}\n\n{markdown}".encode())
            try:
                replace(out / "table.parquet", as_parquet(grid, rows))
            except ImportError as error:
                complain(f"no table.parquet: {lacking(error) or error}")
            if into is not None:
                put_into(into, grid_file.stem, markdown)
            lost, short = lost_runs(grid, results), incomplete(grid, results)
    if as_json:
        click.echo(json.dumps(as_object(grid, rows, lost, out)))
    else:
        click.echo(f"{grid.title}\n")
        show(*cells_of(grid, rows))
    for cell, why in short.items():
        complain(f"incomplete: {cell}: {why}")
    end(lost)


# running


def tell_of_before(grid: Grid, results: ResultsFolder) -> None:
    """Say which results in the folder are of no use, or of doubtful use; keep the grid file as it is now."""
    folder, kept = results.folder, results.folder / "grid.toml"
    keys = {run.key for run in grid.runs()}
    used = [result for key, result in results.by_key.items() if key in keys and result.lost is None]
    if results.strange:
        complain(f"{folder}: results.jsonl has lines that are cut or not ours, and ignored: {results.strange}")
    if kept.exists() and kept.read_bytes() != grid.text.encode() and results.by_key:
        unused = len(results.by_key.keys() - keys)
        complain(f"{folder}: the grid has changed: results still of use: {len(used)}, no longer in it: {unused}")
    if others := sum(result.program != results.program for result in used):
        complain(f"{folder}: results of another state of the program: {others}; to do all again, give --fresh")
    replace(folder / "grid.toml", grid.text.encode())


def do_missing(grid: Grid, results: ResultsFolder, jobs: int | None, address: str | None, quiet: bool) -> None:
    """Do all runs that have no result yet, and keep each result as soon as it is there."""
    missing = [run for run in grid.runs() if results.whole(run) is None]
    ended: list[RunResult] = []

    def do(runs: list[GridRun], workers: Workers, at_once: int) -> None:
        waiting = deque(runs)
        doing: dict[Future[Outcome], GridRun] = {}
        with workers:
            while waiting or doing:
                while waiting and len(doing) < at_once:
                    run = waiting.popleft()
                    doing[workers.submit(run)] = run
                for future in wait(doing, return_when=FIRST_COMPLETED).done:
                    ended.append(results.add(doing.pop(future), future.result()))
                    lost = sum(result.lost is not None for result in ended)
                    progress.update_runs(len(ended), lost, len(missing))

    with Progress(quiet) as progress:
        progress.say(f"runs to do: {len(missing)} of {len(grid.runs())}")
        progress.update_runs(0, 0, len(missing))
        if simulated := [run for run in missing if not run.real]:
            if address is not None:
                do(simulated, Tasks(address), jobs or len(simulated))
            else:
                at_once = jobs or processors()
                do(simulated, Processes(at_once), at_once)
        if real := [run for run in missing if run.real]:
            do(real, Processes(1, address), 1)


def end(lost: dict[str, str]) -> NoReturn:
    """Name the runs that were lost, and end with the exit code for that."""
    for run, why in lost.items():
        complain(f"lost: {run}: {why}")
    sys.exit(LOST if lost else 0)


# tables in documents


def marked(page: Path, name: str) -> re.Match[str]:
    """The place of a table in a page: between the lines `<!-- table NAME -->` and `<!-- end -->`."""
    text = read_text(page, "a Markdown file")
    found = re.search(rf"(?<=<!-- table {re.escape(name)} -->\n).*?(?=<!-- end -->)", text, re.DOTALL)
    if found is None:
        raise LocalError(f"{page} has no place for {name}: add the lines <!-- table {name} --> and <!-- end -->")
    return found


def put_into(page: Path, name: str, markdown: str) -> None:
    """Renew a table in a page."""
    found = marked(page, name)
    text = found.string
    replace(page, f"{text[: found.start()]}\n{markdown}\n{text[found.end() :]}".encode())

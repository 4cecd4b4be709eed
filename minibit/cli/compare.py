"""Many runs side by side: every cell of a grid with several seeds, and one table of means and 95 % intervals.

    minibit compare experiments/grids/pickers.toml
    minibit compare my.toml --out shared/my --address auto --json

A grid file (see compare/grid.py) says what is compared. Each run is a process on this machine, one for each core at a
time; with --address it is a task on a Ray cluster. A run that is lost takes no other along: it is named, and tried
again at the next start. Each result is kept in the folder at once. After Ctrl-C, or a power cut, the same command goes
on where it stopped.

Swarms of real actors (`world = "ray"` in the grid) run one after the other, when all simulations are done.

The table goes to standard output, everything else to standard error. Exit codes: 0 done, 1 other, 2 something is
wrong with the grid or the command, 4 runs were lost, 7 no cluster, 8 disk full, 130 interrupted by
Ctrl-C (143 by SIGTERM, 129 by SIGHUP).
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from minibit.cli.commands import Subcommand
from minibit.cli.ending import complain, ending, lacking
from minibit.cli.options import Read
from minibit.cli.table import show
from minibit.compare.grid import Grid, GridRun, load
from minibit.compare.results import ResultsFolder, replace
from minibit.compare.rows import as_markdown, as_object, as_parquet, cells_of, incomplete, lost_runs, row
from minibit.compare.workers import Outcome, Processes, Tasks, Workers
from minibit.errors import LocalError
from minibit.run.readers import whole
from minibit.units import show_duration

RUNS = Path("runs")
LOST = 4
LINE_EVERY_S = 5.0


@click.command(cls=Subcommand)
@click.argument("grid_file", metavar="GRID", type=click.Path(path_type=Path))
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="[runs/compare-NAME of the grid file]")
@click.option("--jobs", metavar="N", type=Read(whole(1)), help="Runs at a time. [one a core; on Ray, what fits]")
@click.option("--address", metavar="ADDR", help="Run on this Ray cluster (HOST:PORT or auto). [on this machine]")
@click.option("--fresh", is_flag=True, help="Forget the results in DIR.")
@click.option("--into", metavar="FILE", type=click.Path(path_type=Path), help="Renew the table in this Markdown file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
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
            results.put("table.md", f"# {grid.title}\n\n{markdown}".encode())
            try:
                results.put("table.parquet", as_parquet(grid, rows))
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
    for run, why in lost.items():
        complain(f"lost: {run}: {why}")
    sys.exit(LOST if lost else 0)


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
    results.put("grid.toml", grid.text.encode())


def do_missing(grid: Grid, results: ResultsFolder, jobs: int | None, address: str | None, quiet: bool) -> None:
    """Do all runs that have no result yet, and keep each result as soon as it is there."""
    missing = [run for run in grid.runs() if results.whole(run) is None]
    simulated = [run for run in missing if not run.real]
    real = [run for run in missing if run.real]
    with GridProgress(len(missing), len(grid.runs()), quiet) as progress:
        if simulated and address is not None:
            with Tasks(address) as tasks:
                do(simulated, tasks, jobs or len(simulated), results, progress)
        elif simulated:
            at_once = jobs or len(os.sched_getaffinity(0))
            with Processes(at_once) as processes:
                do(simulated, processes, at_once, results, progress)
        if real:
            with Processes(1, address) as processes:
                do(real, processes, 1, results, progress)


def do(runs: list[GridRun], workers: Workers, at_once: int, results: ResultsFolder, progress: GridProgress) -> None:
    """Do these runs, so many at a time."""
    waiting = deque(runs)
    doing: dict[Future[Outcome], GridRun] = {}
    while waiting or doing:
        while waiting and len(doing) < at_once:
            run = waiting.popleft()
            doing[workers.submit(run)] = run
        for future in wait(doing, return_when=FIRST_COMPLETED).done:
            result = results.add(doing.pop(future), future.result())
            progress.one_more(result.lost is not None)


class GridProgress:
    """How many of so many runs are done: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, missing: int, runs: int, quiet: bool) -> None:
        console = Console(stderr=True, highlight=False)
        self._missing = missing
        self._ended = 0
        self._lost = 0
        self._began_at = time.monotonic()
        self._line_at = self._began_at
        self._lines = not quiet and not console.is_terminal
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._bar = None if quiet or self._lines else Bar(*columns, console=console, auto_refresh=False)
        self._task = self._bar.add_task("", total=missing) if self._bar else None
        if not quiet:
            click.echo(f"runs to do: {missing} of {runs}", err=True)

    def one_more(self, lost: bool) -> None:
        """One more run has ended."""
        self._ended += 1
        self._lost += lost
        now = time.monotonic()
        left = show_duration((now - self._began_at) / self._ended * (self._missing - self._ended))
        text = (f"{self._lost} lost, " if self._lost else "") + f"{left} to go"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=text, refresh=True)
        elif self._lines and (now - self._line_at >= LINE_EVERY_S or self._ended == self._missing):
            self._line_at = now
            click.echo(f"{self._ended} of {self._missing} runs, {text}", err=True)

    def __enter__(self) -> GridProgress:
        if self._bar is not None and self._missing:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


# tables in documents


def marked(page: Path, name: str) -> re.Match[str]:
    """The place of a table in a page: between the lines `<!-- table NAME -->` and `<!-- end -->`."""
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise LocalError(f"can't read {page} ({error.strerror}): give a Markdown file") from None
    found = re.search(rf"(?<=<!-- table {re.escape(name)} -->\n).*?(?=<!-- end -->)", text, re.DOTALL)
    if found is None:
        raise LocalError(f"{page} has no place for {name}: add the lines <!-- table {name} --> and <!-- end -->")
    return found


def put_into(page: Path, name: str, markdown: str) -> None:
    """Renew a table in a page."""
    found = marked(page, name)
    text = found.string
    replace(page, f"{text[: found.start()]}\n{markdown}\n{text[found.end() :]}".encode())

"""Ten checks of laws and published results that a right implementation must reproduce, mostly by simulation.

    python experiments/paper_checks.py                      # all of them, on all cores: tens of minutes
    python experiments/paper_checks.py free-riders degree   # some
    python experiments/paper_checks.py --quick              # small forms, seconds each; only what they can judge
    python experiments/paper_checks.py --write              # only the page, from the results of earlier runs

Results are kept in the folder --out. When all ten are there, docs/paper-checks.md and its pictures are written anew,
but not by --quick. The exit code is 9 if a row differs from what is expected. Each check is a room of `checks/`: it
says what it runs, what it expects, and why.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import click
import msgspec
from checks import (
    blocks_and_slots,
    bound,
    clustering,
    degree,
    diversity,
    flash_crowd,
    free_riders,
    missing_block,
    seed_economy,
    transfer,
)
from checks.check import Check, CheckRow, Found, Scale, Task
from checks.page import write
from checks.runs import Figures
from results import SHOWN

from minibit.cli.ending import ending
from minibit.cli.table import show
from minibit.units import show_duration

DIFFERS = 9  # exit code: a row is not as expected
DOCS = Path(__file__).parent.parent / "docs"

CHECKS: dict[str, Check] = {
    "bound": bound.CHECK,
    "seed-economy": seed_economy.CHECK,
    "clustering": clustering.CHECK,
    "free-riders": free_riders.CHECK,
    "block-size-and-slots": blocks_and_slots.CHECK,
    "degree": degree.CHECK,
    "flash-crowd": flash_crowd.CHECK,
    "diversity": diversity.CHECK,
    "missing-block": missing_block.CHECK,
    "transfer": transfer.CHECK,
}


class CheckRuns(msgspec.Struct):
    """The runs of one check: a case and its figures for each, and the time of all on one core."""

    core_s: float
    runs: list[tuple[Any, Figures]]

    def found(self) -> Found:
        """The figures by case."""
        by_case: dict[Any, list[Figures]] = {}
        for case, figures in self.runs:
            by_case.setdefault(tuple(case) if isinstance(case, list) else case, []).append(figures)
        return by_case


@click.command(context_settings=SHOWN)
@click.argument("names", nargs=-1, type=click.Choice(tuple(CHECKS)), metavar="[NAMES]...")
@click.option("--quick", is_flag=True, help="Small forms; nothing is kept.")
@click.option("--seeds", type=click.IntRange(1), help="Random seeds for each case. [1 to 5]")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default="one a core")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="runs/paper-checks")
@click.option("--write", "only_write", is_flag=True, help="Run nothing: write all from the results in --out.")
def main(names: tuple[str, ...], quick: bool, seeds: int | None, jobs: int, out: Path, only_write: bool) -> None:
    """Check the laws that every right swarm follows: those named NAMES, or all ten.

    \b
    bound  seed-economy  clustering  free-riders  block-size-and-slots
    degree  flash-crowd  diversity  missing-block  transfer
    """
    with ending():
        if only_write:
            if not (results := kept(out, names or CHECKS)):
                raise click.ClickException(f"there are no results in {out}: leave --write out, and wait")
        else:
            results = run_all(names or tuple(CHECKS), Scale(quick, seeds), jobs, None if quick else out)
    everything = results if quick else kept(out, CHECKS)
    found = judge(results, everything)
    judged = [(name, row) for name, rows in found.items() for row in CHECKS[name].judged(rows, quick)]
    show(
        ("check", "expected", "measured", "verdict"),
        [
            (f"{name}: {row.what}", row.expected, row.measured, "as expected" if row.good else "differs")
            for name, row in judged
        ],
    )
    if too_large := sum(map(len, found.values())) - len(judged):
        click.echo(f"rows that small forms can't judge: {too_large}; leave --quick out for them", err=True)
    if len(everything) == len(CHECKS) and not quick:
        write(DOCS, CHECKS, judge(everything, everything), {name: found.found() for name, found in everything.items()},
              sum(found.core_s for found in everything.values()))  # fmt: skip
        click.echo(f"wrote {DOCS / 'paper-checks.md'}", err=True)
    if not all(row.good for _, row in judged):
        sys.exit(DIFFERS)


def kept(folder: Path, names: Iterable[str]) -> dict[str, CheckRuns]:
    """The results of earlier runs of these checks, as far as there are any."""
    paths = {name: path for name in names if (path := folder / f"{name}.json").exists()}
    return {name: msgspec.json.decode(path.read_bytes(), type=CheckRuns) for name, path in paths.items()}


def judge(results: dict[str, CheckRuns], everything: dict[str, CheckRuns]) -> dict[str, list[CheckRow]]:
    """The rows of these checks, by name. The check `bound` counts the runs of all others too."""
    rows = {}
    for name, found in results.items():
        cases = dict(found.found())
        if name == "bound":
            others = [one for other, one in everything.items() if other != name]
            cases[bound.ELSEWHERE] = [figures for one in others for _, figures in one.runs]
        rows[name] = CHECKS[name].rows(cases)
    return rows


# running


def run_all(names: Iterable[str], scale: Scale, jobs: int, keep_in: Path | None) -> dict[str, CheckRuns]:
    """Run these checks: a process for each run, the longest first; runs that need the machine alone come last.

    The results of a check are kept as soon as its runs are done, so that an interrupt loses only the others.
    """
    results = {name: CheckRuns(0.0, []) for name in names}
    tasks = [(name, task) for name in results for task in CHECKS[name].tasks(scale)]
    left = Counter(name for name, _ in tasks)

    def enter(name: str, task: Task, timed: tuple[Figures, float]) -> None:
        figures, core_s = timed
        results[name].runs.append((task.case, figures))
        results[name].core_s += core_s
        left[name] -= 1
        click.echo(f"{left.total()} runs left; {name} {task.case}: {show_duration(core_s)}", err=True)
        if not left[name] and keep_in is not None:
            keep_in.mkdir(parents=True, exist_ok=True)
            (keep_in / f"{name}.json").write_bytes(msgspec.json.encode(results[name]))

    together = sorted((one for one in tasks if not one[1].alone), key=lambda one: -one[1].cost)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        running = {pool.submit(timed, task.call): (name, task) for name, task in together}
        try:
            for future in as_completed(running):
                enter(*running[future], future.result())
        except BaseException:
            for future in running:
                future.cancel()
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    for name, task in tasks:
        if task.alone:
            enter(name, task, timed(task.call))
    return results


def timed(call: Callable[[], Figures]) -> tuple[Figures, float]:
    """The figures of a run, and its seconds on a core."""
    began_s = time.process_time()
    return call(), time.process_time() - began_s


if __name__ == "__main__":
    main()

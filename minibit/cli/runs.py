"""The runs that were kept: list them, show one, compare two, export one.

    minibit runs ls
    minibit runs show 2025-06-01-143000-kqzw
    minibit runs diff runs/before runs/after
    minibit runs export tuesday --to tables --format parquet

A run is named by its folder, or by its name in runs/ (or in --runs DIR). Results go to standard output; a note about
records that a run lacks goes to standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isnan
from pathlib import Path
from typing import Any

import click
import msgspec
import polars as pl

from minibit.cli.commands import Subcommands
from minibit.cli.ending import complain
from minibit.cli.table import show as show_table
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.lab import Run, load
from minibit.lab.archive import RUNS, explained
from minibit.lab.folder import read_about
from minibit.run.options import Options
from minibit.units import show_bytes, show_duration

OF_THE_RUN_ITSELF = {"name", "out", "address", "data_ports", "keep", "run", "digest"}  # and not of what happened in it
FORMATS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "csv": pl.DataFrame.write_csv,
    "parquet": pl.DataFrame.write_parquet,
}

in_runs = click.option(
    "--runs", metavar="DIR", type=click.Path(path_type=Path), default=RUNS, help="The folder of all runs."
)


@click.group(cls=Subcommands)
def main() -> None:
    """List, show, compare and export the runs that were kept."""


@main.command()
@in_runs
def ls(runs: Path) -> None:
    """A line for each run, by name."""
    folders = sorted([*runs.glob("*"), *runs.glob("*/earlier/*")])
    rows = [(str(folder.relative_to(runs)), *_line(folder)) for folder in folders if _is_run(folder)]
    if not rows:
        what = "run in" if runs.is_dir() else "folder"
        raise LocalError(f"there is no {what} {runs}: run a swarm first, or give --runs DIR")
    show_table(["run", "world", "complete", "content", "transfer", "efficiency", "picker", "choker", "seed"], rows)


@main.command()
@click.argument("run", metavar="RUN")
@in_runs
def show(run: str, runs: Path) -> None:
    """One run: its options, what it came to, and each sort of peer."""
    found = _load(run, runs)
    click.echo(repr(found))
    if given := _differing(_flat(found.options), _flat(msgspec.to_builtins(Options()))):
        click.echo("\noptions that aren't the defaults")
        show_table(["option", "value"], [(name, _text(value)) for name, value, _ in given])
    click.echo()
    show_table(["peers", "number", "complete", "mean time", "share ratio"], _sorts(found))
    if (events := found.events()).height:
        click.echo("\nwhat happened")
        counted = events.group_by("event").agg(pl.len(), pl.col("at_s").min()).sort("at_s", "event")
        show_table(["event", "times", "first"], [(e, n, show_duration(max(0.0, s))) for e, n, s in counted.iter_rows()])


@main.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@in_runs
def diff(a: str, b: str, runs: Path) -> None:
    """Two runs: how their options and their figures differ."""
    one, other = _load(a, runs), _load(b, runs)
    told = _differing(_told(one), _told(other))
    figures = _differing(_figures(one), _figures(other))
    if not told and not figures:
        click.echo("they differ in nothing")
    if told:
        show_table(["told", a, b], [(name, _text(x), _text(y)) for name, x, y in told])
    if told and figures:
        click.echo()
    if figures:
        show_table(["figure", a, b, "ratio"], [(name, _text(x), _text(y), _ratio(x, y)) for name, x, y in figures])


@main.command()
@click.argument("run", metavar="RUN")
@click.option("--to", metavar="DIR", type=click.Path(path_type=Path), required=True, help="The folder for the tables.")
@click.option("--format", "form", type=click.Choice(sorted(FORMATS)), default="csv", help="Format of the tables.")
@in_runs
def export(run: str, to: Path, form: str, runs: Path) -> None:
    """Each table of a run as a file: its records, and more."""
    found = _load(run, runs)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise LocalError(f"--to {to}: there is something already: give a new folder")
    with explained(to):
        to.mkdir(parents=True, exist_ok=True)
        for name, table in found.each_table():
            FORMATS[form](table, to / f"{name}.{form}")
    click.echo(f"{len(list(to.iterdir()))} tables in {to}")


# finding


def _load(run: str, runs: Path) -> Run:
    """The run in that folder, or of that name; what isn't there of it is said."""
    paths = [path for path in (Path(run), runs / run) if path.is_dir()]
    if not paths:
        raise LocalError(f"there is no run {run}: give its folder, or its name in {runs} (see minibit runs ls)")
    found = load(next(filter(_is_run, paths), paths[0]))
    for sentence in found.missing:
        complain(f"{found.name}: {sentence}")
    return found


def _is_run(folder: Path) -> bool:
    """Whether a run wrote anything here."""
    return folder.is_dir() and any((folder / name).exists() for name in ("run.json", "blocks.parquet", "peers.parquet"))


def _line(folder: Path) -> tuple[object, ...]:
    """A run in a line but for its name, from its run.json alone."""
    try:
        about, missing = read_about(folder)
    except LocalError:
        return ("of a newer Minibit", *[""] * 7)
    summary = about.get("summary")
    if not summary:
        return ("not whole" if missing else "not over", *[""] * 7)
    content, rules = summary["content"], about.get("options", {}).get("rules", {})
    return (
        summary["world"],
        f"{summary['completed']} of {summary['peers']}",
        f"{show_bytes(content['bytes'])}, {content['blocks']} blocks",
        show_duration(summary["seconds"]["transfer"]),
        "-" if summary["efficiency"] is None else f"{summary['efficiency']:.2f}",
        rules.get("picker", "-"),
        rules.get("choker", "-"),
        summary["seed"],
    )


# figures


def _sorts(run: Run) -> list[tuple[object, ...]]:
    """For each sort of peer: how many, how many became complete, after how long, what they gave for what they got."""
    sort = pl.concat_str(pl.col("behaviour").fill_null("peers"), pl.format(", class {}", "class").fill_null(""))
    peers = (
        run.members.filter(pl.col("peer") != TRACKER)
        .select("peer", sort=sort)
        .join(run.lives(), on="peer", how="left")
        .join(run.shares().drop("behaviour"), on="peer", how="left")
    )
    took_s = pl.col("completed_s") - pl.col("started_s").fill_null(0.0)
    found = peers.group_by("sort", maintain_order=True).agg(
        pl.len(), pl.col("completed_s").count(), took_s.mean().alias("mean_s"),
        ratio=pl.col("up_bytes").sum() / pl.col("down_bytes").sum(),
    )  # fmt: skip
    return [
        (name, count, complete, "-" if mean_s is None else show_duration(mean_s), _share_ratio(ratio))
        for name, count, complete, mean_s, ratio in found.iter_rows()
    ]


def _share_ratio(ratio: float) -> str:
    return "-" if isnan(ratio) else f"{ratio:.2f}"  # where nothing moved there is none


def _told(run: Run) -> dict[str, Any]:
    content = run.content
    told = {"world": run.world, "blocks": content["blocks"], "block_bytes": content["block_bytes"]}
    return told | _flat(run.options) | _flat(run.scenario or {}, "scenario ") | _flat(run.versions)


def _figures(run: Run) -> dict[str, Any]:
    """What the run came to, as numbers by name."""
    summary = run.summary or {}
    kept = {name: value for name, value in summary.items() if name not in {"world", "preset", "seed", "content"}}
    kept["failed"] = len(summary["failed"]) if "failed" in summary else None
    return _flat({**kept, "reciprocity": round(run.reciprocity_of_all, 4)})


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """The values of a table and of those in it, by their names in a row."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if name in OF_THE_RUN_ITSELF:
            continue
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, "" if name == "rules" else f"{before}{name} ")
        else:
            flat[before + name] = value
    return flat


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Each name with two values that differ, and both values; None for a value that isn't there."""
    pairs = [(name, one.get(name), other.get(name)) for name in {**one, **other}]
    return [(name, a, b) for name, a, b in pairs if _plain(a) != _plain(b)]


def _plain(value: Any) -> Any:
    """A value as JSON gives it back, which knows no tuples; one that is empty is none."""
    value = list(value) if isinstance(value, tuple) else value
    return None if value in ([], {}) else value


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case float():
            return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        case list() | tuple():
            return ", ".join(map(_text, value))
    return str(value)


def _ratio(one: Any, other: Any) -> str:
    """The second by the first, where both are numbers."""
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return f"{other / one:.3g}" if numbers and one else ""

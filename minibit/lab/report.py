"""The report of a run: one HTML file with everything in it, which asks no address for anything.

It is a page of the run's pictures with a short summary above them, all moved by one clock. It says what is missing,
and shows what there is. It is written beside its place and then renamed, so there is never half a report.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from minibit.errors import LocalError
from minibit.lab.pictures import all_pictures
from minibit.lab.pictures.page import STYLE, TWO, library, placed
from minibit.lab.pictures.picture import peers_of
from minibit.units import show_bytes, show_duration, show_rate

if TYPE_CHECKING:
    import os

    from minibit.lab.run import Run


def write(run: Run, path: str | os.PathLike[str]) -> Path:
    """Write the report of `run` to this file; its path. `LocalError` where that can't be."""
    place = Path(path)
    beside = place.with_name(f".{place.name}.new")
    try:
        with beside.open("w", encoding="utf-8") as file:  # before the work: a place that isn't is told at once
            file.write(html(run))
        beside.replace(place)
    except OSError as error:
        raise LocalError(f"can't write {place} ({error.strerror or error}): give another path") from None
    finally:
        beside.unlink(missing_ok=True)
    return place


def html(run: Run) -> str:
    """The report as text."""
    sections, script = placed(all_pictures(run))
    missing = "".join(f'<p class="missing">{escape(one)}</p>' for one in run.missing)
    rows = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in figures(run))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(run.name)}: a Minibit run</title>
<style>{STYLE}</style>
{library()}
</head>
<body>
<h1>{escape(run.name)}</h1>
{missing}
<table>{rows}</table>
<main>
{sections}
</main>
{script}
{TWO}
</body>
</html>
"""


def figures(run: Run) -> list[tuple[str, str]]:
    """What the run was and came to: names and values in words; of what isn't known, no row."""
    summary = run.summary or {}
    content = run.content
    peers = len(peers_of(run))
    shared = f"{content['name'] or 'content'}: {show_bytes(content['bytes'])} in {content['blocks']:,} blocks"
    found = [("content", f"{shared} of {show_bytes(content['block_bytes'])}" if content["blocks"] else shared)]
    complete = run.completion().height
    if not run.peers.is_empty():
        found.append(("complete", f"{complete:,} of {peers:,} peers"))
    if rules := run.options.get("rules"):
        found.append(("rules", f"{rules['picker']}, {rules['choker']}, {rules['slots']} + {rules['guests']} slots"))
    if behave := run.options.get("behave"):
        sorts = [f"{count} {sort}" for sort, count in behave.items()]
        found.append(("behaviour", ", ".join([*sorts, "all others honest"])))
    if not summary:
        return [*found, ("until", show_duration(run.end_s))]
    seconds, moved, bound_s = summary["seconds"], summary["bytes"], summary["bound_s"]
    transfer = show_duration(seconds["transfer"])
    if seconds["median"] is not None:
        first, median, last = (show_duration(seconds[name]) for name in ("first", "median", "last"))
        transfer += f" (first complete after {first}, median {median}, last {last})"
    found.append(("transfer", transfer))
    if bound_s is not None:
        efficiency = summary["efficiency"]
        at_best = "" if efficiency is None else f", efficiency {efficiency:.2f}"
        found.append(("at best", f"{show_duration(bound_s)}{at_best}"))
    found.append(("goodput", f"{show_rate(summary['goodput_bps'])}, all peers together"))
    if moved["moved"]:
        wasted = f"{moved['wasted'] / moved['moved']:.2%} of it wasted"
        found.append(("moved", f"{show_bytes(moved['moved'])}, {wasted}, {show_bytes(moved['seed_sent'])} by the seed"))
    found.append(("fairness", f"{summary['fairness_jain']:.2f} (Jain's index of what each peer sent)"))
    world = {"ray": "real actors", "sim": "simulated"}.get(summary["world"], summary["world"])
    ran = [f"{name} {version}" for name, version in run.versions.items() if name != "platform"]
    found.append(("world", ", ".join([world, f"seed of chance {summary['seed']}", *ran])))
    for failure in summary["failed"][:8]:
        found.append(("incomplete", f"{failure['peer']}: {failure['why']}"))
    if len(summary["failed"]) > 8:
        found.append(("", f"and {len(summary['failed']) - 8:,} more"))
    return found

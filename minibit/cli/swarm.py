"""Run one swarm: make or take content, give it to so many peers, and say what it came to.

    minibit swarm --peers 50
    minibit swarm film.mp4 --preset classic --json
    minibit swarm model.bin --peers 16 --address auto --out shared --keep
    minibit swarm --world sim --peers 1000 --upload 1MiB/s --scenario faults.toml

The summary goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from minibit.actors.disk import files
from minibit.actors.driver import fork_server
from minibit.actors.driver.signals import undisturbed
from minibit.cli.commands import Subcommand
from minibit.cli.ending import complain, lacking
from minibit.cli.options import Given, swarm_options
from minibit.cli.progress import Progress, show_summary
from minibit.errors import LocalError, OptionError
from minibit.lab import formats
from minibit.lab.archive import RUNS, RunFolder
from minibit.lab.machine import free_memory_bytes
from minibit.run import needs
from minibit.run.figures import told_of
from minibit.run.options import TABLE, Options
from minibit.run.summary import Summary
from minibit.sim import Scenario, Simulation
from minibit.units import show_duration


@click.command(cls=Subcommand, params=swarm_options())
@click.argument("file", required=False, type=click.Path())
def main(file: str | None, no_report: bool, json: bool, quiet: bool, **given: Any) -> None:
    """Share FILE (a file or a folder), or made content, among a swarm of Ray actors.

    Sizes take kB, MB, GB, KiB, MiB, GiB, also without the B; rates the same and kbit, Mbit, Gbit, all with or without
    /s; times ms, s, m, h. An option may stand in the environment too: MINIBIT_PEERS=20 is --peers 20.

    With --world sim the swarm is simulated, in virtual time and without Ray. A peer without --upload then has a line
    of 1 Gbit/s.

    With --live an address is printed on standard error. Keep it to yourself: the page controls the swarm. It ends
    with the run; on a terminal it stays, to show the end, until Ctrl-C. Neither changes the exit code.
    """
    # Ray and strategies may print; standard output is for the summary
    with contextlib.redirect_stdout(sys.stderr):
        given = of_this_world(given)
        scenario, journal, live = (given.pop(name, None) for name in ("scenario", "journal", "live"))
        options = Options.build(**given)
        with Progress(quiet) as progress:
            if options.world == "sim":
                journals = [name.strip() for names in journal for name in names.split(",")]
                summary = simulate(file, options, scenario, journals, progress)
            else:
                summary = launch(file, options, live, progress)
            folder = Path(options.out) if options.out else RUNS / summary.run
            if folder.exists():
                progress.say(f"records in {folder}")
                if not no_report:
                    report(folder, progress)
    if json:
        click.echo(summary.to_json())
    else:
        show_summary(summary)
    for why, failures in summary.failed_by_reason().items():
        complain(f"incomplete: {told_of(failures, why, summary.nodes)}")
    if summary.failed and options.keep:
        complain(f"to go on with the copies in {folder}, give the same command again, with --out {folder}")
    if live:
        keep_page()
    sys.exit(summary.exit_code)


def of_this_world(given: dict[str, Any]) -> dict[str, Any]:
    """What was given, without what the environment says about the other world.

    `LocalError` for an option on the command line that has no meaning in this world.
    """
    context, world = click.get_current_context(), given["world"] or Options().world
    for parameter in context.command.params:
        if isinstance(parameter, Given) and {parameter.option.world, world} == set(TABLE["world"].values):
            option, source = parameter.option, context.get_parameter_source(parameter.option.name)
            if source is ParameterSource.ENVIRONMENT:
                del given[option.name]
            elif given[option.name] and given[option.name] != option.default:
                what = f"{parameter.opts[0]} has a meaning with --world {option.world} only"
                raise LocalError(f"{what}: leave it out, or give that")
    return given


def launch(file: str | None, options: Options, live: bool, progress: Progress) -> Summary:
    """One whole swarm of real actors."""
    if file is not None:
        files.check_source(file)
    if options.local:
        fork_server.begin()  # it imports while this process does
    with undisturbed():  # half of Ray can neither run nor end
        from minibit.actors.driver.own_swarm import OwnSwarm  # noqa: PLC0415  imports Ray, for which nothing else waits

    if live:
        from minibit.actors.driver.live import make_ready  # noqa: PLC0415  now, and not while blocks move

        make_ready()
    with OwnSwarm.start(file, options, progress.stage) as swarm:
        if live:
            click.echo(f"live page: {swarm.live().url}", err=True)
        return swarm.wait(progress=progress.update)


def report(folder: Path, progress: Progress) -> None:
    """Write the pictures of the run beside its records, where what draws them is installed."""
    progress.stage("drawing the report")
    try:
        from minibit.lab import load, report  # noqa: PLC0415  heavy, and not everybody has it

        path = report.write(load(folder), folder / "report.html")
    except ImportError as error:
        progress.say(f"no report: {lacking(error) or error}")
    except Exception as error:  # the run is done and its records are written: the report is the lesser thing
        complain(f"no report: {error}")
    else:
        progress.say(f"report in {path}")


def keep_page() -> None:
    """On a terminal the live page goes on after the run, until Ctrl-C."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        complain("the live page stays and shows the end; Ctrl-C ends it")
        try:
            threading.Event().wait()
        except KeyboardInterrupt as told:
            if told.args:  # by a signal that ends a program
                raise


def everybody(options: Options) -> str:
    """The members of the swarm, in words."""
    return f"the tracker and {options.peers} {'peer' if options.peers == 1 else 'peers'}"


def simulate(
    file: str | None, options: Options, scenario: str | None, journals: list[str], progress: Progress
) -> Summary:
    """One whole simulated swarm. Its summary has virtual times only; the progress also says the real time."""
    manifest, asked = None, needs.block_bytes_for(options, free_memory_bytes())
    if file is not None:
        files.check_source(file)
        hashing = partial(progress.stage, f"hashing {Path(file).name}")
        manifest = files.scan(Path(file), asked, options.hash, hashing)
    else:
        asked(options.size_bytes)
    lived = read_scenario(scenario, options.peers)
    try:
        simulation = Simulation(options, lived, content=manifest, journal=journals)
    except LocalError as error:  # about peers and blocks that are named in the scenario, and known only now
        if scenario is None or isinstance(error, OptionError):
            raise
        raise LocalError(f"--scenario {scenario}: {error}") from None
    folder = RunFolder.create(options.name, options.out, file)
    try:
        progress.say(f"simulating {everybody(options)}")
        began_at = time.perf_counter()
        show = shown_by(progress)
        summary = simulation.run(show)
        show(simulation, last=True)
        took_s, blocks = time.perf_counter() - began_at, summary.messages.BLOCO
        progress.say(
            f"simulated {show_duration(summary.seconds.total)} in {show_duration(took_s)}: "
            f"{blocks:,} blocks, {blocks / took_s:,.0f} a second"
        )
        summary = simulation.write(folder)
    finally:
        folder.remove_if_empty()
    return summary


def read_scenario(path: str | None, peers: int) -> Scenario:
    """The scenario in a file, or the usual one."""
    if path is None:
        return Scenario()
    try:
        table = formats.parse_toml(formats.read_text(path, "a TOML file, as in docs/simulation.md"), path)
    except LocalError as error:
        raise LocalError(f"--scenario {error}") from None
    try:
        return Scenario.build(table, peers)
    except LocalError as error:
        raise LocalError(f"--scenario {path}: {error}") from None


def shown_by(progress: Progress) -> Callable[..., None]:
    """What a simulation calls again and again; it shows the progress whenever enough real time has passed."""
    then_s, then_bytes = 0.0, 0

    def show(simulation: Simulation, last: bool = False) -> None:
        nonlocal then_s, then_bytes
        if progress.due or last:
            ledger, now_s, now_bytes = simulation.ledger, simulation.world.now, simulation.world.network.arrived_bytes
            rate_bps = (now_bytes - then_bytes) / (now_s - then_s) if now_s > then_s else 0.0
            peers = simulation.options.peers
            blocks = peers * ledger.content.block_count
            progress.update(ledger.completed, peers, ledger.held, blocks, rate_bps, now_s)
            then_s, then_bytes = now_s, now_bytes

    return show

"""Run one swarm: make or take content, give it to so many peers, and say what it came to.

    python experiments/run_swarm.py --peers 50
    python experiments/run_swarm.py film.mp4 --preset classic --json
    python experiments/run_swarm.py model.bin --peers 16 --address auto --out shared --keep
    python experiments/run_swarm.py --world sim --peers 1000 --upload 1MiB/s --scenario faults.toml

The summary goes to standard output, everything else to standard error. How it ended is the exit code:
0 done, 1 other, 2 usage, 3 source, 4 some peers incomplete, 5 time limit, 6 integrity, 7 no cluster,
8 disk full, 130 interrupted by Ctrl-C (143 by SIGTERM, 129 by SIGHUP; all three leave nothing behind).
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from minibit.actors.disk import files
from minibit.cli.progress import Progress, failures, show_summary
from minibit.errors import LocalError, MinibitError
from minibit.lab.archive import RUNS, RunFolder
from minibit.run.options import Options
from minibit.run.summary import Summary
from minibit.sim import Scenario, Simulation
from minibit.units import show_duration


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("file", required=False)
@click.option("--peers", metavar="N", help="Peers beside the tracker, which seeds. [10]")
@click.option("--size", metavar="SIZE", help="Made content, the same for the same --seed. [64MiB]")
@click.option("--block-size", metavar="SIZE", help="Of one block. [auto: grows with the content]")
@click.option("--hash", metavar="NAME", help="blake3 or sha256. [blake3]")
@click.option("--preset", metavar="NAME", help="classic, bittorrent or lan; what is given beside it wins.")
@click.option("--picker", metavar="NAME", help="rarest-first, random, sequential or module:Class. [rarest-first]")
@click.option("--choker", metavar="NAME", help="tit-for-tat, rarity, none or module:Class. [tit-for-tat]")
@click.option("--slots", metavar="N", help="Neighbours served for their merit; one guest comes on top. [4]")
@click.option("--round", metavar="TIME", help="Between two decisions whom to serve. [10s]")
@click.option("--neighbours", metavar="N", help="Most links of one peer. [20]")
@click.option("--initial", metavar="SHARE", help="Of the blocks each peer starts with; 0.1+1: and one more. [0]")
@click.option("--leave", metavar="WHEN", help="never or complete. [never]")
@click.option("--behave", metavar="SORT=N,...", help="honest, free-rider, liar, corrupter, slow. [all honest]")
@click.option("--teams", metavar="TEAM=N,...", help="Peers with strategies of their own, e.g. random=5,mine:Greedy=5.")
@click.option("--upload", metavar="RATE", help="Limit of each peer, e.g. 4MiB/s. [none]")
@click.option("--download", metavar="RATE", help="Limit of each peer. [none]")
@click.option("--seed-upload", metavar="RATE", help="Limit of the tracker. [none]")
@click.option("--world", metavar="NAME", help="ray: real actors; sim: the same peers, simulated. [ray]")
@click.option("--scenario", metavar="FILE", help="Of --world sim: classes, arrivals and faults, as TOML. [none]")
@click.option("--journal", metavar="PEER,...", multiple=True, help="Of --world sim: keep the journals of these peers.")
@click.option("--control", metavar="NAME", help="How control verbs travel between peers: links or actors. [links]")
@click.option("--address", metavar="ADDR", envvar="RAY_ADDRESS", help="Of a Ray cluster, or auto. [a local one]")
@click.option("--data-ports", metavar="A-B", help="Ports for block servers, e.g. 40000-40100. [any]")
@click.option("--seed", metavar="INT", help="Of chance. [1]")
@click.option("--timeout", metavar="TIME", help="Limit of the transfer, e.g. 10m. [none]")
@click.option("--name", metavar="NAME", help="Of the run. [date, time and four letters]")
@click.option("--out", metavar="DIR", help="The run's folder. [runs/NAME]")
@click.option("--keep", is_flag=True, default=None, help="Keep the peers' files, in DIR/files/peer-NN/.")
@click.option("--no-report", is_flag=True, help="Write no report.html into the run's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--live", is_flag=True, help="A page that shows the run in a browser; its address is printed.")
@click.pass_context
def main(context: click.Context, file: str | None, as_json: bool, quiet: bool, **options: object) -> None:
    """Share FILE (a file or a folder), or made content, among a swarm of Ray actors.

    Sizes take B, kB, KiB, MB, MiB, GB, GiB; rates the same with /s; times ms, s, m, h.

    With --world sim the swarm is simulated, in virtual time and without Ray; a peer that has no --upload then has a
    line of 1 Gbit/s.

    With --live the address is printed on standard error, and whoever knows it controls the swarm. The page ends with
    the run; but on a terminal it stays, to show the end, until Ctrl-C. Neither changes the exit code.
    """
    if options["world"] == "sim" and context.get_parameter_source("address") is ParameterSource.ENVIRONMENT:
        options["address"] = None
    told: list[int] = []
    try:
        # Ray and strategies may print; standard output is for the summary
        with interruptible(told), contextlib.redirect_stdout(sys.stderr):
            summary = run(file, quiet, **options)
    except MinibitError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(128 + (told[0] if told else signal.SIGINT))
    if as_json:
        click.echo(summary.to_json())
    else:
        show_summary(summary)
    for why, names in failures(summary.failed).items():
        complain(f"incomplete: {', '.join(names)}: {why}")
    if options["live"]:
        keep_page()
    sys.exit(summary.exit_code)


def run(
    file: str | None,
    quiet: bool,
    live: bool,
    no_report: bool,
    scenario: str | None,
    journal: Sequence[str],
    **given: object,
) -> Summary:
    """One whole swarm, from its options to its summary."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # for strategies of one's own, as module:Class
    options = Options.build(**given)
    if options.world == "sim":
        refuse("ray", **{"--control actors": options.control == "actors", "--address": options.address,
                         "--data-ports": options.data_ports, "--keep": options.keep, "--live": live})  # fmt: skip
        journals = [name.strip() for names in journal for name in names.split(",")]
        with Progress(quiet) as progress:
            summary = simulate(file, options, scenario, journals, progress)
            if not no_report:
                report(folder_of(options, summary), progress)
        return summary
    refuse("sim", **{"--scenario": scenario, "--journal": journal})
    from minibit.actors.driver.swarm import Swarm  # noqa: PLC0415  imports Ray, which nothing else here needs to wait for

    if live:
        from minibit.actors.driver.live import make_ready  # noqa: PLC0415  now, and not while blocks move

        make_ready()

    with Progress(quiet) as progress:
        progress.say(f"starting {everybody(options)}")
        chosen = {name: value for name, value in given.items() if value is not None}
        with Swarm.launch(file, **chosen) as swarm:
            if live:
                click.echo(f"live page: {swarm.live().url}", err=True)
            summary = swarm.wait(timeout_s=options.timeout_s, progress=progress.update)
        folder = folder_of(options, summary)
        if folder.exists():
            progress.say(f"records in {folder}")
            if not no_report:
                report(folder, progress)
    return summary


def folder_of(options: Options, summary: Summary) -> Path:
    """Where the records of the run are."""
    return Path(options.out) if options.out else RUNS / summary.run


def report(folder: Path, progress: Progress) -> None:
    """Write the pictures of the run beside its records, where what draws them is installed."""
    try:
        from minibit.lab import load, report  # noqa: PLC0415  heavy, and not everybody has it
    except ImportError as error:
        progress.say(f"no report: it needs {(error.name or str(error)).partition('.')[0]}: pip install 'minibit[lab]'")
        return
    try:
        path = report.write(load(folder), folder / "report.html")
    except Exception as error:  # the run is done and its records are written: whatever this is, it is a lesser thing
        complain(f"no report: {error}")
    else:
        progress.say(f"report in {path}")


def keep_page() -> None:
    """On a terminal the live page goes on after the run, for whoever still looks at it, until Ctrl-C."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        complain("the live page stays and shows the end; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def refuse(world: str, **given: object) -> None:
    """Fail for an option that has a meaning in the other world only."""
    for option, value in given.items():
        if value:
            raise LocalError(f"{option} has a meaning with --world {world} only: leave it out, or give that")


def everybody(options: Options) -> str:
    """Who is in the swarm, in words."""
    return f"the tracker and {options.peers} {'peer' if options.peers == 1 else 'peers'}"


def simulate(
    file: str | None, options: Options, scenario: str | None, journals: list[str], progress: Progress
) -> Summary:
    """One whole simulated swarm. Its summary has virtual times only; that of the wall is told to who watches."""
    manifest = None
    if file is not None:
        files.check_source(file)
        manifest = files.scan(Path(file), options.block_bytes_for, options.hash)
    lived = read_scenario(scenario, options.peers)
    try:
        simulation = Simulation(options, lived, content=manifest, journal=journals)
    except LocalError as error:  # of the names of peers that it knows only now
        key = str(error).partition(":")[0]
        of_scenario = key.startswith(("faults", "classes"))
        of_what = "--" if key == "journal" else f"--scenario {scenario}: " if of_scenario else ""
        raise LocalError(f"{of_what}{error}") from None
    folder = RunFolder.create(options.name, options.out)
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
        progress.say(f"records in {folder.path}")
    finally:
        folder.remove_if_empty()
    return summary


def read_scenario(path: str | None, peers: int) -> Scenario:
    """The scenario in a file, or the usual one."""
    if path is None:
        return Scenario()
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise LocalError(f"--scenario {path}: {error.strerror}: give a TOML file, as in docs/simulation.md") from None
    except ValueError as error:  # no TOML, or not even UTF-8
        raise LocalError(f"--scenario {path}: it is no TOML: {error}") from None
    try:
        return Scenario.build(table, peers)
    except LocalError as error:
        raise LocalError(f"--scenario {path}: {error}") from None


def shown_by(progress: Progress) -> Callable[..., None]:
    """What a simulation calls again and again, to be shown whenever it is time on the wall."""
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


@contextlib.contextmanager
def interruptible(told: list[int]) -> Iterator[None]:
    """SIGTERM and SIGHUP end what is done in here as Ctrl-C does, unless they are ignored (nohup); `told` which."""

    def interrupt(number: int, frame: object) -> None:
        told.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    numbers = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def complain(text: str) -> None:
    """One line on standard error."""
    click.echo(f"run_swarm: {' '.join(text.split())}", err=True)

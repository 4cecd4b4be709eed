"""The script: what it says where, and with which exit code it ends."""

import json
import subprocess
import sys
import types
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from summaries import DONE

from minibit.cli import swarm as command
from minibit.errors import ClusterError, DiskFullError, SourceError
from minibit.run.options import Options
from minibit.run.summary import Failure

SCRIPT = Path(__file__).parents[2] / "experiments" / "run_swarm.py"


class FakeSwarm:
    """A swarm whose end is known: a summary, or what is raised on launch or while waiting."""

    def __init__(self, summary=DONE, at_launch=None, at_wait=None) -> None:
        self.summary = summary
        self.at_launch = at_launch
        self.at_wait = at_wait
        self.launched_with: tuple[object, Options] | None = None
        self.closed = False

    def start(self, file, options, stage):
        stage("starting Ray")
        self.launched_with = (file, options)
        print("noise of Ray")
        if self.at_launch:
            raise self.at_launch
        return self

    def wait(self, progress):
        progress(completed=3, peers=3, held=396, total=396, rate_bps=1e6)
        if self.at_wait:
            raise self.at_wait
        return self.summary

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Run the script with a fake swarm: `ran(fake, "--peers", "3")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(swarm: FakeSwarm, *arguments: str) -> Result:
        monkeypatch.setitem(sys.modules, "minibit.actors.driver.own_swarm", types.SimpleNamespace(OwnSwarm=swarm))
        return CliRunner().invoke(command.main, arguments, prog_name="run_swarm.py")

    return run


def test_the_summary_goes_to_standard_output_and_all_else_to_standard_error(ran):
    result = ran(FakeSwarm())
    assert result.exit_code == 0
    assert result.stdout.startswith("run")
    assert "3 of 3" in result.stdout
    assert "noise of Ray" in result.stderr
    assert "3 of 3 peers complete" in result.stderr
    assert "noise" not in result.stdout


def test_json_is_one_object_and_nothing_else(ran):
    result = ran(FakeSwarm(), "--json")
    assert json.loads(result.stdout) == json.loads(DONE.to_json())


def test_quiet_shows_no_progress(ran):
    assert ran(FakeSwarm(), "--quiet").stderr == "noise of Ray\n"


def test_the_swarm_is_launched_with_what_was_given_and_no_more(ran):
    swarm = FakeSwarm()
    Path("film.mp4").touch()
    ran(swarm, "film.mp4", "--peers", "3", "--seed-upload", "4MiB/s", "--timeout", "2m", "--keep", "--json")
    assert swarm.launched_with == (
        "film.mp4",
        Options.build(peers="3", seed_upload="4MiB/s", timeout="2m", keep=True),
    )


def test_the_address_may_come_from_the_environment(ran, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    swarm = FakeSwarm()
    ran(swarm)
    assert swarm.launched_with == (None, Options.build(address="10.0.0.1:6379"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "0"], "run_swarm: --peers: '0' won't do: give 1 to 100000\n"),
        (["--size", "64MiBB"], "run_swarm: --size: '64MiBB' is no size: give e.g. 64MiB, 500kB\n"),
        (["--world", "moon"], "run_swarm: --world: 'moon' won't do: give ray or sim\n"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_code_2_and_no_swarm(ran, arguments, said):
    swarm = FakeSwarm()
    result = ran(swarm, *arguments)
    assert (result.exit_code, result.stderr, result.stdout) == (2, said, "")
    assert swarm.launched_with is None


def test_the_address_of_the_live_page_is_said_also_when_all_else_is_quiet_and_the_page_ends_with_the_run(ran):
    swarm = FakeSwarm()
    swarm.live = lambda: types.SimpleNamespace(url="http://127.0.0.1:1/?token=x")
    result = ran(swarm, "--live", "--quiet", "--json")
    assert result.exit_code == 0
    assert "live page: http://127.0.0.1:1/?token=x\n" in result.stderr
    assert json.loads(result.stdout) == json.loads(DONE.to_json())


def test_on_a_terminal_the_live_page_stays_until_ctrl_c(ran, monkeypatch, capsys):
    class Pressed:
        def wait(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(command.threading, "Event", Pressed)
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    with click.Context(command.main, info_name="run_swarm.py"):
        command.keep_page()
    assert capsys.readouterr().err == "run_swarm: the live page stays and shows the end; Ctrl-C ends it\n"


def test_a_simulation_has_no_live_page(ran):
    result = ran(FakeSwarm(), "--live", "--world", "sim")
    assert result.exit_code == 2
    assert result.stderr == "run_swarm: --live has a meaning with --world ray only: leave it out, or give that\n"


def test_an_unknown_option_is_exit_code_2(ran):
    assert ran(FakeSwarm(), "--pears", "3").exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [(SourceError("no such file"), 3), (ClusterError("no cluster"), 7), (DiskFullError("no room"), 8)],
)
def test_an_error_on_purpose_is_one_line_and_its_exit_code(ran, error, code):
    result = ran(FakeSwarm(at_launch=error), "--quiet")
    assert result.exit_code == code
    assert result.stderr.splitlines()[-1] == f"run_swarm: {error}"
    assert "Traceback" not in result.stderr


def test_an_interrupt_is_130_and_closes_the_swarm(ran):
    swarm = FakeSwarm(at_wait=KeyboardInterrupt())
    result = ran(swarm)
    assert result.exit_code == 130
    assert result.stderr.endswith("run_swarm: interrupted\n")
    assert swarm.closed


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"completed": 2, "verified": 2}, 4),
        ({"completed": 2, "verified": 2, "timed_out": True}, 5),
        ({"completed": 3, "verified": 2}, 6),
    ],
)
def test_peers_that_failed_are_named_on_standard_error(ran, changes, code):
    failed = [Failure(peer="peer-01", why="died")]
    result = ran(FakeSwarm(msgspec.structs.replace(DONE, failed=failed, **changes)), "--json")
    assert result.exit_code == code
    assert result.stderr.endswith("run_swarm: incomplete: peer-01: died\n")
    assert json.loads(result.stdout)["failed"] == [{"peer": "peer-01", "why": "died"}]


def test_help_comes_from_anywhere_without_ray(tmp_path):
    program = f"""
import atexit, runpy, sys
atexit.register(lambda: print("ray loaded:", "ray" in sys.modules))
sys.argv = ["run_swarm.py", "--help"]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--data-ports" in done.stdout
    assert done.stdout.endswith("ray loaded: False\n")

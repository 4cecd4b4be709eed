"""The command `minibit`: what it offers, what it says of what is wrong, and how each of its commands ends."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from script import SOON_S, TOLD

import minibit
from minibit.cli import commands, swarm
from minibit.cli.commands import Subcommand
from minibit.cli.ending import complain, ending
from minibit.cli.options import Given
from minibit.errors import DiskFullError, OptionError
from minibit.run.options import TABLE, Options
from minibit.run.readers import Initial

ROOT = Path(__file__).parents[2]
SMALL = ("--world", "sim", "--peers", "2", "--size", "64KiB", "--quiet", "--no-report")
ROWS = [parameter for parameter in swarm.main.params if isinstance(parameter, Given)]
TABLES = {"README.md": "option", "README.pt.md": "opção"}


def ran(*arguments: str, **env: str) -> Result:
    return CliRunner(env=env).invoke(commands.main, arguments, prog_name="minibit")


def asked(*arguments: str, program: str = "", shell: str = "", **env: str) -> subprocess.Popen[str]:
    """`minibit` as a process; `program` runs before it, and a shell starts it with `shell` behind it."""
    start = f"{program}\nfrom minibit.cli import main\nimport sys\nsys.argv[1:] = {list(arguments)}\nmain()"
    by_shell = ("bash", "-o", "pipefail", "-c", f'"$0" "$@" {shell}') if shell else ()
    return subprocess.Popen(
        [*TOLD, *by_shell, sys.executable, "-c", start],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`minibit` as a process that has ended."""
    with asked(*arguments, **more) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


# what it offers


def test_without_a_command_it_shows_its_help_and_fails() -> None:
    result = ran()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == ran("--help").stdout + "\n" * (not ran("--help").stdout.endswith("\n"))
    for name, text in commands.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", result.stderr, re.MULTILINE)


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_has_a_help_and_fits_80_columns(name: str) -> None:
    for flag in ("-h", "--help"):
        result = ran(name, flag, COLUMNS="80")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.startswith(f"Usage: minibit {name} ")
        assert max(map(len, result.stdout.splitlines())) <= 80
    assert not any(line.endswith("...") for line in result.stdout.splitlines() if "Usage" not in line)


def test_it_says_its_version() -> None:
    assert ran("--version").stdout == f"minibit {minibit.__version__} (pure Python)\n"


def test_the_help_is_there_without_anything_heavy() -> None:
    program = "import atexit, sys\natexit.register(lambda: print(*sys.modules))"
    loaded = told("--help", program=program).stdout.splitlines()[-1].split()
    assert {"ray", "polars", "bokeh", "rich"}.isdisjoint(loaded)


def test_a_shell_completes_commands_options_and_values() -> None:
    def offered(words: str) -> list[str]:
        count = str(len(words.split(" ")) - 1)
        done = told(_MINIBIT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert offered("minibit sw") == ["swarm"]
    assert offered("minibit swarm --seed-u") == ["--seed-upload"]
    assert offered("minibit swarm --choker ") == ["tit-for-tat", "rarity", "none"]
    assert offered("minibit tournament --world s") == ["sim"]
    assert "minibit" in told(_MINIBIT_COMPLETE="bash_source").stdout


# what it says of what is wrong


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("swrm", "minibit: there is no command 'swrm': did you mean swarm?"),
        ("xyz", "minibit: there is no command 'xyz': give " + ", ".join(commands.COMMANDS)),
        ("runs lss", "minibit runs: there is no command 'lss': did you mean ls?"),
        ("--versio", "minibit: there is no option '--versio': did you mean --version?"),
        ("swarm --pears 3", "minibit swarm: there is no option '--pears': did you mean --peers?"),
        ("compare --zzz g", "minibit compare: there is no option '--zzz': see --help"),
        ("swarm --peers", "minibit swarm: option '--peers' requires an argument: see --help"),
        ("swarm a b", "minibit swarm: got unexpected extra argument (b): see --help"),
        ("swarm --peers x", "minibit swarm: --peers: 'x' won't do: give a whole number"),
        ("compare", "minibit compare: missing argument 'GRID': see --help"),
        ("compare --jobs 0 g", "minibit compare: --jobs: '0' won't do: give 1 to 10000"),
        ("tournament --peers 0", "minibit tournament: --peers: '0' won't do: give 1 to 10000"),
        (
            "tournament --upload 3x",
            "minibit tournament: --upload: '3x' is no rate: give a number and a unit, e.g. 4MiB/s, 500kB/s, 16Mbit/s",
        ),
        ("replay --until x f", "minibit replay: --until: 'x' is no duration: give e.g. 10s, 250ms, 2m, 1h"),
        ("runs export a --to b --format c", "minibit runs export: --format: 'c' is not one of 'csv', 'parquet'"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_nearest_and_exit_code_2(arguments: str, said: str) -> None:
    result = ran(*arguments.split())
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{said}\n")


@pytest.mark.parametrize("module", ["polars", "bokeh"])
def test_without_the_extra_a_simulation_runs_and_all_else_says_what_to_install(module: str, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text("title = 'T'\nrepeats = 1\n[options]\npeers = 2\nsize = '64KiB'\n")
    gone = f"import sys\nsys.modules[{module!r}] = None"
    need = f"it needs {module}: pip install 'minibit[lab]'\n"
    quiet = told("swarm", *SMALL, program=gone)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert told("swarm", *[one for one in SMALL if "-report" not in one], program=gone).returncode == 0
    compared = told("compare", "g.toml", "--quiet", program=gone)
    listed = told("runs", "ls", program=gone)
    if module == "polars":
        assert (compared.returncode, compared.stderr) == (0, f"minibit compare: no table.parquet: {need}")
        assert (listed.returncode, listed.stdout, listed.stderr) == (1, "", f"minibit: {need}")
    live = told("swarm", "--live", program=gone)
    assert (live.returncode, live.stdout) == (1, "")
    assert re.fullmatch(rf"minibit swarm: .*\b{module}\b.*pip install 'minibit\[lab\]'\n", live.stderr)


# options


@pytest.mark.parametrize("option", TABLE.values(), ids=TABLE)
def test_the_default_in_the_help_is_that_of_the_options(option) -> None:
    assert option.default in (None, False, {}) or option.reader(option.shown) == option.default


def test_every_option_is_in_the_help_under_a_heading_with_its_default() -> None:
    assert [one.option.name for one in ROWS if one.option.name in TABLE] == list(TABLE)
    text = ran("swarm", "--help").stdout
    text = text[text.index("Content and peers:") :]
    for one in ROWS:
        record = text[text.index(f"\n  {one.opts[0]} ") :].split("\n  --")[1]
        record = " ".join(record.split())
        assert one.is_flag or f"[{one.shown}]" in record
        assert not one.option.bounds or "{} to {}.".format(*one.option.bounds) in record
    assert {one.group for one in ROWS} < set(re.findall(r"^(\S.*):$", text, re.MULTILINE))


def test_every_field_of_options_and_rules_has_a_row() -> None:
    fields = {*Options.__struct_fields__, *Options().rules.__struct_fields__} - {"rules"}
    assert {option.field for option in TABLE.values()} == fields


def test_an_initial_share_is_shown_as_it_is_given() -> None:
    shown = TABLE["initial"]._replace(field="initial").shown
    assert shown == "0"
    assert TABLE["initial"].reader("0.1+1") == Initial(0.1, 1)


@pytest.mark.parametrize("page", TABLES)
def test_the_readme_has_every_option_with_its_bounds_and_its_default(page: str) -> None:
    to = "to" if page == "README.md" else "a"
    table = (ROOT / page).read_text().split(f"| {TABLES[page]} |")[1].split("\n\n")[0]
    found: dict[str, str] = {}
    for row in table.splitlines()[2:]:
        names, *_, bounds, defaults = (cell.strip() for cell in row.strip("|").split("|"))
        named = re.findall(r"`--([a-z-]+)", names)
        numbers = [TABLE[one.replace("-", "_")].bounds for one in named if one.replace("-", "_") in TABLE]
        limits = [f"{pair[0]} {to} {pair[1]}" for pair in numbers if pair]
        assert bounds == ", ".join(dict.fromkeys(limits)), row
        words = defaults.split(", ")
        assert len(words) in (1, len(named)), row
        found |= dict(zip(named, words * (len(named) // len(words)), strict=True))
    assert found.keys() == {one.opts[0].removeprefix("--") for one in ROWS}
    for one in ROWS:
        word = found[one.opts[0].removeprefix("--")]
        valued = one.option.default not in (None, False, {})
        theirs = valued or page == "README.md"
        assert word.strip("`") == one.shown if theirs else word and "`" not in word, one.opts


def test_an_option_may_stand_in_the_environment_and_the_command_line_wins() -> None:
    arguments = [one for one in SMALL if one != "--quiet"]
    result = ran("swarm", *arguments, MINIBIT_PEERS="3", MINIBIT_SEED="7", MINIBIT_QUIET="yes", MINIBIT_NAME="env")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 of 2" in result.stdout
    assert re.search(r"env, seed 7\b", result.stdout)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MINIBIT_PEERS", "x", "'x' won't do: give a whole number"),
        ("MINIBIT_BLOCK_SIZE", "3 foo", "'3 foo' is no size: give e.g. 64MiB, 500kB"),
        ("MINIBIT_KEEP", "x", "'x' won't do: give yes or no"),
        (
            "MINIBIT_BEHAVE",
            "liar=11",
            "'liar=11' needs 11 peers in all, and there are 10: give more peers, or fewer of",
        ),
    ],
)
def test_a_wrong_value_in_the_environment_is_named_as_such(name: str, value: str, said: str) -> None:
    result = ran("swarm", **{name: value})
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"minibit swarm: {name}: {said}")


def test_what_the_environment_says_of_the_other_world_is_left_out() -> None:
    env = {"RAY_ADDRESS": "192.0.2.1:6379", "MINIBIT_DATA_PORTS": "1-2", "MINIBIT_LIVE": "1", "MINIBIT_KEEP": "1"}
    assert ran("swarm", *SMALL, **env).exit_code == 0


def test_a_program_does_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIBIT_PEERS", "3")
    assert Options.build().peers == 10


def test_an_error_about_an_option_has_its_parts_and_each_caller_spells_it() -> None:
    with pytest.raises(OptionError) as refused:
        Options.build(block_size="x")
    error = refused.value
    assert (error.option, error.value, error.nearest) == ("block_size", "x", None)
    assert str(error) == "block_size: 'x' is no size: give e.g. 64MiB, 500kB"
    assert error.said(lambda name: f"--{name}") == "--block_size: 'x' is no size: give e.g. 64MiB, 500kB"
    with pytest.raises(OptionError) as unknown:
        Options.build(blok_size="x")
    assert unknown.value.nearest == ("block_size",)
    assert unknown.value.said(str.upper) == "there is no option 'BLOK_SIZE': did you mean BLOCK_SIZE?"


# how it ends


def ended(what: BaseException | int) -> Result:
    """How a command ends that raises this, or gets this signal."""

    @click.command(name="it")
    def it() -> None:
        with ending("stopped"):
            if isinstance(what, int):
                os.kill(os.getpid(), what)
                complain("went on")
                return
            raise what

    return CliRunner().invoke(it, prog_name="it.py")


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        (DiskFullError("no room"), 8, "it: no room\n"),
        (click.UsageError("Odd."), 2, "it: odd: see --help\n"),
        (ModuleNotFoundError("", name="polars.x"), 1, "it: it needs polars: pip install 'minibit[lab]'\n"),
        (KeyboardInterrupt(), 130, "it: stopped\n"),
        (signal.SIGINT, 130, "it: stopped\n"),
        (signal.SIGTERM, 143, "it: stopped\n"),
        (signal.SIGHUP, 129, "it: stopped\n"),
    ],
)
def test_an_error_or_a_signal_is_one_line_and_its_exit_code(what: BaseException | int, code: int, said: str) -> None:
    before = {one: signal.signal(one, signal.SIG_DFL) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        result = ended(what)
        assert {signal.getsignal(one) for one in before} == {signal.SIG_DFL}
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert (result.exit_code, result.stderr) == (code, said)


def test_the_exit_code_is_that_of_the_signal_also_if_a_library_raises_an_interrupt_without_its_number() -> None:
    @click.command(cls=Subcommand)
    def it() -> None:
        with ending():
            try:
                signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt:
                raise KeyboardInterrupt from None

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert [CliRunner().invoke(it).exit_code for _ in range(2)] == [143, 143]
    finally:
        signal.signal(signal.SIGTERM, before)


class FromRay(Exception):
    """An error of Ray's, which has that of the actor within."""

    __module__ = "ray.exceptions"
    cause: Exception | None = None


FROM_AN_ACTOR = FromRay("a wall of text")
FROM_AN_ACTOR.cause = DiskFullError("no room")


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left", "/there"), 8, "it: no space left on the disk: /there: make room there"),
        (PermissionError(13, "Permission denied", "/x"), 1, "it: permission denied: /x: see that it can be read"),
        (FileNotFoundError(2, "No such file"), 1, "it: no such file: see that it can be read and written"),
        (MemoryError(), 1, "it: memory ran out: give fewer peers"),
        (FromRay("the node is gone.\nand a stack"), 7, "it: Ray failed: the node is gone: try again"),
        (FROM_AN_ACTOR, 8, "it: no room"),
        (ZeroDivisionError("by zero"), 1, "it: a fault of Minibit: ZeroDivisionError in test_front_door.py, line "),
        (ImportError("", name="nowhere"), 1, "it: a fault of Minibit: ImportError in "),
        (RecursionError(), 1, "it: a fault of Minibit: RecursionError in "),
        (ValueError("one\ntwo"), 1, "it: a fault of Minibit: ValueError in "),
    ],
)
def test_no_error_is_more_than_one_line_and_an_exit_code(what: Exception, code: int, said: str) -> None:
    result = ended(what)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert result.stderr.startswith(said)


def test_the_traceback_of_a_fault_is_shown_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIBIT_LOG", "debug")
    shown, said = ended(ZeroDivisionError("by zero")).stderr.split("ZeroDivisionError: by zero\n")
    assert shown.startswith("Traceback")
    assert said.startswith("it: a fault of Minibit")


# where it runs


def test_standard_output_of_ascii_only_gets_escapes_and_json_stays_json() -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    file = Path("ünï 𝄞")
    file.write_bytes(b"x")
    done = told("swarm", str(file), *SMALL, "--json", **ascii_only)
    assert json.loads(done.stdout)["content"]["name"] == file.name, done.stderr
    assert "\\u00fcn\\u00ef \\ud834\\udd1e" in told("swarm", str(file), *SMALL, **ascii_only).stdout


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("| true", 141, ""),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("> /dev/full", 8, "no space left on the disk: make room there\n"),
    ],
)
def test_a_command_ends_in_order_when_its_output_goes_nowhere(ending: str, code: int, said: str) -> None:
    for shown in ("--json", "--no-report"):
        done = told("swarm", *SMALL, shown, shell=ending)
        assert done.returncode == code, done.stderr
        assert done.stderr.endswith(said) if said else done.stderr == ""


def test_what_a_library_says_after_standard_output_was_full_changes_no_exit_code() -> None:
    program = """
import atexit, click
from minibit.cli.ending import ending
@click.command("late")
def late():
    with ending():
        click.echo("first")
atexit.register(print, "late")
late(prog_name="late")
"""
    shell = ["bash", "-c", '"$0" -c "$1" > /dev/full', sys.executable, program]
    done = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (8, "late: no space left on the disk: make room there\n")


def test_a_working_folder_that_was_deleted_is_one_line() -> None:
    done = told("swarm", *SMALL, program="import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "minibit: the working folder is not there any more: go to another one\n"


# signals that come twice


STUCK = """
import signal, sys, threading
from minibit.cli import ending, swarm
ending.PATIENCE_S = 0.1
def stuck(*_, **__):
    for word in "ready", "once":
        try:
            print(word, file=sys.__stdout__, flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    threading.Event().wait()
swarm.simulate = stuck
"""
UNHEARD = """
import signal, threading
from minibit.cli import swarm
class Dying:
    def __del__(self):  # what is raised here is ignored
        signal.raise_signal(signal.SIGTERM)
        str()
def dies(*_, **__):
    Dying()
    threading.Event().wait(60)
swarm.simulate = dies
"""
WAITING_AT_THE_END = """
import threading, sys
from minibit.cli import swarm
class Last(threading.Thread):
    def run(self):
        threading.main_thread().join()  # it is over when the interpreter waits for this thread
        print("ready", file=sys.__stdout__, flush=True)
        threading.Event().wait()
def ends(*_, **__):
    Last().start()
    raise SystemExit(0)
swarm.simulate = ends
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_a_command_that_is_stuck(number: int) -> None:
    with asked("swarm", *SMALL, program=STUCK) as process:
        for word in ("ready", "once"):
            assert process.stdout.readline() == f"{word}\n"
            process.send_signal(number)
        assert process.wait(SOON_S) in (-number, 128 + number)


def test_a_signal_that_comes_where_errors_are_ignored_ends_the_command_too() -> None:
    with asked("swarm", *SMALL, program=UNHEARD) as process:
        assert process.wait(SOON_S) == 143
        assert process.stderr.read() == "minibit swarm: interrupted\n"


def test_a_command_that_waits_for_a_thread_at_its_end_can_be_ended() -> None:
    with asked("swarm", *SMALL, program=WAITING_AT_THE_END) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON_S) == 130


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        result = ended(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (result.exit_code, result.stderr) == (0, "it: went on\n")

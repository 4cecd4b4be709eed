"""Progress is a line every few seconds, bars on a terminal, or nothing; the summary is a table that fits."""

import io

import msgspec
from summaries import DONE
from terminal import Clock, Terminal

from minibit.cli.progress import Progress, show_summary
from minibit.run.summary import Failure, Summary


def table(summary: Summary, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    file = io.StringIO()
    show_summary(summary, file)
    return file.getvalue()


def test_where_there_is_no_terminal_a_line_comes_every_few_seconds():
    file, clock = io.StringIO(), Clock()
    with Progress(file=file, clock=clock) as progress:
        for second in range(12):
            clock.now = 100.0 + second
            progress.update(completed=0, peers=5, held=second, total=100, rate_bps=3 << 20)
    assert file.getvalue().splitlines() == [
        "0 s: 0 % of the blocks, 0 of 5 peers complete, 3 MiB/s",
        "5 s: 5 % of the blocks, 0 of 5 peers complete, 3 MiB/s",
        "10 s: 10 % of the blocks, 0 of 5 peers complete, 3 MiB/s",
    ]


def test_that_all_are_complete_is_said_at_once_and_once():
    file, clock = io.StringIO(), Clock()
    with Progress(file=file, clock=clock) as progress:
        progress.update(completed=4, peers=5, held=99, total=100, rate_bps=0)
        clock.now += 1
        progress.update(completed=5, peers=5, held=100, total=100, rate_bps=0)
        progress.update(completed=5, peers=5, held=100, total=100, rate_bps=0)
    assert file.getvalue().splitlines()[1:] == ["1 s: 100 % of the blocks, 5 of 5 peers complete, 0 B/s"]


def test_a_terminal_gets_bars(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    with Progress(file=file) as progress:
        progress.update(completed=2, peers=5, held=50, total=100, rate_bps=3 << 20)
    drawn = file.getvalue()
    assert "━" in drawn
    assert "2 of 5" in drawn
    assert "3 MiB/s" in drawn


def test_a_terminal_that_can_only_print_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    file = Terminal()
    with Progress(file=file) as progress:
        progress.update(completed=2, peers=5, held=50, total=100, rate_bps=3 << 20)
    assert "50 % of the blocks" in file.getvalue()
    assert "━" not in file.getvalue()


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    file = Terminal()
    with Progress(file=file) as progress:
        progress.update(completed=2, peers=5, held=50, total=100, rate_bps=0)
    assert "\x1b[3" not in file.getvalue()
    assert "\x1b[9" not in file.getvalue()


def test_quiet_is_quiet():
    for file in (io.StringIO(), Terminal()):
        with Progress(quiet=True, file=file) as progress:
            progress.say("starting")
            progress.update(completed=2, peers=5, held=50, total=100, rate_bps=0)
        assert file.getvalue() == ""


def test_what_happens_now_is_said_as_it_is():
    file = io.StringIO()
    Progress(file=file).say("verifying [3] copies")
    assert file.getvalue() == "verifying [3] copies\n"


def test_the_table_fits_eighty_columns_and_a_pipe(monkeypatch):
    lines = table(DONE, monkeypatch).splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    assert [line.split()[0] for line in lines] == [
        "run",
        "content",
        "complete",
        "transfer",
        "goodput",
        "moved",
        "messages",
        "in",
    ]


def test_the_bound_stands_in_the_table_where_it_is_known(monkeypatch):
    known = msgspec.structs.replace(DONE, bound_s=1.5, efficiency=0.75)
    assert "at best" in table(known, monkeypatch)
    assert "efficiency 0.75" in table(known, monkeypatch)


def test_failed_peers_are_named_by_the_reason_and_counted(monkeypatch):
    failed = [Failure(peer=f"peer-{number:02}", why="it [died]") for number in range(8)]
    said = table(msgspec.structs.replace(DONE, completed=0, failed=failed, timed_out=True), monkeypatch)
    assert "peer-00, peer-01" in said
    assert "and 2 more: it [died]" in " ".join(said.split())
    assert "time limit reached" in said


def test_a_run_in_which_nothing_happened_has_a_table_too(monkeypatch):
    never = msgspec.structs.replace(DONE.seconds, first=None, median=None, last=None)
    nothing = msgspec.structs.replace(DONE.bytes, moved=0, control=0)
    said = table(msgspec.structs.replace(DONE, seconds=never, bytes=nothing, completed=0), monkeypatch)
    assert "no peer complete" in said

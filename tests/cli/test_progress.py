"""Progress is a line every few seconds, bars on a terminal, or nothing; the summary is a table that fits."""

import io

import msgspec
from summaries import DONE
from terminal import Clock, Terminal

from minibit.cli.progress import Pace, Progress, show_summary
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
        "5 s: 5 % of the blocks, 0 of 5 peers complete, 3 MiB/s, 1 min 35 s to go",
        "10 s: 10 % of the blocks, 0 of 5 peers complete, 3 MiB/s, 1 min 30 s to go",
    ]


def test_the_time_to_go_is_that_of_the_recent_past():
    pace = Pace(recent_s=10)
    assert pace.left(0, 100, 1000) == "", "what was there before the start says nothing"
    assert pace.left(1, 200, 1000) == "8 s to go"
    assert [pace.left(second, 200 + second, 1000) for second in range(2, 21)][-1] == "13 min 00 s to go"
    assert pace.left(21, 200, 1000) == "", "peers died, and their blocks with them"
    assert pace.left(22, 1000, 1000) == ""


def test_a_stage_is_a_line_when_it_begins_and_then_every_few_seconds():
    file, clock = io.StringIO(), Clock()
    with Progress(file=file, clock=clock) as progress:
        for tenth in range(61):
            clock.now = 100 + tenth / 10
            progress.stage("hashing film.mp4", tenth * 1000, 120_000)
        progress.stage("starting Ray")
        for actors in (0, 37, 199, 200):
            clock.now += 5
            progress.stage("starting 200 actors", actors, 200, f"{actors} are up")
        progress.update(completed=0, peers=199, held=0, total=100, rate_bps=0)
    assert file.getvalue().splitlines() == [
        "hashing film.mp4",
        "hashing film.mp4: 41 %, 7 s to go",
        "starting Ray",
        "starting 200 actors",
        "starting 200 actors: 37 are up, 22 s to go",
        "starting 200 actors: 199 are up, 1 s to go",
        "starting 200 actors: 200 are up",
        "0 s: 0 % of the blocks, 0 of 199 peers complete, 0 B/s",
    ]


def test_a_short_stage_is_one_line():
    file, clock = io.StringIO(), Clock()
    with Progress(file=file, clock=clock) as progress:
        for done in (0, 50, 100):
            progress.stage("hashing film.mp4", done, 100)
    assert file.getvalue() == "hashing film.mp4\n"


def test_on_a_terminal_a_stage_has_a_bar_that_stays_when_the_next_begins(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    file, clock = Terminal(), Clock()
    with Progress(file=file, clock=clock) as progress:
        progress.stage("hashing film.mp4", 0, 100)
        clock.now += 1
        progress.stage("hashing film.mp4", 99, 100)
        progress.stage("hashing film.mp4", 100, 100)
        progress.stage("starting Ray")
        progress.update(completed=0, peers=5, held=999, total=1000, rate_bps=0)
    drawn = file.getvalue()
    assert "1 s to go" in drawn
    assert " 99 %" in drawn
    assert drawn.index("100 %") < drawn.index("starting Ray") < drawn.index("blocks")
    assert "100 %" not in drawn[drawn.index("blocks") :], "999 of 1000 are not all"


def test_runs_say_how_long_the_others_will_take():
    file, clock = io.StringIO(), Clock()
    with Progress(file=file, clock=clock) as progress:
        for ended in range(4):
            clock.now = 100 + 60 * ended
            progress.update_runs(ended, lost=ended // 2, runs=3)
    assert file.getvalue().splitlines() == [
        "0 of 3 runs",
        "1 of 3 runs, 2 min 00 s to go",
        "2 of 3 runs, 1 lost, 1 min 00 s to go",
        "3 of 3 runs, 1 lost",
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

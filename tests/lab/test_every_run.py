"""Whatever a run was told and came to: it can be shown, stored and read again."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minibit.cli import runs
from minibit.cli.progress import show_summary
from minibit.events import TRACKER
from minibit.lab import load
from minibit.lab.archive import RunFolder
from minibit.lab.words import as_html, as_text
from minibit.records import BlockRecord, PeerRecord, Record, SampleRecord
from minibit.run.figures import figures
from minibit.run.ledger import Ledger
from minibit.run.options import TABLE, Options
from minibit.run.scenario import Scenario
from minibit.run.summary import ContentSummary, Failure, MessageCounts, Summary, Times, Traffic
from minibit.sim import Simulation

COUNTS = st.integers(0, 1 << 62) | st.integers(0, 3)
SECONDS = st.floats(0, 1e9) | st.just(0.0)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MAYBE_S = st.none() | SECONDS

SUMMARIES = st.builds(
    Summary,
    run=WORDS,
    world=st.sampled_from(["ray", "sim"]),
    preset=st.none() | WORDS,
    seed=st.integers(-(10**12), 10**12),
    content=st.builds(ContentSummary, name=WORDS, bytes=COUNTS, blocks=COUNTS, block_bytes=COUNTS, digest=WORDS),
    peers=COUNTS,
    completed=COUNTS,
    verified=COUNTS,
    nodes=COUNTS,
    seconds=st.builds(
        Times, spawn=SECONDS, transfer=SECONDS, first=MAYBE_S, median=MAYBE_S, last=MAYBE_S, verify=SECONDS,
        total=SECONDS,
    ),
    bytes=st.builds(Traffic, moved=COUNTS, wasted=COUNTS, seed_sent=COUNTS, control=COUNTS),
    goodput_bps=SECONDS,
    bound_s=MAYBE_S,
    efficiency=st.none() | st.floats(0, 1),
    fairness_jain=st.floats(0, 1),
    actor_calls=COUNTS,
    messages=st.builds(MessageCounts, PEDIDO=COUNTS),
    failed=st.lists(
        st.builds(Failure, peer=WORDS, why=st.sampled_from(["died", "late"]), missing=COUNTS, node=st.none() | WORDS),
        max_size=9,
    ),
    timed_out=st.booleans(),
)  # fmt: skip


@settings(max_examples=60)
@given(SUMMARIES)
def test_every_summary_can_be_shown_stored_and_read_again(summary: Summary) -> None:
    shown = list(figures(summary))
    assert all(figure.question and figure.answer for figure in shown)
    assert repr(summary) == "\n".join(f"{one.question:<9} {one.text}" for one in shown)
    assert summary._repr_html_().count("<tr>") == len(shown)
    told = io.StringIO()
    show_summary(summary, told)
    assert told.getvalue().strip()
    assert summary.exit_code in (0, 4, 5, 6)
    again = msgspec.json.decode(summary.to_json(), type=Summary)
    assert again.as_dict() == summary.as_dict()


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Values that an option takes, its bounds among them."""
    option = TABLE[name]
    if option.bounds is not None:
        return st.sampled_from(option.bounds) if name != "peers" else st.integers(1, 4)
    named = {"behave": "slow=1,corrupter=1", "teams": "random=1", "initial": "1+1", "data_ports": "1-65535"}
    return st.sampled_from(option.values or [named.get(name, "texts")])


CONTENT = st.sampled_from([{}, {"size": "1B", "block_size": "64MiB"}, {"size": "1TiB", "block_size": "64MiB"}])
GIVEN = st.fixed_dictionaries(
    {}, optional={name: values_of(name) for name in TABLE if name not in ("keep", "size", "block_size")}
)
LIVED = st.fixed_dictionaries(
    {},
    optional={
        "latency": st.sampled_from(["0s", "20ms"]),
        "stay": st.sampled_from(["5m", 0]),
        "sample": st.just("1s"),
        "classes": st.just([{"name": "slow", "peers": 1, "upload": "1MiB/s", "download": 2e6, "lacks": []}]),
        "arrivals": st.sampled_from([{"pattern": "poisson", "rate": 2.0}, {"within": "10s", "already": 1}]),
        "faults": st.just([{"kind": "slow", "rate": "1kB/s", "at": "1s", "by": "1s", "lasts": "5s", "peers": 1}]),
    },
)


def noted(names: list[str]) -> list[Record]:
    """A record of each sort, so that tables are neither empty nor whole."""
    first = names[-1]
    return [
        PeerRecord(0.0, first, "started"),
        BlockRecord(1.0, first, 0, TRACKER, 0.0, "useful", 0),
        SampleRecord(1.0, first, 0, 0, 0, 0, 0, 0, 0),
        PeerRecord(2.0, first, "killed"),
        PeerRecord(2.0, first, "died", "killed"),
    ]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Ledger, Summary | None], Path]:
    """Writes a run into a folder of its own."""
    folders = iter(range(10**6))

    def write(ledger: Ledger, summary: Summary | None) -> Path:
        folder = RunFolder.create("run", tmp_path / str(next(folders)))
        folder.write(ledger.about(summary), ledger.records())
        return folder.path

    return write


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(GIVEN, CONTENT, LIVED, st.none() | SUMMARIES, st.booleans())
def test_every_run_can_be_written_read_and_shown(
    written: Callable[[Ledger, Summary | None], Path],
    given: dict[str, Any],
    content: dict[str, Any],
    lived: dict[str, Any],
    summary: Summary | None,
    empty: bool,
) -> None:
    if "classes" in lived:
        given.pop("teams", None)
    given["peers"] = max(3, given.get("peers", 3))
    options = Options.build(**given, **content)
    simulation = Simulation(options, Scenario.build(lived, options.peers))
    ledger = simulation.ledger
    if not empty:
        ledger.enter_all(noted(list(ledger.accounts)))
    path = written(ledger, summary)
    run = load(path)
    assert run.missing == ()
    assert not as_text(run).startswith("Run: ") and not as_html(run).startswith("<div><b>Run: ")
    assert (run.summary is None) == (summary is None)
    assert all(run.story(peer=name) for name in run.members["peer"])
    for arguments in (["show", path], ["ls", "--runs", path.parent], ["diff", path, path]):
        result = CliRunner().invoke(runs.main, [str(one) for one in arguments])
        assert result.exit_code == 0, result.output

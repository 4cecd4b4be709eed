"""What a report says of how a run was told to go; above all, a command that runs the same again."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from lab_runs import event, simulated, written

from minibit.events import TRACKER
from minibit.lab import Run
from minibit.lab.told import command, told
from minibit.run.options import TABLE, Options

TEXTS = {
    "peers": st.integers(20, 500).map(str),
    "size": st.sampled_from(["64MiB", "1MB", "1234567B", "3GiB"]),
    "block_size": st.sampled_from(["auto", "32KiB", "100kB"]),
    "preset": st.sampled_from(["classic", "bittorrent", "lan"]),
    "picker": st.sampled_from(["random", "rarest-first", "sequential"]),
    "slots": st.integers(0, 9).map(str),
    "round": st.sampled_from(["10s", "2s", "125s", "0.125s", "1.5h"]),
    "initial": st.sampled_from(["0.1+1", "0.5", "0", "0.123456789"]),
    "behave": st.sampled_from(["free-rider=5", "free-rider=2,corrupter=1", "slow=3"]),
    "teams": st.sampled_from(["random=5", "honest=3,sequential+none=4"]),
    "upload": st.sampled_from(["1MiB/s", "3MB/s", "1.37MiB/s", "99999B/s", "0.1KiB/s"]),
    "data_ports": st.just("20000-20100"),
    "timeout": st.sampled_from(["10m", "90s"]),
    "seed": st.integers(0, 9).map(str),
    "keep": st.just(True),
    "name": st.just("tuesday"),
}


def given_in(line: str) -> tuple[list[str], dict[str, Any]]:
    """The arguments of a command line, and its options as `Options.build` takes them."""
    words, options = shlex.split(line), {}
    assert words[:2] == ["minibit", "swarm"]
    arguments, rest = [], iter(words[2:])
    for word in rest:
        if not word.startswith("--"):
            arguments.append(word)
            continue
        option = TABLE[word[2:].replace("-", "_")]
        options[option.name] = next(rest) if option.metavar else True
    return arguments, options


def of(options: Options, **about: Any) -> Run:
    return Run({"options": msgspec.to_builtins(options), **about}, {})


@given(st.fixed_dictionaries({}, optional=TEXTS))
def test_the_command_gives_the_same_options_again(texts):
    options = Options.build(**{"peers": "20", **texts})
    arguments, again = given_in(command(of(options)) or "")
    assert arguments == []
    assert Options.build(**again) == msgspec.structs.replace(options, name=None)


def test_the_command_names_the_content_that_was_given_and_the_scenario():
    content = {"name": "my film.mp4", "bytes": 1, "blocks": 1, "block_bytes": 1}
    run = of(Options(), content=content, scenario={"latency": 0.1})
    assert command(run) == "minibit swarm 'my film.mp4' --scenario FILE"
    assert command(simulated(peers=2, size="64KiB", world="sim")[0]).startswith("minibit swarm --peers 2 --size 64KiB ")


def test_a_run_that_does_not_say_how_it_was_told_has_no_command_and_no_other_row():
    assert list(told(Run({}, {}))) == []
    assert command(Run({"options": {"rules": 7}}, {})) is None


def rows(run: Run) -> dict[str, str]:
    return {figure.question: figure.text for figure in told(run)}


def test_limits_are_told_from_the_largest_group_of_peers_to_the_smallest():
    peers = [{"peer": TRACKER, "upload_bps": 4194304.0}, *({"peer": f"peer-{one}"} for one in range(1, 5))]
    for peer in peers[1:3]:
        peer["upload_bps"] = 1048576.0
    peers[3]["upload_bps"] = 32768.0
    assert rows(Run({"peers": peers}, {}))["limits"] == (
        "the seed sends at most 4 MiB/s, 2 peers send at most 1 MiB/s, 1 peer sends at most 32 KiB/s, "
        "1 peer sends without a limit"
    )
    by_hand = written(event(3.0, "peer-02", "limited"), peers=peers)
    assert rows(by_hand)["limits"].endswith(", changed by hand while it ran")
    assert "limits" not in rows(written())


def test_hosts_and_the_date_are_told_where_they_are_known():
    peers = [{"peer": TRACKER, "node": "a"}, {"peer": "peer-1", "node": "b"}, {"peer": "peer-2", "node": "a"}]
    run = Run({"peers": peers, "written": "2026-03-04T05:06:07+00:00"}, {})
    assert rows(run) == {"hosts": "a (2, the seed among them), b (1)", "date": "2026-03-04 05:06:07+00:00"}

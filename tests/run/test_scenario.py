"""Scenarios: a TOML table, or the same as Python values, and what is said of a wrong one."""

from __future__ import annotations

import json
import tomllib

import pytest

from minibit.errors import LocalError
from minibit.run.scenario import Arrivals, Fault, PeerClass, RateBps, Scenario, Seconds

WHOLE = """
latency = "20ms"
connect = 0.5
stay = "5m"
sample = "2s"

[[classes]]
name = "slow"
peers = 13
upload = "20kB/s"
download = "1MiB/s"
behaviour = "free-rider"
picker = "random"
choker = "none"
lacks = [3, 1]

[[classes]]
name = "usual"
peers = 2

[arrivals]
pattern = "poisson"
within = "1m"
rate = 2.5
already = 3

[[faults]]
kind = "dies"
at = "10s"
until = "1m"
lasts = 7
peers = 2
share = 0.5

[[faults]]
kind = "slow"
peers = ["peer-01", "peer-02"]
rate = "9kB/s"
by = "100ms"

[[faults]]
kind = "cut"
probability = 0.1
"""


def test_a_table_is_read_with_the_units_of_the_command_line():
    scenario = Scenario.build(tomllib.loads(WHOLE), 20)
    assert scenario == Scenario(
        latency_s=Seconds(0.02),
        connect_s=Seconds(0.5),
        stay_s=Seconds(300),
        sample_s=Seconds(2),
        classes=(
            PeerClass(
                name="slow",
                peers=13,
                upload_bps=RateBps(20_000),
                download_bps=RateBps(1 << 20),
                behaviour="free-rider",
                picker="random",
                choker="none",
                lacks=(3, 1),
            ),
            PeerClass(name="usual", peers=2),
        ),
        arrivals=Arrivals(pattern="poisson", within_s=Seconds(60), rate=2.5, already=3),
        faults=(
            Fault(kind="dies", at_s=Seconds(10), until_s=Seconds(60), lasts_s=Seconds(7), peers=2, share=0.5),
            Fault(kind="slow", peers=("peer-01", "peer-02"), rate_bps=RateBps(9000), by_s=Seconds(0.1)),
            Fault(kind="cut", probability=0.1),
        ),
    )


def test_an_empty_table_is_the_usual_scenario():
    assert Scenario.build({}, 1) == Scenario()


def test_a_scenario_goes_through_plain_values_and_back():
    scenario = Scenario.build(tomllib.loads(WHOLE), 20)
    assert Scenario.build(json.loads(json.dumps(scenario.as_dict())), 20) == scenario


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"latency": 0.1 + 0.2},
        {"classes": [{"name": "seed", "peers": 0, "lacks": []}]},
        {"arrivals": {"already": 2}},
        {"faults": [{"kind": "tracker-gone", "at": 5.0, "lasts": 1.0}, {"kind": "leaves", "peers": 0}]},
        {"faults": [{"kind": "cut", "peers": ["peer-1", "tracker"]}]},
    ],
)
def test_what_is_as_usual_is_left_out(table: dict[str, object]):
    assert json.dumps(Scenario.build(table, 10).as_dict()) == json.dumps(table)


def test_values_that_were_said_and_are_as_usual_are_left_out():
    table = {"latency": "10ms", "arrivals": {"pattern": "together", "within": 0}, "faults": [{"kind": "dies", "at": 0}]}
    assert Scenario.build(table, 1).as_dict() == {"faults": [{"kind": "dies"}]}


KINDS = "dies, leaves, pauses, cut, split, slow, delayed, corrupt, tracker-gone"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        # keys
        ({"latncy": 1}, "latncy: there is no such key: give latency"),
        ({"zzz": 1}, "zzz: there is no such key: give latency, connect, stay, sample, classes, arrivals, faults"),
        ({"latency_s": 1}, "latency_s: there is no such key: give latency"),
        ({"arrivals": {"patern": "crowd"}}, "arrivals.patern: there is no such key: give pattern"),
        ({"faults": [{"kind": "dies"}, {"untl": 1}]}, "faults[1].untl: there is no such key: give until"),
        ({"classes": [{"uplod": 1}]}, "classes[0].uplod: there is no such key: give upload"),
        ({"classes": [{"peers": 1}]}, "classes[0].name: must be given"),
        ({"faults": [{}]}, "faults[0].kind: must be given"),
        # kinds of values
        ([], "the scenario: give a table, not a list"),
        ({"classes": 3}, "classes: give a list, not a whole number"),
        ({"faults": {"kind": "dies"}}, "faults: give a list, not a table"),
        ({"arrivals": "crowd"}, "arrivals: give a table, not a text"),
        ({"arrivals": {"rate": "x"}}, "arrivals.rate: give a number, not a text"),
        ({"classes": [{"name": "a", "peers": 1.5}]}, "classes[0].peers: give a whole number, not a number"),
        ({"classes": [{"name": 1, "peers": 1}]}, "classes[0].name: give a text, not a whole number"),
        ({"classes": [{"name": "a", "peers": 1, "lacks": "x"}]}, "classes[0].lacks: give a list, not a text"),
        (
            {"faults": [{"kind": "dies", "peers": "peer-1"}]},
            "faults[0].peers: give a whole number or a list, not a text",
        ),
        ({"faults": [{"kind": "dies", "peers": [1]}]}, "faults[0].peers[0]: give a text, not a whole number"),
        # quantities
        ({"latency": "soon"}, "latency: 'soon' is no duration: give e.g. 10s, 250ms, 2m, 1h"),
        ({"latency": True}, "latency: True is no duration: give e.g. 10s, 250ms, 2m, 1h"),
        ({"stay": -1}, "stay: -1 is no duration: give e.g. 10s, 250ms, 2m, 1h"),
        ({"stay": [1]}, "stay: [1] is no duration: give e.g. 10s, 250ms, 2m, 1h"),
        ({"stay": float("nan")}, "stay: nan is no duration: give e.g. 10s, 250ms, 2m, 1h"),
        ({"faults": [{"kind": "dies", "at": None}]}, "faults[0].at: None is no duration: give e.g. 10s, 250ms, 2m, 1h"),
        (
            {"classes": [{"name": "a", "peers": 1, "upload": "1"}]},
            "classes[0].upload: '1' is no rate: give a number and a unit, e.g. 4MiB/s, 500kB/s, 16Mbit/s",
        ),
        (
            {"classes": [{"name": "a", "peers": 1, "upload": 0}]},
            "classes[0].upload: 0 won't do: give 1B/s to 1TB/s",
        ),
        # values that can't be
        ({"arrivals": {"pattern": "x"}}, "arrivals.pattern: 'x' won't do: give together, poisson, crowd"),
        ({"arrivals": {"pattern": 1}}, "arrivals.pattern: give together, poisson, crowd"),
        ({"arrivals": {"rate": 0}}, "arrivals.rate: give a number >= 0.001"),
        ({"faults": [{"kind": "explodes"}]}, f"faults[0].kind: 'explodes' won't do: give {KINDS}"),
        ({"faults": [{"kind": 3}]}, f"faults[0].kind: give {KINDS}"),
        ({"faults": [{"kind": "dies", "peers": -1}]}, "faults[0].peers: give a whole number >= 0"),
        ({"faults": [{"kind": "dies", "probability": -1}]}, "faults[0].probability: give a number >= 0.0"),
        ({"faults": [{"kind": "corrupt", "share": 2}]}, "faults[0].share: give a number <= 1.0"),
        ({"classes": [{"name": "a", "peers": 1, "lacks": [-1]}]}, "classes[0].lacks[0]: give a whole number >= 0"),
        # values that don't go together
        (
            {"classes": [{"name": "a", "peers": 6}, {"name": "b", "peers": 5}]},
            "classes: 11 peers in classes, and 10 in all: give fewer, or more peers",
        ),
        (
            {"classes": [{"name": "a", "peers": 1, "behaviour": "kind"}]},
            "classes[0].behaviour: behaviour 'kind' is unknown: behaviour takes honest, free-rider, liar, corrupter, "
            "slow or module:Class",
        ),
        (
            {"classes": [{"name": "a", "peers": 1, "choker": "random"}]},
            "classes[0].choker: choker 'random' is unknown: choker takes tit-for-tat, rarity, none or module:Class",
        ),
        ({"faults": [{"kind": "dies", "at": 9, "until": "5s"}]}, "faults[0].until: 5 s won't do: give `at` or later"),
        (
            {"faults": [{"kind": "cut", "peers": ["peer-01"]}]},
            "faults[0].peers: cut takes two names at least, or a number of pairs",
        ),
    ],
)
def test_a_wrong_table_is_refused_with_its_key_and_what_that_takes(table: dict[str, object], said: str):
    with pytest.raises(LocalError) as refused:
        Scenario.build(table, 10)
    assert str(refused.value) == said

"""What the simulation costs, as `sim_speed.py` measures it; its figures are for no test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import sim_speed
from click.testing import CliRunner
from script import until

SCRIPT = Path(sim_speed.__file__)
ENOUGH_S = 60.0


def test_each_swarm_is_whole_and_its_cost_is_told_for_a_transfer():
    done = CliRunner().invoke(sim_speed.main, ["--peers", "3,5,2x4", "--blocks", "4", "--json"])
    assert done.exit_code == 0, done.output
    runs = json.loads(done.stdout)["runs"]
    assert [(run["swarms"], run["peers"], run["completed"]) for run in runs] == [(1, 3, 3), (1, 5, 5), (2, 4, 8)]
    assert len(runs[-1]["cpu_s_each"]) == 1  # the largest
    for run in runs:
        assert min(run["cpu_s_each"]) <= run["cpu_s"] <= max(run["cpu_s_each"])
        assert run["transfer_s"] * run["transfers_per_s"] == pytest.approx(1)
        assert run["peer_bytes"] <= run["memory_bytes"]
        assert run["transfer_messages"] > 2  # a PEDIDO and a BLOCO, and more


@pytest.mark.parametrize("peers", ["", "0", "3,", "x3", "2x", "0x3", "-1", "²"])
def test_what_is_no_number_of_peers_is_refused(peers: str):
    done = CliRunner().invoke(sim_speed.main, ["--peers", peers])
    assert done.exit_code == 2
    assert "give whole numbers from 1" in done.output


def sigterm(process: subprocess.Popen[str]) -> None:
    process.terminate()


def ctrl_c(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the children too


@pytest.mark.parametrize(("end", "code"), [(sigterm, 143), (ctrl_c, 130)])
def test_told_to_end_while_it_starts_a_swarm_it_leaves_no_process(
    end: Callable[[subprocess.Popen[str]], None], code: int
):
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--peers", "5000"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    parent = psutil.Process(process.pid)
    until(lambda: any("spawn_main" in " ".join(child.cmdline()) for child in parent.children()), ENOUGH_S)
    children = parent.children(recursive=True)
    end(process)
    _, told = process.communicate(timeout=ENOUGH_S)
    assert process.returncode == code
    assert told == "sim_speed: interrupted\n"
    assert psutil.wait_procs(children, timeout=ENOUGH_S)[1] == []

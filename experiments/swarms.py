"""One warm swarm of Minibit in a process of its own, for benches that run it beside something else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from warm import WarmCopies

from minibit.errors import LocalError

RUN_SWARM = Path(__file__).with_name("run_swarm.py")
GOODBYE_S = 60.0  # the time that an interrupted swarm has to end by itself
SIZES = {1: "1GiB", 8: "256MiB", 50: "64MiB"}
"""The content of a swarm of at least so many peers on one machine, unless a size is given."""


def usual_size(peers: int) -> str:
    """The size of the content for so many peers on one machine: enough work, and all copies fit in memory."""
    return SIZES[max(least for least in SIZES if least <= peers)]


def minibit(
    content: Path,
    peers: int,
    options: Sequence[object],
    copies: WarmCopies,
    *,
    on: Sequence[object] = (),
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The summary of one swarm that writes over `copies`, with every copy verified. `LocalError` if it fails.

    `on` is the command, with the environment `env`, that runs another elsewhere, beside a cluster that is there. An
    interrupted swarm ends before this process does.
    """
    with tempfile.TemporaryDirectory(prefix="run-", dir=content.parent) as folder:
        copies.lend_to_minibit(Path(folder), peers, content.name)
        swarm = [sys.executable, RUN_SWARM, content, "--json", "--quiet", "--no-report", "--keep", "--out", folder]
        command = [str(part) for part in (*on, *swarm, "--peers", peers, *options)]
        # in a session of its own it gets Ctrl-C once, from here
        with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, env=env) as child:
            try:
                told, _ = child.communicate()
            except BaseException:
                if on:  # the swarm's cluster is not of this session
                    os.killpg(child.pid, signal.SIGINT)
                else:
                    child.send_signal(signal.SIGINT)
                try:
                    child.wait(GOODBYE_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                raise
    if child.returncode:
        raise LocalError(f"run_swarm.py failed with exit code {child.returncode}: it said why")
    summary: dict[str, Any] = json.loads(told)
    return summary

"""One warm swarm of Minibit in a process of its own, for benches that run it beside something else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from warm import WarmCopies

from minibit.errors import LocalError

RUN_SWARM = Path(__file__).with_name("run_swarm.py")
GOODBYE_S = 60.0  # the time that an interrupted swarm has to end by itself
SIZES = {1: "1GiB", 8: "256MiB", 50: "64MiB"}
"""The content of a swarm of at least so many peers on one machine, unless a size is given."""
SIZE_HELP = f"Size of the content. [{', '.join(f'{size} from {least} peers on' for least, size in SIZES.items())}]"


def usual_size(peers: int) -> str:
    """The size of the content for so many peers on one machine: enough work, and all copies fit in memory."""
    return SIZES[max(least for least in SIZES if least <= peers)]


def minibit(
    content: Path, peers: int, options: Sequence[object], copies: WarmCopies, run: Callable[..., str] | None = None
) -> dict[str, Any]:
    """The summary of one swarm that writes over `copies`, with every copy verified.

    `run` runs a command somewhere else than `here`, and gives what it printed. `MinibitError` if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="run-", dir=content.parent) as folder:
        copies.lend_to_minibit(Path(folder), peers, content.name)
        swarm = [sys.executable, RUN_SWARM, content, "--json", "--quiet", "--no-report", "--keep", "--out", folder]
        summary: dict[str, Any] = json.loads((run or here)(*swarm, "--peers", peers, *options))
        return summary


def here(*command: object) -> str:
    """Run a command and give what it printed; if this process is interrupted, the command ends first."""
    # in a session of its own it gets Ctrl-C once, from here
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, start_new_session=True, text=True) as child:
        try:
            told, _ = child.communicate()
        except BaseException:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(GOODBYE_S)
            except subprocess.TimeoutExpired:
                child.kill()
            raise
    if child.returncode:
        raise LocalError(f"run_swarm.py failed with exit code {child.returncode}: it said why")
    return told

"""Swarms on a Ray cluster of this process, one after another, for benches that look at them from inside."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
from warm import WarmCopies

from minibit.actors import Swarm
from minibit.actors.driver import cluster
from minibit.actors.driver.own_swarm import OwnSwarm
from minibit.cli.ending import ending
from minibit.errors import LocalError
from minibit.run.summary import Summary
from minibit.units import show_bytes, show_duration, show_rate

TIMEOUT_S = 900.0


@contextmanager
def ray_cluster() -> Iterator[None]:
    """A Ray cluster for one command; an error becomes one line and an exit code."""
    try:
        with ending():
            cluster.connect()
            yield
    finally:
        cluster.disconnect()


@contextmanager
def swarm(copies: WarmCopies | None = None, **options: Any) -> Iterator[OwnSwarm]:
    """A swarm whose run folder is removed at the end; it writes over `copies`, if there are any."""
    with tempfile.TemporaryDirectory(prefix="minibit-bench-") as folder:
        if copies:
            copies.lend_to_minibit(Path(folder), options["peers"])
        with Swarm.launch(out=folder, keep=copies is not None, **options) as running:
            yield running


def run(
    copies: WarmCopies | None = None,
    beside: Callable[[OwnSwarm], AbstractContextManager[object]] = nullcontext,
    **options: Any,
) -> Summary:
    """Run one swarm with every copy verified, and `beside` meanwhile. `LocalError` if a peer is incomplete."""
    with swarm(copies, **options) as running, beside(running):
        summary = running.wait(timeout=TIMEOUT_S)
    if summary.exit_code:
        why = {failure.why for failure in summary.failed}
        raise LocalError(f"{summary.verified} of {summary.peers} peers have a verified copy: {', '.join(why)}")
    told = f"{show_duration(summary.seconds.transfer)}, {show_rate(summary.goodput_bps)}"
    click.echo(f"{summary.peers} peers, {show_bytes(summary.content.bytes)}: {told}", err=True)
    return summary

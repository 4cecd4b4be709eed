"""Minibit: a BitTorrent-like swarm whose tracker and peers are Ray actors.

    from minibit import Swarm, load, push, simulate

    with Swarm.launch("film.mp4", peers=20, upload="2MiB/s") as swarm:  # real actors, on this machine or a cluster
        summary = swarm.wait()  # what it came to, once every copy is verified
    run = simulate(peers=1000, upload="1MiB/s")  # the same peers in virtual time, without Ray
    run.plot.completion()  # a picture, in a notebook; `run.records` are the tables behind it
    load("runs/NAME").report("report.html")  # any run that left a folder
    result = push("model/", "/data/model")  # one copy on every node of a Ray cluster, at one path

The options are those of `minibit swarm --help` and `minibit push --help`; `help(minibit.Swarm)` goes on. A
`MinibitError` says what was wrong, and what to do. Each name is imported when it is first used, for Ray and polars
take their time.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Unpack

    from minibit.actors.driver.pushing import push
    from minibit.actors.driver.swarm import Swarm
    from minibit.delivery.result import PushError, PushResult
    from minibit.errors import MinibitError
    from minibit.lab.folder import load
    from minibit.lab.run import Run
    from minibit.run.given import Keywords
    from minibit.run.options import Options
    from minibit.run.summary import Summary
    from minibit.sim import Scenario

if os.environ.get("MINIBIT_COMPILED") != "0" and Path(__file__).with_name("_compiled").is_dir():
    from minibit import compiled  # before any room that may be compiled

    compiled.use()

__version__ = "0.1.0"

__all__ = [
    "MinibitError",
    "Options",
    "PushError",
    "PushResult",
    "Scenario",
    "Summary",
    "Swarm",
    "__version__",
    "load",
    "push",
    "simulate",
]

_ROOMS = {
    "MinibitError": "minibit.errors",
    "Options": "minibit.run.options",
    "PushError": "minibit.delivery.result",
    "PushResult": "minibit.delivery.result",
    "Scenario": "minibit.run.scenario",
    "Summary": "minibit.run.summary",
    "Swarm": "minibit.actors",
    "load": "minibit.lab",
    "push": "minibit.actors.driver.pushing",
}


def _simulate(
    path: str | os.PathLike[str] | None = None,
    options: Options | None = None,
    *,
    scenario: Scenario | None = None,
    **given: Unpack[Keywords],
) -> Run:
    """A whole simulated swarm that shares `path`, or made content: its summary, records and pictures.

    What is `given` are options of the command line, as the same texts or as numbers of bytes, bytes a second or
    seconds; `options` are all of them at once, built already. What is not given may stand in the environment:
    MINIBIT_PEERS. `scenario` says which peers arrive when, and what goes wrong. `MinibitError` says what was wrong.
    Nothing is written into a folder.
    """
    from minibit.actors.disk import files  # noqa: PLC0415
    from minibit.lab import Run  # noqa: PLC0415
    from minibit.run import given as front  # noqa: PLC0415
    from minibit.sim import Simulation  # noqa: PLC0415

    chosen = front.chosen("sim", options, given, os.environ)
    manifest = None
    if path is not None:
        files.check_source(path)
        manifest = files.scan(Path(path), chosen.block_bytes_for, chosen.hash)
    simulation = Simulation(chosen, scenario, content=manifest)
    summary = simulation.run()
    return Run.of(simulation.ledger, summary)


if TYPE_CHECKING:
    simulate = _simulate  # made, with its options in the signature, when it is first used


def __getattr__(name: str) -> Any:
    """The names of `__all__`."""
    if name == "simulate":
        from minibit.run.given import with_options  # noqa: PLC0415

        _simulate.__name__ = _simulate.__qualname__ = name
        globals()[name] = with_options("sim")(_simulate)
        return _simulate
    if name in _ROOMS:
        value = globals()[name] = getattr(import_module(_ROOMS[name]), name)
        return value
    raise AttributeError(f"module 'minibit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What a person may use."""
    return [*__all__, "__doc__"]

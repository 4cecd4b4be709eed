"""What tests share: their order, one Ray cluster for all that need one, and hypothesis without chance."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "experiments"), str(ROOT / "tests" / "support")]

from browser import browser, opened  # noqa: E402, F401  fixtures for whoever asks for them

# tests replace methods of rooms, and run from the sources: tests/test_compiled.py compiles a copy of its own
os.environ["MINIBIT_COMPILED"] = "0"

# a token of its own in the environment: Ray would write one into the user's home
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

# tests and their children are interrupted, also where the runner of tests was started in the background, without SIGINT
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("minibit", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("minibit")

LONG = ("netns", "long", "ray")  # the markers of such files, longest first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first. At the end, no process works on one while the other has nothing to do.

    Without --no-loadscope-reorder (see the Makefile) pytest-xdist would sort files by their number of tests.
    """
    rank: dict[Path, int] = {}
    for item in items:
        here = next((place for place, name in enumerate(LONG) if item.get_closest_marker(name)), len(LONG))
        rank[item.path] = min(here, rank.get(item.path, here))
    items.sort(key=lambda item: rank[item.path])


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    """A local Ray cluster, the same for all tests of a file that ask for it; its address, for other processes."""
    import ray  # noqa: PLC0415  most tests need no Ray, and it takes seconds to import

    from minibit.actors.driver import cluster  # noqa: PLC0415

    cluster.connect()
    yield ray.get_runtime_context().gcs_address
    cluster.disconnect()

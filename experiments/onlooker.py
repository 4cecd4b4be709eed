"""A reader of a swarm's live page: a thread that asks what the page's script asks, and draws nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from urllib.request import urlopen

from minibit.actors.driver.own_swarm import OwnSwarm


@contextmanager
def looked_at(running: OwnSwarm) -> Iterator[None]:
    """Open the live page of a swarm meanwhile."""
    page, over = running.live(), Event()
    watcher = Thread(target=look_at, args=(page.url, over))
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        page.close()


def look_at(url: str, over: Event) -> None:
    """Ask what the page's script asks, until `over` is set."""
    base, _, token = url.partition("?")

    def ask(path: str) -> bytes:
        with urlopen(f"{base}{path}{'&' if '?' in path else '?'}{token}") as answer:
            told: bytes = answer.read()
            return told

    for path in ("", "bokeh.js"):
        ask(path)
    stamps: dict[str, int] = {}
    poll_s = 0.0
    while not over.wait(poll_s):
        if not stamps:  # the first time, not all pictures are drawn yet
            stamps = {section["name"]: 0 for section in json.loads(ask("pictures")).get("sections", ())}
        told = json.loads(ask("data?pictures=" + ",".join(f"{name}:{stamp}" for name, stamp in stamps.items())))
        stamps |= {name: fed["stamp"] for name, fed in told["pictures"].items()}
        poll_s = told["poll_s"]

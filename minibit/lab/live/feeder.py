"""The pictures of the live page, and their columns, as far as the budget goes.

A picture is fed (its columns are made anew) when a page shows it, when there are new records, and when the budget
allows it; otherwise the page keeps what it has. All pages share what was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import msgspec
from bokeh.core.serialization import Serializer

from minibit.lab.live.budget import Budget
from minibit.lab.pictures import Columns, Picture, each_picture
from minibit.lab.pictures.page import document_of
from minibit.lab.run import Run

LATER_S = 1.0  # a page asks again after this, until all pictures are drawn


class Fed(NamedTuple):
    """The columns of a picture as JSON, for the run at `version`; each `stamp` is larger than all before."""

    stamp: int
    version: int
    columns: bytes


class Feeder:
    """The pictures of one run, made one by one by `make`. Threads may share it."""

    def __init__(self, make: Callable[[Run], Iterator[Picture]] | None = None, budget: Budget | None = None) -> None:
        self._make = make or partial(each_picture, follow=True)
        self._budget = budget or Budget()
        self._lock = Lock()
        self._making: Iterator[Picture] | None = None
        self._pictures: dict[str, Picture] = {}
        self._drawn = b""
        self._fed: dict[str, Fed] = {}
        self._stamp = 0

    def draw(self, run: Callable[[], Run]) -> bytes:
        """The pictures as JSON, for the script of a page; or how many there are so far, and when to ask again.

        They are made once, which takes a second in all; feeding brings them up to date.
        """
        with self._lock:
            while not self._drawn:
                if not self._budget.allows:
                    return msgspec.json.encode({"later_s": LATER_S, "so_far": len(self._pictures)})
                with self._budget.paying():
                    self._draw_on(run)
            return self._drawn

    def _draw_on(self, run: Callable[[], Run]) -> None:
        """Make one more picture; after the last one, make the JSON of all."""
        if self._making is None:
            self._making = self._make(run())
        if (picture := next(self._making, None)) is not None:
            self._pictures[picture.name] = picture
        else:
            self._drawn = msgspec.json.encode(_drawn(list(self._pictures.values())))

    def columns(self, wanted: Mapping[str, int], version: int, run: Callable[[], Run]) -> dict[str, Any]:
        """The `stamp` and the `columns` of each picture that is newer than its stamp in `wanted`, by name.

        `version` grows with the run. `run` makes the run; it is called only if there is something to feed.
        """
        with self._lock:
            stale = [name for name in wanted if name in self._pictures and self._version_of(name) != version]
            now_is: Run | None = None
            for name in sorted(stale, key=self._version_of):  # the oldest first
                if not self._budget.allows:
                    break
                with self._budget.paying():
                    now_is = now_is or run()
                    self._feed(self._pictures[name], now_is, version)
            return {
                name: {"stamp": fed.stamp, "columns": msgspec.Raw(fed.columns)}
                for name, stamp in wanted.items()
                if (fed := self._fed.get(name)) is not None and fed.stamp > stamp
            }

    def _version_of(self, name: str) -> int:
        return self._fed[name].version if name in self._fed else -1

    def _feed(self, picture: Picture, run: Run, version: int) -> None:
        self._stamp += 1
        self._fed[picture.name] = Fed(self._stamp, version, _encoded(picture.feed(run)))


def _drawn(pictures: list[Picture]) -> dict[str, Any]:
    """The arguments of `Bokeh.embed.embed_items`, and a heading and a sentence for each picture."""
    places = {picture.model.id: f"picture-{picture.name}" for picture in pictures}
    return {
        "sections": [{"name": picture.name, "title": picture.title, "look": picture.look} for picture in pictures],
        "documents": {"live": document_of(pictures).to_json(deferred=False)},
        "items": [{"docid": "live", "roots": places, "root_ids": list(places)}],
    }


def _encoded(columns: Columns) -> bytes:
    """The columns of each source, in the form in which Bokeh itself sends them to its document in a page."""
    return msgspec.json.encode({name: Serializer(deferred=False).encode(data) for name, data in columns.items()})

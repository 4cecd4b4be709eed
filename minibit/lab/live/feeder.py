"""The pictures of the live page, and their columns, as far as the budget goes.

A picture is fed when somebody looks at it, when there is news, and when the budget allows it; else the page keeps what
it has. What was made for one page is there for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from bokeh.core.serialization import Serializer
from bokeh.document import Document

from minibit.lab.live.budget import Budget
from minibit.lab.pictures import MAKERS, Columns, PageClock, Picture

if TYPE_CHECKING:
    from minibit.lab.run import Run

LATER_S = 1.0  # after which a page may ask again for what is not drawn yet


class Fed(NamedTuple):
    """The columns of a picture as JSON, of the run at `version`; `stamp` is larger than that of any before."""

    stamp: int
    version: int
    columns: bytes


def following(run: Run) -> Iterator[Picture]:
    """A clock that stands at the end and goes with it, and every picture."""
    clock = PageClock(run, follow=True)
    yield clock.picture()
    for make in MAKERS.values():
        yield make(run, clock)


class Feeder:
    """The pictures of one run, which `make` makes one by one. Threads may share it."""

    def __init__(self, make: Callable[[Run], Iterator[Picture]] = following, budget: Budget | None = None) -> None:
        self._make = make
        self._budget = budget or Budget()
        self._lock = Lock()
        self._making: Iterator[Picture] | None = None
        self._pictures: dict[str, Picture] = {}
        self._drawn = b""
        self._fed: dict[str, Fed] = {}
        self._stamp = 0

    def draw(self, run: Callable[[], Run]) -> bytes:
        """The pictures as JSON, for the script of a page; or how many there are so far, and when to ask for more.

        They are made once, which takes a second in all; feeding makes them those of the moment.
        """
        with self._lock:
            while not self._drawn:
                if not self._budget.allows:
                    return msgspec.json.encode({"later_s": LATER_S, "so_far": len(self._pictures)})
                with self._budget.paying():
                    self._draw_on(run)
            return self._drawn

    def _draw_on(self, run: Callable[[], Run]) -> None:
        """Make one more picture, and what a page needs when that was the last."""
        if self._making is None:
            self._making = self._make(run())
        if (picture := next(self._making, None)) is not None:
            self._pictures[picture.name] = picture
        else:
            self._drawn = msgspec.json.encode(_drawn(list(self._pictures.values())))

    def columns(self, wanted: Mapping[str, int], version: int, run: Callable[[], Run]) -> dict[str, Any]:
        """By name of a picture its `stamp` and its `columns`, of those that are newer than the stamps in `wanted`.

        `version` grows with the run, and `run` gives it; it is called only when there is something to feed.
        """
        with self._lock:
            stale = [name for name in wanted if name in self._pictures and self._version_of(name) != version]
            now_is: Run | None = None
            for name in sorted(stale, key=self._version_of):  # who waits longest comes first
                if not self._budget.allows:
                    break
                with self._budget.paying():
                    now_is = now_is or run()
                    self._feed(self._pictures[name], now_is, version)
            found = ((name, self._fed.get(name), stamp) for name, stamp in wanted.items())
            return {
                name: {"stamp": fed.stamp, "columns": msgspec.Raw(fed.columns)}
                for name, fed, stamp in found
                if fed is not None and fed.stamp > stamp
            }

    def _version_of(self, name: str) -> int:
        return self._fed[name].version if name in self._fed else -1

    def _feed(self, picture: Picture, run: Run, version: int) -> None:
        self._stamp += 1
        self._fed[picture.name] = Fed(self._stamp, version, _encoded(picture.feed(run)))


def _drawn(pictures: list[Picture]) -> dict[str, Any]:
    """What `Bokeh.embed.embed_items` takes, and a heading and a sentence for each picture."""
    document = Document()
    with document.models.freeze():  # else it would look through all of them for each one
        for picture in pictures:
            document.add_root(picture.model)
    places = {picture.model.id: f"picture-{picture.name}" for picture in pictures}
    return {
        "sections": [{"name": picture.name, "title": picture.title, "look": picture.look} for picture in pictures],
        "documents": {"live": document.to_json(deferred=False)},
        "items": [{"docid": "live", "roots": places, "root_ids": list(places)}],
    }


def _encoded(columns: Columns) -> bytes:
    """The columns of each source in the form in which Bokeh itself would send them to its document in a page."""
    return msgspec.json.encode({name: Serializer(deferred=False).encode(data) for name, data in columns.items()})

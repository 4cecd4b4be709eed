"""The live page of a swarm: `page = swarm.live()`, then open `page.url` in a browser.

The bridge from the page's thread to the swarm. What changes or reads the ledger has the turn (`turn`); a look that
can't have it soon, while somebody adds peers or verifies copies, shows what was known before. The page takes the
peers' news only when nobody waits for the swarm, who would take it anyway: then it costs no actor call at all.
When the swarm is closed the page goes on and shows the end, until `close` or the end of the process.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from minibit import inventory
from minibit.actors import peer_view
from minibit.errors import LocalError
from minibit.lab.live.overview import Overview, letters
from minibit.messages import in_words

if TYPE_CHECKING:
    from minibit.actors.driver.collector import Collector
    from minibit.actors.driver.swarm import Swarm
    from minibit.lab import Run
    from minibit.lab.live.server import Server

TURN_S = 0.3  # a look waits so long for its turn
SETTLE_S = 2.0  # what the page asks of an actor that was killed ends at once
LATE_S = 0.5  # news that is so much later than whoever waits would have taken it: nobody waits


def make_ready() -> type[Server]:
    """Import what the page needs; whoever does it before a swarm starts takes no time from it."""
    try:
        from minibit.lab.live.server import Server  # noqa: PLC0415  Bokeh is heavy
    except ImportError as error:
        raise LocalError(f"the live page needs {error.name}: pip install 'minibit[lab]'") from None
    return Server


class LivePage:
    """A page in a browser, at `url`; who knows that address controls the swarm."""

    def __init__(self, swarm: Swarm, collector: Collector, port: int = 0) -> None:
        """Use `Swarm.live`."""
        self._server = make_ready()(Bridge(swarm, collector), port)
        self.url = self._server.url
        self.closed = False

    def close(self) -> None:
        """End the page; the swarm goes on."""
        self.closed = True
        self._server.close()

    def settle(self) -> None:
        """Wait until nothing that the page asked of an actor is under way: the cluster may be about to go."""
        self._server.settle(SETTLE_S)

    def __repr__(self) -> str:
        return f"<LivePage {self.url}{', closed' if self.closed else ''}>"

    def _repr_html_(self) -> str:
        return f'the live page: <a href="{self.url}" target="_blank">{self.url}</a>'


class Bridge:
    """A swarm as the server of the page knows it (`minibit.lab.live.server.Source`)."""

    def __init__(self, swarm: Swarm, collector: Collector) -> None:
        self._swarm = swarm
        self._collector = collector
        self._overview = Overview(collector.ledger)
        self._views: dict[str, dict[str, Any]] = {}  # the last of each peer, for when it is gone
        self._refresh()
        self._run = collector.run(swarm.summary)

    def look(self) -> dict[str, Any]:
        """How things stand."""
        with self._swarm.turn.within(TURN_S) as mine:
            if mine:
                if not self._swarm.closed and self._collector.late_s > LATE_S:
                    self._collector.drain()
                self._refresh()
            return dict(self._seen)

    def _refresh(self) -> None:
        ledger = self._collector.ledger
        if not self._overview.ended:
            self._now = time.monotonic()  # and at the end it stands still
            self._overview.ended = self._swarm.closed
        self._overview.take(ledger.noted)
        self._seen = {
            "head": self._overview.head(self._now, self._swarm.summary),
            "peers": self._overview.rows(self._now),
            "version": len(ledger.noted),
            "ended": self._overview.ended,
        }

    def run(self) -> Run:
        """All that was recorded so far."""
        with self._swarm.turn.within(TURN_S) as mine:
            if mine:
                self._run = self._collector.run(self._swarm.summary)
            return self._run

    def peer(self, name: str) -> dict[str, Any]:
        """One peer: as it is now, or as it was when it was last seen."""
        seen = self.look()
        row = next((dict(row) for row in seen["peers"] if row["peer"] == name), None)
        if row is None:
            raise LocalError(f"there is no peer {name!r} in this swarm")
        ledger = self._collector.ledger
        row |= {"inventory": inventory.to_hex(ledger.accounts[name].held), "blocks": ledger.content.block_count}
        if row["there"] and not self._swarm.closed:
            with suppress(LocalError):  # it has just gone, or is too slow to answer: the last view stays
                self._views[name] = self._view(name)
        view = self._views.get(name, {})
        return {
            "row": row,
            "view": view.get("view"),
            "mailbox": view.get("mailbox"),
            "seen_ago_s": time.monotonic() - view["seen_at"] if view else 0.0,
            "ended": seen["ended"],
        }

    def _view(self, name: str) -> dict[str, Any]:
        handle = self._swarm[name]
        view, box = handle.peek(peer_view.view), handle.mailbox()
        for one in view["neighbours"]:
            one["flags"] = letters(**one["flags"])
        verbs = [(verb, box["in"].get(verb, 0), box["out"].get(verb, 0)) for verb in sorted({*box["in"], *box["out"]})]
        last = [
            (max(0.0, view["now_s"] - at_s), way, peer, in_words(message))
            for at_s, way, peer, message in reversed(box["last"])
        ]
        return {"view": view, "mailbox": {"verbs": verbs, "last": last}, "seen_at": time.monotonic()}

    def kill(self, peer: str) -> str:
        """End a peer's process without a word."""
        self._check_open()
        self._swarm.kill(peer)
        return f"{peer} is killed: its neighbours find out by themselves"

    def add(self, count: int, behaviour: str) -> str:
        """So many more peers."""
        self._check_open()
        names = self._swarm.add(count, behaviour)
        return f"{', '.join(names)} joined"

    def limit(self, peer: str | None, upload: str | None) -> str:
        """A new limit on what one peer sends, or all but the seed."""
        self._check_open()
        self._swarm.limit(peer, upload_bps=upload)
        who = peer or "every peer"
        return f"{who} sends at most {upload}" if upload else f"{who} sends as fast as it can"

    def _check_open(self) -> None:
        if self._swarm.closed:
            raise LocalError("the swarm has ended: there is nothing left to move")

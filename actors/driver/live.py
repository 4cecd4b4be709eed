"""The live page of a swarm: `page = swarm.live()`, then open `page.url` in a browser.

A bridge leads from the page's threads to the swarm. They take its turn (`turn`) to read or change the ledger. A poll
that can't have it soon, because peers are being added or copies verified, shows what was known before. The page
collects records only when no `wait()` is running; otherwise it costs no actor call.
After the swarm is closed the page goes on and shows the end, until `close` or the end of the process.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from minibit import inventory
from minibit.actors.driver import tables
from minibit.errors import LocalError
from minibit.lab.extra import installed
from minibit.lab.live.overview import Overview, letters
from minibit.messages import in_words

if TYPE_CHECKING:
    from minibit.actors.driver.collector import Collector
    from minibit.actors.driver.own_swarm import OwnSwarm
    from minibit.lab import Run
    from minibit.lab.live.server import Server
    from minibit.snapshots import NeighbourSnapshot, PeerSnapshot

TURN_S = 0.3  # a poll waits this long for its turn
SETTLE_S = 2.0  # calls of actors that were killed end at once
LATE_S = 0.5  # if records are overdue by this much, no wait() is running, so the page collects them itself


def make_ready() -> type[Server]:
    """Import what the page needs. Call it before the swarm starts, so that no time of the transfer is taken."""
    with installed():
        from minibit.lab.live.server import Server  # noqa: PLC0415  Bokeh is heavy
    return Server


class LivePage:
    """A page in a browser, at `url`; that address gives control of the swarm."""

    def __init__(self, swarm: OwnSwarm, collector: Collector, port: int = 0) -> None:
        """Use `Swarm.live`."""
        self._server = make_ready()(Bridge(swarm, collector), port)
        self.url = self._server.url
        self.closed = False

    def close(self) -> None:
        """End the page; the swarm goes on."""
        self.closed = True
        self._server.close()

    def settle(self) -> None:
        """Wait until the page waits for no actor any more: the cluster may be about to end."""
        self._server.settle(SETTLE_S)

    def __repr__(self) -> str:
        return f"<LivePage {self.url}{', closed' if self.closed else ''}>"

    def _repr_html_(self) -> str:
        return f'the live page: <a href="{self.url}" target="_blank">{self.url}</a>'


class Bridge:
    """The swarm as the server of the page sees it: `minibit.lab.live.server.LiveSwarm` says what a method does."""

    def __init__(self, swarm: OwnSwarm, collector: Collector) -> None:
        self._swarm = swarm
        self._collector = collector
        self._overview = Overview(collector.ledger)
        self._views: dict[str, tuple[float, dict[str, Any]]] = {}  # when each peer was last seen, and how
        self._refresh()
        self._run = collector.run(swarm.summary)

    def overview(self) -> dict[str, Any]:
        with self._collector.turn.within(TURN_S) as mine:
            if mine:
                if self._swarm.in_reach and self._collector.late_s > LATE_S:
                    self._collector.drain()
                self._refresh()
            return dict(self._state)

    def _refresh(self) -> None:
        ledger = self._collector.ledger
        if not self._overview.ended:
            self._now = time.monotonic()  # at the end it stands still
            self._overview.ended = self._swarm.closed
        self._overview.take(ledger.noted)
        self._state = {
            "head": self._overview.head(self._now, self._swarm.summary),
            "peers": self._overview.rows(self._now),
            "version": len(ledger.noted),
            "ended": self._overview.ended,
        }

    def run(self) -> Run:
        with self._collector.turn.within(TURN_S) as mine:
            if mine:
                self._run = self._collector.run(self._swarm.summary)
            return self._run

    def peer(self, name: str) -> dict[str, Any]:
        """As it is now, or as it was when it was last seen."""
        state = self.overview()
        row = next((dict(row) for row in state["peers"] if row["peer"] == name), None)
        if row is None:
            raise LocalError(f"there is no peer {name!r} in this swarm")
        ledger = self._collector.ledger
        row |= {"inventory": inventory.to_hex(ledger.accounts[name].held), "blocks": ledger.content.block_count}
        if row["there"] and self._swarm.in_reach:
            with suppress(LocalError):  # it has just gone, or is too slow to answer: the page shows its last view
                self._views[name] = time.monotonic(), self._view(name)
        seen_at, view = self._views.get(name, (time.monotonic(), {"view": None, "mailbox": None}))
        return {"row": row, **view, "seen_ago_s": time.monotonic() - seen_at, "ended": state["ended"]}

    def _view(self, name: str) -> dict[str, Any]:
        """The state of a peer and its mailbox, for the page."""
        handle = self._swarm[name]
        state, box = handle.snapshot(), handle.mailbox()
        shown = [end for _, end in sorted(state.neighbours.items()) if end.standing in tables.LINKED or end.strikes]
        verbs = sorted({*box.incoming, *box.outgoing})
        return {
            "view": {
                "in_flight": state.in_flight,
                "choker": {
                    **{"name": state.choker, "round_s": state.round_s, "fixed": state.fixed, "slots": state.slots},
                    **{"guest_slots": state.guest_slots, "leases": list(state.guests.items())},
                },
                "neighbours": [_row(state, end) for end in shown],
            },
            "mailbox": {
                "verbs": [(verb, box.incoming.get(verb, 0), box.outgoing.get(verb, 0)) for verb in verbs],
                "last": [
                    (max(0.0, state.at_s - letter.at_s), letter.way, letter.peer, in_words(letter.message))
                    for letter in reversed(box.last)
                ],
            },
        }

    def kill(self, peer: str) -> str:
        self._swarm.kill(peer)
        return f"{peer} is killed: its neighbours find out by themselves"

    def add(self, count: int, behaviour: str) -> str:
        names = self._swarm.add(count, behaviour)
        return f"{', '.join(names)} joined"

    def limit(self, peer: str | None, upload: str | None) -> str:
        self._swarm.limit(peer, upload=upload)
        return f"{peer or 'every peer'} sends {f'at most {upload}' if upload else 'as fast as it can'}"


def _row(state: PeerSnapshot, end: NeighbourSnapshot) -> dict[str, Any]:
    """A neighbour of a peer, for the page."""
    served, linked = end.slot != "none", end.standing in tables.LINKED
    note = ("" if end.standing == "sharing" else end.standing, f"{end.strikes} wrong blocks" if end.strikes else "")
    return {
        "peer": end.peer,
        "flags": letters(
            down=end.interesting and end.serves_us,
            choked=end.interesting,
            up=end.interested and served,
            choking=end.interested and linked,
            guest=end.slot == "guest",
            snubbed=end.snubbed,
        ),
        "share": end.held / state.blocks if state.blocks else 1.0,
        **{"down_bps": end.gave_bps, "up_bps": end.took_bps, "blocks_in": end.blocks_in, "blocks_out": end.blocks_out},
        **{"asked": len(end.asked), "wanted": len(end.wanted), "note": ", ".join(filter(None, note))},
    }

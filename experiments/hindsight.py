"""The state of a run at any moment, from its records: inventories, links and slots of all peers.

No peer knew all this: a peer knows its neighbours by news, which comes late. So questions here take a span of time, and
answer what held *throughout* it or *at some moment* in it. What a peer may have believed lies between the two. `late_s`
is how long the span must be for that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import inf
from typing import NamedTuple

from minibit import inventory
from minibit.announcer import PATIENCE, Announcer
from minibit.events import TRACKER
from minibit.lab import Run
from minibit.peer import FAREWELL_S

SAME_S = 1e-6  # times that differ by less count as equal: differences of times are not exact
LATENCY_S = 0.25  # delay of news, beside the time for which it is held back: its way, and a busy machine's queue


class AnsweredPedido(NamedTuple):
    """A PEDIDO whose block came: when `peer` sent it to `source`, for which block, and when the block was there."""

    at_s: float
    peer: str
    source: str
    block: int
    came_s: float


class Answer(NamedTuple):
    """A LISTA_PEERS, and the peers that it named."""

    at_s: float
    asker: str
    named: set[str]


class Change(NamedTuple):
    """A moment at which `peer` changed its slots: `fixed` or `guest` by neighbour, before and after."""

    at_s: float
    peer: str
    before: dict[str, str]
    after: dict[str, str]


class Stay(NamedTuple):
    """The span in which a neighbour was a guest of `peer`."""

    peer: str
    neighbour: str
    from_s: float
    until_s: float


class Hindsight:
    """One run, looked back at.

    peers    all but the tracker
    honest   those that follow the rules, the tracker among them
    start    the inventory of each at the start
    started, completed, left, gone
             when each did so, in seconds, without peers that never did; `gone`: left, died or failed
    news_s   for how long news is gathered, on a machine with processors enough
    asked    the PEDIDOs of each peer, in the order of asking
    answers, changes
             in the order of time
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        rules = run.options["rules"]
        self.news_s = Announcer(rules["announce_s"]).gather_s(rules["neighbours"])
        self.late_s = PATIENCE * self.news_s + LATENCY_S
        members = run.members.select("peer", "behaviour", "held_at_start").rows()
        self.all = inventory.full(run.content_blocks)
        self.start = {peer: int(held, 16) for peer, _, held in members}
        self.peers = [peer for peer in self.start if peer != TRACKER]
        self.honest = {peer for peer, behaviour, _ in members if behaviour == "honest"}
        lives: dict[str, dict[str, float]] = defaultdict(dict)
        for at_s, peer, event in run.peers.select("at_s", "peer", "event").iter_rows():
            lives[event].setdefault(peer, at_s)
        self.started, self.completed, self.left = (lives[event] for event in ("started", "completed", "left"))
        self.gone = lives["failed"] | lives["died"] | lives["left"]
        self._moments = sorted([*self.started.values(), *self.gone.values()])
        self._died_s = min((at_s for peer, at_s in self.gone.items() if peer not in self.left), default=inf)
        self._rosters: dict[int, frozenset[str]] = {}  # by the number of peers that had come or gone
        self._came_s, self._held = self._holdings()
        self.asked = self._pedidos()
        self.answers, self._links = self._acquaintances()
        self.changes, self._slots = self._servings()

    # from the tables

    def _holdings(self) -> tuple[dict[str, list[float]], dict[str, list[int]]]:
        came_s = {peer: [-inf] for peer in self.start}
        held = {peer: [blocks] for peer, blocks in self.start.items()}
        rows = self.run.blocks.select("at_s", "peer", "block", "verdict")
        for at_s, peer, block, verdict in rows.iter_rows():
            if verdict == "useful":
                came_s[peer].append(at_s)
                held[peer].append(held[peer][-1] | 1 << block)
        return came_s, held

    def _pedidos(self) -> dict[str, list[AnsweredPedido]]:
        found: dict[str, list[AnsweredPedido]] = defaultdict(list)
        rows = self.run.blocks.select("at_s", "peer", "source", "block", "took_s")
        for at_s, peer, source, block, took_s in rows.iter_rows():
            if took_s > 0:  # for a block that came after it was given up, the time of asking is not known
                found[peer].append(AnsweredPedido(at_s - took_s, peer, source, block, at_s))
        return {peer: sorted(asked) for peer, asked in found.items()}

    def _acquaintances(self) -> tuple[list[Answer], dict[str, dict[str, list[list[float]]]]]:
        answers: dict[tuple[float, str], Answer] = {}
        links: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
        for at_s, peer, neighbour, event in self.run.links.iter_rows():
            if event == "listed":
                answers.setdefault((at_s, peer), Answer(at_s, peer, set())).named.add(neighbour)
            elif event == "linked":
                links[peer][neighbour].append([at_s, inf])
            elif event == "lost" and (stood := links[peer][neighbour]):
                stood[-1][1] = at_s
        return list(answers.values()), links

    def _servings(self) -> tuple[list[Change], dict[tuple[str, str], tuple[list[float], list[str]]]]:
        served: dict[str, dict[str, str]] = defaultdict(dict)
        changes: list[Change] = []
        slots: dict[tuple[str, str], tuple[list[float], list[str]]] = defaultdict(lambda: ([-inf], ["none"]))
        for at_s, peer, neighbour, slot in self.run.serving.iter_rows():
            before, after = served[peer], {**served[peer], neighbour: slot}
            if slot == "none":
                del after[neighbour]
            served[peer] = after
            times, those = slots[peer, neighbour]
            times.append(at_s)
            those.append(slot)
            if changes and (changes[-1].peer, changes[-1].at_s) == (peer, at_s):
                before = changes.pop().before
            changes.append(Change(at_s, peer, before, after))
        return changes, slots

    # questions

    def held(self, peer: str, at_s: float) -> int:
        """The inventory of a peer at that time, with blocks that came in that moment."""
        return self._held[peer][bisect_right(self._came_s[peer], at_s + SAME_S) - 1]

    def there(self, peer: str, at_s: float) -> bool:
        """Whether the peer had started by then and was not gone."""
        return self.started.get(peer, inf) <= at_s < self.gone.get(peer, inf)

    def roster(self, at_s: float, near_s: float) -> frozenset[str]:
        """The actors in the swarm, also in the tracker's eyes; empty if that cannot be known.

        It is known if no peer came or went in the `near_s` before and after, and none died before: the tracker hears
        of a death late.
        """
        index = bisect_right(self._moments, at_s)
        around = self._moments[max(0, index - 1) : index + 1]
        if self._died_s < at_s or any(abs(moment_s - at_s) < near_s for moment_s in around):
            return frozenset()
        if index not in self._rosters:
            self._rosters[index] = frozenset(peer for peer in self.start if self.there(peer, at_s))
        return self._rosters[index]

    def closed(self, peer: str, at_s: float) -> bool:
        """Whether the peer was gone or perhaps about to leave: then it serves no neighbour any more."""
        return at_s > self.gone.get(peer, inf) - FAREWELL_S - SAME_S

    def linked(self, peer: str, since_s: float, until_s: float) -> Iterator[tuple[str, bool]]:
        """The neighbours linked with `peer` at some time in the span, and whether throughout."""
        for neighbour, stood in self._links.get(peer, {}).items():
            for from_s, to_s in stood:
                if from_s <= until_s and to_s > since_s:
                    yield neighbour, from_s <= since_s and to_s > until_s
                    break

    def wants(self, neighbour: str, peer: str, since_s: float, until_s: float) -> bool:
        """Whether `neighbour` lacked something that `peer` held, throughout the span."""
        return bool(self.held(peer, since_s) & ~self.held(neighbour, until_s))

    def waiting(self, peer: str, since_s: float, until_s: float) -> list[str]:
        """The neighbours that wanted blocks and were not served, throughout the span and `late_s` around it."""
        since_s, until_s = since_s - self.late_s, until_s + self.late_s
        return [
            neighbour
            for neighbour, throughout in self.linked(peer, since_s, until_s)
            if throughout
            and self.wants(neighbour, peer, since_s, until_s)
            and self._unserved(peer, neighbour, since_s, until_s)
        ]

    def _unserved(self, peer: str, neighbour: str, since_s: float, until_s: float) -> bool:
        times, slots = self._slots.get((peer, neighbour), ([-inf], ["none"]))
        before = max(0, bisect_left(times, since_s) - 1)
        return all(slot == "none" for slot in slots[before : bisect_right(times, until_s)])

    def forced(self, change: Change, neighbour: str) -> bool:
        """Whether the neighbour lost or changed its slot while it surely wanted it: only a round does that."""
        before, after = change.before.get(neighbour), change.after.get(neighbour)
        if before is None or after is not None:
            return before is not None and before != after
        peer, at_s = change.peer, change.at_s
        stays = any(one == neighbour and throughout for one, throughout in self.linked(peer, at_s, at_s + self.late_s))
        return stays and self.wants(neighbour, peer, at_s - 2 * SAME_S, at_s + self.late_s)

    def guests(self) -> list[Stay]:
        """The stays of all guests."""
        stays = []
        for (peer, neighbour), (times, slots) in self._slots.items():
            end_s = min(self.run.end_s, self.gone.get(peer, inf))  # of a slot that was not taken back
            for slot, (from_s, until_s) in zip(slots, pairwise([*times, end_s]), strict=True):
                if slot == "guest":
                    stays.append(Stay(peer, neighbour, from_s, until_s))
        return stays


def at_least(everything: int, inventories: Iterable[int]) -> list[int]:
    """Entry k: the blocks that at least k of these inventories hold. The last entry is the last with any block."""
    found = [everything]
    for held in inventories:
        found.append(inventory.EMPTY)
        for copies in range(len(found) - 1, 0, -1):
            found[copies] |= found[copies - 1] & held
        if not found[-1]:
            found.pop()
    return found

"""What was so at any moment of a run, from its records: who held what, was linked with whom, served whom.

Nobody in the swarm knew all this: a peer knows its neighbours by news, which comes late. So who asks here asks for a
span, and hears what was so *throughout* it, or what was so *at some time* in it; what a peer may have believed lies
between the two. `late_s` is how long the span must be for that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple

from minibit import inventory
from minibit.announcer import PATIENCE
from minibit.events import TRACKER
from minibit.lab import Run
from minibit.peer import FAREWELL_S

SAME_S = 1e-6  # times that differ by less are one: differences of times are not exact
LATENCY_S = 0.25  # of news, beside what it is held back for: on its way, and in the queue of a busy machine


class AnsweredPedido(NamedTuple):
    """A PEDIDO of `peer` whose block came: when it was sent, to whom, for what, and when the block was there."""

    at_s: float
    peer: str
    source: str
    block: int
    came_s: float


class Answer(NamedTuple):
    """A LISTA_PEERS, and whom it named."""

    at_s: float
    asker: str
    named: set[str]


class Change(NamedTuple):
    """A moment at which `peer` changed whom it serves: `fixed` or `guest` by neighbour, before and after."""

    at_s: float
    peer: str
    before: dict[str, str]
    after: dict[str, str]


class Stay(NamedTuple):
    """A neighbour was a guest of `peer` from then until then."""

    peer: str
    neighbour: str
    from_s: float
    until_s: float


class Hindsight:
    """One run, looked back at.

    peers    all but the tracker
    honest   those that play by the rules, the tracker among them
    start    what each held at the start (inventories)
    started, completed, left, gone
             when each did so, in seconds; `gone`: left, died or failed. Who never did isn't there
    asked    by peer, in the order of asking
    answers, changes
             in the order of time
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.late_s = PATIENCE * run.options["rules"]["announce_s"] + LATENCY_S
        members = run.members.select("peer", "behaviour", "held_at_start").rows()
        self.all = inventory.full(run.content_blocks)
        self.start = {peer: int(held, 16) for peer, _, held in members}
        self.peers = [peer for peer in self.start if peer != TRACKER]
        self.honest = {peer for peer, behaviour, _ in members if behaviour == "honest"}
        self.started, self.completed, self.left, self.gone = self._lives()
        self._moments = sorted([*self.started.values(), *self.gone.values()])
        self._died_s = min((at_s for peer, at_s in self.gone.items() if peer not in self.left), default=inf)
        self._rosters: dict[int, frozenset[str]] = {}  # by how many had come or gone
        self._came_s, self._held = self._holdings()
        self.asked = self._pedidos()
        self.answers, self._links = self._acquaintances()
        self.changes, self._slots = self._servings()

    # what the tables say

    def _lives(self) -> tuple[dict[str, float], dict[str, float], dict[str, float], dict[str, float]]:
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for at_s, peer, event in self.run.peers.select("at_s", "peer", "event").iter_rows():
            found[event].setdefault(peer, at_s)
        gone = {**found["failed"], **found["died"], **found["left"]}
        return found["started"], found["completed"], found["left"], gone

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
            if took_s > 0:  # nobody knows when a block was asked that came after it was given up
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

    # what was so

    def held(self, peer: str, at_s: float) -> int:
        """The inventory of a peer at that time, with what came in that moment."""
        return self._held[peer][bisect_right(self._came_s[peer], at_s + SAME_S) - 1]

    def there(self, peer: str, at_s: float) -> bool:
        """Whether the peer had started by then, and was not gone."""
        return self.started.get(peer, inf) <= at_s < self.gone.get(peer, inf)

    def roster(self, at_s: float, near_s: float) -> frozenset[str]:
        """Who was in the swarm, for the tracker too; nobody where that can't be known.

        In the `near_s` before and after nobody may have come or gone, and before it nobody died: the tracker hears
        of that late.
        """
        index = bisect_right(self._moments, at_s)
        around = self._moments[max(0, index - 1) : index + 1]
        if self._died_s < at_s or any(abs(moment_s - at_s) < near_s for moment_s in around):
            return frozenset()
        if index not in self._rosters:
            self._rosters[index] = frozenset(peer for peer in self.start if self.there(peer, at_s))
        return self._rosters[index]

    def closed(self, peer: str, at_s: float) -> bool:
        """Whether the peer was about to leave, perhaps, or gone: then it serves nobody any more."""
        return at_s > self.gone.get(peer, inf) - FAREWELL_S - SAME_S

    def linked(self, peer: str, since_s: float, until_s: float) -> Iterator[tuple[str, bool]]:
        """The neighbours with whom `peer` had a link at some time in the span, and whether throughout."""
        for neighbour, stood in self._links.get(peer, {}).items():
            for from_s, to_s in stood:
                if from_s <= until_s and to_s > since_s:
                    yield neighbour, from_s <= since_s and to_s > until_s
                    break

    def wants(self, neighbour: str, peer: str, since_s: float, until_s: float) -> bool:
        """Whether throughout the span `neighbour` lacked something that `peer` held."""
        return bool(self.held(peer, since_s) & ~self.held(neighbour, until_s))

    def waiting(self, peer: str, since_s: float, until_s: float) -> list[str]:
        """The neighbours that throughout the span, and `late_s` around it, wanted blocks and weren't served."""
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
        """Whether the neighbour lost its slot, or got another, while it surely wanted it: only a round does that."""
        before, after = change.before.get(neighbour), change.after.get(neighbour)
        if before is None or after is not None:
            return before is not None and before != after
        peer, at_s = change.peer, change.at_s
        stays = any(one == neighbour and throughout for one, throughout in self.linked(peer, at_s, at_s + self.late_s))
        return stays and self.wants(neighbour, peer, at_s - 2 * SAME_S, at_s + self.late_s)

    def guests(self) -> list[Stay]:
        """All stays of guests, in the order of their ends."""
        since_s: dict[tuple[str, str], float] = {}
        stays = []
        for change in self.changes:
            for neighbour, slot in change.after.items():
                if slot == "guest" and change.before.get(neighbour) != "guest":
                    since_s[change.peer, neighbour] = change.at_s
            for neighbour, slot in change.before.items():
                if slot == "guest" and change.after.get(neighbour) != "guest":
                    stays.append(Stay(change.peer, neighbour, since_s.pop((change.peer, neighbour)), change.at_s))
        for (peer, neighbour), from_s in since_s.items():  # nobody took it back: the run was over, or its host died
            stays.append(Stay(peer, neighbour, from_s, min(self.run.end_s, self.gone.get(peer, inf))))
        return stays


def at_least(everything: int, inventories: Iterable[int]) -> list[int]:
    """At k: the blocks that at least k of these inventories hold; no further than any is held."""
    found = [everything]
    for held in inventories:
        found.append(inventory.EMPTY)
        for copies in range(len(found) - 1, 0, -1):
            found[copies] |= found[copies - 1] & held
        if not found[-1]:
            found.pop()
    return found

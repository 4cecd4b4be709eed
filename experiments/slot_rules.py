"""The rules of serving: the number of slots, which neighbour keeps one, which one is guest, how long a round lasts.

Rounds are not in the records. A round is seen where a neighbour loses a slot that it wants, or gets one of the other
kind: between rounds slots are only given, or taken from neighbours that are gone or want nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import count, pairwise, takewhile
from math import comb
from operator import itemgetter

from hindsight import SAME_S, Change, Hindsight, Stay, at_least
from verdict import ENOUGH, Case, Finding, decided, judged

from minibit.run.measures import percentile

SLOTS, GUESTS = 4, 1
ROUND_S = 10.0
SLACK_S = 0.5  # a round may begin this much later


def slots(seen: Hindsight) -> Finding:
    """The number of fixed slots and guests after every change."""
    served = [Counter(change.after.values()) for change in seen.changes]
    over = sum(one["fixed"] > SLOTS or one["guest"] > GUESTS for one in served)
    fixed, guests, most = (
        max(map(of, served), default=0) for of in (itemgetter("fixed"), itemgetter("guest"), Counter.total)
    )
    evidence = (
        f"after {len(served):,} changes at most {fixed} fixed, {guests} as guest, {most} together; more than "
        f"{SLOTS} + {GUESTS} after {over}"
    )
    return judged(evidence, broken=over, seen=most == SLOTS + GUESTS)


def rarity(seen: Hindsight) -> Finding:
    """Each round in which a neighbour lost a slot that it wanted."""
    verdict, evidence = decided([case for change in _decisions(seen) for case in _ranked(seen, change)])
    return verdict, f"rounds in which a neighbour lost its slot: {evidence}"


def _decisions(seen: Hindsight) -> list[Change]:
    """The changes by peers that follow the rules and are not about to leave."""
    return [one for one in seen.changes if one.peer in seen.honest and not seen.closed(one.peer, one.at_s)]


def _ranked(seen: Hindsight, change: Change) -> list[Case]:
    """A neighbour lost its slot wrongly if it held more rare blocks than one that has a fixed slot now.

    Rare blocks are those with the fewest copies among the neighbours, of the blocks that the server lacks, or of all
    blocks if it lacks none; all of that at the time of the last news.
    """
    server, news_s = change.peer, change.at_s - seen.news_s
    winners = [peer for peer, slot in change.after.items() if slot == "fixed"]
    losers = [peer for peer in change.before if peer not in winners and seen.forced(change, peer)]
    if not winners or not losers:
        return []
    theirs = {peer: seen.held(peer, news_s) for peer, _ in seen.linked(server, change.at_s, change.at_s)}
    held_by = at_least(seen.all, theirs.values())
    rare = (seen.all & ~seen.held(server, change.at_s) or seen.all) & held_by[min(1, len(held_by) - 1)]
    for held in reversed(held_by):
        rare = rare & ~held or rare
    points = [(theirs.get(peer, 0) & rare).bit_count() for peer in [*losers, *winners]]
    lowest = sorted(points)[: len(losers)]
    weaker, equal = sum(one < lowest[-1] for one in points), points.count(lowest[-1])
    right = comb(equal, len(losers) - weaker) / comb(len(points), len(losers))
    return [Case(sorted(points[: len(losers)]) != lowest, 1 - right)]


def guest(seen: Hindsight) -> Finding:
    """While a neighbour waits, no guest stays for a second round, and there is a guest."""
    stays = [stay for stay in seen.guests() if stay.peer in seen.honest]
    went = [
        change
        for change in _decisions(seen)
        if any(slot == "guest" and seen.forced(change, peer) for peer, slot in change.before.items())
    ]
    overdue = sum(_overdue(seen, stay) for stay in stays)
    lacking = _lacking(seen, stays)
    evidence = (
        f"{len(stays)} guests, of which {len(went)} had to go, or rose to a fixed slot, while they wanted more; "
        f"{overdue} stayed for a second round while another waited; {lacking} rounds without a guest while somebody "
        "waited"
    )
    return judged(evidence, broken=overdue or lacking, seen=len(went) >= ENOUGH)


def _overdue(seen: Hindsight, stay: Stay) -> bool:
    """Whether the guest stayed over a round while the same neighbour waited all the time.

    One and a half times `ROUND_S` contain a round, even a late one.
    """
    span_s = 1.5 * ROUND_S
    begins = takewhile(lambda at_s: at_s + span_s < stay.until_s, count(stay.from_s, ROUND_S))
    return any(seen.waiting(stay.peer, at_s, at_s + span_s) for at_s in begins)


def _lacking(seen: Hindsight, stays: list[Stay]) -> int:
    """How often there was no guest for a whole round while the same neighbour waited all the time."""
    spans: dict[str, list[Stay]] = defaultdict(list)
    for stay in stays:
        spans[stay.peer].append(stay)
    found = 0
    for peer in sorted(seen.honest & seen.started.keys()):
        for at_s in takewhile(lambda at_s: at_s + ROUND_S < seen.run.end_s, count(seen.started[peer], ROUND_S)):
            until_s = at_s + ROUND_S
            if not any(stay.from_s < until_s and stay.until_s > at_s for stay in spans[peer]):
                found += not seen.closed(peer, until_s) and bool(seen.waiting(peer, at_s, until_s))
    return found


def rounds(seen: Hindsight) -> Finding:
    """The times between changes that only a round makes: one round or several, some of them late."""
    marks: dict[str, list[float]] = defaultdict(list)
    for change in _decisions(seen):
        if any(seen.forced(change, peer) for peer in change.before):
            marks[change.peer].append(change.at_s)
    gaps = [gap for times in marks.values() for one, other in pairwise(times) if (gap := other - one) > SAME_S]
    if len(gaps) < ENOUGH:
        return "not seen", f"{len(gaps)} times between two changes that only a round makes: too few to tell"
    gaps.sort()
    off = sum(abs(gap - ROUND_S * max(1, round(gap / ROUND_S))) > SLACK_S for gap in gaps)
    shortest_s = percentile(gaps, 10)
    evidence = (
        f"{len(gaps)} times between two changes that only a round makes: a tenth of them up to {shortest_s:.2f} s, the "
        f"median {percentile(gaps, 50):.2f} s; {off} are more than {SLACK_S} s off a multiple of {ROUND_S:.0f} s"
    )
    right = abs(shortest_s - ROUND_S) <= SLACK_S and off < len(gaps) / 2
    return "kept" if right else "broken", evidence

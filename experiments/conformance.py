"""The rules of the original that a run kept, from its records alone: rule, verdict, evidence.

    sheet(load("runs/NAME"))

A verdict is `kept`, `broken`, or `not seen` if the run shows too little. If a rule leaves nothing to chance or to a
peer's belief, every record is held against it; else see verdict.py. docs/classic.md explains each row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import reduce
from itertools import combinations, count
from math import comb, inf, sqrt
from operator import or_
from typing import NamedTuple

from hindsight import AnsweredPedido, Hindsight, at_least
from slot_rules import guest, rarity, rounds, slots
from verdict import ENOUGH, SIGMAS, Case, Finding, Verdict, decided, deviates, judged

from minibit import inventory
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.lab import Run
from minibit.run.options import Options
from minibit.tracker import EVERYBODY_UNDER
from minibit.units import show_bytes, show_duration

BLOCK_BYTES = 32 << 10
ANSWER_S = 5.0  # a peer that comes or goes this shortly before or after an answer may be named in it or not
MOST_ASKED = 20_000  # the most PEDIDOs that are checked; of more, only every n-th is


class SheetRow(NamedTuple):
    """One rule of the sheet, with its verdict and the evidence for it."""

    key: str
    rule: str
    verdict: Verdict
    evidence: str


def sheet(run: Run) -> list[SheetRow]:
    """All rules, in the order of docs/classic.md. `LocalError` if parts of the run are missing."""
    if run.missing or run.summary is None:
        raise LocalError(f"{run.name} can't be checked: {' '.join(run.missing) or 'it has not ended yet.'}")
    seen = Hindsight(run)
    return [SheetRow(key, rule, *look(seen)) for key, (rule, look) in RULES.items()]


# content, start, exchange


def blocks(seen: Hindsight) -> Finding:
    """Every block that came has a right number and size, each was taken once, and the rebuilt copies are right."""
    run, summary = seen.run, seen.run.summary
    assert summary is not None
    if run.block_bytes != BLOCK_BYTES:
        return "broken", f"blocks of {show_bytes(run.block_bytes)}"
    last = run.content_blocks - 1
    lengths = dict.fromkeys(range(last), BLOCK_BYTES) | {last: summary["content"]["bytes"] - last * BLOCK_BYTES}
    rows = run.blocks.select("peer", "block", "verdict", "bytes").rows()
    odd = sum(size_bytes != lengths.get(block) for _, block, _, size_bytes in rows)
    verdicts = Counter(verdict for _, _, verdict, _ in rows)
    times = Counter((peer, block) for peer, block, verdict, _ in rows if verdict == "useful")
    times.update((peer, block) for peer, block in list(times) if seen.start[peer] >> block & 1)
    twice = sum(taken > 1 for taken in times.values())
    short = sum(seen.held(peer, at_s) != seen.all for peer, at_s in seen.completed.items())
    done, right = summary["completed"], summary["verified"]
    evidence = (
        f"{last + 1} blocks; {len(rows):,} came, {odd} of a wrong number or size, {verdicts['rejected']} with a wrong "
        f"{run.options['hash']}, {twice} taken twice; {short} of {len(seen.completed)} were complete without all; "
        f"{right} of {done} finished copies are right"
    )
    return judged(evidence, broken=rows and (odd or twice or short or right < done), seen=rows)


def start(seen: Hindsight) -> Finding:
    """The sizes of the shares, the blocks that two of them have in common, and their places in the content."""
    total, shares = seen.run.content_blocks, [seen.start[peer] for peer in seen.peers]
    due = Options.build(preset="classic").initial.count(total)
    if wrong := sorted(size for share in shares if (size := share.bit_count()) != due):
        return "broken", f"{len(wrong)} of {len(shares)} peers hold {wrong[0]} to {wrong[-1]} blocks, and not {due}"
    holders = Counter(block for share in shares for block in inventory.indices(share))
    pairs, common = comb(len(shares), 2), sum(comb(holding, 2) for holding in holders.values())
    if not pairs or not 0 < due < total:
        return "not seen", f"{len(shares)} peers with {due} of {total} blocks: no two to compare"
    # the number that two shares have in common is hypergeometric, and independent of other pairs
    mean = due * due / total
    together = deviates(common, pairs * mean, pairs * mean * (1 - due / total) * (total - due) / (total - 1))
    # the sum of numbers that are drawn without replacement
    numbers = sum(block * holding for block, holding in holders.items())
    drawn = len(shares) * due
    place = deviates(numbers, drawn * (total - 1) / 2, drawn * (total + 1) * (total - due) / 12)
    evidence = (
        f"{len(shares)} peers hold {due} of {total} blocks each; two have {common / pairs:.2f} in common, by chance "
        f"{mean:.2f} ({together:+.1f} sigma); their place in the content: {place:+.1f} sigma"
    )
    return "broken" if max(abs(together), abs(place)) > SIGMAS else "kept", evidence


def exchange(seen: Hindsight) -> Finding:
    """Most blocks that a peer could have given came from a peer.

    The seed is only one of the holders, so a random holder is a peer at least every other time.
    """
    run = seen.run
    useful = run.blocks.filter(run.blocks["verdict"] == "useful")
    rows = [
        AnsweredPedido(at_s - took_s, peer, source, block, at_s)
        for at_s, took_s, peer, source, block in useful.select("at_s", "took_s", "peer", "source", "block").rows()
    ]
    could = [one for one in rows if _elsewhere(seen, one)]
    if not could:
        return "not seen", f"{len(rows)} blocks moved; of none did others know yet that a peer held it"
    of_seed = sum(one.source == TRACKER for one in rows)
    given = sum(one.source != TRACKER for one in could)
    nowhere = seen.all & ~reduce(or_, (seen.start[peer] for peer in seen.peers), inventory.EMPTY)
    evidence = (
        f"{1 - of_seed / len(rows):.0%} of {len(rows):,} blocks came from peers, {of_seed} from the seed; "
        f"{nowhere.bit_count()} had to, since no peer started with them. {len(could):,} were asked for when another "
        f"peer was known to hold them, and of these {given / len(could):.0%} came from peers"
    )
    if seed_bps := dict(run.members.select("peer", "upload_bps").iter_rows())[TRACKER]:
        evidence += f". Alone, the seed would have taken {show_duration(len(rows) * BLOCK_BYTES / seed_bps)}"
    half = len(could) / 2
    return judged(evidence, broken=deviates(given, half, half / 2) < -SIGMAS, seen=given >= half)


def _elsewhere(seen: Hindsight, one: AnsweredPedido) -> bool:
    """Whether another peer held the block when it was asked for, for so long that others knew."""
    return any(
        peer != one.peer and seen.held(peer, one.at_s - seen.late_s) >> one.block & 1 and seen.there(peer, one.at_s)
        for peer in seen.peers
    )


# the tracker


def tracker(seen: Hindsight) -> Finding:
    """No answer names the asker, a peer that had left, or too many peers; and each draws its names anew.

    An answer that draws by chance has a hypergeometric number of names in common with the answer before it.
    """
    most = max(seen.run.options["rules"]["neighbours"], EVERYBODY_UNDER - 1)
    selves = sum(answer.asker in answer.named for answer in seen.answers)
    large = sum(len(answer.named) > most for answer in seen.answers)
    left = sum(seen.left.get(one, inf) < at_s - ANSWER_S for at_s, _, named in seen.answers for one in named)
    evidence = (
        f"{len(seen.answers)} answers, {selves} name the asker, {left} a peer that had left, {large} more than {most}"
    )
    drawn, found, mean, variance = 0, 0.0, 0.0, 0.0
    before: set[str] = set()
    for at_s, asker, named in seen.answers:
        roster = seen.roster(at_s, ANSWER_S)
        every = len(roster) - (asker in roster)
        if not EVERYBODY_UNDER <= len(named) < every:
            continue
        known = len(before & roster) - (asker in before)
        drawn += 1
        found += len(before & named)
        mean += len(named) * known / every
        variance += len(named) * known * (every - known) * (every - len(named)) / (every**2 * (every - 1))
        before = named
    sigmas = deviates(found, mean, variance)
    evidence += f"; {drawn} draw from more: {found:.0f} names again, by chance {mean:.0f} ({sigmas:+.1f} sigma)"
    enough = mean > SIGMAS * sqrt(variance) and drawn >= ENOUGH
    return judged(evidence, broken=selves or large or left or abs(sigmas) > SIGMAS, seen=enough)


def everybody(seen: Hindsight) -> Finding:
    """In a swarm that small, the later of two newcomers is told of the earlier one, and later answers name all."""
    firsts = {answer.asker: answer for answer in reversed(seen.answers)}
    short = [answer for answer in firsts.values() if len(answer.named) < EVERYBODY_UNDER]
    pairs = [
        (one, other)
        for one, other in combinations(short, 2)
        if max(one.at_s, other.at_s) < min(seen.gone.get(one.asker, inf), seen.gone.get(other.asker, inf))
    ]
    strangers = sum(one.asker not in other.named and other.asker not in one.named for one, other in pairs)
    whole = partial = 0
    for answer in seen.answers:
        roster = seen.roster(answer.at_s, ANSWER_S)
        if roster and len(roster | {answer.asker}) <= EVERYBODY_UNDER:
            whole += answer.named == roster - {answer.asker}
            partial += answer.named != roster - {answer.asker}
    sizes = ", ".join(map(str, sorted(len(answer.named) for answer in short)))
    evidence = (
        f"first answers with fewer than {EVERYBODY_UNDER} names have {sizes or 'none'}: of {len(pairs)} pairs of "
        f"askers {strangers} were not told of each other; {whole + partial} later answers in so small a swarm, "
        f"{partial} of them not whole"
    )
    return judged(evidence, broken=strangers or partial, seen=pairs or whole)


# rarest first


def rarest(seen: Hindsight) -> Finding:
    """Compare each PEDIDO with the other blocks that its receiver had."""
    if liars := seen.run.members.filter(seen.run.members["behaviour"] == "liar")["peer"].to_list():
        return "not seen", f"{', '.join(liars)} said that it holds what it lacks: nobody knows what others believed"
    every = 1 + sum(map(len, seen.asked.values())) // MOST_ASKED
    cases: list[Case] = []
    turn = count()
    for asked in seen.asked.values():
        flying: list[AnsweredPedido] = []
        for one in asked:
            flying = [other for other in flying if other.came_s > one.at_s] + [one]
            if next(turn) % every == 0:
                cases += _picked(seen, one, flying)
    verdict, evidence = decided(cases)
    return verdict, f"choices of one block of several: {evidence}"


def _picked(seen: Hindsight, one: AnsweredPedido, flying: list[AnsweredPedido]) -> list[Case]:
    """A choice is wrong if another block on offer certainly had fewer copies among the neighbours.

    Certainly: the copies `late_s` before are compared with those `late_s` after. So a peer that asks for the rarest
    block that it knows of is never wrong, if its news was no later than that.
    """
    since_s, until_s = one.at_s - seen.late_s, one.at_s + seen.late_s
    taken = seen.held(one.peer, one.at_s) | inventory.of(other.block for other in flying)
    choices = seen.held(one.source, since_s) & ~taken | 1 << one.block
    known = list(seen.linked(one.peer, since_s, until_s))
    surely = at_least(seen.all, (seen.held(peer, since_s) for peer, throughout in known if throughout))
    perhaps = at_least(seen.all, (seen.held(peer, until_s) for peer, _ in known))
    fewest = sum(not choices & ~held for held in perhaps) - 1
    wrong = choices & surely[fewest + 1] if fewest + 1 < len(surely) else inventory.EMPTY
    if choices.bit_count() < 2:
        return []
    return [Case(bool(wrong >> one.block & 1), wrong.bit_count() / choices.bit_count())]


# leaving


def leaving(seen: Hindsight) -> Finding:
    """Every peer that said goodbye held every block."""
    left = [peer for peer in seen.peers if peer in seen.left]
    early = [peer for peer in left if seen.held(peer, seen.left[peer]) != seen.all]
    evidence = f"{len(left)} of {len(seen.peers)} left, {len(early)} of them incomplete"
    if early:
        evidence += f": {', '.join(early)}"
    return judged(evidence, broken=early, seen=left)


RULES: dict[str, tuple[str, Callable[[Hindsight], Finding]]] = {
    "blocks": ("numbered blocks of 32 KiB, every copy verified", blocks),
    "start": ("every peer starts with a random tenth of the blocks, and one more", start),
    "exchange": ("peers exchange blocks among themselves", exchange),
    "tracker": ("the tracker names a random subset of the peers, without the asker", tracker),
    "everybody": ("with fewer than 5 peers, it names all of them", everybody),
    "rarest": ("a peer asks for the rarest block first", rarest),
    "slots": ("at most 4 fixed slots and 1 guest", slots),
    "rarity": ("a fixed slot is kept by the rare blocks that its holder has", rarity),
    "guest": ("every round a new guest", guest),
    "round": ("a round lasts 10 s", rounds),
    "leaving": ("a peer leaves only when it is complete", leaving),
}

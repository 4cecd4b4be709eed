"""Run one peer of a simulated run again, alone, up to any moment, and look at it.

    minibit swarm --world sim --peers 50 --upload 4MiB/s --journal peer-07 --out mine
    minibit replay mine/peer-07.journal
    minibit replay mine/peer-07.journal --until 12s --messages 30

The peer runs again with the rules, the strategies and the random seed that it had. Strategies of one's own
(module:Class) must be where they were, and unchanged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import click

from minibit import events, inventory
from minibit.cli.commands import Subcommand
from minibit.cli.options import Read, number
from minibit.cli.table import show
from minibit.errors import LocalError, SourceError
from minibit.events import Effect, Event
from minibit.lab.formats import JSON_BYTES_MAX, read_bytes
from minibit.messages import in_words
from minibit.neighbour import Neighbour, Slot, Standing
from minibit.peer import Peer
from minibit.records import PeerRecord, ServingRecord
from minibit.sim.journal import Entry, Journal, replay
from minibit.units import parse_duration, show_rate

MAP_SIGNS = 100  # of the blocks, on one line
NAMED_AT_ONCE = 6


@click.command(cls=Subcommand)
@click.argument("file", type=click.Path())
@click.option("--until", metavar="TIME", type=Read(parse_duration), help="The moment, e.g. 12s or 250ms. [the end]")
@number("--messages", "0", "1000000", "The last events to show.", default=10)
def main(file: str, until: float | None, messages: int) -> None:
    """Show a peer of a simulated run at any moment; FILE is its journal."""
    journal = read(file)
    last: deque[tuple[Entry, list[Effect]]] = deque(maxlen=messages)
    now = journal.end_s if until is None else min(until, journal.end_s)
    peer = replay(journal, now, lambda peer, entry, effects: last.append((entry, effects)))
    beyond = "" if now < journal.end_s else ", where its journal ends"
    click.echo(f"{peer.name} at {now:.3f} s{beyond}")
    show_peer(journal, peer)
    show_neighbours(peer, now)
    if last:
        count = sum(at_s <= now for at_s, _ in journal.entries)
        click.echo(f"\nthe last of {count} {'event' if count == 1 else 'events'} until then, and what followed")
    for (at_s, event), effects in last:
        click.echo(f"{at_s:10.3f}  {told(event)}")
        for line in did(effects):
            click.echo(f"{'':10}    {line}")


def read(file: str) -> Journal:
    """The journal in a file."""
    wrote = "a file that minibit swarm --world sim --journal PEER wrote"
    try:
        return Journal.decode(read_bytes(file, JSON_BYTES_MAX, wrote))
    except LocalError as error:
        text = str(error)
    raise SourceError(text if wrote in text else f"{file}: {text}: give {wrote}")


# the peer


def show_peer(journal: Journal, peer: Peer) -> None:
    """The peer itself, and what it holds."""
    rules = peer.rules
    click.echo(
        f"{journal.head.behaviour}, {rules.picker}, {rules.choker}, {rules.slots} slots and {rules.guests} for guests, "
        f"seed {journal.head.seed}"
    )
    stand = "complete" if peer.complete else "wants blocks" if peer.started else "may not ask yet"
    if peer.leaving is not None:
        stand += f", {'gone' if peer.left else 'leaving'} ({peer.leaving})"
    asked = set(peer.pipeline.requesters)
    count = peer.content.block_count
    click.echo(f"{stand}: {peer.held.bit_count()} of {count} blocks{f', {len(asked)} asked for' if asked else ''}\n")
    signs, each = blocks_map(peer.held, inventory.of(asked), count)
    click.echo(f"{signs}\n{each} a sign: # held, + some of them, ? asked for, . missing")


def blocks_map(held: int, asked: int, count: int) -> tuple[str, str]:
    """The blocks on a line, and how many each sign stands for."""
    each = max(1, -(-count // MAP_SIGNS))
    signs = ""
    for first in range(0, count, each):
        of = inventory.full(min(each, count - first)) << first
        signs += "#" if not of & ~held else "+" if of & held else "?" if of & asked else "."
    return signs, "1 block" if each == 1 else f"{each} blocks"


def show_neighbours(peer: Peer, now: float) -> None:
    """The neighbours that it has a link with, and those that it knows besides."""
    up = list(peer.contacts.up.values())
    click.echo(f"\n{len(up)} of {peer.rules.neighbours} links")
    if up:
        show(
            ("", "holds", "of use", "serves us", "asked", "gave", "rate", "slot", "wants", "took", "rate", "strikes"),
            [neighbour_row(peer, neighbour, now) for neighbour in up],
        )
    known = [
        one.peer if one.standing is Standing.KNOWN else f"{one.peer} ({one.standing.value})"
        for one in peer.contacts.known.values()
        if not one.up
    ]
    if known:
        click.echo(f"known besides: {some(known)}")


def neighbour_row(peer: Peer, neighbour: Neighbour, now: float) -> tuple[object, ...]:
    """What it holds, what comes from it, what goes to it."""
    gave_bps, took_bps = neighbour.gave.bps(now), neighbour.took.bps(now)
    figures = (
        neighbour.theirs.bit_count(),
        (neighbour.theirs & peer.missing).bit_count(),
        "yes" if neighbour.serves_us else None,
        len(neighbour.asked),
        neighbour.blocks_in,
        show_rate(gave_bps) if gave_bps >= 1 else None,
        None if neighbour.slot is Slot.NONE else neighbour.slot.value,
        len(neighbour.wanted) + (neighbour.sending is not None),
        neighbour.blocks_out,
        show_rate(took_bps) if took_bps >= 1 else None,
        neighbour.strikes,
    )
    return (neighbour.peer, *(figure or "-" for figure in figures))


# what happened, and what followed


def told(event: Event | None) -> str:
    """What happened to the peer."""
    match event:
        case None:
            return "its timer rings"
        case events.Joining(address):
            return f"joins, at {address.host}"
        case events.Starting():
            return "may ask for blocks"
        case events.Leaving(why):
            return f"is to leave: {why}"
        case events.Received(sender, message):
            return f"{sender} says {in_words(message)}"
        case events.Linked(address, dialled, alone):
            return f"{address.peer} is linked, {'as dialled' if dialled else 'which dialled'}{' alone' * alone}"
        case events.Unlinked(peer, why):
            return f"{peer} is not linked: {why}"
        case events.Arrived(sender, block, ok):
            return f"{sender} sent block {block}{'' if ok else ', and its hash is wrong'}"
        case events.Progressed(sender):
            return f"{sender} goes on sending a block"
        case events.Sent(peer, block):
            return f"{peer} has been sent block {block}"
        case events.Lost(block):
            return f"its disk lost block {block}"
        case events.Known(known):
            return f"it knows the digests of {known.bit_count()} blocks"


def did(effects: list[Effect]) -> Iterator[str]:
    """What the peer wanted done, in order; what it says to many in a row is one line."""
    said: list[str] = []
    words = ""
    for effect in [*effects, None]:
        if said and not (isinstance(effect, events.Send) and in_words(effect.message) == words):
            yield f"-> {some(said)}: {words}"
            said = []
        match effect:
            case events.Send(peer, message):
                words = in_words(message)
                said.append(peer)
            case events.SendBlock(peer, block, spoil):
                yield f"-> {peer}: BLOCO {block}{', spoilt' * spoil}"
            case events.Call(message):
                yield f"-> tracker: {in_words(message)}"
            case events.Dial(address, alone):
                yield f"dials {address.peer}{', alone' * alone}"
            case events.HangUp(peer, farewell):
                yield f"hangs up on {peer}{f': {farewell.why}' if farewell else ''}"
            case events.Note(PeerRecord(_, peer, event, why)):
                yield f"notes: {peer} {event} {why}".rstrip()
            case events.Note(ServingRecord(_, _, neighbour, slot)):
                yield f"notes: {neighbour} has {'no slot' if slot == 'none' else f'a {slot} slot'}"
            case events.Left():
                yield "stops"


def some(names: list[str]) -> str:
    """The first of these, and how many more there are."""
    more = len(names) - NAMED_AT_ONCE
    return ", ".join(names[:NAMED_AT_ONCE]) + (f" and {more} more" if more > 0 else "")

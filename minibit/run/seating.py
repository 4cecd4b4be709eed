"""The seating plan: the members of a run, with their names, rules, limits and times; the same for every world.

It follows from the options, the scenario and the seed of chance, and nothing is derived from these a second time.
"""

from __future__ import annotations

from random import Random
from typing import Any

from minibit import strategies
from minibit.errors import LocalError, OptionError
from minibit.events import TRACKER
from minibit.run.account import UNWANTED
from minibit.run.options import Options
from minibit.run.plan import arrival_times
from minibit.run.scenario import PeerClass, Scenario
from minibit.seat import Seat, lowest, peer_name
from minibit.strategies import Team

NO_CLASS = PeerClass(name="", peers=0)


def seats(options: Options, scenario: Scenario | None = None, *, line_bps: float | None = None) -> tuple[Seat, ...]:
    """The seed's seat, and then one for each peer, in the order in which they join.

    `line_bps` is the uplink of a member without a limit, in bytes a second; None: it has none. `LocalError` for
    classes beside teams, and for a run of which nobody is expected to complete.
    """
    scenario = scenario or Scenario()
    classes = [kind for kind in scenario.classes for _ in range(kind.peers)]
    if classes and options.teams:
        raise LocalError("classes: a run has these or teams: give classes a picker, a choker, a behaviour")
    classes += [NO_CLASS] * (options.peers - len(classes))
    times = arrival_times(scenario.arrivals, options.peers, Random(f"{options.seed}/arrivals"))
    peers = [
        _seat(options, number, team, kind, line_bps, arrives_s=at_s, stay_s=scenario.stay_s)
        for number, (team, kind, at_s) in enumerate(zip(_teams(options), classes, times, strict=True), 1)
    ]
    if all(seat.behaviour in UNWANTED for seat in peers):
        raise OptionError(
            "behave", None, "all peers are corrupters or liars, and no run waits for these: give one peer more"
        )
    return (Seat(name=TRACKER, rules=options.rules, upload_bps=options.seed_upload_bps or line_bps, seeds=True), *peers)


def late_seats(options: Options, first: int, count: int, behaviour: str = "honest") -> tuple[Seat, ...]:
    """So many more seats for a run that goes on; `first` is the number of the first of them."""
    return tuple(_seat(options, first + index, Team(behaviour=behaviour)) for index in range(count))


def _teams(options: Options) -> list[Team]:
    """What each peer plays by, from the first to the last.

    Teams and the peers without one stand at places by chance, so that no team comes first. The peers of `behave` are
    the last.
    """
    line = [team for name, count in options.teams.items() for team in [strategies.team(name)] * count]
    odd = [Team(behaviour=behaviour) for behaviour, count in options.behave.items() for _ in range(count)]
    line += [Team()] * (options.peers - len(line) - len(odd))
    Random(f"{options.seed}/teams").shuffle(line)
    return line + odd


def _seat(
    options: Options, number: int, team: Team, kind: PeerClass = NO_CLASS, line_bps: float | None = None, **times_s: Any
) -> Seat:
    if kind is not NO_CLASS:  # `behave` is about the last peers, in a class or not
        behaviour = kind.behaviour if team.behaviour == "honest" else team.behaviour
        team = Team(kind.name, kind.picker, kind.choker, behaviour)
    own_bps = strategies.behaviour(team.behaviour).upload_bps
    return Seat(
        name=peer_name(number, options.peers),
        rules=team.rules(options.rules),
        upload_bps=lowest(kind.upload_bps or options.upload_bps or line_bps, own_bps),
        download_bps=kind.download_bps or options.download_bps,
        initial=options.initial,
        lacks=kind.lacks,
        **team._asdict(),
        **times_s,
    )

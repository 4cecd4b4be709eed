"""Everything about a simulated swarm beside its options: classes of peers, arrivals, departures, faults.

A scenario is a TOML table, or the same as Python values, with the units of the command line:

    latency = "20ms"
    stay = "5m"

    [[classes]]
    name = "slow"
    peers = 13
    upload = "20kB/s"

    [arrivals]
    pattern = "poisson"
    rate = 2.0

    [[faults]]
    kind = "dies"
    at = "10s"
    until = "60s"
    peers = 2
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import field

from minibit import strategies
from minibit.errors import LocalError
from minibit.manifest import BLOCKS_MAX
from minibit.run.options import TABLE
from minibit.run.readers import Reader, within
from minibit.units import parse_duration


class Seconds(float):
    """A time, from a number or from a text such as `250ms`; 1000 hours at most."""


class Period(Seconds):
    """A time of a millisecond at least, after which something happens again."""


class RateBps(float):
    """Bytes a second, from a number or from a text such as `4MiB/s`, with the bounds of the option `upload`."""


Whole = Annotated[int, msgspec.Meta(ge=0, le=BLOCKS_MAX)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Kind = Literal["dies", "leaves", "pauses", "cut", "split", "slow", "delayed", "corrupt", "tracker-gone"]

OF_PAIRS = ("cut", "slow", "delayed")  # faults of the link of two peers


class Told(msgspec.Struct, frozen=True):
    """Base of all tables of a scenario."""

    def __post_init__(self) -> None:
        """Once it is read, a quantity is a float as any other: it can be written and compared."""
        for name in self.__struct_fields__:
            if isinstance(value := getattr(self, name), Seconds | RateBps):
                msgspec.structs.force_setattr(self, name, float(value))


class PeerClass(Told, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number of peers with limits and strategies of their own. A field that is None is as the options say.

    upload, download  limits of each peer, in bytes a second
    behaviour         the behaviour of each peer
    picker, choker    the strategies of each peer
    lacks             the only blocks that they don't hold at the start
    """

    name: str
    peers: Whole
    upload_bps: RateBps | None = field(name="upload", default=None)
    download_bps: RateBps | None = field(name="download", default=None)
    behaviour: str = "honest"
    picker: str | None = None
    choker: str | None = None
    lacks: tuple[Whole, ...] | None = None


class Arrivals(Told, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the peers join.

    pattern  `together` (evenly within `within`), `poisson` (`rate` peers a second), or `crowd` (a flash crowd: ever
             fewer, each after `within` on average)
    already  the number of peers that are there at the start, whatever the pattern
    """

    pattern: Literal["together", "poisson", "crowd"] = "together"
    within_s: Seconds = field(name="within", default=Seconds(0))
    rate: Annotated[float, msgspec.Meta(ge=0.001, le=1e6)] = 1.0
    already: Whole = 0


class Fault(Told, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that goes wrong.

    kind         dies: the peer is gone without a word, and its links break
                 leaves: the peer says goodbye and goes
                 pauses: the peer does nothing; its links stand, and break when it was silent for two minutes
                 cut: the link of two peers breaks, and can't be made again
                 split: the peers that it hits can't reach the others, nor the tracker
                 slow: the link of two peers takes `rate` bytes a second at most
                 delayed: every message on the link of two peers takes `by` longer
                 corrupt: a share `share` of the blocks that the peer sends is wrong
                 tracker-gone: nobody answers at the tracker; when it returns, it knows nobody
    at, until    its time; with `until`, a time by chance between these two for each peer (pair) that it hits
    lasts        its duration; None: it stays
    peers        the peers that it hits: names, or a number of peers (of pairs) by chance
    probability  instead of `peers`: the probability of each peer (of each pair) to be hit
    """

    kind: Kind
    at_s: Seconds = field(name="at", default=Seconds(0))
    until_s: Seconds | None = field(name="until", default=None)
    lasts_s: Seconds | None = field(name="lasts", default=None)
    peers: tuple[str, ...] | Whole | None = None
    probability: Share = 1.0
    rate_bps: RateBps = field(name="rate", default=RateBps(1024))
    by_s: Seconds = field(name="by", default=Seconds(1))
    share: Share = 1.0


class Scenario(Told, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that the options of a run don't say.

    latency  the time of a message one way, on every link
    connect  the time from a dial to a proven link; None: four latencies
    stay     the time after its completion at which a peer leaves; None: by the rule `leave`
    sample   the time between two samples of every peer; None: a second, and more for more than a hundred peers
    classes  classes of the first peers, in this order; all others are as the options say
    """

    latency_s: Seconds = field(name="latency", default=Seconds(0.01))
    connect_s: Seconds | None = field(name="connect", default=None)
    stay_s: Seconds | None = field(name="stay", default=None)
    sample_s: Period | None = field(name="sample", default=None)
    classes: tuple[PeerClass, ...] = ()
    arrivals: Arrivals = Arrivals()
    faults: tuple[Fault, ...] = ()

    @classmethod
    def build(cls, table: Mapping[str, Any], peers: int) -> Scenario:
        """The scenario in a table, for a number of peers; `LocalError` names the key and says what it takes."""
        scenario: Scenario = read(table, cls)
        named = sum(kind.peers for kind in scenario.classes)
        if named > peers:
            raise LocalError(f"classes: {named} peers in classes, and {peers} in all: give fewer, or more peers")
        for index, kind in enumerate(scenario.classes):
            for key in ("behaviour", "picker", "choker"):
                try:
                    if (name := getattr(kind, key)) is not None:
                        getattr(strategies, key)(name)
                except LocalError as error:
                    raise LocalError(f"classes[{index}].{key}: {error}") from None
        for index, fault in enumerate(scenario.faults):
            if fault.until_s is not None and fault.until_s < fault.at_s:
                raise LocalError(f"faults[{index}].until: {fault.until_s:g} s won't do: give `at` or later")
            if fault.kind in OF_PAIRS and isinstance(fault.peers, tuple) and len(fault.peers) < 2:
                raise LocalError(f"faults[{index}].peers: {fault.kind} takes two names at least, or a number of pairs")
        return scenario

    def as_dict(self) -> dict[str, Any]:
        """The table of this scenario, in plain values and base units, without defaults."""
        return dict(_plain(self))


def read(table: Mapping[str, Any], cls: Any) -> Any:
    """The struct `cls` in a table; `LocalError` names the key and says what it takes."""
    try:
        return msgspec.convert(table, cls, dec_hook=_read_quantity)
    except msgspec.ValidationError as error:
        raise LocalError(_explained(str(error), cls)) from None
    except OverflowError:  # msgspec reads no larger ones
        raise LocalError("a whole number has more than 64 bits: give a smaller one") from None


_QUANTITIES: dict[type, Reader] = {
    Seconds: within(parse_duration, "0s", "1000h"),
    Period: within(parse_duration, "1ms", "1000h"),
    RateBps: TABLE["upload"].read,
}


def _read_quantity(kind: type, value: Any) -> Any:
    try:
        return kind(_QUANTITIES[kind](value))
    except LocalError as error:
        raise ValueError(str(error)) from None


def _plain(value: Any) -> Any:
    """A value of a scenario as JSON has it; a struct without the fields that have their defaults."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(type(value))
        return {one.encode_name: _plain(own) for one in fields if (own := getattr(value, one.name)) != one.default}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


_WORDS = {"object": "a table", "array": "a list", "str": "a text", "int": "a whole number", "float": "a number"}


def _explained(text: str, cls: Any) -> str:
    """The message of msgspec about a wrong table, as `key: what it takes`.

    Its exceptions have no fields. To check every value here instead would take more code than to read its English.
    """
    what, _, path = text.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    kind = cls
    for key in re.findall(r"[a-z_]+", path):
        kind = _inner(kind, key)
    if found := re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", what):
        keys = [one.encode_name for one in msgspec.structs.fields(kind)]
        nearest = ", ".join(get_close_matches(found[2], keys, 1) or keys)
        wrong = "must be given" if found[2] in keys else f"there is no such key: give {nearest}"
        return f"{path}{'.' * bool(path)}{found[2]}: {wrong}"
    if get_origin(kind) is Literal:
        wrong = what.removeprefix("Invalid enum value ")
        what = (f"{wrong} won't do: " if wrong != what else "") + f"give {', '.join(get_args(kind))}"
    elif found := re.match(r"Expected `(.*?)`", what):
        takes = " or ".join(_WORDS[word] for word in found[1].split(" | ") if word in _WORDS)
        rest = re.sub(r", got `(.*)`", lambda got: f", not {_WORDS.get(got[1], got[1])}", what[found.end() :])
        what = f"give {takes}{rest}"
    return f"{path or 'the scenario'}: {what}"


def _inner(cls: Any, key: str) -> Any:
    """The type of the field `key` of a struct; for a tuple of structs, the type of these."""
    (kind,) = [one.type for one in msgspec.structs.fields(cls) if one.encode_name == key]
    return next((arg for arg in get_args(kind) if hasattr(arg, "__struct_fields__")), kind)

"""Everything that a run can be told, in base units, and how it is read.

The command line and `Swarm.launch` share this room: an option has one name (`--block-size`, `block_size=`),
one reader, and one text that says what it takes. `Options.build` is the only way in that checks; it lays what
is given over the preset, and the preset over the defaults. None always means "not given".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

import msgspec

from minibit import strategies
from minibit.errors import LocalError
from minibit.manifest import BLOCK_BYTES_MAX, HashName, auto_block_bytes
from minibit.rules import PRESETS, Rules
from minibit.seat import Initial
from minibit.units import parse_bytes, parse_duration, parse_rate, show_bytes


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to share, how many peers of which sort, by which rules, where, and what stays of it.

    peers             peers beside the tracker, which seeds
    size_bytes        made content, where no file is given
    block_bytes       of a block; None: it grows with the content, times `block_scale`
    hash              of blocks and manifest: `blake3` or `sha256`
    preset            the one that lies under what was given
    rules             what every peer and the tracker decide by
    initial           what each peer starts with
    behave            how many peers of which behaviour; all others are honest
    teams             how many peers of which team (see `strategies.team`); all others play by the rules
    upload_bps, download_bps, seed_upload_bps
                      limits of each peer, and of the seed, in bytes a second; None: no limit
    world             `ray` (real actors) or `sim`
    control           how control verbs travel between peers: `links` or `actors`
    address           of the Ray cluster; None: a local one is started
    data_ports        first and last port for block servers; None: any free one
    seed              of chance
    timeout_s         limit of the transfer; None: no limit
    name              of the run; None: date, time and four letters
    out               the run's folder; None: runs/NAME
    keep              whether the peers' files stay, in the run's folder
    """

    peers: int = 10
    size_bytes: int = 64 << 20
    block_bytes: int | None = None
    block_scale: int = 1
    hash: HashName = "blake3"
    preset: str | None = None
    rules: Rules = Rules()
    initial: Initial = Initial()
    behave: dict[str, int] = {}
    teams: dict[str, int] = {}
    upload_bps: float | None = None
    download_bps: float | None = None
    seed_upload_bps: float | None = None
    world: str = "ray"
    control: str = "links"
    address: str | None = None
    data_ports: tuple[int, int] | None = None
    seed: int = 1
    timeout_s: float | None = None
    name: str | None = None
    out: str | None = None
    keep: bool = False

    @classmethod
    def build(cls, **given: object) -> Options:
        """The options of the command line: its names with underscores, its texts or numbers in base units.

        `LocalError` names the option, the value and what it takes; for a name that is none, the nearest ones.
        """
        given = {name: value for name, value in given.items() if value is not None}
        beneath = PRESETS[_read("preset", given["preset"])[1]] if "preset" in given else {}
        fields = dict(_read(name, value) for name, value in {**beneath, **given}.items())
        rules = Rules(**{field: fields.pop(field) for field in Rules.__struct_fields__ if field in fields})
        options = cls(rules=rules, **fields)
        needed = sum(options.behave.values())
        if needed > options.peers:
            raise LocalError(f"--behave: {given['behave']!r} needs more than --peers {options.peers}: give fewer")
        if (needed := needed + sum(options.teams.values())) > options.peers:
            raise LocalError(f"--teams: {given['teams']!r} won't do: give --peers {needed} or more, or smaller teams")
        return options

    def block_bytes_for(self, content_bytes: int) -> int:
        """The bytes of a block of such content: those given, or those that grow with it."""
        return self.block_bytes or min(BLOCK_BYTES_MAX, self.block_scale * auto_block_bytes(content_bytes))


Reader = Callable[[Any], Any]


def _read(name: str, value: object) -> tuple[str, Any]:
    """The field that option `name` sets, and what `value` says in base units."""
    if name not in _OPTIONS:
        nearest = get_close_matches(name, _OPTIONS)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"give {', '.join(_OPTIONS)}"
        raise LocalError(f"there is no option {name!r}: {hint}")
    field, reader = _OPTIONS[name]
    try:
        return field, reader(value)
    except LocalError as error:
        raise LocalError(f"--{name.replace('_', '-')}: {error}") from None


# Readers: from what was given to the value in base units, or a LocalError that says what it takes.


def _wrong(value: object, takes: str) -> LocalError:
    return LocalError(f"{value!r} won't do: give {takes}")


def _whole(least: int | None = None) -> Reader:
    takes = "a whole number" if least is None else f"a whole number from {least}"

    def read(value: Any) -> int:
        if isinstance(value, bool) or not (hasattr(value, "__index__") or re.fullmatch(r"-?[0-9]{1,18}", str(value))):
            raise _wrong(value, takes)
        number = int(value) if isinstance(value, str) else operator.index(value)
        if least is not None and number < least:
            raise _wrong(value, takes)
        return number

    return read


def _above_zero(parse: Reader) -> Reader:
    def read(value: Any) -> Any:
        quantity = parse(value)
        if quantity <= 0:
            raise _wrong(value, "more than nothing")
        return quantity

    return read


def _one_of(*names: str) -> Reader:
    def read(value: Any) -> str:
        if value not in names:
            raise _wrong(value, " or ".join(names))
        return str(value)

    return read


def _strategy(find: Callable[[str], object]) -> Reader:
    """The name of a strategy that can be found: what it is worth shows here, not in fifty actors."""

    def read(value: Any) -> str:
        find(str(value))
        return str(value)

    return read


def _text(value: Any) -> str:
    text = str(value)
    if not text:
        raise _wrong(value, "a text that is not empty")
    return text


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "True or False")
    return value


def _block_size(value: Any) -> int | None:
    if value == "auto":
        return None
    block_bytes: int = _above_zero(parse_bytes)(value)
    if block_bytes > BLOCK_BYTES_MAX:
        raise _wrong(value, f"{show_bytes(BLOCK_BYTES_MAX)} or less, or auto")
    return block_bytes


def _initial(value: Any) -> Initial:
    text, plus, blocks = value.partition("+") if isinstance(value, str) else (value, "", "")
    try:
        initial = Initial(float(text), int(blocks) if plus else 0)
    except (TypeError, ValueError):
        initial = Initial(-1)
    if not (0 <= initial.share <= 1 and initial.blocks >= 0):
        raise _wrong(value, "a share from 0 to 1, e.g. 0.1, or 0.1+1 for one block beside it")
    return initial


def _counts(value: Any, name_of: Reader, takes: str) -> dict[str, int]:
    """How many peers of each sort, without those of which there are none."""
    pairs = value.items() if isinstance(value, Mapping) else [pair.split("=") for pair in str(value).split(",")]
    counts: dict[str, int] = {}
    for pair in pairs:
        if len(pair) != 2 or pair[0] in counts:
            raise _wrong(value, takes)
        counts[name_of(pair[0])] = _whole(0)(pair[1])
    return {name: count for name, count in counts.items() if count}


def _behave(value: Any) -> dict[str, int]:
    counts = _counts(value, _strategy(strategies.behaviour), "each behaviour once, e.g. free-rider=5,corrupter=1")
    return {behaviour: count for behaviour, count in counts.items() if behaviour != "honest"}


def _teams(value: Any) -> dict[str, int]:
    return _counts(value, _strategy(strategies.team), "each team once, e.g. honest=10,random+none=5")


def _data_ports(value: Any) -> tuple[int, int]:
    text = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise _wrong(value, "the first and the last port, e.g. 40000-40100")
    return first, last


def _name(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", str(value)):
        raise _wrong(value, "letters, digits and . _ - (100 at most)")
    return str(value)


_OPTIONS: dict[str, tuple[str, Reader]] = {
    "peers": ("peers", _whole(1)),
    "size": ("size_bytes", _above_zero(parse_bytes)),
    "block_size": ("block_bytes", _block_size),
    "block_scale": ("block_scale", _whole(1)),
    "hash": ("hash", _one_of(*get_args(HashName))),
    "preset": ("preset", _one_of(*PRESETS)),
    "picker": ("picker", _strategy(strategies.picker)),
    "choker": ("choker", _strategy(strategies.choker)),
    "slots": ("slots", _whole(0)),
    "guests": ("guests", _whole(0)),
    "round": ("round_s", _above_zero(parse_duration)),
    "guest_rounds": ("guest_rounds", _whole(1)),
    "neighbours": ("neighbours", _whole(1)),
    "leave": ("leave", _one_of("never", "complete")),
    "announce": ("announce_s", parse_duration),
    "request_timeout": ("request_timeout_s", _above_zero(parse_duration)),
    "pipeline": ("pipeline", _whole(1)),
    "tracker": ("tracker_s", _above_zero(parse_duration)),
    "retry": ("retry_s", _above_zero(parse_duration)),
    "initial": ("initial", _initial),
    "behave": ("behave", _behave),
    "teams": ("teams", _teams),
    "upload": ("upload_bps", _above_zero(parse_rate)),
    "download": ("download_bps", _above_zero(parse_rate)),
    "seed_upload": ("seed_upload_bps", _above_zero(parse_rate)),
    "world": ("world", _one_of("ray", "sim")),
    "control": ("control", _one_of("links", "actors")),
    "address": ("address", _text),
    "data_ports": ("data_ports", _data_ports),
    "seed": ("seed", _whole()),
    "timeout": ("timeout_s", _above_zero(parse_duration)),
    "name": ("name", _name),
    "out": ("out", _text),
    "keep": ("keep", _flag),
}

"""Everything that a run can be told, in base units: `Options`, and one table that says how each option is given.

An option has one name (`--block-size`, `block_size=`), one reader, and one text that says what it takes. The command
line, the environment, the READMEs and `Options.build` all read the table. `Options.build` is the only way in that
checks; it lays what is given over the preset, and the preset over the defaults. None always means "not given".
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, NamedTuple, get_args

import msgspec

from minibit import strategies
from minibit.choker import CHOKERS
from minibit.errors import LocalError, OptionError
from minibit.manifest import BLOCK_BYTES_MAX, HashName, auto_block_bytes
from minibit.picker import PICKERS
from minibit.rules import PRESETS, Rules
from minibit.run import readers
from minibit.run.readers import Reader, above_zero, one_of, strategy, whole
from minibit.seat import Initial
from minibit.units import parse_bytes, parse_duration, parse_rate, show_bytes, show_duration, show_rate


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to share, among how many peers of which sort, by which rules, where, and what stays of it.

    Sizes are bytes, rates bytes a second, times seconds; `TABLE` says what each of them means. Where a default is
    None: a block grows with the content (times `block_scale`), there is no limit, a local cluster is started, any
    free port will do, the run gets a name of its own, and its folder is runs/NAME.
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
        """The options by the names of the command line with underscores, as texts or as numbers in base units.

        `OptionError` names the option, the value and what it takes; or, of an unknown option, the nearest ones.
        """
        given = {name: value for name, value in given.items() if value is not None}
        beneath = PRESETS[_read("preset", given["preset"])] if "preset" in given else {}
        read = {name: _read(name, value) for name, value in {**beneath, **given}.items()}
        fields = {TABLE[name].field: value for name, value in read.items()}
        rules = Rules(**{field: fields.pop(field) for field in Rules.__struct_fields__ if field in fields})
        options = cls(rules=rules, **fields)
        needed = 0
        for name, less in (("behave", "fewer of these"), ("teams", "smaller teams")):
            counts: dict[str, int] = getattr(options, name)
            needed += sum(counts.values())
            if counts and needed > options.peers:
                there = f"needs {needed} peers in all, and there are {options.peers}: give more peers, or {less}"
                raise OptionError(name, given[name], f"{given[name]!r} {there}")
        return options

    def block_bytes_for(self, content_bytes: int) -> int:
        """The bytes of a block of such content: those given, or those that grow with it."""
        return self.block_bytes or min(BLOCK_BYTES_MAX, self.block_scale * auto_block_bytes(content_bytes))


class Option(NamedTuple):
    """How one option is given, read and explained.

    name     as `Options.build` takes it
    field    of `Options` or `Rules` that it sets
    reader   from what was given to base units
    metavar  what stands for its value in the help; "" for a switch
    help     what it means, in a sentence
    unset    what holds where the default is None, empty or no
    world    the only one in which it has a meaning
    values   all values, or those that have a name
    """

    name: str
    field: str
    reader: Reader
    metavar: str
    help: str
    unset: str = "none"
    world: str | None = None
    values: tuple[str, ...] = ()

    @property
    def default(self) -> Any:
        """The value of its field where it is not given."""
        return getattr(Rules() if self.field in Rules.__struct_fields__ else Options(), self.field, None)

    @property
    def shown(self) -> str:
        """The default as one would give it; or, where there is none, in words."""
        value = self.default
        if isinstance(value, Initial):
            return f"{value.share:g}" + f"+{value.blocks}" * bool(value.blocks)
        if value is None or value is False or value == {}:
            return self.unset
        unit = self.field.rpartition("_")[2]
        show = {"bytes": show_bytes, "s": show_duration, "bps": show_rate}.get(unit, str)
        return show(value).replace(" ", "")


_HASHES: tuple[str, ...] = get_args(HashName)
_time, _rate = above_zero(parse_duration), above_zero(parse_rate)

GROUPS: dict[str, tuple[Option, ...]] = {
    "Content and peers": (
        Option("peers", "peers", whole(1), "N", "Peers beside the tracker, which has the content."),
        Option("size", "size_bytes", above_zero(parse_bytes), "SIZE", "Size of the content that is made without FILE."),
        Option("block_size", "block_bytes", readers.block_size, "SIZE", "Block size; auto: by the content.", "auto"),
        Option("block_scale", "block_scale", whole(1), "N", "Makes blocks of automatic size so much larger."),
        Option("hash", "hash", one_of(*_HASHES), "NAME", "Hash of blocks: blake3 or sha256.", values=_HASHES),
    ),
    "Rules": (
        Option("preset", "preset", one_of(*PRESETS), "NAME", "A set of options: classic, bittorrent or lan; an option "
               "that is given beside it wins.", values=tuple(PRESETS)),
        Option("picker", "picker", strategy(strategies.picker), "NAME", "Which block a peer asks for: rarest-first, "
               "random, sequential, or your own module:Class.", values=tuple(PICKERS)),
        Option("choker", "choker", strategy(strategies.choker), "NAME", "Which neighbours a peer serves: tit-for-tat, "
               "rarity, none, or your own module:Class.", values=tuple(CHOKERS)),
        Option("slots", "slots", whole(0), "N", "Neighbours that a peer serves at once for their merit."),
        Option("guests", "guests", whole(0), "N", "Neighbours that a peer serves at once by chance."),
        Option("round", "round_s", _time, "TIME", "Time between two decisions about slots."),
        Option("guest_rounds", "guest_rounds", whole(1), "N", "Rounds that a guest keeps its slot."),
        Option("neighbours", "neighbours", whole(1), "N", "Most links of one peer."),
        Option("leave", "leave", one_of("never", "complete"), "WHEN", "When a peer leaves: never, or when it is "
               "complete.", values=("never", "complete")),
        Option("announce", "announce_s", parse_duration, "TIME", "Time for which news is gathered into one message."),
        Option("request_timeout", "request_timeout_s", _time, "TIME", "Silence of a neighbour after which its blocks "
               "are asked of others."),
        Option("pipeline", "pipeline", whole(1), "N", "Most open requests to one neighbour."),
        Option("tracker", "tracker_s", _time, "TIME", "Time between two messages to the tracker."),
        Option("retry", "retry_s", _time, "TIME", "First pause before a failed address is tried again; it doubles."),
    ),
    "Differences between peers": (
        Option("initial", "initial", readers.initial, "SHARE", "Share of the blocks that a peer starts with; 0.1+1: "
               "and one block more."),
        Option("behave", "behave", readers.behave, "SORT=N,...", "Peers that misbehave: free-rider, liar, corrupter, "
               "slow.", "all honest"),
        Option("teams", "teams", readers.teams, "TEAM=N,...", "Peers with other strategies, e.g. "
               "random=5,mine:Greedy=5."),
        Option("upload", "upload_bps", _rate, "RATE", "Limit of each peer, e.g. 4MiB/s."),
        Option("download", "download_bps", _rate, "RATE", "Limit of each peer."),
        Option("seed_upload", "seed_upload_bps", _rate, "RATE", "Limit of the tracker."),
    ),
    "World": (
        Option("world", "world", one_of("ray", "sim"), "NAME", "ray: real actors; sim: the same peers, simulated.",
               values=("ray", "sim")),
        Option("control", "control", one_of("links", "actors"), "NAME", "How control messages travel: links or "
               "actors.", world="ray", values=("links", "actors")),
        Option("address", "address", readers.text, "ADDR", "Ray cluster: HOST:PORT or auto.", "a local one", "ray"),
        Option("data_ports", "data_ports", readers.data_ports, "A-B", "Ports for blocks, e.g. 24000-24100.", "any",
               "ray"),
    ),
    "Run": (
        Option("seed", "seed", whole(), "INT", "Random seed."),
        Option("timeout", "timeout_s", _time, "TIME", "Time limit of the transfer, e.g. 10m."),
        Option("name", "name", readers.name, "NAME", "Name of the run.", "date and time"),
        Option("out", "out", readers.text, "DIR", "Folder of the run.", "runs/NAME"),
        Option("keep", "keep", readers.flag, "", "Keep the copies of the peers, in DIR/files/peer-NN/.", "no", "ray"),
    ),
}  # fmt: skip
"""Every option, in the order and under the headings of the help."""

TABLE = {option.name: option for group in GROUPS.values() for option in group}


def _read(name: str, value: object) -> Any:
    """What `value` says for the option `name`, in base units."""
    if name not in TABLE:
        raise OptionError(name, value, f"give {', '.join(TABLE)}", tuple(get_close_matches(name, TABLE, 1)))
    try:
        return TABLE[name].reader(value)
    except LocalError as error:
        raise OptionError(name, value, str(error)) from None

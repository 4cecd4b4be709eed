"""Everything that a run can be told, in base units: `Options`, and one table that says how each option is given.

An option has one name (`--block-size`, `block_size=`), one reader, and one text that says what it takes. The command
line, the environment, the READMEs and `Options.build` all read the table. `Options.build` is the only way in that
checks; it lays what is given over the preset, and the preset over the defaults. None always means "not given".
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args

import msgspec

from minibit import strategies
from minibit.choker import CHOKERS
from minibit.errors import LocalError, OptionError, said
from minibit.manifest import BLOCK_BYTES_MAX, BLOCKS_MAX, FEWEST_BLOCKS, HashName, auto_block_bytes
from minibit.picker import PICKERS
from minibit.rules import PRESETS, Rules
from minibit.run import readers
from minibit.run.readers import Reader, one_of, strategy, whole, within
from minibit.seat import Initial, lowest
from minibit.units import parse_bytes, parse_duration, parse_rate, show_bytes, show_duration, show_rate


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to share, among how many peers of which sort, by which rules, where, and what stays of it.

    Sizes are bytes, rates bytes a second, times seconds; `TABLE` says what each of them means. Where a default is
    None: a block grows with the content, there is no limit, a local cluster is started, any free port will do, the run
    gets a name of its own, and its folder is runs/NAME.
    """

    peers: int = 10
    size_bytes: int = 64 << 20
    block_bytes: int | None = None
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
    seals: str = "on"
    address: str | None = None
    data_ports: tuple[int, int] | None = None
    seed: int = 1
    timeout_s: float | None = None
    name: str | None = None
    out: str | None = None
    keep: bool = False

    @property
    def local(self) -> bool:
        """Whether the swarm has a cluster of this machine alone, which is started for it if there is none."""
        return self.address in (None, "local")

    @classmethod
    def build(cls, **given: object) -> Options:
        """The options by the names of the command line with underscores, as texts or as numbers in base units.

        `OptionError` names the option, the value and what it takes; or, of an unknown option, the nearest ones.
        """
        given = {name: value for name, value in given.items() if value is not None}
        beneath = PRESETS[read_by(TABLE, "preset", given["preset"])] if "preset" in given else {}
        read = {name: read_by(TABLE, name, value) for name, value in {**beneath, **given}.items()}
        fields = {TABLE[name].field: value for name, value in read.items()}
        rules = Rules(**{field: fields.pop(field) for field in Rules.__struct_fields__ if field in fields})
        options = cls(rules=rules, **fields)
        needed = 0
        for name, less in (("behave", "fewer of these"), ("teams", "smaller teams")):
            counts: dict[str, int] = getattr(options, name)
            needed += sum(counts.values())
            if counts and needed > options.peers:
                there = f"needs {needed} peers in all, and there are {options.peers}: give more peers, or {less}"
                raise OptionError(name, given[name], f"{said(given[name])} {there}")
        return options

    def block_bytes_for(self, content_bytes: int, blocks: int = FEWEST_BLOCKS) -> int:
        """The bytes of a block of such content: those given, or those that go with it and with the limits.

        So many `blocks` a real swarm has time for; a simulation goes by the fewest, since it is the same on every
        machine. `OptionError` if there would be more than a manifest may have.
        """
        slowest_bps = lowest(self.upload_bps, self.seed_upload_bps, self.download_bps)
        return few_enough(content_bytes, self.block_bytes or auto_block_bytes(content_bytes, slowest_bps, blocks))


def few_enough(content_bytes: int, block_bytes: int) -> int:
    """`block_bytes`, at most those of the largest block; `OptionError` if there are more blocks than there may be."""
    block_bytes = min(BLOCK_BYTES_MAX, block_bytes)
    if (blocks := -(-content_bytes // block_bytes)) > BLOCKS_MAX:
        cut = f"{show_bytes(content_bytes)} in blocks of {show_bytes(block_bytes)} are {blocks:,} blocks"
        raise OptionError("block_size", block_bytes, f"{cut}, and {BLOCKS_MAX:,} is the most: give larger blocks")
    return block_bytes


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
    bounds   the least and the most, as a user would write them
    """

    name: str
    field: str
    reader: Reader
    metavar: str
    help: str
    unset: str = "none"
    world: str | None = None
    values: tuple[str, ...] = ()
    bounds: tuple[str, str] | None = None

    def read(self, value: object) -> Any:
        """What `value` says, in base units; `LocalError` says what would do."""
        return (within(self.reader, *self.bounds) if self.bounds else self.reader)(value)

    @property
    def explained(self) -> str:
        """What it means, and its bounds."""
        return self.help + (f" {self.bounds[0]} to {self.bounds[1]}." if self.bounds else "")

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the environment that may give it, the first that is set; every front door honours them."""
        return (f"MINIBIT_{self.name.upper()}", *(["RAY_ADDRESS"] if self.name == "address" else []))

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

_MANY, _TIME, _RATE = ("1", "10000"), ("1ms", "1000h"), ("1B/s", "1TB/s")

GROUPS: dict[str, tuple[Option, ...]] = {
    "Content and peers": (
        Option("peers", "peers", whole, "N", "Peers beside the tracker, which has the content.",
               bounds=("1", "100000")),
        Option("size", "size_bytes", parse_bytes, "SIZE", "Size of the content that is made without FILE.",
               bounds=("1B", "4TiB")),
        Option("block_size", "block_bytes", readers.auto(parse_bytes), "SIZE", "Block size; auto: by the content, "
               "the limits and how many peers share a processor.", "auto", bounds=("1B", "64MiB")),
        Option("hash", "hash", one_of(*_HASHES), "NAME", "Hash of blocks: blake3 or sha256.", values=_HASHES),
    ),
    "Rules": (
        Option("preset", "preset", one_of(*PRESETS), "NAME", "A set of options: classic, bittorrent or lan; an option "
               "that is given beside it wins.", values=tuple(PRESETS)),
        Option("picker", "picker", strategy(strategies.picker), "NAME", "Which block a peer asks for: rarest-first, "
               "random, sequential, or your own module:Class.", values=tuple(PICKERS)),
        Option("choker", "choker", strategy(strategies.choker), "NAME", "Which neighbours a peer serves: tit-for-tat, "
               "rarity, none, or your own module:Class.", values=tuple(CHOKERS)),
        Option("slots", "slots", whole, "N", "Neighbours that a peer serves at once for their merit.",
               bounds=("0", "10000")),
        Option("guests", "guests", whole, "N", "Neighbours that a peer serves at once by chance.",
               bounds=("0", "10000")),
        Option("round", "round_s", parse_duration, "TIME", "Time between two decisions about slots.", bounds=_TIME),
        Option("guest_rounds", "guest_rounds", whole, "N", "Rounds that a guest keeps its slot.", bounds=_MANY),
        Option("neighbours", "neighbours", whole, "N", "Most links of one peer.", bounds=_MANY),
        Option("economy", "economy", one_of("on", "off"), "on|off", "Whether blocks go out one after the other, and "
               "a seed gives none twice that others wait for.", values=("on", "off")),
        Option("leave", "leave", one_of("never", "complete"), "WHEN", "When a peer leaves: never, or when it is "
               "complete.", values=("never", "complete")),
        Option("announce", "announce_s", readers.auto(parse_duration), "TIME", "Time for which news is gathered into "
               "one message; auto: by what it costs.", "auto", bounds=("0s", "1000h")),
        Option("request_timeout", "request_timeout_s", parse_duration, "TIME", "Silence of a neighbour after which its "
               "blocks are asked of others.", bounds=_TIME),
        Option("pipeline", "pipeline", whole, "N", "Most open requests to one neighbour.", bounds=_MANY),
        Option("tracker", "tracker_s", parse_duration, "TIME", "Time between two messages to the tracker.",
               bounds=_TIME),
        Option("retry", "retry_s", parse_duration, "TIME", "First pause before a failed address is tried again; it "
               "doubles.", bounds=_TIME),
    ),
    "Differences between peers": (
        Option("initial", "initial", readers.initial, "SHARE", "Share of the blocks that a peer starts with; 0.1+1: "
               "and one block more."),
        Option("behave", "behave", readers.behave, "SORT=N,...", "Peers that misbehave: free-rider, liar, corrupter, "
               "slow.", "all honest"),
        Option("teams", "teams", readers.teams, "TEAM=N,...", "Peers with other strategies, e.g. "
               "random=5,mine:Greedy=5."),
        Option("upload", "upload_bps", parse_rate, "RATE", "Limit of each peer, e.g. 4MiB/s, 16Mbit/s.", bounds=_RATE),
        Option("download", "download_bps", parse_rate, "RATE", "Limit of each peer.", bounds=_RATE),
        Option("seed_upload", "seed_upload_bps", parse_rate, "RATE", "Limit of the tracker.", bounds=_RATE),
    ),
    "World": (
        Option("world", "world", one_of("ray", "sim"), "NAME", "ray: real actors; sim: the same peers, simulated.",
               values=("ray", "sim")),
        Option("control", "control", one_of("links", "actors"), "NAME", "How control messages travel: links or "
               "actors.", world="ray", values=("links", "actors")),
        Option("seals", "seals", one_of("on", "off"), "WORD", "Seals on links, by which what is changed on its way is "
               "found: on, or off for a network that is trusted.", world="ray", values=("on", "off")),
        Option("address", "address", readers.text, "ADDR", "Ray cluster: HOST:PORT or auto.", "a local one", "ray"),
        Option("data_ports", "data_ports", readers.data_ports, "A-B", "Ports for blocks, e.g. 20000-20100.", "any",
               "ray"),
    ),
    "Run": (
        Option("seed", "seed", whole, "INT", "Random seed.", bounds=("-999999999999", "999999999999")),
        Option("timeout", "timeout_s", parse_duration, "TIME", "Time limit of the transfer, e.g. 10m.", bounds=_TIME),
        Option("name", "name", readers.name, "NAME", "Name of the run.", "date and time"),
        Option("out", "out", readers.text, "DIR", "Folder of the run.", "runs/NAME"),
        Option("keep", "keep", readers.flag, "", "Keep the copies of the peers, in DIR/files/peer-NN/.", "no", "ray"),
    ),
}  # fmt: skip
"""Every option, in the order and under the headings of the help."""

TABLE = {option.name: option for group in GROUPS.values() for option in group}


def read_by(table: Mapping[str, Option], name: str, value: object) -> Any:
    """What `value` says for the option `name` of a table, in base units; `OptionError` says what is wrong."""
    if name not in table:
        raise OptionError(name, value, f"give {', '.join(table)}", tuple(get_close_matches(name, table, 1)))
    try:
        return table[name].read(value)
    except LocalError as error:
        raise OptionError(name, value, str(error)) from None

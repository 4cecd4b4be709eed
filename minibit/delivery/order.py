"""What a push is told, in base units: `Order`, and one table that says how each option is given.

`Order.build` is the only way in that checks; the command line, the environment and `minibit.push` all read the table.
None always means "not given".
"""

from __future__ import annotations

from math import ceil
from pathlib import PurePosixPath
from typing import Any, Literal, get_args

import msgspec

from minibit.errors import OptionError
from minibit.manifest import MOST_BLOCKS, NAME_BYTES_MAX, auto_block_bytes
from minibit.run import readers
from minibit.run.options import Option, few_enough, read_by
from minibit.run.readers import checked, one_of, wrong
from minibit.units import parse_bytes, parse_duration, parse_rate

Links = Literal["follow", "keep", "refuse"]
Verify = Literal["fast", "full"]

BESIDE = (".minibit", ".minibit-partial", ".minibit-new")
"""How the names end that lie beside a copy."""


class Least(msgspec.Struct, frozen=True):
    """How many nodes must have a copy at the end: so many, or that share of those that were asked for."""

    count: int | None = None
    share: float = 1.0

    def of(self, nodes: int) -> int:
        """Of so many nodes that were asked for, how many must have it; a share is rounded up."""
        return self.count if self.count is not None else ceil(round(self.share * nodes, 6))


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A push, in base units: sizes are bytes, rates bytes a second, times seconds.

    dest       the absolute path of the copy, the same on every node
    nodes      `all`, a number, addresses joined by commas, or LABEL=VALUE
    links      what becomes of links in the source
    replace    whether other content at `dest` gives way, also an earlier version
    least      how many nodes must have a copy
    follow_s   for so long nodes are waited for that join later, after the last one was served
    verify     `fast` believes what nobody touched, `full` reads every byte again
    records    whether peers keep records, for a report
    """

    dest: str
    nodes: str = "all"
    links: Links = "follow"
    replace: bool = False
    least: Least = Least()
    follow_s: float = 0.0
    upload_bps: float | None = None
    data_ports: tuple[int, int] | None = None
    block_bytes: int | None = None
    ship: bool = False
    verify: Verify = "fast"
    timeout_s: float | None = None
    address: str = "auto"
    name: str | None = None
    records: bool = False

    @classmethod
    def build(cls, **given: object) -> Order:
        """The order by the names of the table, as texts or as numbers in base units; `dest` must be among them.

        `OptionError` names the option, the value and what it takes; or, of an unknown option, the nearest ones.
        """
        read = {name: read_by(TABLE, name, value) for name, value in given.items() if value is not None}
        if "dest" not in read:
            raise OptionError("dest", None, "give the absolute path of the copies, e.g. /data/model")
        return cls(**{TABLE[name].field: value for name, value in read.items()})

    def placed(self, source: str) -> Order:
        """This order with the path of the copy itself, for the content at the absolute path `source`.

        A `dest` that ends in a slash takes the content's own name. `OptionError` for a copy inside the content, or
        around it, and for a name that a copy can't have.
        """
        name = PurePosixPath(source).name
        within = self.dest.endswith("/")
        if within and not name:
            raise OptionError("dest", self.dest, f"{source} has no name of its own: give the whole path of the copy")
        dest, content = PurePosixPath(self.dest, name if within else ""), PurePosixPath(source)
        there = f"{dest} lies inside {source}" if content in dest.parents else f"{source} lies inside {dest}"
        if content in dest.parents or dest in content.parents:
            raise OptionError("dest", self.dest, f"{there}: give a path apart from it")
        if dest.name.endswith(BESIDE):
            raise OptionError("dest", self.dest, f"{dest.name} is a name for what lies beside a copy: give another one")
        if len(dest.name.encode()) > NAME_BYTES_MAX:
            raise OptionError("dest", self.dest, f"its name is longer than {NAME_BYTES_MAX} bytes: give a shorter one")
        return msgspec.structs.replace(self, dest=str(dest))

    def block_bytes_for(self, content_bytes: int) -> int:
        """The bytes of a block of such content: those given, or those that grow with it.

        There is one peer a machine, with processor enough for messages: so blocks are many, whatever the limit is.
        """
        return few_enough(content_bytes, self.block_bytes or auto_block_bytes(content_bytes, blocks=MOST_BLOCKS))


class PushOption(Option):
    """An option of a push, in the words of `Option`."""

    __slots__ = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the environment that may give it: only what holds of a place and not of one push."""
        return super().variables if self.name in OF_THE_PLACE else ()

    @property
    def default(self) -> Any:
        """The value of its field where it is not given."""
        default = getattr(Order(dest="/"), self.field, None)
        return None if default == Least() or self.field == "dest" else default


# readers


def dest(value: Any) -> str:
    """An absolute path, which ends in a slash if the content's own name comes behind it."""
    path = readers.text(value)
    if not path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise wrong(value, "an absolute path without .., e.g. /data/model, or /data/ for the content's own name")
    plain = "/" + str(PurePosixPath(path)).lstrip("/")
    return plain if plain == "/" or not path.endswith("/") else f"{plain}/"


def nodes(value: Any) -> str:
    """`all`, a number, names joined by commas or in a list, or LABEL=VALUE; which there are, the cluster knows."""
    number = isinstance(value, int) and not isinstance(value, bool)
    joined = ",".join(map(readers.text, value)) if isinstance(value, list | tuple) else value
    found = readers.text(str(value) if number else joined).strip()
    label, equals, wanted = found.partition("=")
    if found.isdecimal():
        right = found.isascii() and 0 < len(found) < 10 and int(found) > 0
    else:
        right = bool(label.strip() and wanted.strip()) if equals else all(one.strip() for one in found.split(","))
    if not right or (number and not found.isdecimal()):
        raise wrong(value, "all, a number from 1, addresses joined by commas, or LABEL=VALUE")
    return found


def least(value: Any) -> Least:
    """A number of nodes, or a share of them in per cent."""
    takes = "a number of nodes, or a share of them, e.g. 8 or 90%"
    if isinstance(value, Least):
        return value
    if isinstance(value, str) and value.endswith("%"):
        try:
            share = float(value[:-1]) / 100
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise wrong(value, takes)
        return Least(share=share)
    count = checked(readers.whole, lambda count: 0 <= count <= 1_000_000, takes)(value)
    return Least(count=count)


# the table

OF_THE_PLACE = {"address", "data_ports", "upload", "progress"}

_TIME = ("1ms", "1000h")

GROUPS: dict[str, tuple[PushOption, ...]] = {
    "Copies": (
        PushOption("dest", "dest", dest, "DEST", "Absolute path of the copy, the same on every node; one that ends in "
                   "/ takes the content's own name.", "needed"),
        PushOption("nodes", "nodes", nodes, "WHICH", "Nodes that get a copy: all, so many, HOST,HOST,... or "
                   "LABEL=VALUE."),
        PushOption("min_nodes", "least", least, "N|P%", "Nodes that must have a copy at the end, as a number or a "
                   "share.", "all"),
        PushOption("replace", "replace", readers.flag, "", "What lies at DEST gives way, in one step, once the new "
                   "copy is whole: other content, or an earlier version.", "no"),
        PushOption("links", "links", one_of(*get_args(Links)), "HOW", "Links in SRC: follow: what they lead to is "
                   "copied, once; keep: they stay links; refuse: there must be none.", values=get_args(Links)),
        PushOption("verify", "verify", one_of(*get_args(Verify)), "HOW", "fast: a copy of an earlier push that was not "
                   "touched since is believed; full: every byte is read again.", values=get_args(Verify)),
    ),
    "Cluster and network": (
        PushOption("address", "address", readers.text, "ADDR", "Ray cluster: HOST:PORT, or auto: that of this "
                   "machine."),
        PushOption("upload", "upload_bps", parse_rate, "RATE", "Limit of each node, e.g. 500MB/s, 8Gbit/s.",
                   bounds=("1B/s", "1TB/s")),
        PushOption("data_ports", "data_ports", readers.data_ports, "A-B", "Ports for blocks, e.g. 20000-20100.", "any"),
        PushOption("ship", "ship", readers.flag, "", "Send Minibit, msgspec, blake3 and uvloop to the nodes, "
                   "which must have the same Python and sort of processor.", "no"),
        PushOption("block_size", "block_bytes", readers.auto(parse_bytes), "SIZE", "Block size; auto: by the "
                   "content.", "auto", bounds=("1B", "64MiB")),
    ),
    "Run": (
        PushOption("follow", "follow_s", parse_duration, "TIME", "Stay for so long after the last copy, and serve "
                   "nodes that join.", bounds=("0s", "1000h")),
        PushOption("timeout", "timeout_s", parse_duration, "TIME", "Time limit of the push, e.g. 10m.",
                   bounds=_TIME),
        PushOption("name", "name", readers.name, "NAME", "Name of the push.", "date and time"),
        PushOption("report", "records", readers.flag, "", "Keep records, and write them with a report into "
                   "runs/NAME.", "no"),
    ),
}  # fmt: skip
"""Every option of a push, in the order and under the headings of the help."""

TABLE = {option.name: option for group in GROUPS.values() for option in group}

"""Read the copies of a push again, on every node.

    minibit verify --to /data/model
    minibit verify --to /data/model --against /srv/model.minibit
    minibit verify --to /data/model --sha256sum > model.sha256; ssh node sha256sum -c < model.sha256

`NAME.minibit` beside a copy says what it must be. Exit codes: 0 all are right, 6 one is wrong or another version than
most, 4 a node has no copy or can't say.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from minibit.cli.commands import Subcommand
from minibit.cli.nodes import INCOMPLETE, looked_at, of_nodes, tell, to
from minibit.cli.options import Read
from minibit.cli.progress import Progress
from minibit.cli.table import show
from minibit.errors import IntegrityError, LocalError, RemoteError
from minibit.run.readers import within
from minibit.units import parse_duration, show_bytes

if TYPE_CHECKING:
    from minibit.actors.disk.copies import Verified
    from minibit.actors.driver.cluster import ClusterNode

ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r"})


@click.command(cls=Subcommand)
@to(required=True, help="Absolute path of the copies.")
@click.option(
    "--against", metavar="FILE", type=click.Path(path_type=Path),
    help="A manifest, or the NAME.minibit of a copy that is right. [that beside each copy]",
)  # fmt: skip
@click.option("--sha256sum", "listed", is_flag=True, help="Print the list that sha256sum -c takes, of a right copy.")
@click.option(
    "--timeout", "timeout_s", metavar="TIME", type=Read(within(parse_duration, "1s", "1000h")), default="12h",
    help="Limit for all nodes, e.g. 10m.",
)  # fmt: skip
@of_nodes
def main(dest: str, against: Path | None, listed: bool, timeout_s: float, address: str | None, nodes: str) -> None:
    """Read every copy at DEST again, and compare it with what it must be.

    Each node reads its own disk. A file that lacks, that is too much or that has other bytes is named. Without a
    cluster it is this machine alone.
    """
    wanted = None if against is None else manifest_in(against)
    sums: list[tuple[str, str]] = []
    with contextlib.redirect_stdout(sys.stderr), looked_at(address, nodes) as there, Progress() as progress:
        from minibit.actors.disk import copies  # noqa: PLC0415
        from minibit.actors.driver.everywhere import names, on_each  # noqa: PLC0415

        def done(count: int) -> None:
            progress.stage("reading the copies", count, len(there), f"{count} of {len(there)} nodes")

        found, failed = on_each(there, copies.verify, lambda node: (dest, wanted), timeout_s, tell=done)
        found = {**found, **other_versions(found)}
        right = [node for node, one in found.items() if one.verdict == "right"]
        if listed and right:
            progress.stage("hashing a copy for sha256sum")
            said = on_each(right[:1], copies.sha256, lambda node: (dest,), timeout_s)
            if said.failed:
                raise LocalError(f"no list: {said.failed[right[0]]}")
            sums = said.found[right[0]]
        called = names(there)
    words = {called[node]: [one.why] for node, one in found.items() if one.why}
    words |= {called[node]: [why] for node, why in failed.items()}
    if listed:
        click.echo(b"".join(line(digest, path) for digest, path in sums), nl=False)
        tell(words, err=True)
    else:
        rows = [(called[node], one.verdict, one.files, show_bytes(one.content_bytes)) for node, one in found.items()]
        show(["node", "copy", "files", "size"], [*rows, *((called[node], "-", "-", "-") for node in failed)])
        tell(words)
    if any(one.verdict == "wrong" for one in found.values()):
        sys.exit(IntegrityError.exit_code)
    sys.exit(0 if len(right) == len(there) else INCOMPLETE)


def manifest_in(path: Path) -> bytes:
    """The manifest in a file, which may be the mark of a copy; `LocalError` if there is none."""
    from minibit.actors.disk import marks  # noqa: PLC0415
    from minibit.manifest import Manifest  # noqa: PLC0415

    if (marked := marks.read_at(path)) is not None:
        return marked.manifest.encode()
    try:
        return Manifest.decode(path.read_bytes()).encode()
    except (OSError, RemoteError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise LocalError(f"--against {path}: {why}: give a manifest, or the NAME.minibit beside a copy") from None


def other_versions(found: dict[ClusterNode, Verified]) -> dict[ClusterNode, Verified]:
    """The copies that are right in themselves, but another version than most others: these are wrong."""
    counted = Counter(one.digest for one in found.values() if one.verdict == "right")
    usual, count = next(iter(counted.most_common(1)), ("", 0))
    why = f"right, but another version than {count} of {len(found)} nodes have: push it again"
    return {
        node: msgspec.structs.replace(one, verdict="wrong", why=why)
        for node, one in found.items()
        if one.verdict == "right" and one.digest != usual
    }


def line(digest: str, path: str) -> bytes:
    """A line of a list as sha256sum writes it: a name with a backslash or the end of a line is escaped, and says so."""
    escaped = path.translate(ESCAPES)
    mark = b"\\" if escaped != path else b""
    return mark + digest.encode() + b"  " + os.fsencode(escaped) + b"\n"

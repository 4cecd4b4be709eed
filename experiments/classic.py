"""The four media of the original, shared by its rules, beside what the original took for them.

    python experiments/classic.py
    python experiments/classic.py --peers 9 --only mp3 --json

A song, a film, an image and a document (see media.py) are given to five peers each with the preset `classic`:
blocks of 32 KiB, every peer starts with a tenth of them and one more, slots go by rarity, and whoever is complete
leaves. At the end every copy is opened by a real decoder, to its end. The original's figures were taken on other
machines, years ago: what is compared is the order of magnitude.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import click
from media import MEDIA, MediaError, open_whole
from tables import show

from actors import Swarm, cluster
from minibit.errors import IntegrityError, LocalError, MinibitError
from minibit.summary import Summary
from minibit.units import show_duration

INTERRUPTED = 130
TIMEOUT_S = 300.0


class Original(NamedTuple):
    """What the original took, with 5 peers: as its authors said, or as it was measured again on two cores."""

    blocks: int
    seconds: str
    messages_a_peer: str


ORIGINALS = {"mp3": Original(61, "61 to 87 s", "170 to 195"), "mp4": Original(131, "124 s", "360")}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--peers", default=5, show_default=True, type=click.IntRange(1))
@click.option("--only", type=click.Choice(tuple(MEDIA)), multiple=True, help="Of the four; may be given again.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(peers: int, only: tuple[str, ...], as_json: bool) -> None:
    """Share the original's four media by its rules, and open every copy."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows = []
    try:
        with tempfile.TemporaryDirectory(prefix="minibit-classic-") as name:
            cluster.connect()
            for kind in only or MEDIA:
                rows.append(shared(kind, Path(name), peers))
    except MinibitError as error:
        click.echo(f"classic: {error}", err=True)
        sys.exit(error.exit_code)
    except MediaError as error:
        click.echo(f"classic: {error}", err=True)
        sys.exit(IntegrityError.exit_code)
    except KeyboardInterrupt:
        click.echo("classic: interrupted", err=True)
        sys.exit(INTERRUPTED)
    finally:
        cluster.disconnect()
    if as_json:
        click.echo(json.dumps({"peers": peers, "media": rows}))
    else:
        show_rows(rows)


def shared(kind: str, folder: Path, peers: int = 5) -> dict[str, Any]:
    """One medium, made, given to `peers` by the classic rules, and opened whole at each of them: its row.

    Everything happens below `folder`. `MediaError` names the copy that doesn't open.
    """
    original = MEDIA[kind].make(folder)
    out = folder / kind
    with Swarm.launch(original, peers=peers, preset="classic", out=str(out), keep=True) as swarm:
        summary: Summary = swarm.wait(timeout_s=TIMEOUT_S)
    if summary.exit_code:
        why = {failure.why for failure in summary.failed}
        raise LocalError(f"{summary.verified} of {peers} peers have a verified {original.name}: {', '.join(why)}")
    copies = sorted((out / "files").glob(f"*/{original.name}"))
    for copy in copies:
        open_whole(copy)
    return {
        "kind": kind,
        "name": original.name,
        "bytes": summary.content.bytes,
        "blocks": summary.content.blocks,
        "seconds": summary.seconds.transfer,
        "median_s": summary.seconds.median,
        "messages_a_peer": summary.messages.total / peers,
        "peers": peers,
        "opened": len(copies),
        "original": ORIGINALS[kind]._asdict() if kind in ORIGINALS else None,
    }


def show_rows(rows: list[dict[str, Any]]) -> None:
    """Ours beside the original's, for a person."""
    show(
        ("", "blocks", "time", "messages a peer", "opened", "the original: blocks", "time", "messages a peer"),
        [
            (
                row["name"],
                row["blocks"],
                show_duration(row["seconds"]),
                f"{row['messages_a_peer']:.0f}",
                f"{row['opened']} of {row['peers']}",
                *(row["original"] or dict.fromkeys(Original._fields, "-")).values(),
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()

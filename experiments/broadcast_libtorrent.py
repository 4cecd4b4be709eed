"""One host of a libtorrent swarm that spans several: a session in a process of its own.

    python experiments/broadcast_libtorrent.py --torrent FILE --folder /data --listen 10.213.0.2:6881

It prints a line when it is ready. Then it reads a line, the addresses to dial, and prints the moment (on the clock that
all processes of a machine share) at which it had every piece; of a seed, at which it sent its first byte. It serves
until its input ends. The settings are those of libtorrent_swarm.py, which says what they are for.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import libtorrent as lt
from libtorrent_swarm import ALONE, LOOK_S, READY, TUNED, RivalError
from results import SHOWN

from minibit.cli.ending import ending


@click.command(context_settings=SHOWN)
@click.option("--torrent", required=True, type=click.Path(path_type=Path), help="The torrent file.")
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="Where the content is, or will be.")
@click.option("--listen", required=True, metavar="HOST:PORT")
@click.option("--seed", "seeds", is_flag=True, help="The content is there.")
def main(torrent: Path, folder: Path, listen: str, seeds: bool) -> None:
    """Take part in a libtorrent swarm."""
    with ending():
        settings: Any = {**ALONE, **TUNED, "listen_interfaces": listen}  # libtorrent calls its type by another name
        session = lt.session(settings, 0)  # no plugins
        params = lt.load_torrent_buffer(torrent.read_bytes())
        params.flags = lt.torrent_flags.seed_mode if seeds else 0
        params.save_path = str(folder)
        ours = session.add_torrent(params)
        while ours.status().state not in READY or not session.listen_port():
            time.sleep(LOOK_S)
        click.echo("ready")
        for address in sys.stdin.readline().split():
            host, port = address.split(":")
            ours.connect_peer((host, int(port)))
        click.echo(first_byte(ours) if seeds else last_piece(session))
        sys.stdin.read()


def first_byte(ours: lt.torrent_handle) -> float:
    """Wait until it has sent something."""
    while not ours.status().total_payload_upload:
        time.sleep(LOOK_S)
    return time.monotonic()


def last_piece(session: lt.session) -> float:
    """Wait until it has every piece; libtorrent verifies each."""
    while True:
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_finished_alert):
                return time.monotonic()
            if isinstance(alert, lt.file_error_alert | lt.torrent_error_alert | lt.hash_failed_alert):
                raise RivalError(f"libtorrent: {alert.message()}")
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main()

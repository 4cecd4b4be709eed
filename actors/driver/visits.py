"""What the driver has done on each node before a push: a survey, a meeting of all nodes, and a farewell.

These functions run on the nodes. The meeting is the only moment at which a node knows that all others are there too:
it looks for their probes, listens for a moment, and connects to a few of them.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import msgspec

from minibit.actors.disk import survey as disk
from minibit.actors.disk.survey import NodeSurvey
from minibit.lab.machine import free_memory_bytes

KNOCK_S = 2.0
AGAIN_S = 0.1

Address = tuple[str, int]


class Meeting(NamedTuple):
    """What a node is told of a meeting.

    tag, tags  of its own probe, and of those of all nodes; they lie in `folder`
    word       what the nodes of this meeting say to each other, so that no other program is taken for one of them
    at         where it listens; nowhere if the port is 0
    others     the nodes that it connects to, by tag
    guests     how many nodes connect to it
    """

    tag: str
    tags: list[str]
    folder: str
    word: bytes
    at: Address
    others: Mapping[str, Address]
    guests: int
    limit_s: float


class Met(NamedTuple):
    """What a node found out at a meeting: the tags whose probes it sees, and those that it couldn't connect to."""

    sees: list[str]
    unreached: list[str]


def visit(
    dest: str | None, source: str | None, known: str, tag: str, host: str, data_ports: tuple[int, int] | None
) -> NodeSurvey:
    """The survey of this node; `host` is the address at which it listens for blocks. A probe stays, with this tag."""
    port, fault = free_port(host, data_ports)
    memory_bytes = free_memory_bytes()
    found = disk.survey(dest, source, tag, known)
    return msgspec.structs.replace(found, free_memory_bytes=memory_bytes, port=port, port_fault=fault)


def meet(meeting: Meeting) -> Met:
    """Look for the probes of the others, and connect to some of them, until all is known or the time is over."""
    sees = disk.seen(meeting.folder, meeting.tags) if meeting.folder else []
    return Met(sees, asyncio.run(_unreached(meeting)))


def part(folder: str, tag: str) -> float:
    """Remove the probe, if one was left; what the clock says, as `time.time`."""
    if folder and tag:
        disk.remove_probe(folder, tag)
    return time.time()


def free_port(host: str, data_ports: tuple[int, int] | None) -> tuple[int, str]:
    """A port of this node on which it can listen for blocks; 0, and why, if there is none."""
    first, last = data_ports or (0, 0)
    why = ""
    for port in range(first, last + 1):
        try:
            family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, number) as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(address)
                return int(server.getsockname()[1]), ""
        except OSError as error:
            why = error.strerror or str(error)
    return 0, why


async def _unreached(meeting: Meeting) -> list[str]:
    """The others that this node couldn't connect to. It listens as long as guests may come."""
    came: set[bytes] = set()
    all_came = asyncio.Event()
    reached: set[str] = set()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(KNOCK_S):
                tag = await reader.readexactly(len(meeting.tag))
                writer.write(meeting.word)
                await writer.drain()
                came.add(tag)
        writer.close()
        if len(came) >= meeting.guests:
            all_came.set()

    async def dial(tag: str, address: Address) -> None:
        while True:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(KNOCK_S):
                    reader, writer = await asyncio.open_connection(*address)
                    writer.write(meeting.tag.encode())
                    there = await reader.readexactly(len(meeting.word)) == meeting.word
                    writer.close()
                    if there:
                        reached.add(tag)
                        return
            await asyncio.sleep(AGAIN_S)

    server = None
    if meeting.at[1]:
        with suppress(OSError):  # another program took the port meanwhile
            server = await asyncio.start_server(greet, *meeting.at)
    if server is None or not meeting.guests:
        all_came.set()
    with suppress(TimeoutError):
        async with asyncio.timeout(meeting.limit_s):
            await asyncio.gather(all_came.wait(), *(dial(*other) for other in meeting.others.items()))
    if server is not None:
        server.close()
    return sorted(meeting.others.keys() - reached)

"""All links of a node: `Links` serves and dials, keeps one link for each pair, and has what links share.

The rule of the pair. A link counts from the moment both ends have proved the key.

1. If both ends dial each other at the same time, the connection dialled by the smaller id stays. So while the
   smaller id dials a peer, it refuses a connection from that peer. By the same rule, a link less than `RACE_S`
   old yields to a connection from the other direction, or refuses it. Both ends decide alike.
2. Otherwise the newer connection wins. A peer never dials a neighbour that it is linked to, so a peer that dials
   again has lost the old connection, for instance because it was killed and started again.

The owner hears of the old link's end before it hears of the new link.

Strangers, which dialled us and have not proved the key, are few: one too many makes the oldest go that is silent, of
those that come from where most come from. And while there are as many as there may be, the next comes in after a pause.
So one that proves itself at once gets in, however many others come again and again: they wait in the kernel's line.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from typing import Any

from minibit.actors.links.face import Owner
from minibit.actors.links.gate import Gate
from minibit.actors.links.link import FLUSH_S, Link
from minibit.actors.links.pool import BlockPool
from minibit.actors.links.state import State
from minibit.errors import LocalError, RemoteError
from minibit.messages import WHY_CHARACTERS, Desligamento, PeerAddress
from minibit.wire import frame
from minibit.wire.carriage import DIAL_S, IDLE_S, PREFIX_BYTES, SEAL_BYTES

PROOF_S = 5.0
RACE_S = 10.0  # longer than a successful dial takes from its start to the proof
STRANGERS_MAX = 64  # connections dialled by others that haven't proved the key yet
PAUSE_S = 0.005  # between two of them when there are so many: each has 64 times as long to prove the key
LINE_MAX = 1024  # connections that wait in the kernel to be let in
SUSPECTS_MAX = 1024  # neighbours that sent a wrong block; a member may take any name
INBOX_BYTES = 4 << 10  # for many small frames in one call; payload bytes that land here are copied once more
SOCKET_BYTES = 1 << 20  # the kernel's buffer, each way
UNSENT_BYTES = 128 << 10  # most bytes in it that wait for the uplink: a block counts as sent only once it nearly is


class Links:
    """The links of `owner`, by the neighbour's id; iterating gives the links that are open.

    Made on the running event loop. `upload` and `download` are the node's limits: `upload.limit(bps)`
    changes one at any time. `seals`: a seal follows each head; both ends of a link must say the same.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        upload_bps: float | None = None,
        download_bps: float | None = None,
        proof_s: float = PROOF_S,
        idle_s: float = IDLE_S,
        seals: bool = True,
    ) -> None:
        loop = asyncio.get_running_loop()
        block_count = owner.manifest.block_count
        self.owner = owner
        self.loop = loop
        self.proof_s = proof_s
        self.idle_s = idle_s
        self.seals = seals
        self.upload = Gate(loop, upload_bps)
        self.download = Gate(loop, download_bps)
        self.pool = BlockPool(owner.manifest.length_max)
        self.inbox = memoryview(bytearray(PREFIX_BYTES + frame.header_limit(block_count) + SEAL_BYTES + INBOX_BYTES))
        self.suspects: set[str] = set()
        self._by_peer: dict[str, Link] = {}
        self._connections: dict[Link, str] = {}  # and their origins; the oldest first
        self._dialling: set[str] = set()
        self._server: socket.socket | None = None
        self._porter: asyncio.Task[None] | None = None
        self._arrival: asyncio.Task[None] | None = None  # of the connection that is let in now
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __getitem__(self, peer: str) -> Link:
        return self._by_peer[peer]

    def __contains__(self, peer: object) -> bool:
        return peer in self._by_peer

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._by_peer.values()))

    def __len__(self) -> int:
        return len(self._by_peer)

    # -- to the world

    async def serve(self, ports: Iterable[int] = (0,)) -> int:
        """Listen at the owner's address, on the first of `ports` that is free (0: any); returns the port.

        `LocalError` when none is. From then on, `owner.me` should have this port.
        """
        host = self.owner.me.host
        why = "no port was given"
        for port in ports:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            sock = block_socket(family)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(address)
                sock.listen(LINE_MAX)
            except OSError as error:
                why = error.strerror or str(error)
                sock.close()
                continue
            self._server, self._porter = sock, self.loop.create_task(self._let_in(sock))
            return int(sock.getsockname()[1])
        raise LocalError(f"can't listen at {host}: {why}; give other ports")

    async def dial(self, address: PeerAddress, alone: bool = False, timeout_s: float = DIAL_S) -> None:
        """Link to the neighbour at `address`, in `timeout_s` from the connection to the proof.

        Returns once the two are linked; at once if they are already, or if a dial is under way. Raises `OSError`
        if the neighbour can't be reached, `RemoteError` if it has another id or refuses.
        """
        peer = address.peer
        if peer == self.owner.me.peer:
            raise LocalError(f"{peer} can't dial itself")
        if peer in self or peer in self._dialling:
            return
        link = Link(self, expected=peer, alone=alone)
        self._dialling.add(peer)
        try:
            async with asyncio.timeout(timeout_s):
                family, _, _, _, where = (await self._resolve(address))[0]
                sock = block_socket(family)
                try:
                    await self.loop.sock_connect(sock, where)
                except BaseException:
                    sock.close()
                    raise
                await self._connect(link, sock, self.loop.create_connection)
                await link.proved()
        except TimeoutError:
            if peer not in self:
                where = f"{peer} at {address.host}:{address.port}"
                raise TimeoutError(f"no answer from {where} within {timeout_s:g} s") from None
        except (RemoteError, OSError):
            if peer not in self:  # otherwise the neighbour's own dial won
                raise
        finally:
            self._dialling.discard(peer)
            if link.state is not State.LINKED:
                link.close("the dial was given up")

    async def close(self, why: str) -> None:
        """Send DESLIGAMENTO on every link, close them all, and serve no more."""
        self._closed = True
        for link in list(self._connections):
            link.close(why, Desligamento(peer=self.owner.me.peer, why=why[:WHY_CHARACTERS]))
        if self._server is not None and self._porter is not None:
            self._porter.cancel()
            tasks = [task for task in (self._porter, self._arrival) if task is not None]
            await asyncio.gather(*tasks, return_exceptions=True)
            self._server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * FLUSH_S):
                await self._empty.wait()

    async def _let_in(self, server: socket.socket) -> None:
        """Accept connections, one after the other, until this task is cancelled."""
        while True:
            try:
                sock, _ = await self.loop.sock_accept(server)
                # a task of its own: to be cancelled in the middle would leave the connection to nobody
                self._arrival = self.loop.create_task(
                    self._connect(Link(self), sock, self.loop.connect_accepted_socket)
                )
                await asyncio.wait([self._arrival])
                await self._arrival
            except Exception:  # no descriptor is left, it is gone again, ...: the next may come in all the same
                await asyncio.sleep(PAUSE_S)
            if len(self._strangers()) >= STRANGERS_MAX:
                await asyncio.sleep(PAUSE_S)

    @staticmethod
    async def _connect(link: Link, sock: socket.socket, connect: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        """Let `link` have the connection of `sock`."""
        try:
            await connect(lambda: link, sock=sock)
        except BaseException:
            sock.close()
            raise
        if link.closed:  # already: the transport closed the descriptor, and uvloop didn't tell the socket
            sock.detach()

    async def _resolve(self, address: PeerAddress) -> list[Any]:
        try:  # a numeric address needs no thread
            return socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return await self.loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)

    def suspect(self, peer: str) -> None:
        """A block of this neighbour came wrong: on its next link its blocks must be sealed."""
        if len(self.suspects) >= SUSPECTS_MAX:
            self.suspects.pop()
        self.suspects.add(peer)

    # -- to the links

    def connected(self, link: Link) -> None:
        """The connection of `link` is made; one too many makes another go."""
        self._connections[link] = origin(link.host)
        self._empty.clear()
        if self._closed:
            raise RemoteError("we are leaving")
        strangers = self._strangers()
        if len(strangers) > STRANGERS_MAX:
            count = Counter(self._connections[one] for one in strangers)
            others = [one for one in strangers if one is not link]
            loser = min(others, key=lambda one: (-count[self._connections[one]], not one.greeting.silent))  # oldest
            loser.close(why := f"{STRANGERS_MAX} others wait for their proof", Desligamento(why=why))

    def _strangers(self) -> list[Link]:
        """The connections that others dialled and have not proved, the oldest first."""
        return [one for one in self._connections if one.state is State.GREETING and not one.dialled]

    def check_pair(self, link: Link) -> None:
        """`RemoteError` when `link` must not be the one of its pair; see the rule above."""
        ours_stays = self.owner.me.peer < link.peer
        old = self._by_peer.get(link.peer)
        if old is None:
            loses = not link.dialled and ours_stays and link.peer in self._dialling
        else:
            races = old.dialled != link.dialled and self.loop.time() - old.linked_at < RACE_S
            loses = races and old.dialled == ours_stays
        if loses:
            raise RemoteError("both dialled, and the other connection stays")

    def adopt(self, link: Link) -> None:
        """Make `link`, which is proved, the one of its pair from now on; `RemoteError` when it must not be."""
        self.check_pair(link)
        old = self._by_peer.get(link.peer)
        if old is not None:
            old.close("a newer connection takes its place")
            old.tell()
        self._by_peer[link.peer] = link

    def drop(self, link: Link) -> None:
        """`link` is closed: its pair is free again."""
        if self._by_peer.get(link.peer) is link:
            del self._by_peer[link.peer]

    def disconnected(self, link: Link) -> None:
        """The connection of `link` is gone."""
        self._connections.pop(link, None)
        if not self._connections:
            self._empty.set()


def origin(host: str) -> str:
    """What counts as one address: with IPv6, everybody has a whole network of 64 bits of them."""
    return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8].hex() if ":" in host else host


def block_socket(family: int) -> socket.socket:
    """A TCP socket for blocks: never blocking, with large buffers.

    It is not connected yet: TCP chooses its window's scale, by the buffer, when it connects.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # not on Windows
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES)
    return sock

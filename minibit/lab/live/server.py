"""The server of the live page: a thread that answers browsers on the loopback.

Every request must bring the token of the printed address, in its query or in the header `X-Minibit-Token`. A request
without it gets 403 and does nothing. There is no cookie, so a request that another site makes a browser send (a forged
form, a name that is rebound to 127.0.0.1) lacks the token. `Origin` and `Host` are not checked: behind an ssh tunnel or
Jupyter's proxy they can be anything. The page loads nothing from elsewhere; its Content-Security-Policy makes the
browser enforce that. Every address in it is relative.

Each request is worked on in a thread of its own, so a request that waits for a slow actor delays no other. Connections
that have not brought the token are few: one too many makes the oldest go.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Protocol

import msgspec
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from minibit.errors import LocalError, MinibitError
from minibit.lab.live import page
from minibit.lab.live.feeder import Feeder
from minibit.lab.pictures.page import scripts
from minibit.lab.run import Run

HOST = "127.0.0.1"
MOST_BODY_BYTES = 16 << 10
STRANGERS_MAX = 64  # connections that have not brought the token
START_S = 10.0
POLL_S = 1.5  # between two polls of a page
ENDED_POLL_S = 5.0  # the same, once nothing more can change
HTML, JSON = "text/html; charset=utf-8", "application/json"
POLICY = "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
POLICY += "connect-src 'self'; img-src 'self' data: blob:; font-src data:; form-action 'none'; base-uri 'none'"


class LiveSwarm(Protocol):
    """The swarm as its page sees it. Any thread may call a method; `LocalError` says why something can't be done."""

    def overview(self) -> dict[str, Any]:
        """The state of the whole swarm: `head`, `peers`, `version` (grows with the run), `ended`."""

    def run(self) -> Run:
        """All that was recorded so far."""

    def peer(self, name: str) -> dict[str, Any]:
        """One peer as it is now."""

    def kill(self, peer: str) -> str:
        """End a peer without a word; what was done, in words."""

    def add(self, count: int, behaviour: str) -> str:
        """Add `count` peers; what was done."""

    def limit(self, peer: str | None, upload: str | None) -> str:
        """Limit (`4MiB/s`; None: no limit) what one peer sends, or each but the seed; what was done."""


def _button(name: str, *fields: tuple[str, Any] | tuple[str, Any, Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True)


CONTROLS = {
    "kill": _button("Kill", ("peer", str)),
    "add": _button("Add", ("count", int, 1), ("behaviour", str, "honest")),
    "limit": _button("Limit", ("peer", str | None, None), ("upload", str | None, None)),
}
"""By button: the arguments that it sends, which are those of a method of `LiveSwarm`."""


class Server:
    """Serves `swarm` from its start until `close`, or until this process ends."""

    def __init__(self, swarm: LiveSwarm, port: int = 0) -> None:
        if not 0 <= port <= 65535:
            raise LocalError(f"port {port} is none: give one from 1 to 65535, or 0 for any that is free")
        self.swarm = swarm
        self.token = secrets.token_urlsafe(24)
        self.feeder = Feeder()
        self.door: Door
        self._at_work: set[Future[Any]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        listening: Future[int] = Future()
        self._thread = Thread(target=self._main, args=(port, listening), name="minibit-live", daemon=True)
        self._thread.start()
        self.port = listening.result(START_S)

    @property
    def url(self) -> str:
        """The address of the page, with its token: it gives control of the swarm."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def close(self) -> None:
        """Stop answering."""
        with suppress(RuntimeError):  # already closed
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)

    def settle(self, timeout_s: float) -> None:
        """Wait until the requests in progress are done, but at most `timeout_s`."""
        futures.wait(list(self._at_work), timeout_s)

    def _main(self, port: int, listening: Future[int]) -> None:
        try:
            asyncio.run(self._serve(port, listening))
        except OSError as error:
            if listening.done():
                raise
            why = error.strerror or error
            listening.set_exception(LocalError(f"port {port} can't be used for the page ({why}): give another, or 0"))

    async def _serve(self, port: int, listening: Future[int]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        handlers: list[Any] = [(f"/{name}", Handler, {"server": self, "name": name}) for name in (*PAGES, *CONTROLS)]
        unknown: Any = {"default_handler_class": Handler, "default_handler_args": {"server": self}}
        application = Application(handlers, log_function=lambda handler: None, **unknown)
        self.door = server = Door(application, max_body_size=MOST_BODY_BYTES)
        sockets = bind_sockets(port, HOST)
        server.add_sockets(sockets)
        listening.set_result(sockets[0].getsockname()[1])
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()

    async def do(self, work: Callable[[], Any]) -> Any:
        """The result of `work`, run in a thread of its own that doesn't keep the process from ending."""
        answer: Future[Any] = Future()

        def run() -> None:
            with suppress(InvalidStateError):  # the server was closed meanwhile
                try:
                    answer.set_result(work())
                except Exception as error:
                    answer.set_exception(error)

        self._at_work.add(answer)
        answer.add_done_callback(self._at_work.discard)
        Thread(target=run, name="minibit-live-request", daemon=True).start()
        return await asyncio.wrap_future(answer)


class Door(HTTPServer):
    """Lets connections in, and shows the oldest out that has not brought the token, if there are too many."""

    def initialize(self, *args: Any, **options: Any) -> None:
        """Called by tornado, in place of a constructor."""
        super().initialize(*args, **options)
        self.strangers: dict[IOStream, None] = {}

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """A browser, or somebody, has connected."""
        super().handle_stream(stream, address)
        self.strangers = {one: None for one in (*self.strangers, stream) if not one.closed()}
        if len(self.strangers) > STRANGERS_MAX:
            next(iter(self.strangers)).close()


class Handler(RequestHandler):
    """Checks the token first; then `PAGES` answers a GET, and `CONTROLS` a POST."""

    def initialize(self, server: Server, name: str | None = None) -> None:
        """Called by tornado; `name` is the address, None if it is unknown."""
        self.server = server
        self.name = name

    def set_default_headers(self) -> None:
        """No cache, no referrer, nothing from elsewhere."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.clear_header("Server")

    def prepare(self) -> None:
        """403 without the token, 404 for an unknown address."""
        token = self.request.headers.get("X-Minibit-Token", "").encode("utf-8", "replace")
        token = token or self.request.query_arguments.get("token", [b""])[-1]
        if not hmac.compare_digest(token, self.server.token.encode()):
            raise HTTPError(403)
        connection: Any = self.request.connection
        self.server.door.strangers.pop(connection.stream, None)
        if self.name is None:
            raise HTTPError(404)

    async def get(self) -> None:
        """Answer with a page, or with what its script asks for."""
        if self.name not in PAGES:
            raise HTTPError(405)
        kind, answer = PAGES[self.name]
        self.tell(await self.server.do(lambda: answer(self)), kind)

    async def post(self) -> None:
        """Do what a button asks for; what was done, in words."""
        if self.name not in CONTROLS:
            raise HTTPError(405)
        try:
            arguments = msgspec.json.decode(self.request.body, type=CONTROLS[self.name])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LocalError(f"{self.name} doesn't take that: {error}") from None
        act = partial(getattr(self.server.swarm, self.name), **msgspec.structs.asdict(arguments))
        self.tell({"said": await self.server.do(act)})

    def write_error(self, status_code: int, **about: Any) -> None:
        """Answer with one line that says what to do."""
        error = about.get("exc_info", (None, None, None))[1]
        if isinstance(error, MinibitError):
            self.set_status(400)
            self.tell({"error": str(error)})
        else:
            self.tell({"error": REFUSALS.get(status_code, self._reason)})

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A bug of ours is printed on the terminal of the swarm; an error that the browser is told is not."""
        if not isinstance(value, HTTPError | MinibitError):
            super().log_exception(typ, value, tb)

    def tell(self, answer: Any, kind: str = JSON) -> None:
        """Answer with a text, with bytes, or with anything else as JSON."""
        self.set_header("Content-Type", kind)
        self.finish(answer if isinstance(answer, str | bytes) else msgspec.json.encode(answer))


REFUSALS = {
    403: "this needs the token of the address that was printed when the page was opened: open that address",
    404: "there is nothing at this address",
    405: "controls are POST, everything else is GET",
}


def _data(handler: Handler) -> dict[str, Any]:
    """The whole swarm: `data?pictures=blocks:0,rates:12`, each picture with the stamp that the page has of it."""
    server, wanted = handler.server, _stamps(handler.get_query_argument("pictures", ""))
    answer = server.swarm.overview()
    pictures = server.feeder.columns(wanted, answer["version"], server.swarm.run) if wanted else {}
    return answer | {"pictures": pictures, "poll_s": ENDED_POLL_S if answer["ended"] else POLL_S}


def _peer_data(handler: Handler) -> dict[str, Any]:
    """One peer: `peer-data?name=peer-07`."""
    answer = handler.server.swarm.peer(handler.get_query_argument("name"))
    return answer | {"poll_s": ENDED_POLL_S if answer["ended"] else POLL_S}


def _stamps(text: str) -> dict[str, int]:
    """`blocks:0,rates:12` as numbers by name; 0 for a stamp that is no number."""
    pairs = (part.partition(":") for part in text.split(",") if part)
    return {name: int(stamp) if stamp.isascii() and stamp.isdigit() else 0 for name, _, stamp in pairs}


PAGES: dict[str, tuple[str, Callable[[Handler], Any]]] = {
    "": (HTML, lambda handler: page.of_swarm(handler.server.token)),
    "peer": (HTML, lambda handler: page.of_peer(handler.get_query_argument("name"), handler.server.token)),
    "bokeh.js": ("text/javascript; charset=utf-8", lambda _: scripts()),
    "pictures": (JSON, lambda handler: msgspec.Raw(handler.server.feeder.draw(handler.server.swarm.run))),
    "data": (JSON, _data),
    "peer-data": (JSON, _peer_data),
}
"""By address: the type of the content, and the function that makes it, in a thread of its own."""

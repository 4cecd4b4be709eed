"""The server of the live page: a thread that answers browsers on the loopback, and nobody without the token.

Every request must bring the token of the printed address, in its query or in the header `X-Minibit-Token`; one without
gets 403 and does nothing, whatever it asks for. There is no cookie, so what another site makes a browser send (a forged
form, a name that is rebound to 127.0.0.1) lacks the token, and `Origin` and `Host` need no look; they could not have
one either, for behind an ssh tunnel or Jupyter's proxy they say anything. The page loads nothing from elsewhere, which
its Content-Security-Policy makes the browser itself enforce, and every address in it is relative.

The work of a request runs in a thread of its own, so one that waits for a slow actor stops nobody else.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread, current_thread
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from minibit.errors import LocalError, MinibitError
from minibit.lab.live import page
from minibit.lab.live.feeder import Feeder

if TYPE_CHECKING:
    from minibit.lab.run import Run

HOST = "127.0.0.1"
MOST_BODY_BYTES = 16 << 10
START_S = 10.0
POLL_S = 1.5  # between two looks of a page, and
ENDED_POLL_S = 5.0  # when nothing more can change
POLICY = "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
POLICY += "connect-src 'self'; img-src 'self' data: blob:; font-src data:; form-action 'none'; base-uri 'none'"


class LiveSwarm(Protocol):
    """Who holds the swarm. Each method may be called from any thread; `LocalError` says why something can't be."""

    def look(self) -> dict[str, Any]:
        """How things stand: `head`, `peers`, `version` (grows with the run), `ended`."""

    def run(self) -> Run:
        """All that was recorded so far."""

    def peer(self, name: str) -> dict[str, Any]:
        """One peer as it is now."""

    def kill(self, peer: str) -> str:
        """End a peer without a word; what was done, in words."""

    def add(self, count: int, behaviour: str) -> str:
        """So many more peers; what was done."""

    def limit(self, peer: str | None, upload: str | None) -> str:
        """A new limit (`4MiB/s`; None for none) on what one peer sends, or all but the seed; what was done."""


class Kill(msgspec.Struct, forbid_unknown_fields=True):
    """What the button `kill` says."""

    peer: str


class Add(msgspec.Struct, forbid_unknown_fields=True):
    """What the button `add` says."""

    count: int = 1
    behaviour: str = "honest"


class Limit(msgspec.Struct, forbid_unknown_fields=True):
    """What the button `limit` says."""

    peer: str | None = None
    upload: str | None = None


CONTROLS: dict[str, type[msgspec.Struct]] = {"kill": Kill, "add": Add, "limit": Limit}


class Server:
    """Serves `swarm` from its start until `close`, or until this process ends."""

    def __init__(self, swarm: LiveSwarm, port: int = 0) -> None:
        if not 0 <= port <= 65535:
            raise LocalError(f"port {port} is none: give one from 1 to 65535, or 0 for any that is free")
        self.swarm = swarm
        self.token = secrets.token_urlsafe(24)
        self.feeder = Feeder()
        self._at_work: set[Thread] = set()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        listening: Future[int] = Future()
        self._thread = Thread(target=self._main, args=(port, listening), name="minibit-live", daemon=True)
        self._thread.start()
        self.port = listening.result(START_S)

    @property
    def url(self) -> str:
        """The address of the page, with its token: who knows it controls the swarm."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def close(self) -> None:
        """Answer nobody any more."""
        with suppress(RuntimeError):  # closed before
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)

    def settle(self, timeout_s: float) -> None:
        """Wait until the requests that are under way are done, but no longer."""
        deadline = time.monotonic() + timeout_s
        for thread in list(self._at_work):
            thread.join(max(0.0, deadline - time.monotonic()))

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
        handlers: list[Any] = [(f"/{name}", kind, {"server": self}) for name, kind in HANDLERS.items()]
        handlers += [(f"/{name}", ControlHandler, {"server": self, "control": name}) for name in CONTROLS]
        nowhere: Any = {"default_handler_class": Handler, "default_handler_args": {"server": self}}
        application = Application(handlers, log_function=lambda handler: None, **nowhere)
        server = HTTPServer(application, max_body_size=MOST_BODY_BYTES)
        sockets = bind_sockets(port, HOST)
        server.add_sockets(sockets)
        listening.set_result(sockets[0].getsockname()[1])
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()

    async def do(self, work: Callable[[], Any]) -> Any:
        """What `work` gives, done in a thread of its own, which doesn't keep the process from ending."""
        answer: asyncio.Future[Any] = self._loop.create_future()

        def tell(result: Any, error: BaseException | None) -> None:
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        def run() -> None:
            result, error = None, None
            try:
                result = work()
            except Exception as raised:
                error = raised
            self._at_work.discard(current_thread())
            with suppress(RuntimeError):  # the server was closed meanwhile
                self._loop.call_soon_threadsafe(tell, result, error)

        thread = Thread(target=run, name="minibit-live-request", daemon=True)
        self._at_work.add(thread)
        thread.start()
        return await answer


class Handler(RequestHandler):
    """Asks for the token before anything else; by itself it knows no address."""

    def initialize(self, server: Server) -> None:
        """Called by tornado."""
        self.server = server

    def set_default_headers(self) -> None:
        """Nothing is kept, nothing is told to others, nothing comes from elsewhere."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.clear_header("Server")

    def prepare(self) -> None:
        """403 without the token."""
        told = self.request.headers.get("X-Minibit-Token", "").encode("utf-8", "replace")
        told = told or self.request.query_arguments.get("token", [b""])[-1]
        if not hmac.compare_digest(told, self.server.token.encode()):
            raise HTTPError(403)
        if type(self) is Handler:
            raise HTTPError(404)

    def write_error(self, status_code: int, **about: Any) -> None:
        """One line that says what to do."""
        error = about.get("exc_info", (None, None, None))[1]
        if isinstance(error, MinibitError):
            self.set_status(400)
            said = str(error)
        else:
            said = SAID.get(status_code, self._reason)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode({"error": said}))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """What the browser is told needs no line on the terminal of whoever runs the swarm; a bug of ours does."""
        if not isinstance(value, HTTPError | MinibitError):
            super().log_exception(typ, value, tb)

    def tell(self, answer: Any) -> None:
        """Answer with JSON."""
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(answer))

    def tell_page(self, html: str) -> None:
        """Answer with a page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(html)


SAID = {
    403: "this needs the token of the address that was printed when the page was opened: open that address",
    404: "there is nothing at this address",
    405: "controls are POST, everything else is GET",
}


class SwarmPage(Handler):
    """The page of the whole swarm."""

    def get(self) -> None:
        """The page."""
        self.tell_page(page.of_swarm(self.server.token))


class PeerPage(Handler):
    """The page of one peer: `peer?name=peer-07`."""

    def get(self) -> None:
        """The page."""
        self.tell_page(page.of_peer(self.get_query_argument("name"), self.server.token))


class Script(Handler):
    """Bokeh's own scripts."""

    async def get(self) -> None:
        """One file."""
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.finish(await self.server.do(page.bokeh_script))


class Pictures(Handler):
    """The pictures, to be fed by `data`."""

    async def get(self) -> None:
        """As JSON."""
        server = self.server
        self.tell(msgspec.Raw(await server.do(lambda: server.feeder.draw(server.swarm.run))))


class Data(Handler):
    """How things stand: `data?pictures=blocks:0,rates:12`, each with the stamp that the page has of it."""

    async def get(self) -> None:
        """As JSON."""
        wanted = _stamps(self.get_query_argument("pictures", ""))
        self.tell(await self.server.do(lambda: self._look(wanted)))

    def _look(self, wanted: dict[str, int]) -> dict[str, Any]:
        swarm = self.server.swarm
        look = swarm.look()
        look["pictures"] = self.server.feeder.columns(wanted, look["version"], swarm.run) if wanted else {}
        look["poll_s"] = ENDED_POLL_S if look["ended"] else POLL_S
        return look


class PeerData(Handler):
    """One peer: `peer-data?name=peer-07`."""

    async def get(self) -> None:
        """As JSON."""
        name = self.get_query_argument("name")
        found = await self.server.do(lambda: self.server.swarm.peer(name))
        self.tell(found | {"poll_s": ENDED_POLL_S if found["ended"] else POLL_S})


class ControlHandler(Handler):
    """A control: it moves the swarm, by POST only."""

    def initialize(self, server: Server, control: str = "") -> None:
        """Called by tornado."""
        super().initialize(server)
        self.control = control

    async def post(self) -> None:
        """Do it, and say in words what was done."""
        try:
            told = msgspec.json.decode(self.request.body, type=CONTROLS[self.control])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LocalError(f"{self.control} doesn't take that: {error}") from None
        act = getattr(self.server.swarm, self.control)
        self.tell({"said": await self.server.do(lambda: act(**msgspec.structs.asdict(told)))})


def _stamps(text: str) -> dict[str, int]:
    """`blocks:0,rates:12` as numbers by name; what is no stamp counts as none."""
    pairs = (part.partition(":") for part in text.split(",") if part)
    return {name: int(stamp) if stamp.isascii() and stamp.isdigit() else 0 for name, _, stamp in pairs}


HANDLERS: dict[str, type[Handler]] = {
    "": SwarmPage,
    "peer": PeerPage,
    "bokeh.js": Script,
    "pictures": Pictures,
    "data": Data,
    "peer-data": PeerData,
}

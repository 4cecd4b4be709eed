"""The live page without a swarm behind it: who is let in, what is answered, what the letters say, what it may cost."""

from __future__ import annotations

import http.client
import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from minibit import inventory
from minibit.content import VirtualContent
from minibit.errors import LocalError
from minibit.events import TRACKER
from minibit.records import BlockRecord, LinkRecord, PeerRecord, SampleRecord, ServingRecord
from minibit.run.ledger import Ledger
from minibit.run.options import Options
from minibit.seat import Seat

pytest.importorskip("bokeh", reason="the live page needs the extra `lab`")

from lab_runs import simulated

from minibit.lab import Run
from minibit.lab.live.budget import SHARE, START_S, Budget, Idle
from minibit.lab.live.feeder import Feeder
from minibit.lab.live.overview import Overview, letters
from minibit.lab.live.server import CONTROLS, HOST, PAGES, STRANGERS_MAX, Server
from minibit.lab.pictures import MAKERS, Picture

BLOCKS = 8
BLOCK_BYTES = 1 << 15
ALL = inventory.full(BLOCKS)


HEAD = {
    **{"run": "fake", "said": "1 of 2 peers complete", "completed": 1, "peers": 2, "share": 0.5},
    **{"rate_bps": 2e6, "elapsed_s": 61.0, "left_s": 8.1, "content_bytes": 1 << 20, "blocks": BLOCKS},
}
ROW = {
    **{"peer": "peer-01", "flags": "DuO", "share": 0.5, "links": 2, "serves": 1, "note": "free-rider", "there": True},
    **{"down_bps": 1e6, "up_bps": 0.0, "got_bytes": 5, "gave_bytes": 0},
}
STRIP = {"inventory": "f", "blocks": BLOCKS}
NEIGHBOUR = {
    **{"peer": "peer-02", "flags": "D", "share": 1.0, "down_bps": 1.0, "up_bps": 1.0, "blocks_in": 1, "blocks_out": 1},
    **{"asked": 1, "wanted": 0, "note": ""},
}
VIEW = {
    "in_flight": [5],
    "choker": {"name": "none", "round_s": 10.0, "slots": None, "guest_slots": 1, "fixed": ["peer-02"], "leases": []},
    "neighbours": [NEIGHBOUR],
}
BOX = {"verbs": [["PEDIDO", 1, 2]], "last": [[0.5, "in", "peer-02", "PEDIDO block 3"]]}


class FakeSwarm:
    """A source that answers what it is told to, and remembers what it was asked to do."""

    def __init__(self) -> None:
        self.whole, _ = simulated(peers=3, size="256KiB")
        self.done: list[tuple[Any, ...]] = []
        self.ended = False

    def overview(self) -> dict[str, Any]:
        return {
            "head": HEAD,
            "peers": [ROW | {"peer": TRACKER}, ROW, ROW | {"peer": "peer-02", "there": False}],
            "version": 1,
            "ended": self.ended,
        }

    def run(self) -> Run:
        return self.whole

    def peer(self, name: str) -> dict[str, Any]:
        if name != "peer-01":
            raise LocalError(f"there is no peer {name!r} in this swarm")
        return {"row": ROW | STRIP, "view": VIEW, "mailbox": BOX, "seen_ago_s": 0.0, "ended": self.ended}

    def kill(self, peer: str) -> str:
        self.done.append(("kill", peer))
        return f"{peer} is killed"

    def add(self, count: int, behaviour: str) -> str:
        self.done.append(("add", count, behaviour))
        return "they joined"

    def limit(self, peer: str | None, upload: str | None) -> str:
        if upload == "fast":
            raise LocalError("'fast' is no rate")
        self.done.append(("limit", peer, upload))
        return "limited"


class Answer(NamedTuple):
    """Of a server: status, headers in small letters, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return msgspec.json.decode(self.body)


class Client:
    """Asks a server, with its token unless told otherwise."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def ask(self, address: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        line = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        data = None if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        line.request(method, address, data, {"X-Minibit-Token": self.server.token, **headers})
        answer = line.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        line.close()
        return found


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = rich(Server(FakeSwarm()))
    yield server
    server.close()


def rich(server: Server) -> Server:
    """The server as on a machine that has nothing else to do."""
    server.feeder = Feeder(budget=Budget(idle=lambda: 100.0))
    return server


@pytest.fixture
def source(server) -> FakeSwarm:
    """A fresh source behind the server."""
    server.swarm = FakeSwarm()
    return server.swarm


@pytest.fixture
def client(server) -> Client:
    return Client(server)


# who is let in

ADDRESSES = [*PAGES, *CONTROLS, "nothing", "bokeh.js", "../data"]
BODIES = {"kill": {"peer": "peer-01"}, "add": {"count": 1}, "limit": {"upload": "1MiB/s"}}


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_request_without_the_token_gets_403_and_moves_nothing(source, client, method):
    for address in ADDRESSES:
        body = BODIES.get(address) if method == "POST" else None
        for header, query in (
            ("", ""),
            ("wrong", ""),
            ("\u00fc", ""),
            ("", "?token="),
            ("", "?token=%FF"),
            ("", "?token=a"),
        ):
            answer = client.ask(f"/{address}{query}", method, body, **{"X-Minibit-Token": header})
            assert (answer.status, source.done) == (403, []), (address, header, query)


def test_the_answer_to_who_lacks_it_says_which_address_to_open(client):
    said = client.ask("/", **{"X-Minibit-Token": ""}).told
    assert said == {
        "error": "this needs the token of the address that was printed when the page was opened: open that address"
    }


def test_connections_that_say_nothing_keep_nobody_out_and_are_few(server, client):
    with ExitStack() as stay:
        mine = client.ask("/data")
        count = STRANGERS_MAX + 10
        silent = [stay.enter_context(socket.create_connection((HOST, server.port))) for _ in range(count)]
        for line in silent[:10]:  # the oldest are shown out
            line.settimeout(10.0)
            assert line.recv(1) == b""
        assert mine.status == client.ask("/data").status == 200
        assert len(server.door.strangers) <= STRANGERS_MAX + 1


def test_the_token_opens_in_the_query_and_in_the_header_and_is_another_for_each_server(server, client, source):
    address = urlsplit(server.url)
    assert (address.scheme, address.hostname, address.port, address.path) == ("http", "127.0.0.1", server.port, "/")
    assert parse_qs(address.query) == {"token": [server.token]}
    nothing = {"X-Minibit-Token": ""}
    assert client.ask(f"{address.path}?{address.query}", **nothing).status == 200
    assert client.ask(f"/data?token={server.token}", **nothing).status == 200
    assert client.ask("/data").status == 200
    other = Server(source)
    assert other.token != server.token
    assert len(other.token) >= 32
    other.close()


def test_it_listens_on_the_loopback_only_and_no_cookie_stands_for_the_token(server, client):
    answer = client.ask("/", Host="evil.example", Origin="https://evil.example")
    assert answer.status == 200  # behind a proxy these say anything; the token is what counts
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    with pytest.raises(OSError):  # any other address of this machine
        http.client.HTTPConnection("127.0.0.2", server.port, timeout=5).connect()


def test_a_port_that_is_taken_or_is_none_is_said_in_one_line(server, source):
    with pytest.raises(LocalError, match=rf"port {server.port} can't be used for the page .*give another, or 0"):
        Server(source, server.port)
    with pytest.raises(LocalError, match="port 70000 is none: give one from 1 to 65535"):
        Server(source, 70000)


# what is answered


def test_an_address_that_is_none_is_404_for_who_has_the_token(client):
    assert client.ask("/nothing").status == 404


def test_data_says_how_things_stand_and_when_to_ask_again(source, client):
    first = client.ask("/data").told
    assert first == {**source.overview(), "pictures": {}, "poll_s": 1.5}
    source.ended = True
    assert client.ask("/data").told["poll_s"] == 5


def test_one_peer_is_answered_by_its_name_and_one_that_is_not_there_with_a_line(client, source):
    assert client.ask("/peer-data?name=peer-01").told == {**source.peer("peer-01"), "poll_s": 1.5}
    nobody = client.ask("/peer-data?name=peer-99")
    assert (nobody.status, nobody.told) == (400, {"error": "there is no peer 'peer-99' in this swarm"})


@pytest.mark.parametrize(
    ("control", "body", "done"),
    [
        ("kill", {"peer": "peer-01"}, ("kill", "peer-01")),
        ("add", {"count": 2, "behaviour": "liar"}, ("add", 2, "liar")),
        ("add", {}, ("add", 1, "honest")),
        ("limit", {"upload": "4MiB/s"}, ("limit", None, "4MiB/s")),
        ("limit", {"peer": "peer-01", "upload": None}, ("limit", "peer-01", None)),
    ],
)
def test_a_control_moves_the_swarm_by_post_and_says_what_was_done(source, client, control, body, done):
    assert client.ask(f"/{control}", "GET").status == 405
    assert source.done == []
    answer = client.ask(f"/{control}", "POST", body)
    assert answer.status == 200
    assert set(answer.told) == {"said"}
    assert source.done == [done]


@pytest.mark.parametrize(
    ("control", "body"),
    [
        ("kill", {}),
        ("kill", {"peer": 7}),
        ("kill", {"peer": "peer-01", "and": "more"}),
        ("add", {"count": "two"}),
        ("add", b"no JSON"),
        ("add", b"\xff"),
        ("limit", {"upload": "fast"}),
    ],
)
def test_a_control_that_can_t_be_is_a_line_that_says_why_and_moves_nothing(source, client, control, body):
    answer = client.ask(f"/{control}", "POST", body)
    assert answer.status == 400
    assert answer.told["error"]
    assert source.done == []


def test_a_body_that_is_too_long_is_not_even_read(source, client):
    with pytest.raises((AssertionError, http.client.HTTPException, OSError)):
        assert client.ask("/kill", "POST", b" " * (1 << 20)).status == 200
    assert source.done == []


def test_a_request_that_waits_stops_nobody_else(server, client, source):
    free, asked = Event(), Event()

    def slow(name: str) -> dict[str, Any]:
        asked.set()
        free.wait(30)
        return {"ended": False}

    source.peer = slow
    waiting = Thread(target=client.ask, args=("/peer-data?name=peer-01",))
    waiting.start()
    assert asked.wait(30)
    assert client.ask("/data").status == 200
    free.set()
    waiting.join()
    server.settle(0)


def test_a_request_that_has_not_begun_disturbs_nobody_who_waits_for_those_in_progress(server, client, monkeypatch):
    free, asked = Event(), Event()

    class Late(Thread):
        def start(self) -> None:
            asked.set()
            free.wait(30)
            super().start()

    monkeypatch.setattr("minibit.lab.live.server.Thread", Late)
    waiting = Thread(target=client.ask, args=("/data",))
    waiting.start()
    assert asked.wait(30)
    server.settle(0)
    free.set()
    waiting.join()
    server.settle(30)


def test_after_its_end_nobody_is_answered_and_closing_again_is_nothing(source):
    server = Server(source)
    assert Client(server).ask("/data").status == 200
    server.close()
    server.close()
    with pytest.raises(OSError):
        Client(server).ask("/data")


# pages

LINKS = re.compile(r"""(?:src|href|action)\s*=\s*["']([^"']+)|fetch\(\s*["'`]([^"'`]+)|url\(([^)]+)\)""")


@pytest.mark.parametrize("address", ["/", "/peer?name=peer-01"])
def test_every_address_in_a_page_is_relative_so_it_works_below_a_prefix(source, client, address):
    page = client.ask(address).body.decode()
    found = [next(filter(None, groups)) for groups in LINKS.findall(page)]
    assert [one for one in found if one.startswith(("/", "http:", "https:"))] == []
    assert "http://" not in page and "https://" not in page and "//cdn" not in page


PREFIX = "/user/ana/proxy/8000"


@contextmanager
def proxy(server: Server) -> Iterator[str]:
    """A proxy that shows the server below a prefix, as Jupyter does; the address of the page there."""

    class Below(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            address = self.path.removeprefix(PREFIX) if self.path.startswith(PREFIX) else "/outside"
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            line.request(self.command, address, body, dict(self.headers))
            answer = line.getresponse()
            data = answer.read()
            line.close()
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Security-Policy"):
                self.send_header(name, answer.getheader(name, ""))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Below) as below:
        Thread(target=below.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{below.server_port}{PREFIX}/?token={server.token}"
        below.shutdown()


def test_the_page_works_below_a_prefix_and_asks_for_nothing_elsewhere(source, opened):
    server = rich(Server(source))
    with proxy(server) as address:
        seen = opened(address)
        seen.page.wait_for_selector("#peers tbody tr")
        assert seen.drawn().page.locator("section.picture").count() == 1 + len(MAKERS)
        seen.page.wait_for_selector("section.picture[data-picture=time][data-stamp]", state="attached")
        seen.page.click("button.kill[data-peer=peer-01]")
        seen.page.wait_for_selector("#answer:text-is('peer-01 is killed')")
        assert source.done == [("kill", "peer-01")]
        assert seen.page.text_content("#figures").endswith("1 min 01 s · about 9 s to go")
        asked = []
        for answer in ("dismiss", "accept"):
            seen.page.once("dialog", lambda box, answer=answer: (asked.append(box.message), getattr(box, answer)()))
            seen.page.click(f"button.kill[data-peer={TRACKER}]")
        seen.page.wait_for_selector(f"#answer:text-is('{TRACKER} is killed')")
        assert source.done == [("kill", "peer-01"), ("kill", TRACKER)]
        assert len(asked) == 2 and asked[0].startswith("Kill the tracker?")
        assert all(url.startswith(address.partition("?")[0]) for url in seen.requests)
        link = seen.page.locator("#peers a", has_text="peer-01").evaluate("link => link.href")
        one = opened(link)
        one.page.wait_for_selector("#said:text('50 % of the blocks')")
        assert one.page.locator("#neighbours tbody tr").count() == 1
        one.page.click("nav a")
        one.page.wait_for_selector("#peers tbody tr")
        assert (seen.errors, one.errors) == ([], [])
        server.close()
        seen.page.wait_for_selector("#banner.lost")
        assert "connection is lost" in seen.page.text_content("#banner")


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_in_a_page_is_wider_than_the_window(server, source, opened, width):
    for address in (server.url, server.url.replace("?", "peer?name=peer-01&")):
        page = opened(address, width=width).page
        page.wait_for_selector("#said:not(:text('Asking'))")
        assert page.evaluate("() => document.documentElement.scrollWidth") == width


def test_a_name_in_a_page_is_only_text(client, source):
    page = client.ask("/peer?name=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").body.decode()
    assert "<script>alert" not in page


def test_bokeh_comes_from_the_server_itself(client):
    script = client.ask("/bokeh.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert len(script.body) > 1_000_000


def drawn(client: Client) -> Any:
    """The pictures, when all of them are drawn."""
    while "later_s" in (told := client.ask("/pictures").told):
        pass
    return told


def test_the_pictures_come_with_headings_places_and_one_document(client, source):
    told = drawn(client)
    names = [section["name"] for section in told["sections"]]
    assert names[0] == "time"
    assert {"blocks", "completion", "rates", "copies", "choking", "graph", "shares", "messages", "timeline"} < set(
        names
    )
    (item,) = told["items"]
    assert list(item["roots"].values()) == [f"picture-{name}" for name in names]
    assert told["documents"][item["docid"]]["roots"]


def test_a_picture_is_fed_in_bokeh_s_own_form_by_the_names_of_its_sources(server, client, source):
    drawn(client)
    fed = client.ask("/data?pictures=completion:0,time:0,nothing:0,odd").told["pictures"]
    assert set(fed) <= {"completion", "time"}
    assert fed
    for name, one in fed.items():
        assert one["stamp"] > 0
        assert all(source.startswith(f"{name}:") for source in one["columns"])
        assert all(columns["type"] == "map" for columns in one["columns"].values())


# what it may cost


class Machine:
    """Time on the wall, time of the processor, of which each picture costs `cost_s`, and how much is idle a second."""

    def __init__(self, cost_s: float, idle: float = 0.0) -> None:
        self.wall_s = self.processor_s = self.looked_s = 0.0
        self.cost_s = cost_s
        self.idle = idle
        self.fed: list[str] = []

    def make(self, run: Run) -> Iterator[Picture]:
        def picture(name: str) -> Picture:
            def feed(run: Run) -> dict[str, dict[str, Any]]:
                self.processor_s += self.cost_s
                self.fed.append(name)
                return {f"{name}:x": {"y": [1]}}

            return feeding_only(name, feed)

        for name in ("one", "two"):
            self.processor_s += self.cost_s
            yield picture(name)

    def idle_s(self) -> float:
        since_s, self.looked_s = self.looked_s, self.wall_s
        return (self.wall_s - since_s) * self.idle

    def feeder(self) -> Feeder:
        return Feeder(self.make, Budget(lambda: self.wall_s, lambda: self.processor_s, self.idle_s))

    def drawing(self, feeder: Feeder, run: Run) -> list[dict[str, Any]]:
        """What a page is told that asks each second until all is drawn."""
        told = [msgspec.json.decode(feeder.draw(lambda: run))]
        while "later_s" in told[-1]:
            self.wall_s += told[-1]["later_s"]
            told.append(msgspec.json.decode(feeder.draw(lambda: run)))
        return told


def feeding_only(name: str, feed: Any) -> Picture:
    from bokeh.models import Div  # noqa: PLC0415

    return Picture(name, name, name, Div(), feed, None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run() -> Run:
    return simulated(peers=2, size="64KiB")[0]


def test_a_picture_is_fed_when_there_is_news_and_told_to_who_has_not_seen_it(run):
    machine = Machine(0.0)
    feeder = machine.feeder()
    assert feeder.columns({"one": 0}, 1, lambda: run) == {}  # there is no such picture yet
    machine.drawing(feeder, run)
    assert feeder.columns({}, 1, lambda: run) == {}
    first = feeder.columns({"one": 0}, 1, lambda: run)
    assert (list(first), machine.fed) == (["one"], ["one"])
    assert feeder.columns({"one": first["one"]["stamp"]}, 1, lambda: run) == {}  # it is shown already
    assert feeder.columns({"one": 0}, 1, lambda: run) == first  # to another page, at no cost
    assert machine.fed == ["one"]
    assert feeder.columns({"one": first["one"]["stamp"]}, 2, lambda: run)["one"]["stamp"] > first["one"]["stamp"]


def test_pictures_are_drawn_when_the_machine_has_time_and_then_they_are_drawn_for_all_pages(run):
    idle, busy = Machine(0.3, idle=2.0), Machine(0.3)
    (*waits, drawn) = idle.drawing(idle.feeder(), run)
    assert len(waits) <= 2
    assert [section["name"] for section in drawn["sections"]] == ["one", "two"]
    feeder = busy.feeder()
    (*waits, drawn) = busy.drawing(feeder, run)
    assert (waits[0], waits[-1]) == ({"later_s": 1.0, "so_far": 1}, {"later_s": 1.0, "so_far": 2})
    assert busy.processor_s <= SHARE * busy.wall_s + START_S + busy.cost_s
    spent_s = busy.processor_s
    assert busy.drawing(feeder, run) == [drawn]
    assert busy.processor_s == spent_s


def test_however_often_pages_ask_the_pictures_cost_no_more_than_their_share(run):
    machine = Machine(0.05)
    feeder = machine.feeder()
    machine.drawing(feeder, run)
    began_s, began_at = machine.processor_s, machine.wall_s
    for version in range(2000):  # 200 s, ten times a second
        machine.wall_s = began_at + version / 10
        feeder.columns({"one": 0, "two": 0}, version, lambda: run)
    spent_s = machine.processor_s - began_s
    assert 0.9 * SHARE * 200 < spent_s < SHARE * 200 + START_S + machine.cost_s
    assert abs(machine.fed.count("one") - machine.fed.count("two")) <= 1  # the one that waits longest comes first


def test_idle_time_is_what_the_system_says_and_none_where_it_says_nothing(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 0 10 1000 5 0 0\ncpu0 10 0 10 1000 5 0 0\n")
    idle = Idle(str(stat))
    stat.write_text("cpu  10 0 10 1250 5 0 0\ncpu0 10 0 10 1250 5 0 0\n")
    assert (idle() * os.sysconf("SC_CLK_TCK"), idle()) == (250, 0)
    assert Idle(str(tmp_path / "nothing"))() == 0


# the letters


@pytest.mark.parametrize(
    ("true", "shown"),
    [
        ([], ""),
        (["down", "choked"], "D"),
        (["choked"], "d"),
        (["up", "choking"], "U"),
        (["choking"], "u"),
        (["choked", "choking", "guest", "snubbed"], "duOS"),
        (["down", "up", "guest"], "DUO"),
    ],
)
def test_a_capital_hides_its_small_letter(true, shown):
    every = dict.fromkeys(("down", "choked", "up", "choking", "guest", "snubbed"), False)
    assert letters(**{**every, **dict.fromkeys(true, True)}) == shown


def ledger_of(held: dict[str, int], **options: Any) -> Ledger:
    content = VirtualContent("film", BLOCKS * BLOCK_BYTES, BLOCK_BYTES)
    ledger = Ledger("tuesday", Options.build(peers=len(held), **options), content)
    for name, blocks in {TRACKER: ALL, **held}.items():
        ledger.open(Seat(name=name, seeds=name == TRACKER), blocks)
    return ledger


def rows(ledger: Ledger, now: float = 10.0) -> dict[str, dict[str, Any]]:
    overview = Overview(ledger)
    overview.take(ledger.noted)
    return {row["peer"]: row for row in overview.rows(now)}


def flags(ledger: Ledger, now: float = 10.0) -> dict[str, str]:
    return {name: row["flags"] for name, row in rows(ledger, now).items()}


def linked(*pairs: tuple[str, str]) -> list[LinkRecord]:
    return [LinkRecord(1.0, a, b, "linked") for one, other in pairs for a, b in ((one, other), (other, one))]


def test_the_letters_of_a_swarm_say_how_all_its_neighbours_see_a_peer():
    ledger = ledger_of({"peer-01": 0b0011, "peer-02": 0b0110, "peer-03": ALL})
    ledger.enter_all(linked(("peer-01", "peer-02"), (TRACKER, "peer-01"), ("peer-03", "peer-02")))
    assert flags(ledger) == {TRACKER: "d", "peer-01": "du", "peer-02": "du", "peer-03": "d"}
    ledger.enter_all(
        [
            ServingRecord(2.0, TRACKER, "peer-01", "fixed"),
            ServingRecord(2.0, "peer-03", "peer-02", "guest"),
            BlockRecord(3.0, "peer-01", 7, TRACKER, 0.5, "useful", BLOCK_BYTES),
        ]
    )
    assert flags(ledger) == {TRACKER: "D", "peer-01": "dU", "peer-02": "dUO", "peer-03": "D"}
    ledger.enter_all([ServingRecord(4.0, TRACKER, "peer-01", "none"), LinkRecord(4.0, "peer-03", "peer-02", "lost")])
    assert flags(ledger)[TRACKER] == "d"
    assert "U" not in flags(ledger)["peer-01"]


def test_a_peer_that_should_send_and_does_not_is_snubbed_and_one_that_is_gone_has_no_letters():
    ledger = ledger_of({"peer-01": 0}, request_timeout="10s")
    ledger.enter_all([*linked((TRACKER, "peer-01")), ServingRecord(1.0, TRACKER, "peer-01", "fixed")])
    assert flags(ledger, 10.9)[TRACKER] == "D"
    assert flags(ledger, 11.1)[TRACKER] == "DS"
    ledger.enter_all([BlockRecord(11.0, "peer-01", 0, TRACKER, 9.0, "useful", BLOCK_BYTES)])
    assert flags(ledger, 11.1)[TRACKER] == "D"
    ledger.died("peer-01", 12.0)
    assert flags(ledger, 60.0) == {TRACKER: "", "peer-01": ""}
    gone = rows(ledger)["peer-01"]
    assert (gone["there"], gone["note"], gone["links"]) == (False, "died", 0)


def sample(at_s: float, peer: str, sent: int, received: int) -> SampleRecord:
    return SampleRecord(at_s, peer, 0, 0, 0, 0, sent, received, 0)


def test_rates_are_those_of_the_last_seconds_and_of_nobody_who_is_silent():
    ledger = ledger_of({"peer-01": 0})
    ledger.enter_all(
        [sample(at_s, "peer-01", 0, received) for at_s, received in ((0, 0), (10, 0), (12, 40), (15, 100))]
    )
    row = rows(ledger, 15.5)["peer-01"]
    assert (row["down_bps"], row["got_bytes"]) == (20.0, 100)
    assert rows(ledger, 40.0)["peer-01"]["down_bps"] == 0.0


def test_the_head_says_how_far_all_are_and_stands_still_when_nobody_is_waited_for():
    ledger = ledger_of({"peer-01": 0b1111, "peer-02": ALL})
    head = Overview(ledger).head(50.0)
    assert (head["said"], head["share"], head["elapsed_s"]) == ("The peers are starting.", 0.75, 0.0)
    ledger.enter_all([PeerRecord(20.0, "peer-02", "started"), PeerRecord(30.0, "peer-02", "completed")])
    head = Overview(ledger).head(50.0)
    assert (head["said"], head["completed"], head["elapsed_s"]) == ("1 of 2 peers complete", 1, 30.0)
    ledger.enter_all([PeerRecord(45.0, "peer-01", "completed")])
    assert Overview(ledger).head(50.0)["elapsed_s"] == 25.0


def test_the_head_says_how_long_it_will_take_at_this_rate_while_something_moves():
    ledger = ledger_of({"peer-01": 0b0011, "peer-02": ALL})
    overview = Overview(ledger)
    assert overview.head(1.0)["left_s"] is None
    ledger.enter_all([sample(at_s, "peer-01", 0, at_s * BLOCK_BYTES // 2) for at_s in (0, 2)])
    overview.take(ledger.noted)
    assert overview.head(2.0)["left_s"] == 6 / 0.5
    assert overview.head(60.0)["left_s"] is None


def test_a_peer_of_which_nothing_was_heard_is_not_here_yet():
    ledger = ledger_of({"peer-01": 0, "peer-02": 0})
    ledger.enter_all([sample(1.0, "peer-01", 0, 0)])
    assert [row["note"] for row in rows(ledger).values()] == ["seed", "", "not here yet"]


def test_a_record_is_read_once_however_often_one_looks():
    ledger = ledger_of({"peer-01": 0})
    overview = Overview(ledger)
    for at_s in range(3):
        ledger.enter_all([sample(at_s, "peer-01", 0, at_s * 10)])
        overview.take(ledger.noted)
        overview.take(ledger.noted)
    assert {row["peer"]: row["down_bps"] for row in overview.rows(3.0)}["peer-01"] == 10.0

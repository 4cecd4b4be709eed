"""The live page of real swarms: it follows one to its end, its buttons move it, and two threads never get in each
other's way."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from script import SLOW, SOON_S, Run

pytest.importorskip("bokeh", reason="the live page needs the extra `lab`")

from minibit.actors import Swarm
from minibit.errors import LocalError

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

BOUND_S = 90.0
MIB = 1 << 20
ENOUGH_MS = 1000 * BOUND_S


def ask(url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What the page at `url` answers its script."""
    address = urlsplit(url)
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-Minibit-Token": address.query.removeprefix("token=")}
    with urlopen(Request(f"http://{address.netloc}/{path}", data, headers), timeout=BOUND_S) as answer:
        return json.load(answer)


class Waiting(Thread):
    """Somebody waits for a swarm, in another thread than the test: a browser can be driven by the main one only."""

    def __init__(self, swarm: Swarm) -> None:
        super().__init__(daemon=True)
        self.swarm = swarm
        self.start()

    def run(self) -> None:
        self.summary = self.swarm.wait(timeout=BOUND_S)

    def summed_up(self) -> Any:
        self.join(BOUND_S)
        return self.summary


def until(url: str, path: str, holds: Any) -> Any:
    """What the page says when it says that."""
    for _ in range(600):
        told = ask(url, path)
        if holds(told):
            return told
        Event().wait(0.1)
    raise AssertionError(f"it never came to that: {told}")


def test_the_page_follows_a_swarm_to_its_end_and_its_buttons_move_it(ray_cluster, tmp_path, opened, monkeypatch):
    monkeypatch.setattr("minibit.lab.live.budget.SHARE", 10.0)  # however busy this machine is
    options = {"size": "1MiB", "upload": "8KiB/s", "seed_upload": "16KiB/s", "round": "1s"}  # minutes
    with Swarm.launch(name="shown", peers=3, out=tmp_path / "run", **options) as swarm:
        url = swarm.live().url
        assert swarm.live().url == url
        waiting = Waiting(swarm)
        seen = opened(url)
        page = seen.page
        page.wait_for_selector("#said:text('0 of 3 peers complete')")
        page.wait_for_selector("td.flags:text-matches('[DU]')")
        seen.drawn()
        first = seen.source("time:axis")["end_s"][0]
        page.wait_for_function(
            "(first) => Bokeh.documents[0].get_model_by_name('time:axis').data.end_s[0] > first", arg=first
        )

        one = opened(url.replace("?", "peer?name=peer-01&"))
        one.page.wait_for_selector("#neighbours td.flags:text-matches('[DU]')")
        one.page.wait_for_selector("#verbs tr:has-text('PEDIDO')")
        assert "tit-for-tat, a round each 1.0 s" in one.page.text_content("#choker")

        page.click("button.kill[data-peer=peer-02]")
        page.wait_for_selector("tr.gone:has-text('peer-02')")
        assert "died" in page.text_content("tr.gone")
        page.click("[data-control=add] button")
        page.wait_for_selector("#answer:text-is('peer-04 joined')")
        for peer, who in (("", "every peer"), ("tracker", "tracker")):
            page.select_option("[data-control=limit] select", peer)
            page.fill("[data-control=limit] input[name=upload]", "8MiB/s")
            page.click("[data-control=limit] button")
            page.wait_for_selector(f"#answer:text-is('{who} sends at most 8MiB/s')")

        summary = waiting.summed_up()
        assert [failure.peer for failure in summary.failed] == ["peer-02"]
        assert (summary.peers, summary.verified, summary.bound_s) == (4, 3, None)
        page.wait_for_selector("#said:text('3 of 4 peers complete, 3 verified')")
        assert page.is_hidden("#banner")  # its actors are still there
    for shown in (page, one.page):
        shown.wait_for_selector("#banner:text('The swarm has ended')")
    assert page.locator("#controls button:enabled, button.kill:enabled").count() == 0
    assert seen.source("blocks:blocks")["block"]
    assert "as it was seen" in one.page.text_content("#said") or one.page.locator("#neighbours tr").count() > 1
    assert seen.errors == one.errors == []
    with pytest.raises(OSError, match="400"):
        ask(url, "kill", {"peer": "peer-01"})
    swarm.live().close()
    with pytest.raises(OSError, match="refused"):
        ask(url, "data")
    page.wait_for_selector("#banner.lost")


def test_when_nobody_waits_the_page_takes_the_news_itself_and_otherwise_it_does_not(ray_cluster, tmp_path):
    with Swarm.launch(name="alone", peers=2, size="256KiB", out=tmp_path / "run") as swarm:
        url = swarm.live().url
        told = until(url, "data", lambda told: told["head"]["completed"] == 2)
        assert told["head"]["said"] == "2 of 2 peers complete"
        assert {row["peer"]: row["share"] for row in told["peers"]} == {"tracker": 1, "peer-01": 1, "peer-02": 1}
        drained = swarm._collector.ledger.accounts["peer-01"].batches
        for _ in range(5):
            swarm._collector._drained_at += 1000  # as if somebody waited
            ask(url, "data")
        assert swarm._collector.ledger.accounts["peer-01"].batches == drained
        assert swarm.wait(timeout=BOUND_S).verified == 2


def test_peers_that_the_page_adds_while_somebody_waits_are_waited_for(ray_cluster, tmp_path):
    with Swarm.launch(name="crowd", peers=2, size="1MiB", seed_upload="128KiB/s", out=tmp_path / "run") as swarm:
        url = swarm.live().url
        waiting = Waiting(swarm)
        asking = [Thread(target=ask, args=(url, "add", {"count": 1})) for _ in range(2)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(BOUND_S)
        assert ask(url, "limit", {"peer": "tracker", "upload": None})["said"] == "tracker sends as fast as it can"
        assert (waiting.summed_up().peers, waiting.summary.verified) == (4, 4)
        told = ask(url, "data?pictures=blocks:0")
        assert [row["note"] for row in told["peers"]] == ["seed", *["verified"] * 4]


def test_an_attached_swarm_has_no_live_page_and_a_closed_page_can_be_opened_anew(ray_cluster, tmp_path):
    with Swarm.launch(name="anew", peers=1, size="64KiB", out=tmp_path / "run") as swarm:
        with pytest.raises(LocalError, match="this handle is attached"):
            Swarm.attach("anew").live()
        page = swarm.live()
        assert page.url in repr(page)
        assert page.url in page._repr_html_()
        page.close()
        assert repr(page).endswith(", closed>")
        assert ask(swarm.live().url, "data")["head"]["run"] == "anew"


def test_ctrl_c_while_a_page_is_open_leaves_nothing_behind(tmp_path: Path):
    with Run(tmp_path, *SLOW, "--live") as run:
        url = run.said(r"live page: (\S+)")[1]
        until(url, "data", lambda told: told["head"]["rate_bps"] > 0)
        assert ask(url, "peer-data?name=peer-01")["view"]["neighbours"]
        polling = Thread(target=until_it_is_gone, args=(url, "peer-data?name=peer-01"), daemon=True)
        polling.start()
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.wait(SOON_S) == 130, run.stderr
        assert run.stderr.endswith("run_swarm: interrupted\n")
        assert "Traceback" not in run.stderr
        assert not list(run.tmp.glob("minibit-*"))
        polling.join(BOUND_S)


def until_it_is_gone(url: str, path: str) -> None:
    """Ask again and again, as long as anybody answers."""
    with suppress(OSError, ValueError, HTTPException):
        while True:
            ask(url, path)

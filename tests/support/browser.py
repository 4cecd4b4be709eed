"""A real browser for the tests of pages: the system's chromium, headless, driven by playwright.

A test that asks for `opened` gets `opened(path_or_address)`: a page that has loaded, and remembers what it asked the
network for and what went wrong in it. Where there is no chromium the test is skipped and says why.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # root may not have one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
]
ENOUGH_MS = 60_000
DRAWN = "() => window.Bokeh !== undefined && Bokeh.documents.length > 0 && Bokeh.documents.every((one) => one.is_idle)"


class Opened:
    """A page in the browser.

    page      playwright's page
    requests  the addresses it asked for, beside its own and what it has in itself (`data:`, `blob:`)
    errors    what it said on the console as an error or a warning, and what it threw
    """

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(ENOUGH_MS)
        page.on("request", lambda request: self._asked(request.url, address))
        page.on("console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _asked(self, url: str, address: str) -> None:
        if url != address and not url.startswith(("data:", "blob:")):
            self.requests.append(url)

    def drawn(self) -> Opened:
        """Wait until every picture in it is drawn."""
        self.page.wait_for_function(DRAWN)
        return self

    def source(self, name: str) -> dict[str, list[Any]]:
        """The columns of the source of that name, as they are in the page now."""
        found: dict[str, list[Any]] = self.page.evaluate(
            """(name) => {
                const several = (value) => ArrayBuffer.isView(value) || Array.isArray(value)
                const plain = (value) => several(value) ? Array.from(value, plain) : value
                const source = Bokeh.documents.map((one) => one.get_model_by_name(name)).find((one) => one !== null)
                return Object.fromEntries(Object.entries(source.data).map(([key, column]) => [key, plain(column)]))
            }""",
            name,
        )
        return found

    def set_clock(self, at_s: float) -> None:
        """Move the slider of the pictures."""
        self.page.evaluate("(at_s) => { Bokeh.documents[0].get_model_by_name('time:slider').value = at_s }", at_s)


Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's chromium, the same for all tests of a file; as long as it is there, asyncio.run can't be used."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  most tests need none

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Open a file (with the network cut) or an address, at 1280 pixels or at `width`, on a light or a `dark` system."""
    contexts = []

    def open_page(where: Path | str, width: int = 1280, height: int = 900, dark: bool = False) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            offline=isinstance(where, Path),
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        address = where.absolute().as_uri() if isinstance(where, Path) else where
        found = Opened(context.new_page(), address)
        found.page.goto(address)
        return found

    yield open_page
    for context in contexts:
        context.close()

"""The pages themselves: `page.html` with a body, its script and its style.

Everything is in the page, or comes from the same server by a relative address, so it works below a prefix too. The page
asks for the pictures, and for Bokeh's scripts, only when it is scrolled to them.
"""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path
from string import Template
from urllib.parse import quote

from minibit.lab.pictures.shade import SHADE

HERE = Path(__file__).parent


def of_swarm(token: str) -> str:
    """The page of the whole swarm."""
    return _page(token, "swarm", "swarm.html")


def of_peer(name: str, token: str) -> str:
    """The page of one peer."""
    return _page(token, name, "peer.html", peer=html.escape(name))


def _page(token: str, what: str, body: str, **values: str) -> str:
    return Template(_text("page.html")).substitute(
        what=html.escape(what),
        token=html.escape(token),
        style=_text("page.css"),
        body=Template(_text(body)).substitute(values, token=quote(token), flags=_text("flags.html")),
        shade=SHADE,
        program=_text("page.js"),
    )


@cache
def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")

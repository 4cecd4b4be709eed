"""Pictures as HTML: a section for each, one document behind all, and Bokeh's scripts themselves.

Nothing here names an address: a page made of these parts opens without a network.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape

from bokeh.document import Document
from bokeh.embed import components
from bokeh.resources import Resources

from minibit.lab.pictures.picture import Picture
from minibit.lab.pictures.shade import SHADE

WIDE = ("time", "blocks", "shares", "timeline")  # pictures that take the whole width of a wide page
BOKEH = Resources(mode="inline", components=["bokeh", "bokeh-widgets"])
STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1a1a1a; --soft: #555b61; --line: #d5d9dd; --warn: #D55E00; }
@media screen and (prefers-color-scheme: dark) {
    :root { --page: #15181c; --ink: #dde2e7; --soft: #a3abb3; --line: #3a4149; --warn: #e8813a; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 0 16px 32px; max-width: 1280px; background: var(--page); color: var(--ink);
       font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5em; margin: 0.8em 0 0.2em; overflow-wrap: anywhere; }
h2 { font-size: 1.1em; margin: 0 0 0.2em; }
p { margin: 0 0 0.6em; }
section p { color: var(--soft); font-size: 0.9em; max-width: 48em; }
.missing { border-left: 4px solid var(--warn); padding-left: 10px; }
table { border-collapse: collapse; margin: 0.6em 0 1.2em; }
td, th { padding: 2px 14px 2px 0; text-align: left; vertical-align: top; font-weight: normal; overflow-wrap: anywhere; }
th { color: var(--soft); white-space: nowrap; }
code { font: 0.93em/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
code span { display: inline-block; }
main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 28px 32px; }
section { min-width: 0; }
#time { position: sticky; top: 0; z-index: 10; background: var(--page); padding: 6px 0;
        border-bottom: 1px solid var(--line); }
#time h2, #time p { display: none; }
#peers > div { max-height: 70vh; overflow: auto; }
#peers table { margin: 0; font-variant-numeric: tabular-nums; }
#peers thead th { position: sticky; top: 0; background: var(--page); }
#peers td, #peers tbody th { border-bottom: 1px solid var(--line); overflow-wrap: normal; }
#peers tbody th { color: inherit; }
#peers .number { text-align: right; white-space: nowrap; }
@media (min-width: 1000px) {
    main { grid-template-columns: repeat(2, minmax(0, 1fr)); }
    section.wide { grid-column: 1 / -1; }
}
@media (max-width: 500px) { body { padding: 0 8px 24px; font-size: 14px; } }
/* pictures keep their width on the screen, so the page is that wide, and the printer scales it to its paper */
@page { size: 1360px 1924px; margin: 40px; }
@media print {
    body { padding: 0; }
    body.two main { grid-template-columns: repeat(2, minmax(0, 1fr)); }
    body.two section.wide { grid-column: 1 / -1; }
    section { break-inside: avoid; }
    #peers { break-inside: auto; }
    #peers > div { max-height: none; }
    #time { display: none; }
}
"""


TWO = (
    "<script>addEventListener('beforeprint', () => document.body.classList.toggle('two', innerWidth >= 1000))</script>"
)
"""A script of the page: a page that has two columns on the screen is printed in two columns."""


def document_of(pictures: Iterable[Picture]) -> Document:
    """One document of these pictures."""
    document = Document()
    with document.models.freeze():  # one walk through all models, not one for each picture
        for picture in pictures:
            document.add_root(picture.model)
    return document


def placed(pictures: Sequence[Picture]) -> tuple[str, str]:
    """The sections of these pictures, and the script that fills them."""
    script, divs = components(document_of(pictures).roots)
    return "\n".join(map(section, pictures, divs)), f"{script}\n<script>{SHADE}\nminibit_shade(0)</script>"


def section(picture: Picture, div: str) -> str:
    """One picture with its title and what to look for."""
    wide = ' class="wide"' if picture.name in WIDE else ""
    title, look = escape(picture.title), escape(picture.look)
    return f'<section id="{picture.name}"{wide}>\n<h2>{title}</h2>\n<p>{look}</p>\n{div}\n</section>'


def library() -> str:
    """Bokeh, as it is installed, in script elements."""
    return str(BOKEH.render())


@cache
def scripts() -> bytes:
    """The same scripts alone, in one file."""
    return "\n".join(BOKEH.js_raw).encode()


@cache
def packed_library() -> str:
    """The same compressed (gzip) in base64: a third of their size."""
    return b64encode(gzip.compress(scripts(), mtime=0)).decode()

"""The colours of pictures on a dark page.

Pictures are made for a light page. `SHADE` changes their colours in the browser, by the palette `DARK`, where the page
around them is dark, and changes them back when the reader's system changes. Colours that are not in the palette can be
told apart on both.
"""

from __future__ import annotations

import json

from minibit.lab.pictures.canvas import BLUE, CELL, GREY, GRID, INK, PALE, WHITE

DARK = {
    WHITE: "#15181C",
    INK: "#DDE2E7",
    GREY: "#606871",
    GRID: "#2A2F35",
    CELL: "#3A4149",
    PALE: "#2E343B",
    BLUE: "#3D9AD9",
}

_SCRIPT = """
// Shade the documents of Bokeh from this one on, as soon as they are there.
window.minibit_shade ??= (() => {
    const dark = PALETTE, light = Object.fromEntries(Object.entries(dark).map(([one, other]) => [other, one]))
    const system = matchMedia("screen and (prefers-color-scheme: dark)"), shaded = new Set()
    const is_dark = () => {  // notebooks have a theme of their own
        const {className, dataset} = document.body
        if (dataset.jpThemeLight) return dataset.jpThemeLight === "false"
        return /\\bvscode-/.test(className) ? /\\bvscode-(dark|high-contrast)\\b/.test(className) : system.matches
    }
    const paint = (shown) => {
        const colours = is_dark() ? dark : light
        const other = (one) => typeof one === "string" ? colours[one.toUpperCase()] : undefined
        for (const model of shown.all_models) for (const property of model) {
            if (property.is_unset) continue
            const value = property.get_value(), attribute = property.attr
            if (attribute === "palette") model.setv({palette: value.map((one) => other(one) ?? one)})
            else if (other(value)) model.setv({[attribute]: other(value)})
            else if (other(value?.value)) model.setv({[attribute]: {...value, value: other(value.value)}})
        }
    }
    const repaint = () => shaded.forEach(paint)
    system.addEventListener("change", repaint)
    const shade = (from) => {
        const shown = (window.Bokeh?.documents ?? []).slice(from)
        if (!shown.length) return requestAnimationFrame(() => shade(from))
        shown.forEach((one) => shaded.add(one))
        if (is_dark()) shown.forEach(paint)
    }
    return shade
})()
"""
SHADE = _SCRIPT.replace("PALETTE", json.dumps(DARK))
"""A script that defines `minibit_shade(from)`."""

// The live page: polls its server, and shows the answers. All addresses are relative, so it works below any prefix; the
// token goes in a header. A page that is hidden doesn't poll.
"use strict"
{
const {token, what} = document.body.dataset
const RETRY_S = 5
const find = (id) => document.getElementById(id)
const whole = what === "swarm"
let ended = false

class Refused extends Error {}  // the server answered, and said no

async function ask(address, body) {
    const request = {headers: {"X-Minibit-Token": token}, cache: "no-store", signal: AbortSignal.timeout(60000)}
    if (body !== undefined) Object.assign(request, {method: "POST", body: JSON.stringify(body)})
    const answer = await fetch(address, request)
    const found = await answer.json()
    if (!answer.ok) throw new Refused(found.error)
    return found
}

// polling

async function poll() {
    let again_s = RETRY_S
    try {
        const found = await ask(whole ? "data?pictures=" + wanted() : "peer-data?name=" + encodeURIComponent(what))
        again_s = found.poll_s
        ended = found.ended
        whole ? showSwarm(found) : showPeer(found)
        banner(ended ? "The swarm has ended. This is the last that is known of it." : "")
        for (const button of document.querySelectorAll("#controls button, button.kill"))
            button.disabled = ended || "gone" in button.dataset || "busy" in button.dataset
    } catch (error) {
        banner(error instanceof Refused
            ? `The swarm's program refuses this page: ${error.message}.`
            : "The connection is lost: the program that ran the swarm has ended, or the way to it is cut. " +
              "This is the last that was seen; the page keeps trying.", true)
    }
    clearTimeout(poll.timer)
    if (!document.hidden) poll.timer = setTimeout(poll, 1000 * again_s)
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll() })

function banner(text, lost = false) {
    const place = find("banner")
    place.hidden = !text
    place.classList.toggle("lost", lost)
    if (place.textContent !== text) place.textContent = text
}

// acting

async function act(control, body, button) {
    button.disabled = true
    button.dataset.busy = ""
    say(`${control} ...`)
    try {
        say((await ask(control, body)).said)
    } catch (error) {
        say(error instanceof Refused ? error.message : "no answer: is the program still there?", true)
    }
    delete button.dataset.busy
    button.disabled = ended
    poll()
}

function say(text, bad = false) {
    find("answer").textContent = text
    find("answer").classList.toggle("bad", bad)
}

document.addEventListener("click", ({target}) => {
    if (!target.matches("button.kill")) return
    const {peer} = target.dataset, last = "It is the seed too: without it nobody may ever be complete, and no peer can join."
    if (peer !== "tracker" || confirm(`Kill the tracker? ${last}`)) act("kill", {peer}, target)
})
document.addEventListener("submit", (event) => {
    event.preventDefault()
    const form = event.target, fields = Object.fromEntries(new FormData(form))
    if ("count" in fields) fields.count = Number(fields.count)
    for (const name of ["peer", "upload"]) if (fields[name]?.trim() === "") fields[name] = null
    act(form.dataset.control, fields, form.querySelector("button"))
})

// showing

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"]
function size(bytes) {
    let unit = 0
    for (; bytes >= 999.5 && unit < UNITS.length - 1; unit++) bytes /= 1024
    return `${bytes >= 99.95 || !unit ? bytes.toFixed(0) : bytes.toFixed(1)} ${UNITS[unit]}`
}
const rate = (bps) => bps >= 1 ? size(bps) + "/s" : ""
const percent = (share) => `${Math.floor(100 * share)} %`
const duration = (s) => s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${String(Math.floor(s % 60)).padStart(2, "0")} s`
const roughly = (s) => s < 60 ? `${Math.ceil(s)} s` : s < 3600 ? `${Math.ceil(s / 60)} min` : `${(s / 3600).toFixed(1)} h`

const element = (tag, textContent = "", className = "") =>
    Object.assign(document.createElement(tag), {textContent, className})

function bar(share) {
    const made = Object.assign(element("span", "", "bar"), {title: percent(share)}), full = element("div")
    full.style.width = `${100 * share}%`
    made.append(full)
    return made
}

const peerLink = (name) =>
    Object.assign(element("a", name), {href: `peer?name=${encodeURIComponent(name)}&token=${encodeURIComponent(token)}`})

// Fill a table: `rows` are lists of texts and elements. A cell has the class of its column's head, and is touched only
// if it changes, so that what is under the mouse, or selected, stays.
function fill(id, rows, marks = []) {
    const body = find(id).tBodies[0], heads = find(id).tHead.rows[0].cells
    while (body.rows.length > rows.length) body.deleteRow(-1)
    rows.forEach((cells, at) => {
        const row = body.rows[at] ?? body.insertRow()
        row.className = marks[at] ?? ""
        cells.forEach((cell, column) => {
            const place = row.cells[column] ?? row.insertCell()
            if (place.className !== heads[column].className) place.className = heads[column].className
            const seen = cell instanceof Element ? cell.outerHTML : String(cell)
            if (place.seen === seen) return
            place.seen = seen
            place.replaceChildren(cell)
        })
    })
}

function killer(row) {
    const button = Object.assign(element("button", "kill", "kill"), {ariaLabel: `kill ${row.peer}`})
    button.dataset.peer = row.peer
    if (!row.there) button.dataset.gone = button.hidden = true
    return button
}

function showSwarm({head, peers, pictures}) {
    find("run").textContent = head.run
    find("said").textContent = head.said
    find("progress").firstElementChild.style.width = `${100 * head.share}%`
    find("progress").setAttribute("aria-valuenow", Math.floor(100 * head.share))
    find("figures").textContent = [
        `${percent(head.share)} of the blocks`, `${size(head.content_bytes)} in ${head.blocks} blocks`,
        rate(head.rate_bps), duration(head.elapsed_s), head.left_s == null ? "" : `about ${roughly(head.left_s)} to go`,
    ].filter(Boolean).join(" · ")
    fill("peers", peers.map((row) => [
        peerLink(row.peer), row.flags, bar(row.share), rate(row.down_bps), rate(row.up_bps), size(row.got_bytes),
        size(row.gave_bytes), row.links || "", row.serves || "", row.note, killer(row),
    ]), peers.map((row) => row.there ? "" : "gone"))
    const choice = document.querySelector("[data-control=limit] select")
    const there = peers.filter((row) => row.there).map((row) => row.peer)
    if (choice.seen !== String(there)) {
        const chosen = choice.value
        choice.seen = String(there)
        choice.replaceChildren(new Option("all peers", ""), ...there.map((name) => new Option(name)))
        choice.value = there.includes(chosen) ? chosen : ""
    }
    for (const [name, fed] of Object.entries(pictures)) feed(name, fed)
}

// pictures: those that are in sight are asked for, each with the stamp of what is shown

const insight = new Set()
const watcher = new IntersectionObserver((changes) => {
    for (const {target, isIntersecting} of changes) {
        if (target.id === "pictures") { if (isIntersecting) draw(target) }
        else insight[isIntersecting ? "add" : "delete"](target.dataset.picture)
    }
})
if (whole) watcher.observe(find("pictures"))

async function draw(place) {
    watcher.unobserve(place)
    const wait = place.firstElementChild
    wait.textContent = "Drawing ..."
    try {
        let drawn
        while ((drawn = await ask("pictures")).later_s) {
            wait.textContent = `Drawing, when the machine has time for it: ${drawn.so_far} pictures so far ...`
            await new Promise((go) => setTimeout(go, 1000 * drawn.later_s))
        }
        const {sections, documents, items} = drawn
        await bokeh()
        place.replaceChildren(...sections.map(({name, title, look}) => {
            const section = element("section", "", "picture"), drawing = element("div")
            section.dataset.picture = name
            drawing.id = `picture-${name}`
            section.append(element("h2", title), drawing, element("p", look))
            return section
        }))
        minibit_shade(0)
        await Bokeh.embed.embed_items(documents, items)
        for (const section of place.children) watcher.observe(section)
    } catch (error) {
        place.replaceChildren(element("p", `The pictures can't be drawn (${error.message}): load the page again.`))
    }
}

const bokeh = () => new Promise((loaded, failed) => {
    const script = element("script")
    script.onload = loaded
    script.onerror = () => failed(new Error("no answer"))
    script.src = "bokeh.js?token=" + encodeURIComponent(token)
    document.head.append(script)
})

function wanted() {
    const names = insight.size ? [...new Set([...insight, "time"])] : []
    return names.map((name) => `${name}:${document.querySelector(`[data-picture=${name}]`).dataset.stamp ?? 0}`).join(",")
}

function feed(name, {stamp, columns}) {
    const page = Bokeh.documents[0]
    const changes = Object.entries(columns).map(([source, data]) => ({source: page?.get_model_by_name(source), data}))
    if (!changes.length || changes.some(({source}) => !source)) return  // not drawn yet
    page.apply_json_patch({events: changes.map(({source, data}) =>
        ({kind: "ModelChanged", model: {id: source.id}, attr: "data", new: data}))})
    document.querySelector(`[data-picture=${name}]`).dataset.stamp = stamp
}

// one peer

function showPeer({row, view, mailbox, seen_ago_s, ended}) {
    find("flags").textContent = row.flags
    const since = seen_ago_s > 10 ? `, as it was seen ${duration(seen_ago_s)} ago` : ""
    find("said").textContent = [percent(row.share) + " of the blocks", row.note].filter(Boolean).join(", ") + since
    document.querySelector("button.kill").toggleAttribute("data-gone", !row.there)
    find("figures").textContent = `gets ${rate(row.down_bps) || "nothing"}, gives ${rate(row.up_bps) || "nothing"}; ` +
        `got ${size(row.got_bytes)}, gave ${size(row.gave_bytes)}`
    strip(row.inventory, row.blocks, view?.in_flight ?? [])
    if (!view) {
        find("choker").textContent = "Its actor is not there any more."
        return
    }
    const {choker} = view, names = (list) => list.length ? list.join(", ") : "nobody"
    find("choker").textContent = `${choker.name}, a round each ${duration(choker.round_s)}. ` +
        (choker.slots === null ? "" : `Fixed slots (${choker.slots}): `) + names(choker.fixed) +
        (choker.slots === null ? "." : `. Guest (${choker.guest_slots}): ` +
            names(choker.leases.map(([peer, rounds]) => `${peer} for ${rounds} more ${rounds === 1 ? "round" : "rounds"}`)) + ".")
    fill("neighbours", view.neighbours.map((one) => [
        peerLink(one.peer), one.flags, bar(one.share), rate(one.down_bps), rate(one.up_bps), one.blocks_in, one.blocks_out,
        one.asked || "", one.wanted || "", one.note,
    ]))
    fill("verbs", mailbox.verbs)
    fill("letters", mailbox.last.slice(0, 32).map(([ago_s, way, peer, text]) => [duration(ago_s), way === "in" ? "from" : "to", peer, text]))
}

// the inventory: a bar for each block, held ones full, those asked for in the lower half
function strip(hex, blocks, flight) {
    const canvas = find("strip"), width = canvas.width = canvas.clientWidth * devicePixelRatio
    const height = canvas.height = 30 * devicePixelRatio, paint = canvas.getContext("2d")
    const style = getComputedStyle(document.documentElement), each = width / blocks
    paint.fillStyle = style.getPropertyValue("--blue")
    for (let block = 0; block < blocks; block++) {
        const digit = parseInt(hex[hex.length - 1 - (block >> 2)] ?? "0", 16)
        if (digit >> (block & 3) & 1) paint.fillRect(block * each, 0, each + .5, height)
    }
    paint.fillStyle = style.getPropertyValue("--orange")
    for (const block of flight) paint.fillRect(block * each, height / 2, Math.max(each, 2), height / 2)
}

poll()
}

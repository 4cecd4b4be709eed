"""Everything about the nodes that can be known before a push, and before anything is hashed.

`survey_nodes` asks all nodes at once, in three short rounds: a survey, which leaves a probe; a meeting, at which nodes
look for each other's probes and connect to each other; a farewell, which takes the probes away. Where all nodes have
the content already the first is enough. `faults` says what is wrong, of all nodes together, and what to do about it.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import msgspec

from minibit.actors.disk.survey import NodeSurvey, versions
from minibit.actors.driver import connection, visits
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.everywhere import HERE, names, on_each
from minibit.actors.driver.private import private
from minibit.errors import ClusterError, first_sentence
from minibit.manifest import Manifest
from minibit.units import show_bytes

SURVEY_S = 60.0  # for all nodes to answer; each starts a process of Ray for it
MEET_S = 10.0
LATE_S = 20.0  # for the last node to come to the meeting, and to answer after it
PART_S = 10.0
INTERRUPTED_S = 0.4  # instead, after Ctrl-C: a probe that stays goes with a later survey
DIALS = 3  # nodes that each node tries to connect to
OPEN_FILES_MIN = 256  # files of the content, and links
SHIPPED = ("minibit", "msgspec", "blake3", "uvloop")
UNSHIPPED = ["__pycache__", "*.c", "*.pxd", "*.pyi", "*.pyx"]


class Surveyed(NamedTuple):
    """What the nodes say of themselves, and in words why some say nothing; both in the order of the nodes."""

    found: dict[ClusterNode, NodeSurvey]
    lost: dict[ClusterNode, str]

    @property
    def groups(self) -> list[list[ClusterNode]]:
        """The nodes whose destination is one and the same place, since they share a file system; most are alone."""
        groups: list[list[ClusterNode]] = []
        for node, survey in self.found.items():
            group = next((one for one in groups if one[0].node_id in survey.shares_with), None)
            if group is None:
                groups.append([node])
            else:
                group.append(node)
        return groups


def survey_nodes(
    nodes: Sequence[ClusterNode],
    dest: str | None = None,
    *,
    source: str | None = None,
    known: str = "",
    data_ports: tuple[int, int] | None = None,
    env: dict[str, Any] | None = None,
    limit_s: float = SURVEY_S,
    tell: Callable[[int], object] = lambda count: None,
) -> Surveyed:
    """Survey all of these nodes at once.

    `source` is the path of the content on this machine, `known` its digest if that is known. `env` is that of
    `ship_env`. `tell` is called with the number of nodes that have answered. `ClusterError` if the head of the cluster
    is lost.
    """
    own = connection.here()
    tags = {node: secrets.token_hex(8) for node in nodes}
    left = tags if len(nodes) > 1 else dict.fromkeys(nodes, "")

    def visit(node: ClusterNode) -> tuple[Any, ...]:
        listens_at = "127.0.0.1" if node == HERE else node.host
        return dest, source if node.node_id == own or node == HERE else None, known, left[node], listens_at, data_ports

    came: dict[ClusterNode, NodeSurvey] = {}
    strayed: dict[ClusterNode, str] = {}
    part_s = INTERRUPTED_S
    try:
        found, lost = on_each(nodes, visits.visit, visit, limit_s, env, tell, came)
        if len(nodes) == 1:
            return Surveyed(
                {node: msgspec.structs.replace(one, clock_ahead_s=0.0) for node, one in found.items()}, lost
            )
        if not (known and all(one.dest.has(known) for one in found.values())):
            found, strayed = _after_meeting(found, tags, env)
        part_s = PART_S
    finally:
        parting = list(came) if any(one.dest.probed for one in came.values()) else []
        began_s = time.time()
        clocks = on_each(parting, visits.part, lambda node: (came[node].dest.folder, left[node]), part_s, env).found
        ended_s = time.time()
    ahead_s = {node: _ahead_s(clock_s, began_s, ended_s) for node, clock_s in clocks.items()}
    found = {node: msgspec.structs.replace(one, clock_ahead_s=ahead_s.get(node)) for node, one in found.items()}
    return Surveyed(found, {**lost, **strayed})


def faults(
    surveyed: Surveyed,
    need_bytes: int | None = None,
    *,
    need_files: int = 0,
    content: Manifest | None = None,
    replace: bool = False,
) -> dict[str, list[str]]:
    """All that would keep nodes from getting a copy, by the name of the node, each with what to do.

    need_bytes  the size of one copy; None: not known
    need_files  how many files and folders it has
    content     None: it is not hashed yet
    replace     whether other content gives way, also an earlier version of a push

    Of a node that has this very content already, by its name or its size, no room is wanted: its store will find out.
    """
    called = names([*surveyed.found, *surveyed.lost])
    here = versions()
    found: dict[str, list[str]] = {called[node]: [why] for node, why in surveyed.lost.items()}
    for node, survey in surveyed.found.items():
        wrong = [*_of_versions(survey, here), *_of_dest(survey, need_bytes, need_files, content, replace)]
        if survey.port_fault:
            wrong.append(f"can't listen at {node.host} ({survey.port_fault}): free a port there, or give other ones")
        if survey.cut_off:
            wrong.append(f"other nodes can't connect to {node.host}: open its ports for blocks")
        if survey.unreached:
            wrong.append(
                f"can't connect to {', '.join(survey.unreached)}: open the ports for blocks between these nodes"
            )
        if 0 < survey.open_files[1] < OPEN_FILES_MIN:
            wrong.append(f"a process may open {survey.open_files[1]} files only: raise its limit to {OPEN_FILES_MIN}")
        if wrong:
            found[called[node]] = wrong
    return found


def ship_env() -> dict[str, Any]:
    """A runtime environment of Ray for nodes without Minibit: its packages, as they are here, go to the cluster's head.

    They are Minibit itself, and msgspec, blake3 and uvloop, which are made for one version of Python and one kind of
    processor: nodes of another kind need an installation of their own. `ClusterError` if they can't be sent.
    """
    upload = private("ray._private.runtime_env.py_modules", "upload_py_modules_if_needed")
    if upload is None:
        raise ClusterError("this version of Ray can't send packages: install Minibit on the nodes")
    specs = (find_spec(package) for package in SHIPPED)
    folders = [str(spec.submodule_search_locations[0]) for spec in specs if spec and spec.submodule_search_locations]
    try:
        with tempfile.TemporaryDirectory(prefix="minibit-") as scratch:
            quiet = logging.getLogger("minibit.ship")
            quiet.setLevel(logging.ERROR)
            wanted = {"py_modules": folders, "excludes": UNSHIPPED}
            uris = upload(wanted, include_gitignore=False, scratch_dir=scratch, logger=quiet)["py_modules"]
    except Exception as error:
        raise ClusterError(f"can't send Minibit to the cluster: {first_sentence(error)}: install it there") from None
    return {"py_modules": uris}


def _after_meeting(
    found: dict[ClusterNode, NodeSurvey], tags: Mapping[ClusterNode, str], env: dict[str, Any] | None
) -> tuple[dict[ClusterNode, NodeSurvey], dict[ClusterNode, str]]:
    """The surveys, with what the nodes found out about each other; and which nodes did not come, and why."""
    ring = [node for node, survey in found.items() if survey.port]
    dialled = {
        node: [one for one in (ring[at:] + ring[:at])[: DIALS + 1] if one != node][:DIALS]
        for node in found
        for at in (ring.index(node) if node in ring else 0,)
    }
    guests = Counter(one for others in dialled.values() for one in others)
    word = secrets.token_bytes(16)

    def arguments(node: ClusterNode) -> tuple[visits.Meeting]:
        others = {tags[other]: (other.host, found[other].port) for other in dialled[node]}
        at = (node.host, found[node].port)
        all_tags = [tags[other] for other in found]
        return (visits.Meeting(tags[node], all_tags, found[node].dest.folder, word, at, others, guests[node], MEET_S),)

    met, strayed = on_each(list(found), visits.meet, arguments, MEET_S + LATE_S, env)
    by_tag = {tag: node for node, tag in tags.items()}
    sees = {node: {by_tag[tag] for tag in one.sees} for node, one in met.items()}
    missed = {node: {by_tag[tag] for tag in one.unreached} - strayed.keys() for node, one in met.items()}
    tried = {node: [one for one in met if node in dialled[one]] for node in met}
    cut_off = {node for node, dialling in tried.items() if dialling and all(node in missed[one] for one in dialling)}
    return {
        node: msgspec.structs.replace(
            found[node],
            shares_with=tuple(one.node_id for one in met if one == node or one in sees[node] or node in sees[one]),
            cut_off=node in cut_off,
            unreached=tuple(sorted(one.host for one in missed[node] - cut_off)),
        )
        for node in met
    }, strayed


def _ahead_s(clock_s: float, began_s: float, ended_s: float) -> float:
    """By how much a clock that was read between two moments of ours is ahead, or behind, at the least."""
    return max(0.0, clock_s - ended_s) + min(0.0, clock_s - began_s)


def _of_versions(survey: NodeSurvey, here: Mapping[str, str]) -> list[str]:
    """What runs there in another version than here, as far as that matters."""
    wrong = []
    for name in ("python", "ray", "minibit"):
        theirs, ours = survey.versions.get(name, "none"), here.get(name, "none")
        parts = 2 if name == "python" else None
        if theirs.split(".")[:parts] != ours.split(".")[:parts]:
            wrong.append(f"it has {name.capitalize()} {theirs}, and this machine has {ours}: install the same")
    return wrong


def _of_dest(
    survey: NodeSurvey, need_bytes: int | None, need_files: int, content: Manifest | None, replace: bool
) -> list[str]:
    """What is wrong with the destination."""
    dest = survey.dest
    if dest.state == "source":
        return []
    if dest.fault:
        return [] if len(survey.shares_with) > 1 else [dest.fault]  # others of its file system may write there
    wrong = []
    if dest.busy:
        wrong.append(f"another push is at work at {dest.path}: wait for its end, or cancel it")
    same = dest.state != "absent" and (
        dest.content_bytes == need_bytes or (content is not None and dest.digest == content.digest)
    )
    if dest.state == "other" and not same and not replace:
        wrong.append(f"{dest.path} is there already and is other content: move it away, or let it be replaced")
    if dest.state == "ours" and content is not None and dest.bytes_digest != content.bytes_digest and not replace:
        wrong.append(f"{dest.path} is another version, of an earlier push: move it away, or let it be replaced")
    if same or need_bytes is None:
        return wrong
    lacking = need_bytes - dest.partial_bytes
    if lacking > dest.free_bytes:
        need, free = show_bytes(lacking), show_bytes(dest.free_bytes)
        wrong.append(f"no room in {dest.folder}: {need} needed, {free} free: make room, or give another destination")
    if dest.free_files is not None and not dest.partial_bytes and need_files > dest.free_files:
        wrong.append(
            f"no room for more files in {dest.folder}: {need_files} needed, {dest.free_files} free: remove some"
        )
    return wrong

"""A push, from what was asked for to what came of it: check all nodes, hash the content, move it, verify the copies.

What can be known is checked before anything moves, on all nodes at once. Content that no node has any part of may move
while it is hashed. The transfer runs here (`Push.run`), or in an actor that needs this process no longer
(`Push.detach`). Ctrl-C comes out of every wait, and leaves partial copies only.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray

from minibit.actors.disk import files, marks
from minibit.actors.disk.place import Place
from minibit.actors.disk.survey import DestSurvey
from minibit.actors.driver import cluster, detached, preflight
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.connection import CONNECTION, on_cluster
from minibit.actors.driver.everywhere import names
from minibit.actors.driver.moving import Moving
from minibit.actors.driver.plan import Plan
from minibit.actors.driver.preflight import Surveyed
from minibit.delivery.nodes import NodeRow, choose
from minibit.delivery.order import Order
from minibit.delivery.progress import Phase, Pushing, PushProgress
from minibit.delivery.result import NodeResult, PushBytes, PushResult, PushSeconds
from minibit.errors import ClusterError, MinibitError
from minibit.lab.archive import RUNS, RunFolder, new_name
from minibit.manifest import Manifest
from minibit.units import show_duration

BESIDE_BYTES = 1 << 30  # to hash less takes no longer than to start the members


class TimeOver(MinibitError):
    """The time limit of a push came before anything moved."""


class Push:
    """One push of the content at `source`, an absolute path, as `order` says; `tell` is told how far it is."""

    def __init__(self, source: Path, order: Order, tell: Pushing) -> None:
        self.source = source
        self.order = order
        self.name = order.name or new_name()
        self._tell = tell
        self._began_at = time.monotonic()
        self._checking_s = 0.0
        self._hashing_s = 0.0
        self._scan: files.Scan | None = None  # that goes on while blocks move
        self._env: dict[str, Any] | None = None
        self._known: Manifest | None = None  # of the source, before it is hashed
        self._nodes: list[NodeRow] = []
        self._all: list[NodeRow] = []

    @classmethod
    def run(cls, source: Path, order: Order, tell: Pushing) -> PushResult:
        """Check, hash, move and verify; what came of it.

        `MinibitError` for what was wrong with the order, the source or the cluster. What is wrong with single nodes is
        in the result.
        """
        push = cls(source, order, tell)
        with ExitStack() as undo:
            folder = RunFolder.create(push.name, None, source) if order.records else None
            if folder is not None:
                undo.callback(folder.remove_if_empty)
            undo.enter_context(push._connected())
            plan = push._plan(beside=True)
            if isinstance(plan, PushResult):
                return plan
            if push._scan is not None:
                undo.enter_context(push._scan)
            moving = Moving(plan, tell, folder, push._scan)
            result = moving.run()
            if moving.plan.hashed:
                push._remember(moving.plan.manifest)
            return result

    @classmethod
    def detach(cls, source: Path, order: Order, tell: Pushing) -> str | PushResult:
        """Check and hash, then leave the rest to an actor: the name of the push. A result, if that is known already.

        A report comes into runs/NAME of the working directory of this process, on the head of the cluster.
        """
        push = cls(source, order, tell)
        with push._connected():
            plan = push._plan()
            if isinstance(plan, PushResult):
                return plan
            detached.start(plan, push._env, str((RUNS / push.name).absolute()) if order.records else None)
            return push.name

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """As long as this holds, this process is a driver of the cluster."""
        self._say("checking")
        with on_cluster(self.order.address):
            yield

    def _plan(self, *, beside: bool = False) -> Plan | PushResult:
        """What the transfer begins with; or the result, if it is known already that too few nodes would get a copy.

        `beside`: the source may be hashed while blocks move.
        """
        try:
            return self._planned(beside)
        except TimeOver as error:
            return self._nothing_moved({}, str(error), timed_out=True)

    def _planned(self, beside: bool) -> Plan | PushResult:
        content_bytes, count, here, surveyed = self._checked()
        wrong = self._faults(surveyed, content_bytes, count)
        self._checking_s = self._elapsed_s
        if (refused := self._refused(surveyed, wrong)) is not None:
            return refused
        if beside:
            self._scan = self._scan_beside(surveyed, content_bytes)
        manifest = self._hashed() if self._scan is None else self._scan.manifest
        self._hashing_s = self._elapsed_s - self._checking_s
        wrong = self._faults(surveyed, content_bytes, count, manifest)
        if (refused := self._refused(surveyed, wrong, manifest)) is not None:
            return refused
        dests = dests_of(surveyed)
        mine = dests.get(here.node_id)
        return Plan(
            name=self.name,
            order=self.order,
            env=self._env,
            manifest=manifest,
            hashed=self._scan is None,
            source=str(self.source),
            source_node=here,
            nodes=tuple(self._nodes),
            in_place=mine is not None and mine.state == "source",
            writers=self._writers(surveyed, wrong),
            faults={node_id: "; ".join(faults) for node_id, faults in wrong.items()},
            had=frozenset(node_id for node_id, dest in dests.items() if dest.has(manifest.digest)),
            checking_s=self._checking_s,
            hashing_s=self._hashing_s,
            spent_s=self._elapsed_s,
        )

    # checking

    def _checked(self) -> tuple[int, int, NodeRow, Surveyed]:
        """The bytes of the content and how many files it has, the node of the source, and what all nodes say."""
        self._all = CONNECTION.head.ask(cluster.rows)
        self._nodes = choose(self._all, self.order.nodes)
        here = self._here()
        if self.order.ship:
            self._env = preflight.ship_env()
        content_bytes, count = size_of(self.source)
        self._known = self._remembered()
        surveyed = self._surveyed(here)
        self._drop_dead(surveyed)
        return content_bytes, count, here, surveyed

    def _here(self) -> NodeRow:
        """The node of this process, where the source is."""
        mine = str(ray.get_runtime_context().get_node_id())
        for node in self._all:
            if node.node_id == mine:
                return node
        raise ClusterError("this machine's node is not alive any more: see `ray status`")

    def _surveyed(self, here: NodeRow) -> Surveyed:
        """All nodes that get a copy, and that of the source."""
        nodes = [*self._nodes, *[here] * (here not in self._nodes)]
        return preflight.survey_nodes(
            [ClusterNode(node.node_id, node.host) for node in nodes],
            self.order.dest,
            source=str(self.source),
            known="" if self._known is None else self._known.digest,
            data_ports=self.order.data_ports,
            env=self._env,
            tell=lambda done: self._say("checking", done, len(nodes)),
        )

    def _drop_dead(self, surveyed: Surveyed) -> None:
        """Of all nodes, forget those that died meanwhile: Ray takes some time to see it. One that was named stays."""
        if surveyed.lost and self.order.nodes == "all":
            alive = {node.node_id for node in CONNECTION.head.ask(cluster.rows)}
            self._nodes = [node for node in self._nodes if node.node_id in alive]

    def _faults(
        self, surveyed: Surveyed, content_bytes: int, count: int, content: Manifest | None = None
    ) -> dict[str, list[str]]:
        """What keeps nodes from a copy, by their ids."""
        order = self.order
        found = preflight.faults(surveyed, content_bytes, need_files=count, content=content, replace=order.replace)
        called = names([*surveyed.found, *surveyed.lost])
        asked = {node.node_id for node in self._nodes}
        return {node.node_id: found[name] for node, name in called.items() if name in found and node.node_id in asked}

    def _refused(
        self, surveyed: Surveyed, wrong: dict[str, list[str]], content: Manifest | None = None
    ) -> PushResult | None:
        """The result, if too few nodes could get a copy, or if other content, or another version, is in the way."""
        fit = len(self._nodes) - len(wrong)
        in_way = not self.order.replace and any(
            dest.state == "other" or (dest.state == "ours" and content and dest.bytes_digest != content.bytes_digest)
            for node_id, dest in dests_of(surveyed).items()
            if node_id in wrong
        )
        if not in_way and fit >= self.order.least.of(len(self._nodes)):
            return None
        return self._nothing_moved(wrong, "nothing was moved, because other nodes can't get a copy")

    def _writers(self, surveyed: Surveyed, wrong: dict[str, list[str]]) -> dict[str, str]:
        """Of nodes that share a file system the first that can writes; by the id of each other one."""
        dests = dests_of(surveyed)
        found: dict[str, str] = {}
        for group in surveyed.groups:
            ids = [node.node_id for node in group]
            best = min(ids, key=lambda one: (dests[one].state != "source", one in wrong))
            found |= {one: best for one in ids if one != best}
        return found

    # hashing

    def _remembered(self) -> Manifest | None:
        """The manifest of the source, if nothing of it was touched since an earlier push."""
        order = self.order
        if order.verify == "full":
            return None
        place = Place(Path(order.dest))
        return marks.manifest_of_source(place, self.source, links=order.links, block_bytes=order.block_bytes)

    def _scan_beside(self, surveyed: Surveyed, content_bytes: int) -> files.Scan | None:
        """A scan that goes on while blocks move: of much content, if no node has anything to be compared with it."""
        found = dests_of(surveyed).values()
        bare = all(dest.state == "source" or (dest.state == "absent" and not dest.partial_bytes) for dest in found)
        if content_bytes < BESIDE_BYTES or not bare or self._known is not None:
            return None
        return files.Scan(self.source, self.order.block_bytes_for, apart=True, links=self.order.links)

    def _hashed(self) -> Manifest:
        """The manifest of the source, which is hashed unless it is known."""
        order = self.order
        self._say("hashing")
        return self._known or files.scan(
            self.source,
            order.block_bytes_for,
            progress=lambda done, total: self._say("hashing", done, total, content_bytes=total),
            apart=True,
            links=order.links,
        )

    def _remember(self, manifest: Manifest) -> None:
        """If this node has a copy, keep beside it what is known of the source, so that it is not hashed again."""
        marks.remember_source(Place(Path(self.order.dest)), manifest, self.source, links=self.order.links)

    # what is told

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_at

    def _say(self, phase: Phase, done: int = 0, total: int = 0, content_bytes: int = 0) -> None:
        """Tell how far it is, unless the time is over."""
        limit_s = self.order.timeout_s
        if limit_s is not None and self._elapsed_s >= limit_s:
            raise TimeOver(f"the time limit of {show_duration(limit_s)} came first")
        self._tell(
            PushProgress(phase=phase, content_bytes=content_bytes, done=done, total=total, elapsed_s=self._elapsed_s)
        )

    def _nothing_moved(self, wrong: dict[str, list[str]], otherwise: str, *, timed_out: bool = False) -> PushResult:
        """The result of a push that came to an end before anything moved."""
        return PushResult(
            name=self.name,
            dest=self.order.dest,
            content_bytes=0,
            digest="",
            nodes=tuple(
                NodeResult(
                    host=node.host,
                    node_id=node.node_id,
                    path=self.order.dest,
                    status="failed",
                    why="; ".join(wrong.get(node.node_id, [otherwise])),
                )
                for node in self._nodes
            ),
            least=self.order.least.of(len(self._nodes)),
            seconds=PushSeconds(checking=self._checking_s, hashing=self._hashing_s, total=self._elapsed_s),
            bytes=PushBytes(),
            timed_out=timed_out,
        )


def dests_of(surveyed: Surveyed) -> dict[str, DestSurvey]:
    """What lies at the destination of each node that answered, by its id."""
    return {node.node_id: one.dest for node, one in surveyed.found.items() if one.dest is not None}


def size_of(source: Path) -> tuple[int, int]:
    """The bytes of the content, and how many files and folders it has."""
    with files.explained(source):
        if not source.is_dir():
            return source.stat().st_size, 1
        found = [entry.stat() for _, entry in files.entries(source, links=True)]
        return sum(one.st_size for one in found if stat.S_ISREG(one.st_mode)), len(found) + 1

"""Nodes that come while a push goes on: each is surveyed, as all were before it began, before it gets a copy.

A push need not wait for that: the survey runs in a thread. Where the traces of a copy lie at DEST the node may share a
file system with another member, which writes there. Only then the others are asked, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from functools import partial

import msgspec
from ray.exceptions import RayError

from minibit.actors.disk.survey import NodeSurvey
from minibit.actors.driver import preflight
from minibit.actors.driver.cluster import ClusterNode
from minibit.actors.driver.connection import CONNECTION
from minibit.actors.driver.everywhere import names
from minibit.actors.driver.head import begun
from minibit.actors.driver.members import Members, Part, PushMember
from minibit.actors.driver.plan import Plan
from minibit.actors.driver.preflight import Surveyed
from minibit.errors import MinibitError, first_sentence

AGAIN_S = 1.0  # after a survey that was not answered
TRIES = 3  # of a node that gives no answer: Ray may not know it everywhere yet
END_S = 0.5  # for a survey to end that is not waited for any more


class LateNodes:
    """The late members of a push, from the moment when they are seen until it is known what becomes of each."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._survey: Future[Surveyed] | None = None
        self._due_at = 0.0
        self._asked: Counter[str] = Counter()  # by the id of a node
        self._closed = False

    def step(self, plan: Plan, now: float) -> None:
        """Begin to survey those that came, or take what was found; it never waits."""
        late = self._members.at(Part.JOINING)
        if self._survey is not None and self._survey.done():
            done, self._survey = self._survey, None
            try:
                surveyed = done.result()
            except (MinibitError, RayError, RuntimeError) as error:
                surveyed = Surveyed({}, dict.fromkeys(_nodes(late), first_sentence(error)))
            self._decide(plan, surveyed, late, now)
        elif late and self._survey is None and now >= self._due_at and not CONNECTION.head.lost_s:
            others = [one for one in self._members.copies if one.active and one not in late]
            self._survey = begun(partial(self._surveyed, plan, _nodes(late), _nodes(others)))

    def close(self) -> None:
        """End a survey that goes on, so that it leaves no probe."""
        self._closed = True
        if self._survey is not None:
            wait_for([self._survey], END_S)

    def _surveyed(self, plan: Plan, late: Sequence[ClusterNode], others: Sequence[ClusterNode]) -> Surveyed:
        """What the late nodes say, and the others, if one of them may write on the same file system. In a thread."""

        def survey(nodes: Sequence[ClusterNode]) -> Surveyed:
            return preflight.survey_nodes(
                nodes,
                plan.order.dest,
                known=plan.manifest.digest,
                data_ports=plan.order.data_ports,
                env=plan.env,
                tell=self._go_on,
            )

        found = survey(late)
        if others and any(one.dest.busy or one.dest.partial_bytes for one in found.found.values()):
            return survey([*others, *late])
        return found

    def _go_on(self, count: int) -> None:
        if self._closed:
            raise MinibitError("the push is over")

    def _decide(self, plan: Plan, surveyed: Surveyed, late: Sequence[PushMember], now: float) -> None:
        """Let each late member of which something was found begin, or say why it can't."""
        manifest = plan.manifest
        # a copy that is in use is left to its store, which waits for a while: its process may just have died
        found = {node: _at_rest(survey) for node, survey in surveyed.found.items()}
        wrong = preflight.faults(
            Surveyed(found, {}),
            manifest.content_bytes,
            need_files=sum(map(len, (manifest.files, manifest.folders, manifest.twins, manifest.links))),
            content=manifest,
            replace=plan.order.replace,
        )
        called = {node.node_id: name for node, name in names(list(found)).items()}
        silent = {node.node_id: why for node, why in surveyed.lost.items()}
        groups = {node.node_id: group for group in surveyed.groups for node in group}
        for member in late:
            node_id = member.node.node_id
            if node_id in groups:
                if writer := self._writer(member, groups[node_id]):
                    member.skip(writer)
                elif faults := wrong.get(called[node_id]):
                    self._members.fail(member, "; ".join(faults))
                else:
                    member.stage, member.due_at = Part.PLANNED, now
            elif node_id in silent:
                self._asked[node_id] += 1
                self._due_at = now + AGAIN_S
                if self._asked[node_id] == TRIES:
                    self._members.fail(member, silent[node_id])

    def _writer(self, member: PushMember, group: Sequence[ClusterNode]) -> str:
        """The name of the member that writes on the file system of this one; "" if that is its own to do."""
        by_id = {one.node.node_id: one for one in self._members.copies}
        for other in (by_id[node.node_id] for node in group if node.node_id in by_id):
            if other is member:
                break
            if other.stage is Part.SKIPPED or (other.active and other.stage is not Part.JOINING):
                return other.writer or other.name
        return ""


def _nodes(members: Sequence[PushMember]) -> list[ClusterNode]:
    return [ClusterNode(member.node.node_id, member.node.host) for member in members]


def _at_rest(survey: NodeSurvey) -> NodeSurvey:
    return msgspec.structs.replace(survey, dest=msgspec.structs.replace(survey.dest, busy=False))

"""What a push would do: the same checks of the nodes, and then nothing is moved."""

from __future__ import annotations

from pathlib import Path

from minibit.actors.disk.survey import DestSurvey
from minibit.actors.driver.push import Push, dests_of
from minibit.delivery.order import Order
from minibit.delivery.outlook import LINE_BPS, NodeOutlook, Outlook, There
from minibit.delivery.progress import Pushing


class PushAhead(Push):
    """A push that only looks."""

    @classmethod
    def look(cls, source: Path, order: Order, tell: Pushing) -> Outlook:
        """What the push would do; `MinibitError` as `Push.run`.

        The content is hashed only if a copy of a push is there.
        """
        ahead = cls(source, order, tell)
        with ahead._connected():
            return ahead._outlook()

    def _outlook(self) -> Outlook:
        order = self.order
        content_bytes, count, here, surveyed = self._checked()
        dests = dests_of(surveyed)
        content = self._hashed() if any(dest.state == "ours" for dest in dests.values()) else None
        digest = "" if content is None else content.digest
        wrong = self._faults(surveyed, content_bytes, count, content)
        writers = self._writers(surveyed, wrong)
        return Outlook(
            dest=order.dest,
            content_bytes=content_bytes,
            block_bytes=order.block_bytes_for(content_bytes),
            least=order.least.of(len(self._nodes)),
            nodes=tuple(
                NodeOutlook(
                    host=node.host,
                    node_id=node.node_id,
                    there=_there(dest, digest, shared=node.node_id in writers, source=node == here),
                    free_bytes=None if dest is None else dest.free_bytes,
                    why="; ".join(wrong.get(node.node_id, [])),
                )
                for node in self._nodes
                for dest in (dests.get(node.node_id),)
            ),
            upload_bps=order.upload_bps or LINE_BPS,
            assumed=order.upload_bps is None,
        )


def _there(dest: DestSurvey | None, digest: str, *, shared: bool, source: bool) -> There:
    """What lies at the destination of a node, of which a survey says this; None: nothing is known."""
    if dest is None or dest.state == "absent":
        partial = dest is not None and dest.partial_bytes
        return "shared" if shared else "source" if source else "partial" if partial else "nothing"
    if dest.state == "source" or (dest.state == "ours" and dest.digest == digest):
        return "copy" if dest.untouched else "partial"
    return "shared" if shared else "source" if source else "older" if dest.state == "ours" else "other"

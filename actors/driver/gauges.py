"""The gauges of a push, which Ray exports where the cluster has a Prometheus: bytes, blocks, nodes."""

from __future__ import annotations

from ray.util.metrics import Gauge

from minibit.delivery.progress import PushProgress

SAID = {
    "minibit_push_moved_bytes": "Payload that the nodes of a push have fetched.",
    "minibit_push_held_bytes": "Bytes of the content that the nodes of a push hold.",
    "minibit_push_held_blocks": "Blocks of the content that the nodes of a push hold.",
    "minibit_push_nodes_complete": "Nodes that have the whole copy in its place.",
    "minibit_push_nodes_failed": "Nodes that will have none.",
}


class Gauges:
    """The gauges of one push, each with the tag `push`. Only the process that conducts it has them."""

    def __init__(self, name: str) -> None:
        self._gauges = {gauge: Gauge(gauge, description=text, tag_keys=("push",)) for gauge, text in SAID.items()}
        self._tags = {"push": name}

    def show(self, seen: PushProgress, blocks: int) -> None:
        """Set them to what is seen now; `blocks` are held by all nodes together."""
        values = (
            sum(node.bytes_moved for node in seen.nodes),
            sum(node.held_bytes for node in seen.nodes),
            blocks,
            sum(node.status in ("had", "done", "resumed", "skipped") for node in seen.nodes),
            sum(node.status == "failed" for node in seen.nodes),
        )
        for gauge, value in zip(self._gauges.values(), values, strict=True):
            gauge.set(value, self._tags)

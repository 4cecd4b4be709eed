"""A push that nobody made: its results and its progress, for tests of how they are shown."""

from __future__ import annotations

from minibit.delivery.progress import NodeProgress, PushProgress
from minibit.delivery.result import NodeResult, PushBytes, PushResult, PushSeconds

MIB = 1 << 20


def node(host: str, status: str, **more: object) -> NodeResult:
    return NodeResult(host=host, node_id=f"{host}-id".ljust(56, "0"), path="/data/model", status=status, **more)  # type: ignore[arg-type]


DONE = PushResult(
    name="tuesday",
    dest="/data/model",
    content_bytes=100 * MIB,
    digest="ab" * 32,
    nodes=(
        node("10.0.0.1", "had"),
        node("10.0.0.2", "done", seconds=1.23456789, bytes_moved=100 * MIB),
        node("10.0.0.3", "resumed", seconds=1.1, bytes_moved=40 * MIB),
    ),
    least=3,
    seconds=PushSeconds(checking=0.2, hashing=0.5, transfer=1.23456789, verifying=0.1, total=2.5),
    bytes=PushBytes(moved=140 * MIB, had=160 * MIB, seed_sent=100 * MIB),
    bound_s=1.123456789,
)

FAILED = PushResult(
    name="tuesday",
    dest="/data/model",
    content_bytes=100 * MIB,
    digest="ab" * 32,
    nodes=(
        *DONE.nodes[:2],
        node("10.0.0.3", "failed", why="no room"),
        node("10.0.0.4", "failed", why="the node is gone"),
    ),
    least=4,
    seconds=DONE.seconds,
    bytes=DONE.bytes,
)


def moving(done: int, *, complete: int = 0, nodes: int = 4, rate_bps: float = 3.0 * MIB) -> PushProgress:
    """`done` per cent of all copies; the first `complete` nodes have theirs, and the last one is behind the others."""
    each = [100 * MIB if index < complete else (done - index) * MIB for index in range(nodes)]
    return PushProgress(
        phase="moving",
        content_bytes=100 * MIB,
        done=done,
        total=100,
        rate_bps=rate_bps,
        elapsed_s=12.3456789,
        nodes=tuple(
            NodeProgress(
                host=f"10.0.0.{index + 1}",
                held_bytes=held,
                bytes_moved=held,
                status="done" if index < complete else "moving",
            )
            for index, held in enumerate(each)
        ),
    )

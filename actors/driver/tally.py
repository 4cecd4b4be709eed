"""The tally of a push: how far it is, and what it came to, as its members tell."""

from __future__ import annotations

from minibit import inventory
from minibit.actors.driver.members import Members, PushMember
from minibit.actors.driver.plan import Plan
from minibit.delivery.progress import NodeProgress, Phase, PushProgress
from minibit.delivery.result import NodeResult, PushBytes, PushResult, PushSeconds
from minibit.manifest import Manifest
from minibit.run import bounds
from minibit.run.bounds import Capacity


def progress(
    plan: Plan, members: Members, *, elapsed_s: float, rate_bps: float, hashed_bytes: int | None = None
) -> PushProgress:
    """How far the transfer is; `elapsed_s` is the time since the push began, the rest is that of `PushProgress`."""
    manifest = plan.manifest
    copies = [member for member in members.copies if member.active]
    lacking = [member for member in copies if not member.settled]
    phase: Phase = "moving"
    if not lacking and plan.order.follow_s:
        phase = "following"
    elif all(_is_full(member, manifest) for member in lacking):
        phase = "verifying"
    done, total = sum(_held_bytes(member, manifest) for member in copies), manifest.content_bytes * len(copies)
    if phase == "following":
        done, total = len(copies), len(members.copies)
    return PushProgress(
        phase=phase,
        content_bytes=manifest.content_bytes,
        done=done,
        total=total,
        rate_bps=rate_bps,
        hashed_bytes=hashed_bytes,
        elapsed_s=elapsed_s,
        nodes=tuple(_node_progress(member, manifest) for member in members.copies),
    )


def result(plan: Plan, members: Members, *, began_at: float, elapsed_s: float, timed_out: bool) -> PushResult:
    """What the push came to. `began_at` is when the members were told to begin, by the clock of their times."""
    manifest, order, copies = plan.manifest, plan.order, members.copies
    served = [member for member in copies if member.status in ("done", "resumed")]
    completed_at = max((member.completed_at or began_at for member in served), default=began_at)
    placed_at = max((member.placed_at or began_at for member in served), default=began_at)
    return PushResult(
        name=plan.name,
        dest=order.dest,
        content_bytes=manifest.content_bytes,
        digest=manifest.digest if plan.hashed else "",
        nodes=tuple(_node_result(member, order.dest, began_at) for member in copies),
        least=order.least.of(len(copies)),
        seconds=PushSeconds(
            checking=plan.checking_s,
            hashing=plan.hashing_s,
            transfer=completed_at - began_at,
            verifying=placed_at - completed_at,
            total=elapsed_s,
        ),
        bytes=PushBytes(
            moved=members.moved_bytes,
            had=sum(_had_bytes(member, manifest) for member in copies),
            seed_sent=sum(member.sent_bytes for member in members if member.seeds),
        ),
        bound_s=_bound_s(plan, members),
        timed_out=timed_out,
        source_changed=next((one.standing.damaged for one in members if one.standing.damaged), ""),
    )


def _is_full(member: PushMember, manifest: Manifest) -> bool:
    return member.standing.held == inventory.full(manifest.block_count)


def _had_bytes(member: PushMember, manifest: Manifest) -> int:
    """What its disk had when the push came; a source holds its blocks only once they are hashed."""
    return manifest.content_bytes if member.seeds else manifest.bytes_of(member.held_at_first or inventory.EMPTY)


def _held_bytes(member: PushMember, manifest: Manifest) -> int:
    """The bytes that this member holds."""
    placed = member.placed_at is not None and member.active
    return manifest.content_bytes if placed else manifest.bytes_of(member.standing.held)


def _node_progress(member: PushMember, manifest: Manifest) -> NodeProgress:
    verifying = _is_full(member, manifest)
    return NodeProgress(
        host=member.node.host,
        held_bytes=_held_bytes(member, manifest),
        bytes_moved=member.received_bytes,
        status=member.status if member.settled else "verifying" if verifying else "moving",
        why=member.why,
    )


def _node_result(member: PushMember, path: str, began_at: float) -> NodeResult:
    seconds = 0.0 if member.placed_at is None else max(0.0, member.placed_at - began_at)
    return NodeResult(
        host=member.node.host,
        node_id=member.node.node_id,
        path=path,
        status=member.status,
        why=member.why,
        seconds=seconds,
        bytes_moved=member.received_bytes,
    )


def _bound_s(plan: Plan, members: Members) -> float | None:
    """The lower bound on the transfer, where each node has a limit, and none failed or came late."""
    manifest, upload_bps = plan.manifest, plan.order.upload_bps
    if upload_bps is None or len(members.copies) != len(plan.nodes):
        return None
    capacities = [
        Capacity(upload_bps=upload_bps, held_bytes=manifest.bytes_of(member.held_at_first or inventory.EMPTY))
        for member in members.copies
        if member.status in ("done", "resumed")
    ]
    sources = sum(member.status == "had" or not member.wants for member in members)
    return bounds.makespan(
        manifest.content_bytes, manifest.block_bytes, capacities, seed_upload_bps=sources * upload_bps
    )

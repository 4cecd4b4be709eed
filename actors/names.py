"""The actors of a swarm as others find and hold them: their names, their machines', and their methods' types."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from ray import ObjectRef

    from minibit.actors.peer import Drained
    from minibit.mailbox import MailboxSnapshot
    from minibit.snapshots import PeerSnapshot

P = ParamSpec("P")
T = TypeVar("T")

NAMESPACE = "minibit"


def actor_name(run: str, peer: str) -> str:
    """The name of a peer's actor in the namespace `minibit`."""
    return f"minibit:{run}:{peer}"


class RemoteMethod(Protocol[P, T]):
    """A method of an actor: `remote` calls it, and returns a reference to its answer."""

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> ObjectRef[T]: ...


class ActorHandle(Protocol):
    """Ray's handle of a `PeerActor` or a `TrackerActor`: the methods that aren't called by a name as text
    (`PeerHandle.ask`, `Launcher.call`)."""

    stop: RemoteMethod[[bool], None]
    verify: RemoteMethod[[], bool]
    drain: RemoteMethod[[int], Drained]
    snapshot: RemoteMethod[[], PeerSnapshot]
    mailbox: RemoteMethod[[], MailboxSnapshot]
    __ray_terminate__: RemoteMethod[[], None]  # Ray gives it to every actor
    limit: RemoteMethod[[dict[str, float | None]], None]
    desligamento: RemoteMethod[..., None]


def machine() -> str:
    """The name of the machine whose monotonic clock this process reads."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()

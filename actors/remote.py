"""An actor of a swarm, as the driver and other actors hold it: Ray's handle, with the types of its methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from ray import ObjectRef

    from minibit.actors.peer import Drained, Opened
    from minibit.mailbox import MailboxSnapshot
    from minibit.snapshots import PeerSnapshot

P = ParamSpec("P")
T = TypeVar("T")


class RemoteMethod(Protocol[P, T]):
    """A method of an actor: `remote` calls it, and gives the reference of its answer."""

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> ObjectRef[T]: ...


class ActorHandle(Protocol):
    """A `PeerActor` or `TrackerActor` in another process. Its verbs are called by their names (`PeerHandle.tell`)."""

    open: RemoteMethod[[int], Opened]
    take: RemoteMethod[[int], None]
    join: RemoteMethod[[], None]
    start: RemoteMethod[[], None]
    leave: RemoteMethod[[str], None]
    stop: RemoteMethod[[bool], None]
    verify: RemoteMethod[[], bool]
    clock: RemoteMethod[[], float]
    drain: RemoteMethod[[int], Drained]
    snapshot: RemoteMethod[[], PeerSnapshot]
    mailbox: RemoteMethod[[], MailboxSnapshot]
    peek: RemoteMethod[[Callable[[Any], Any]], Any]
    limit: RemoteMethod[[dict[str, float | None]], None]
    give: RemoteMethod[[Iterable[int]], list[bytes]]
    desligamento: RemoteMethod[..., None]

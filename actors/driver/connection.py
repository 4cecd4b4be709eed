"""The connection of this process to a Ray cluster, which its handles share: a process has one.

A connection that was made for a handle ends with the last one that uses it. One that the program had before is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ray

from minibit.actors.driver import cluster
from minibit.actors.driver.head import ClusterHead


def here() -> str | None:
    """The node of this process in its cluster; None if it is in none, which this does not change."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else None


class Connection:
    """The handles that use the connection, counted.

    started_here  whether it leads to a cluster that was started for a handle
    head          the head of that cluster, watched as long as a handle uses the connection
    """

    def __init__(self) -> None:
        self._node: str | None = None
        self._users = 0
        self._made = False
        self.started_here = False
        self.head = ClusterHead()

    def take(self, address: str | None) -> str | None:
        """Use the connection, which is made if there is none (`connect`); what to give back."""
        if here() is None:
            self._users, self.started_here, self._made = 0, cluster.connect(address), True
        elif here() != self._node:  # it is the program's own
            self._users, self.started_here, self._made = 0, False, False
        self._node = here()
        if not self._users:
            self.head = ClusterHead(ray.get_runtime_context().gcs_address)
            self.head.watch()
        self._users += 1
        return self._node

    def give_back(self, node: str | None) -> None:
        """Use the connection that was taken no longer."""
        if node == self._node == here():  # otherwise it has ended already
            self._users -= 1
            if not self._users:
                self.head.leave()
                self.head = ClusterHead()  # nothing is known of it any more
                if self._made:
                    cluster.disconnect()


CONNECTION = Connection()


@contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """As long as this holds, this process is a driver of the cluster; `ClusterError` if it can't be."""
    node = CONNECTION.take(address)
    try:
        yield
    finally:
        CONNECTION.give_back(node)

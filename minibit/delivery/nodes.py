"""Which nodes of a cluster get a copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from minibit.errors import OptionError

NAMED_AT_ONCE = 8  # nodes or labels that a message names


class NodeRow(NamedTuple):
    """A node that is alive: its id, its address, its labels, and the name of its machine if that is known."""

    node_id: str
    host: str
    labels: Mapping[str, str] = {}
    machine: str = ""


def choose(nodes: Sequence[NodeRow], asked: str) -> list[NodeRow]:
    """The nodes that `Order.nodes` asks for, by address.

    `all`; a number: the first so many; names joined by commas: addresses, names of machines, or the first 8 digits of
    a node's id or more; LABEL=VALUE: those with that label. `OptionError` says which there are.
    """
    there = sorted(nodes, key=_by_address)
    if asked == "all":
        chosen = there
    elif asked.isdecimal():
        chosen = there[: int(asked)]
        if len(chosen) < int(asked):
            raise _wrong(asked, f"there are only {len(there)}", (node.host for node in there))
    elif "=" in asked:
        label, _, value = (part.strip() for part in asked.partition("="))
        chosen = [node for node in there if node.labels.get(label) == value]
        if not chosen:
            values = sorted({node.labels[label] for node in there if label in node.labels})
            labels = sorted({label for node in there for label in node.labels})
            what = f"the values of {label} are" if values else f"no node has a label {label}, and the labels are"
            raise _wrong(asked, what, values or labels)
    else:
        names = [name.strip() for name in asked.split(",")]
        chosen = [node for node in there if any(_is_called(node, name) for name in names)]
        for name in names:
            if not any(_is_called(node, name) for node in chosen):
                raise _wrong(name, "there is no such node; there are", (node.host for node in there))
    if not chosen:
        raise OptionError("nodes", asked, "the cluster has no node that is alive: start one (ray start)")
    return chosen


def _is_called(node: NodeRow, name: str) -> bool:
    return name in (node.host, node.machine) or (len(name) >= 8 and node.node_id.startswith(name))


def _by_address(node: NodeRow) -> tuple[int, int, str, str]:
    """Addresses by their numbers, so that 10.0.0.9 comes before 10.0.0.10; then names."""
    try:
        address = ip_address(node.host)
    except ValueError:
        return 9, 0, node.host, node.node_id
    return address.version, int(address), "", node.node_id


def _wrong(asked: str, what: str, found: Iterable[str]) -> OptionError:
    names = list(found)
    more = f" and {len(names) - NAMED_AT_ONCE} more" if len(names) > NAMED_AT_ONCE else ""
    listed = f"{', '.join(names[:NAMED_AT_ONCE])}{more}" or "none"
    return OptionError("nodes", asked, f"{asked!r} won't do: {what}: {listed}")

"""Which nodes of a cluster get a copy: all, so many, those that are named, or those with a label."""

from __future__ import annotations

import pytest

from minibit.delivery.nodes import NodeRow, choose
from minibit.errors import OptionError

NODES = [
    NodeRow("b2" * 28, "10.0.0.10", {"zone": "b"}, "node-10"),
    NodeRow("a1" * 28, "10.0.0.9", {"zone": "a", "ray.io/gpu": "H100"}, "node-9"),
    NodeRow("c3" * 28, "10.0.0.2", {"zone": "a"}, "node-2"),
    NodeRow("d4" * 28, "10.0.0.2", {"zone": "a"}, "node-2"),
]


def hosts(asked: str, nodes: list[NodeRow] = NODES) -> list[str]:
    return [node.host for node in choose(nodes, asked)]


def test_nodes_come_by_the_number_of_their_address_whatever_ray_s_order_is() -> None:
    assert hosts("all") == hosts("all", NODES[::-1]) == ["10.0.0.2", "10.0.0.2", "10.0.0.9", "10.0.0.10"]
    named = [NodeRow("1", "beta"), NodeRow("2", "fd00::1"), NodeRow("3", "alpha"), NodeRow("4", "10.0.0.1")]
    assert hosts("all", named) == ["10.0.0.1", "fd00::1", "alpha", "beta"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("2", ["10.0.0.2", "10.0.0.2"]),
        ("10.0.0.9", ["10.0.0.9"]),
        ("10.0.0.10, node-9", ["10.0.0.9", "10.0.0.10"]),
        ("d4d4d4d4", ["10.0.0.2"]),
        ("10.0.0.2", ["10.0.0.2", "10.0.0.2"]),
        ("zone=b", ["10.0.0.10"]),
        ("zone = a", ["10.0.0.2", "10.0.0.2", "10.0.0.9"]),
        ("ray.io/gpu=H100", ["10.0.0.9"]),
    ],
)
def test_some_of_them(asked: str, found: list[str]) -> None:
    assert hosts(asked) == found


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("5", "nodes: '5' won't do: there are only 4: 10.0.0.2, 10.0.0.2, 10.0.0.9, 10.0.0.10"),
        ("10.0.0.9,10.0.0.3", "nodes: '10.0.0.3' won't do: there is no such node; there are: 10.0.0.2, 10.0.0.2, "),
        ("d4", "nodes: 'd4' won't do: there is no such node; there are: "),
        ("zone=c", "nodes: 'zone=c' won't do: the values of zone are: a, b"),
        ("rack=1", "nodes: 'rack=1' won't do: no node has a label rack, and the labels are: ray.io/gpu, zone"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(asked: str, says: str) -> None:
    with pytest.raises(OptionError) as refused:
        choose(NODES, asked)
    assert str(refused.value).startswith(says)


def test_a_message_names_a_few_nodes_of_many() -> None:
    many = [NodeRow(str(number), f"10.0.1.{number}") for number in range(200)]
    with pytest.raises(OptionError, match=r"10\.0\.1\.7 and 192 more$"):
        choose(many, "10.0.0.1")


def test_a_cluster_without_a_node_says_how_to_start_one() -> None:
    with pytest.raises(OptionError, match="has no node that is alive: start one"):
        choose([], "all")

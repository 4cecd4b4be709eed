"""What a push can be told: every option is read or refused in one line, and a copy lies apart from its content."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minibit.delivery.given import PushKeywords
from minibit.delivery.order import TABLE, Least, Order
from minibit.errors import LocalError, OptionError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5)
ODD = st.sampled_from([1 << 64, "9" * 5000, "1e999", "\ud800", "a\0b", "/a\nb", "=", "a=", ",", "9%", "nan%", "٣"])
VALUES = st.recursive(SCALARS | ODD, lambda inner: st.lists(inner, max_size=3))


def test_without_options_all_nodes_get_a_copy_and_nothing_gives_way() -> None:
    order = Order.build(dest="/data/model")
    assert order == Order(dest="/data/model")
    assert (order.nodes, order.replace, order.links, order.verify) == ("all", False, "follow", "fast")
    assert order.least.of(8) == 8


def test_every_option_sets_a_field_and_every_field_has_an_option() -> None:
    assert {option.field for option in TABLE.values()} == set(Order.__struct_fields__)
    assert ["dest", *PushKeywords.__annotations__] == list(TABLE)


def test_options_are_read_as_on_the_command_line() -> None:
    order = Order.build(
        dest=PurePosixPath("/data/model"), nodes=["10.0.0.2", "10.0.0.3"], min_nodes="90%", follow="30m",
        upload="8Gbit/s", data_ports="20000-20100", block_size="16MiB", timeout="1h", report=True,
    )  # fmt: skip
    assert (order.dest, order.nodes, order.least) == ("/data/model", "10.0.0.2,10.0.0.3", Least(share=0.9))
    assert (order.follow_s, order.upload_bps, order.data_ports) == (1800, 1e9, (20000, 20100))
    assert (order.block_bytes, order.timeout_s, order.records) == (16 << 20, 3600, True)
    assert Order.build(dest="/d", nodes=3).nodes == "3"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "dest: give the absolute path of the copies, e.g. /data/model"),
        ({"dest": "model"}, "dest: 'model' won't do: give an absolute path without .., e.g. /data/model"),
        ({"dest": "/data/../etc"}, "dest: '/data/../etc' won't do: give an absolute path without .."),
        ({"dest": "~/model"}, "dest: '~/model' won't do: give an absolute path"),
        (
            {"dest": "/d", "nodes": "0"},
            "nodes: '0' won't do: give all, a number from 1, addresses joined by commas, or",
        ),
        ({"dest": "/d", "nodes": "a,,b"}, "nodes: 'a,,b' won't do"),
        ({"dest": "/d", "nodes": "zone="}, "nodes: 'zone=' won't do"),
        ({"dest": "/d", "min_nodes": "101%"}, "min_nodes: '101%' won't do: give a number of nodes, or a share of them"),
        ({"dest": "/d", "min_nodes": "-1"}, "min_nodes: '-1' won't do"),
        ({"dest": "/d", "links": "copy"}, "links: 'copy' won't do: give follow or keep or refuse"),
        ({"dest": "/d", "verify": "no"}, "verify: 'no' won't do: give fast or full"),
        ({"dest": "/d", "upload": "3"}, "upload: '3' is no rate"),
        ({"dest": "/d", "node": "a"}, "there is no option 'node': did you mean nodes?"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(given: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError) as refused:
        Order.build(**given)
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=40)
@given(VALUES)
@example("9" * 5000)
def test_any_value_is_read_or_refused_in_one_line(name: str, value: Any) -> None:
    try:
        Order.build(**{"dest": "/d", name: value})
    except OptionError as error:
        assert str(error).isprintable() and len(str(error)) < 1000


@pytest.mark.parametrize("option", [option for option in TABLE.values() if option.bounds], ids=lambda one: one.name)
def test_an_option_takes_its_bounds_and_refuses_what_is_beyond(option: Any) -> None:
    least, most = (option.read(bound) for bound in option.bounds)
    assert least < most
    with pytest.raises(LocalError, match=f"give {option.bounds[0]} to {option.bounds[1]}"):
        option.read(most * 2)


def test_the_default_that_the_help_shows_is_that_of_the_order() -> None:
    for option in TABLE.values():
        assert option.default in (None, False) or option.read(option.shown) == option.default
    assert {name: TABLE[name].shown for name in ("dest", "min_nodes", "follow", "nodes")} == {
        "dest": "needed", "min_nodes": "all", "follow": "0s", "nodes": "all",
    }  # fmt: skip


def test_the_environment_stands_for_what_holds_of_a_place_and_for_nothing_that_overwrites() -> None:
    assert {name: option.variables for name, option in TABLE.items() if option.variables} == {
        "address": ("MINIBIT_ADDRESS", "RAY_ADDRESS"),
        "upload": ("MINIBIT_UPLOAD",),
        "data_ports": ("MINIBIT_DATA_PORTS",),
    }


# how many are enough


@pytest.mark.parametrize(
    ("asked", "nodes", "needed"),
    [("90%", 10, 9), ("90%", 11, 10), ("7%", 100, 7), ("0%", 5, 0), ("100%", 7, 7), ("33.3%", 3, 1), (5, 9, 5),
     ("1%", 1, 1), ("99.9%", 1000, 999), (5, 3, 5)],
)  # fmt: skip
def test_a_share_of_the_nodes_is_rounded_up(asked: str | int, nodes: int, needed: int) -> None:
    assert Order.build(dest="/d", min_nodes=asked).least.of(nodes) == needed


# where the copy lies


@pytest.mark.parametrize(
    ("dest", "source", "copy"),
    [
        ("/data/model", "/home/model", "/data/model"),
        ("/data/", "/home/model", "/data/model"),
        ("/", "/home/model", "/model"),
        ("//data//x/", "/home/model", "/data/x/model"),
        ("/home/model", "/home/model", "/home/model"),
        ("/home/", "/home/model", "/home/model"),
        ("/home/model-2", "/home/model", "/home/model-2"),
        ("/data/./x", "/home/model", "/data/x"),
    ],
)
def test_a_copy_has_a_path_of_its_own_or_takes_the_name_of_the_content(dest: str, source: str, copy: str) -> None:
    placed = Order.build(dest=dest).placed(source)
    assert placed.dest == copy
    assert placed.placed(source) == placed


@pytest.mark.parametrize(
    ("dest", "source", "says"),
    [
        ("/home/model/copy", "/home/model", "/home/model/copy lies inside /home/model: give a path apart from it"),
        ("/home/model/", "/home/model", "/home/model/model lies inside /home/model"),
        ("/home", "/home/model", "/home/model lies inside /home"),
        ("/data/", "/", "/ has no name of its own: give the whole path of the copy"),
        ("/data/m.minibit", "/home/model", "m.minibit is a name for what lies beside a copy"),
        ("/data/m.minibit-partial", "/home/model", "m.minibit-partial is a name for what lies beside a copy"),
        ("/data/" + "m" * 225, "/home/model", "its name is longer than 224 bytes"),
    ],
)
def test_a_copy_inside_the_content_or_around_it_is_refused(dest: str, source: str, says: str) -> None:
    with pytest.raises(OptionError) as refused:
        Order.build(dest=dest).placed(source)
    assert refused.value.option == "dest"
    assert refused.value.takes.startswith(says)


def test_blocks_grow_with_the_content_unless_their_size_is_given() -> None:
    assert Order.build(dest="/d").block_bytes_for(70 << 30) == 16 << 20
    assert Order.build(dest="/d", block_size="1MiB").block_bytes_for(70 << 30) == 1 << 20
    with pytest.raises(OptionError, match=r"block_size: .* give larger blocks"):
        Order.build(dest="/d", block_size="1KiB").block_bytes_for(70 << 30)

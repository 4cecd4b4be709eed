"""Options as a caller in Python gives them: every one has a name, a type and a line of help, and one way in."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from minibit.errors import LocalError, MinibitError
from minibit.run.given import Keywords, chosen, of_world, with_options
from minibit.run.options import TABLE, Options


def test_every_option_has_a_type_and_every_type_an_option():
    assert list(Keywords.__annotations__) == list(TABLE)


@pytest.mark.parametrize("world", ["ray", "sim"])
def test_the_options_of_a_world_stand_in_the_signature_and_in_the_help(world: str):
    @with_options(world)
    def launch(path: str | None = None, **given: Any) -> None:
        """Start it."""

    shown = inspect.signature(launch)
    names = [option.name for option in of_world(world)]
    assert list(shown.parameters) == ["path", *names]
    assert "world" not in names and ("control" in names) == (world == "ray")
    assert shown.parameters["peers"].annotation == "int | str | None"
    assert launch.__doc__ and launch.__doc__.startswith("Start it.\n")
    for option in of_world(world):
        assert option.help in launch.__doc__


def test_what_is_given_wins_over_the_environment_and_that_over_the_defaults():
    environ = {"MINIBIT_PEERS": "4", "MINIBIT_SIZE": "1MiB", "RAY_ADDRESS": "10.0.0.1:6379", "MINIBIT_KEEP": "yes"}
    found = chosen("ray", None, {"peers": 7, "slots": None}, environ)
    assert (found.peers, found.size_bytes, found.address, found.keep) == (7, 1 << 20, "10.0.0.1:6379", True)
    assert found.seed == Options().seed
    assert chosen("ray", None, {"address": "local"}, environ).address == "local"
    assert chosen("ray", None, {}, {"MINIBIT_PEERS": ""}) == Options()


def test_the_environment_says_nothing_about_the_other_world():
    environ = {"RAY_ADDRESS": "10.0.0.1:6379", "MINIBIT_CONTROL": "actors", "MINIBIT_WORLD": "ray"}
    assert chosen("sim", None, {}, environ) == Options(world="sim")


def test_options_that_are_built_already_are_all_that_counts():
    built = Options.build(peers=3)
    assert chosen("ray", built, {}, {"MINIBIT_PEERS": "4"}) is built
    with pytest.raises(LocalError, match="options are given twice, all at once and peers: give them in one way"):
        chosen("ray", built, {"peers": 4}, {})


@pytest.mark.parametrize(
    ("world", "given", "environ", "says"),
    [
        ("ray", {"pears": 3}, {}, "there is no option 'pears': did you mean peers"),
        ("ray", {"peers": "many"}, {}, "peers: 'many' won't do"),
        ("ray", {}, {"MINIBIT_PEERS": "many"}, "^MINIBIT_PEERS: 'many' won't do"),
        ("ray", {}, {"MINIBIT_KEEP": "perhaps"}, "^MINIBIT_KEEP: 'perhaps' won't do"),
        ("ray", {"peers": 1, "behave": "liar=2"}, {}, "behave: 'liar=2' needs 2 peers"),
        ("ray", {"world": "sim"}, {}, "world: 'sim' has no meaning with world='ray': leave it out"),
        ("sim", {"keep": True}, {}, "keep: True has no meaning with world='sim': leave it out"),
    ],
)
def test_a_wrong_option_is_named_as_it_was_given(world: str, given: Any, environ: Any, says: str):
    with pytest.raises(MinibitError, match=says):
        chosen(world, None, given, environ)


def test_an_option_of_the_other_world_that_changes_nothing_may_be_given():
    assert chosen("sim", None, {"keep": False, "world": "sim", "address": None}, {}) == Options(world="sim")

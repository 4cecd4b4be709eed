"""Options as a caller in Python gives them: by name, typed for editors, and shown where a person looks for them.

The table of options says what there is; `Keywords` gives the same names their types, and a test compares the two.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any, TypedDict, TypeVar

from minibit.errors import LocalError, OptionError
from minibit.run.options import TABLE, Option, Options

Call = TypeVar("Call", bound=Callable[..., Any])
T = TypeVar("T")

SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class Keywords(TypedDict, total=False):
    """Every option, as a text like on the command line, or as a number of bytes, bytes a second, or seconds.

    `behave` and `teams` also take how many peers there are of each, `data_ports` the first and the last port. None
    means that it is not given.
    """

    peers: int | str | None
    size: int | str | None
    block_size: int | str | None
    hash: str | None
    preset: str | None
    picker: str | None
    choker: str | None
    slots: int | str | None
    guests: int | str | None
    round: float | str | None
    guest_rounds: int | str | None
    neighbours: int | str | None
    economy: str | None
    leave: str | None
    announce: float | str | None
    request_timeout: float | str | None
    pipeline: int | str | None
    tracker: float | str | None
    retry: float | str | None
    initial: float | str | None
    behave: str | Mapping[str, int] | None
    teams: str | Mapping[str, int] | None
    upload: float | str | None
    download: float | str | None
    seed_upload: float | str | None
    world: str | None
    control: str | None
    seals: str | None
    address: str | None
    data_ports: str | tuple[int, int] | None
    seed: int | str | None
    timeout: float | str | None
    name: str | None
    out: str | PurePath | None
    keep: bool | None


def of_world(world: str) -> list[Option]:
    """The options that have a meaning in this world; which one it is, is the caller's to say."""
    return [option for option in TABLE.values() if option.world in (None, world) and option.name != "world"]


def chosen(world: str, options: Options | None, given: Mapping[str, Any], environ: Mapping[str, str]) -> Options:
    """The options of a run in `world`: all at once, or those that are given, and what else the environment says.

    `OptionError` names a wrong one as it was given, by its name or by its variable of the environment.
    """
    if options is not None:
        if given:
            raise LocalError(f"options are given twice, all at once and {', '.join(given)}: give them in one way")
        return options
    usual = {option.name: option for option in of_world(world)}
    for name in given:
        if name in TABLE and name not in usual and given[name] not in (None, world, TABLE[name].default):
            raise OptionError(name, given[name], f"{given[name]!r} has no meaning with world={world!r}: leave it out")
    return beside_environment(lambda **all: Options.build(**{**all, "world": world}), usual, given, environ)


def beside_environment(
    build: Callable[..., T], usual: Mapping[str, Option], given: Mapping[str, Any], environ: Mapping[str, str]
) -> T:
    """What `build` makes of what is given, and of what the environment says for the other ones of the `usual` options.

    `OptionError` names a wrong one as it was given, by its name or by its variable of the environment.
    """
    said = {name: variable for name, option in usual.items() if given.get(name) is None
            for variable in option.variables if environ.get(variable)}  # fmt: skip
    beside = {name: _text(usual[name], environ[variable]) for name, variable in said.items()}
    try:
        return build(**{**given, **beside})
    except OptionError as error:
        if error.option not in said:
            raise
        raise LocalError(error.said(lambda name: said.get(name, name))) from None


def _text(option: Option, text: str) -> object:
    """What a variable of the environment says; a switch has a value there."""
    return text if option.metavar else SWITCH.get(text.lower(), text)


def with_options(world: str) -> Callable[[Call], Call]:
    """Show the options of this world in the signature of a function that takes them, and in its help."""
    return with_table(of_world(world), Keywords)


def with_table(options: Iterable[Option], kinds: type) -> Callable[[Call], Call]:
    """Show these options in the signature of a function that takes them, with types as in `kinds`, and in its help."""
    table = list(options)

    def show(function: Call) -> Call:
        plain = inspect.signature(function)
        named = [
            inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=kinds.__annotations__[option.name].__forward_arg__,
            )
            for option in table
        ]
        first = [one for one in plain.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        function.__signature__ = plain.replace(parameters=[*first, *named])  # type: ignore[attr-defined]
        rows = (f"    {option.name:<15}  {option.explained} [{option.shown}]" for option in table)
        about = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = "\n".join([about, "", "Options, and what holds without them:", "", *rows, ""])
        return function

    return show

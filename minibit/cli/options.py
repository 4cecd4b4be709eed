"""The options of `minibit swarm` as click takes them: the table of all options, and those of the command line only.

Each can be given in the environment too: `MINIBIT_PEERS=20`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from minibit.errors import LocalError, said
from minibit.run import readers
from minibit.run.options import GROUPS, TABLE, Option
from minibit.run.readers import Reader

_ONLY_HERE: dict[str, tuple[Option, ...]] = {
    "World": (
        Option("scenario", "", readers.text, "FILE", "Classes, arrivals and faults, as TOML.", world="sim"),
        Option("journal", "", readers.text, "PEER,...", "Peers to keep the journals of, for replay.", world="sim"),
    ),
    "Run": (
        Option("no_report", "", readers.flag, "", "Write no report.html into the folder of the run.", "no"),
        Option("json", "", readers.flag, "", "Print the summary as one JSON object.", "no"),
        Option("quiet", "", readers.flag, "", "Show no progress.", "no"),
        Option("live", "", readers.flag, "", "Serve a page that shows the run; its address is printed.", "no", "ray"),
    ),
}


class Read(click.ParamType):  # type: ignore[type-arg]  # older ones of click can't be subscripted
    """A value that a reader of the table of options reads."""

    name = "text"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value in base units."""
        try:
            return self._reader(value)
        except LocalError as error:
            self.fail(str(error), param, ctx)


class _Switch(click.types.BoolParamType):
    """A switch, which has a value in the environment."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{said(value)} won't do: give yes or no", param, ctx)


class Given(click.Option):
    """An option of the table. Its value stays as it was given: `Options.build` reads it.

    default      what this command has instead of the usual default
    environment  whether a variable of the environment may give it
    flag         how it is spelled, if not by its name
    """

    def __init__(
        self,
        option: Option,
        group: str,
        *,
        default: str | None = None,
        environment: bool = False,
        flag: str | None = None,
        **more: Any,
    ) -> None:
        kind: click.ParamType[Any] = click.Path() if option.metavar in {"FILE", "DIR"} else click.STRING
        values = option.values
        super().__init__(
            [flag or f"--{option.name.replace('_', '-')}", option.name],
            help=option.explained + (f" Only with --world {option.world}." if option.world else ""),
            metavar=option.metavar or None,
            is_flag=not option.metavar,
            type=kind if option.metavar else _Switch(),
            default=default,
            envvar=list(option.variables) if environment else None,
            shell_complete=(lambda _c, _p, begun: [one for one in values if one.startswith(begun)]) if values else None,
            **more,
        )
        self.option, self.group = option, group
        self.shown = default or option.shown


def number(name: str, least: str, most: str, help: str, **more: Any) -> Callable[..., Any]:
    """A whole number between two bounds, which are in the help."""
    reader = readers.within(readers.whole, least, most)
    return click.option(name, metavar="N", type=Read(reader), help=f"{help} {least} to {most}.", **more)


def many_runs(main: Callable[..., None]) -> Callable[..., None]:
    """The options of each command that does many runs, in the reverse order of the help."""
    page = click.Path(path_type=Path)
    for option in (
        click.option("--quiet", is_flag=True, help="Show no progress."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table."),
        click.option("--into", metavar="FILE", type=page, help="Renew the table in this Markdown file."),
        click.option(
            "--address", metavar="ADDR", help="Run on this Ray cluster (HOST:PORT or auto). [on this machine]"
        ),
        number("--jobs", "1", "10000", "Runs at a time; without it one a core, and on Ray what fits."),
    ):
        main = option(main)
    return main


def swarm_options() -> list[click.Parameter]:
    """Every option of a swarm, under their headings."""
    return [
        Given(option, group, environment=True, multiple=option.name == "journal")
        for group, table in GROUPS.items()
        for option in (*table, *_ONLY_HERE.get(group, ()))
    ]


def some_options(group: str, **defaults: str | None) -> list[click.Parameter]:
    """These options of the table, each with the default that it has here; None: the usual one."""
    return [Given(TABLE[name], group, default=default) for name, default in defaults.items()]

"""The commands of `minibit`: what they have in common, and the list of them.

A subcommand is imported when it is called: none pays for what another one needs.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import minibit
from minibit import compiled
from minibit.cli.ending import ending
from minibit.errors import LocalError

COMMANDS = {
    "push": "Put a file or folder on every node of a Ray cluster.",
    "status": "Show the pushes that go on by themselves.",
    "wait": "Wait for a push that goes on by itself.",
    "cancel": "End a push that goes on by itself.",
    "verify": "Read the copies of a push again, on every node.",
    "remove": "Remove the copies of a push, on every node.",
    "clean": "Remove what pushes and swarms left behind.",
    "doctor": "Compare the nodes of a cluster, and say what is wrong.",
    "swarm": "Share content among a swarm of Ray actors, or simulated peers.",
    "runs": "List, show, compare and export recorded runs.",
    "replay": "Show one peer of a simulated run at any moment.",
    "compare": "Run every cell of a grid of options several times.",
    "tournament": "Let strategies play against each other in one swarm.",
}

PUSHES = {"status", "wait", "cancel"}
"""Those that have one room together."""


class Subcommand(click.Command):
    """A command that ends as `ending` says, and has -h; its options stand in the help under their headings."""

    def __init__(self, *args: Any, **given: Any) -> None:
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        super().__init__(*args, **{"context_settings": settings, **given})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        with ending():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Do it; modules of the working folder can be imported, for strategies of one's own as module:Class."""
        with ending():
            if (here := _working_folder()) not in sys.path:
                sys.path.append(here)
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of the help, each with its default; then the subcommands."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            if isinstance(option, click.Option) and (record := option.get_help_record(ctx)) is not None:
                default = getattr(option, "shown", option.default)
                told = not option.is_flag and isinstance(default, int | str | Path)
                text = f"{record[1]} [{default}]".strip() if told else record[1]
                sections.setdefault(getattr(option, "group", "Options"), []).append((record[0], text))
        width = max(len(name) for records in sections.values() for name, _ in records)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in records])
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


class Subcommands(Subcommand, click.Group):
    """A command with subcommands; without one it shows its help."""

    command_class = Subcommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what stands before the subcommand."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand that was named; for an unknown one, the nearest."""
        names = self.list_commands(ctx)
        if args[0] not in names and not ctx.resilient_parsing:
            nearest = get_close_matches(args[0], names)
            hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"give {', '.join(names)}"
            ctx.fail(f"there is no command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)


class Commands(Subcommands):
    """The command `minibit`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all subcommands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of that name, or None."""
        return load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, which imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        raise LocalError("the working folder is not there any more: go to another one") from None


def load(name: str) -> click.Command:
    """The subcommand of that name."""
    room = import_module(f"minibit.cli.{'pushes' if name in PUSHES else name}")
    command: click.Command = getattr(room, name if name in PUSHES else "main")
    return command


@click.command(cls=Commands)
@click.version_option(minibit.__version__, message=f"%(prog)s %(version)s ({compiled.built()})")
def main() -> None:
    """A BitTorrent-like swarm of Ray actors: run it, watch it, break it, measure it.

    `minibit COMMAND --help` says what a command takes.
    """

"""The subcommands of `minibit`, each imported when it is called: none pays for what another one needs."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

import click

COMMANDS = {
    "swarm": "Share content among a swarm of Ray actors, or simulated peers.",
    "runs": "List, show and compare recorded runs.",
    "replay": "Show one peer of a simulated run at any moment.",
    "compare": "Run every cell of a grid of options several times.",
    "tournament": "Let strategies play against each other in one swarm.",
}


class Commands(click.Group):
    """The command `minibit`."""

    def load(self, name: str) -> click.Command:
        """The subcommand of that name."""
        command: click.Command = import_module(f"minibit.cli.{name}").main
        return command

    def list_commands(self, context: click.Context) -> list[str]:
        """The names of all subcommands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The subcommand of that name, or None."""
        return self.load(name) if name in COMMANDS else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without an import of any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand that was named; for one that is none, the nearest."""
        if arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
            nearest = get_close_matches(arguments[0], COMMANDS) or list(COMMANDS)
            context.fail(f"there is no command {arguments[0]!r}: give {' or '.join(nearest)}")
        return super().resolve_command(context, arguments)

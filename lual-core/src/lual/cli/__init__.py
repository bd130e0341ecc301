"""The program `lual`: its commands, none of which is imported before it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click


class LaterCommand(NamedTuple):
    """A command that is imported when it is used.

    Args:
        place: `package.module:name` of the click command.
        help: One line for the list of commands.
    """

    place: str
    help: str


#: Every command, in the order of the help.
COMMANDS: dict[str, LaterCommand] = {
    "backends": LaterCommand("lual.cli.backends:backends", "List the installed backends."),
    "demo": LaterCommand("lual.cli.demo:demo", "Replay a log, and prove that nothing is lost."),
}


class LaterGroup(click.Group):
    """A group whose commands are imported when they are used.

    Args:
        later: The commands, by name.
    """

    def __init__(self, *args: Any, later: Mapping[str, LaterCommand], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._later = later

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order of the table."""
        return [*self._later, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns a command, imported now; None if there is none of that name."""
        later = self._later.get(cmd_name)
        if later is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = later.place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, later.help) for name, later in self._later.items()])


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib_metadata import PackageNotFoundError, version  # only this option needs it

    try:
        click.echo(f"lual {version('lual-core')}")
    except PackageNotFoundError:
        click.echo("lual, of a version unknown: lual-core runs without being installed")
    ctx.exit()


@click.group(
    cls=LaterGroup,
    later=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def program() -> None:
    """Logging that never stalls, crashes or lies to the program that logs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status.

    Args:
        argv: The arguments without the program's name; None takes the process's own.
    """
    try:
        program.main(args=None if argv is None else list(argv), prog_name="lual")
    except SystemExit as end:  # so click ends a program, also when all went well
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0

"""Commands that are imported when they are used, also those of another distribution."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any, NamedTuple

import click


class LaterCommand(NamedTuple):
    """A command that is imported when it is used.

    Args:
        place: `package.module:name` of the click command.
        help: One line for the list of commands.
        needs: The distribution that brings the package, if it isn't lual-core.
    """

    place: str
    help: str
    needs: str | None = None


class NotInstalled(click.ClickException):
    """A distribution that a command needs isn't there.

    Args:
        distribution: Its name.
    """

    exit_code = 2

    def __init__(self, distribution: str) -> None:
        super().__init__(
            f"this needs {distribution}, which isn't installed; "
            f"install it with: pip install {distribution}"
        )


def load(place: str, *, needs: str | None = None) -> Any:
    """Returns an object of a module that is imported now.

    lual knows such a module by its name alone: an import statement would make the
    distribution that brings it one of lual's own dependencies.

    Args:
        place: `package.module:name`.
        needs: The distribution that brings the package, if it isn't lual-core.

    Raises:
        NotInstalled: The package isn't there, or is of a version that lacks the module.
    """
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if needs is None or error.name not in (module, _package(place)):
            raise
        raise NotInstalled(needs) from error


def _package(place: str) -> str:
    return place.partition(":")[0].partition(".")[0]


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
        """Returns a command, imported now; None if there is none of that name.

        One whose distribution is missing is there as well, and tells how to install it.
        """
        later = self._later.get(cmd_name)
        if later is None:
            return super().get_command(ctx, cmd_name)
        try:
            command: click.Command = load(later.place, needs=later.needs)
        except NotInstalled as error:
            return _refusal(cmd_name, later, error)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _help(later)) for name, later in self._later.items()])


def _help(later: LaterCommand) -> str:
    if later.needs is None or importlib.util.find_spec(_package(later.place)) is not None:
        return later.help
    return f"{later.help.removesuffix('.')} (needs {later.needs})."


def _refusal(name: str, later: LaterCommand, error: NotInstalled) -> click.Command:
    """Returns a command that takes any arguments and tells what is missing."""

    def refuse() -> None:
        raise error

    return click.Command(
        name,
        help=later.help,
        callback=refuse,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )

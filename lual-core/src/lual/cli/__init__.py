"""The program `lual`: its commands, none of which is imported before it is used."""

from __future__ import annotations

from collections.abc import Sequence

import click

from lual.cli.later import LaterCommand, LaterGroup

#: The distribution with the conformance kit.
KIT = "lual-conformance"

#: Every command, in the order of the help.
COMMANDS: dict[str, LaterCommand] = {
    "backends": LaterCommand(
        "lual.cli.backends:backends", "List the installed backends, check one, or begin a new one."
    ),
    "demo": LaterCommand("lual.cli.demo:demo", "Replay a log, and prove that nothing is lost."),
    "conformance": LaterCommand(
        "lual_conformance.cli:conformance",
        "Test a backend against the contract.",
        needs=KIT,
    ),
}


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

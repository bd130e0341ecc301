"""`lual backends`: which are installed, what is wrong with one, and how to begin a new one."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lual.cli import KIT
from lual.cli.later import load
from lual.engine import discovery
from lual.engine.scan import Unreadable
from lual.errors import ConfigError
from lual.pipelines.escape import escape

if TYPE_CHECKING:
    from lual.cli.backend_rows import Row, Survey

_COLORS = {"ok": "green", "unavailable": "yellow", "stale": "yellow"}

_HEADINGS = ("NAME", "STATUS", "CONTRACT", "FROM", "WORKER")

#: Columns that a note gets at least on a terminal, however narrow; not measured.
_LEAST_NOTE = 30


@click.group()
def backends() -> None:
    """List the installed backends, look at one, check one, or begin a new one."""


@backends.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option("--verbose", is_flag=True, help="Say also where each comes from and why it fails.")
@click.option("--strict", is_flag=True, help="Exit with 1 if anything is not ok.")
@click.pass_context
def list_backends(ctx: click.Context, as_json: bool, verbose: bool, strict: bool) -> None:
    """List every installed backend, also those that don't work.

    Each is imported, and what fails stays in the list with its reason. The one with a star
    is taken if none is asked for.
    """
    from lual.cli.backend_rows import survey

    found = survey()
    if as_json:
        _write_json(_list_as_json(found, verbose=verbose))
    else:
        for line in _table(found, verbose=verbose):
            _write(line)
    if strict and not found.is_sound:
        ctx.exit(1)


@backends.command("info")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def show_backend(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show all that is known of the backend NAME.

    NAME may also be `package.module:plugin`.
    """
    from lual.cli.backend_rows import examine

    try:
        candidate = discovery.resolve(name)
    except ConfigError as error:
        click.echo(escape(str(error)), err=True)
        ctx.exit(2)
    row = examine(candidate)._replace(is_default=discovery.default_name()[0] == name)
    if as_json:
        _write_json(row.as_json(verbose=False))
        return
    _write(click.style(escape(row.name), bold=True) + f"  {_colored(row.status)}")
    for line in [*_reason_lines(row), *_detail_lines(row)]:
        _write(f"  {line}")


@backends.command("check")
@click.argument("name")
@click.option(
    "--level",
    type=click.Choice(["smoke", "standard", "full"]),
    default="smoke",
    show_default=True,
    help="How much is tried.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def check_backend(ctx: click.Context, name: str, level: str, as_json: bool) -> None:
    """Run the rules of the contract against the backend NAME.

    Needs lual-conformance.
    """
    check = load("lual_conformance.cli:check_backend", needs=KIT)
    ctx.exit(check(name, level, as_json))


@backends.command("new")
@click.argument("name")
@click.option(
    "--path",
    "parent",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help="Write into this folder instead of the current one.",
)
def write_backend(name: str, parent: Path) -> None:
    """Write the distribution lual-backend-NAME, a backend that works.

    It has one worker thread, passes the conformance kit, and is yours to change. Nothing
    that exists is overwritten.
    """
    from lual.cli.new_backend import RefusedError, write_distribution

    try:
        folder, written = write_distribution(name, parent)
    except RefusedError as refused:
        raise click.UsageError(escape(str(refused))) from refused
    _write(f"Wrote the backend {name} into {escape(str(folder))}:")
    for path in written:
        _write(f"  {path}")
    # Without a slash, a folder could be taken for a distribution of an index.
    place = shlex.quote(f"{os.path.join(os.curdir, folder)}[test]")
    _write("\nNext:")
    for command in (
        f"pip install -e {place}",
        f"lual backends info {name}",
        f"lual backends check {name}",
    ):
        _write(escape(f"  {command}"))


def _write(line: str) -> None:
    # click takes the colours away itself if the output is no terminal.
    click.echo(line, color=False if os.environ.get("NO_COLOR") else None)


def _write_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def _list_as_json(found: Survey, *, verbose: bool) -> dict[str, Any]:
    return {
        "default": found.default,
        "default_reason": found.default_reason,
        "backends": [row.as_json(verbose=verbose) for row in found.rows],
        "unreadable": [unreadable._asdict() for unreadable in found.unreadable],
    }


def _table(found: Survey, *, verbose: bool) -> list[str]:
    lines = []
    if found.rows:
        table = [_HEADINGS, *map(_cells, found.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines.append(f"  {''.join(_padded(_HEADINGS, widths))}NOTES")
        for row, cells in zip(found.rows, table[1:], strict=True):
            lines += _row_lines(row, _padded(cells, widths))
            if verbose:
                lines += [f"      {line}" for line in _detail_lines(row)]
        lines.append("")
    default = f"Default: {found.default} ({found.default_reason})"
    lines.append(escape(default if found.default else f"No default: {found.default_reason}"))
    lines += [_could_not_read(unreadable) for unreadable in found.unreadable]
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    worker = str(row.capabilities.get("worker", "-"))
    return tuple(map(escape, (row.name, row.status, row.contract or "-", _owner(row), worker)))


def _owner(row: Row) -> str:
    return " ".join(part for part in (row.distribution, row.version) if part) or "-"


def _padded(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    return [f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=True)]


def _row_lines(row: Row, cells: list[str]) -> list[str]:
    start = 2 + sum(map(len, cells))
    name, status, *others = cells
    line = f"{'*' if row.is_default else ' '} {name}{_colored(status)}{''.join(others)}"
    notes = [_note(row)]
    if sys.stdout.isatty():
        width = max(shutil.get_terminal_size().columns - start, _LEAST_NOTE)
        notes = textwrap.wrap(notes[0], width) or notes
    return [(line + notes[0]).rstrip(), *(" " * start + more for more in notes[1:])]


def _note(row: Row) -> str:
    """Returns the note of a table's row: of several problems, the first."""
    first, *problems = (row.reason or "").splitlines() or [""]
    if problems:
        first = problems[0].strip()
        first += f" (+{len(problems) - 1} more)" if len(problems) > 1 else ""
    return escape(", ".join(part for part in ("default" if row.is_default else "", first) if part))


def _reason_lines(row: Row) -> list[str]:
    lines = ["taken if no backend is asked for"] if row.is_default else []
    return lines + [escape(line) for line in (row.reason or "").splitlines()]


def _detail_lines(row: Row) -> list[str]:
    details = row.details
    facts: list[tuple[str, str | None]] = [
        ("summary", row.summary),
        ("distribution", _owner(row)),
        ("entry point", row.entry_point),
        ("metadata", details.path),
        ("contract", row.contract),
        *((key.replace("_", " "), _shown(value)) for key, value in row.capabilities.items()),
        ("load time", f"{details.load_ms:.1f} ms" if details.load_ms is not None else None),
    ]
    known = [(f"{label}:", escape(str(value))) for label, value in facts if value]
    width = max(len(label) for label, _ in known) + 2
    lines = [f"{label:<{width}}{value}" for label, value in known]
    for title, text in (("printed:", details.printed), ("traceback:", details.traceback)):
        if text.strip():
            lines += [title, *(f"  {escape(line)}" for line in text.rstrip().splitlines())]
    return lines


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _could_not_read(unreadable: Unreadable) -> str:
    line = f", line {unreadable.line}" if unreadable.line is not None else ""
    owner, file, reason = unreadable.distribution, unreadable.file, unreadable.reason
    return escape(f"Could not read the entry points of {owner}: {file}{line}: {reason}")


def _colored(status: str) -> str:
    return click.style(status, fg=_COLORS.get(status.strip(), "red"))

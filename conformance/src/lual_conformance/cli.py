"""`lual conformance`: the kit without pytest, in a process with nothing else in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from lual.backend import ConfigError
from lual_conformance import report as reports
from lual_conformance.options import Asked, OptionError, run_settings
from lual_conformance.outcomes import Result
from lual_conformance.project import Project, ProjectError, read_project
from lual_conformance.registry import LEVELS, load_rules
from lual_conformance.runner import Run
from lual_conformance.settings import RunSettings
from lual_conformance.target import Target
from lual_conformance.verdict import satisfies


@click.group()
def conformance() -> None:
    """Try whether a backend keeps the contract, rule by rule."""


@conformance.command("run")
@click.argument("name")
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="standard",
    show_default=True,
    help="How much to try.",
)
@click.option("--rule", "rules", multiple=True, metavar="GLOB[,GLOB]", help="Only these rules.")
@click.option("--profile", "profiles", multiple=True, metavar="P[,P]", help="Only these profiles.")
@click.option("--option", "options", multiple=True, metavar="K=V", help="An option of the backend.")
@click.option("--mode", metavar="LABEL", help="Name this combination of options.")
@click.option("--seed", type=int, help="Drive everything random; printed in the report.")
@click.option("--time-budget", type=float, metavar="S", help="Begin no rule after S seconds.")
@click.option("--timeout-scale", "scale", type=float, metavar="F", help="Lengthen watchdogs.")
@click.option(
    "--known-failures",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Failures that are excused.",
)
@click.option(
    "--require",
    type=click.Choice(["conformant", "partial"]),
    default="conformant",
    show_default=True,
    help="What exit status 0 needs.",
)
@click.option("--strict-env", is_flag=True, help="What can't be tried here counts as failed.")
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    help="Write .json, .md or .xml; - is JSON to standard output.",
)
@click.option("--json", "as_json", is_flag=True, help="Write nothing but the report, as JSON.")
@click.option("--quiet", is_flag=True, help="Show only what isn't kept.")
@click.pass_context
def run_command(
    ctx: click.Context,
    /,
    name: str,
    known_failures: Path | None,
    require: str,
    report_file: str | None,
    as_json: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Run the rules against the backend NAME, which may be package.module:plugin."""
    try:
        if report_file is not None:
            reports.check_suffix(report_file)
        project = read_project(Path.cwd(), known_failures)
        settings = run_settings(Asked(**asked), project)
        target = Target.find(name)
    except (ConfigError, OptionError, ProjectError, ValueError) as error:
        click.echo(f"lual conformance: {error}", err=True)
        ctx.exit(2)
    as_json = as_json or report_file == "-"
    made = _run(target, settings, project, show=not as_json, quiet=quiet)
    if report_file not in (None, "-"):
        reports.write(str(report_file), [made])
    if as_json:
        click.echo(json.dumps(made, indent=2))
    ctx.exit(0 if satisfies(made["verdict"], require) else 1)


def _run(
    target: Target, settings: RunSettings, project: Project, *, show: bool, quiet: bool
) -> dict[str, Any]:
    """Runs, shows each result at once, and returns the report."""
    rules = load_rules()
    run = Run(target, settings, project.known)
    finished = False

    def listen(result: Result) -> None:
        if show and not (quiet and not result.is_bad):
            for line in reports.rule_lines(reports.rule_row(rules[result.id], result)):
                click.echo(line)

    try:
        run.all(listener=listen)
        finished = True
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
    made = reports.build(target, settings, run.results, finished=finished)
    if show:
        for line in reports.closing_lines(made):
            click.echo(line)
    return made


def check_backend(name: str, level: str, as_json: bool) -> int:
    """Makes a short run for `lual backends check`, and returns the exit status.

    Args:
        name: Of the backend, or `package.module:plugin`.
        level: How much to try.
        as_json: Whether to write the report as JSON instead of lines.
    """
    arguments = [name, "--level", level, *(["--json"] if as_json else ["--quiet"])]
    try:
        run_command.main(arguments, standalone_mode=True, prog_name="lual backends check")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


@conformance.command("rules")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "md", "json"]),
    default="text",
    show_default=True,
    help="A list, the page of the reference, or JSON.",
)
def rules_command(form: str) -> None:
    """Show the rule book."""
    rules = load_rules().values()
    if form == "md":
        from lual_conformance.markdown import rule_book

        click.echo(rule_book(rules), nl=False)
    elif form == "json":
        click.echo(json.dumps([_as_json(rule) for rule in rules], indent=2))
    else:
        for rule in rules:
            click.echo(f"{rule.id:<6}{rule.strength:<8}{rule.promise}")


def _as_json(rule: Any) -> dict[str, Any]:
    names = ("id", "title", "promise", "strength", "profile", "needs", "assumes", "level")
    more = ("stochastic", "processes", "seed", "hint")
    return {name: getattr(rule, name) for name in (*names, *more)}


@conformance.command("selftest", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def selftest_command(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Prove that the kit finds what is broken: run it on the zoo.

    ARGUMENTS are names of mutants (none: all of them, and the perfect backends), and
    --jobs N, --rules GLOBS, --json.
    """
    # A program of its own: it forks, so it must begin with one thread and little else.
    command = [sys.executable, "-m", "lual_conformance.zoo", *arguments]
    ctx.exit(subprocess.call(command))  # noqa: S603  our own interpreter with our own code


@conformance.command("diff")
@click.argument("old", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("new", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def diff_command(ctx: click.Context, old: Path, new: Path, as_json: bool) -> None:
    """Show what changed between two JSON reports; exit status 1 if a rule got worse."""
    from lual_conformance.comparison import compare

    try:
        changes = compare(json.loads(old.read_text()), json.loads(new.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        click.echo(f"lual conformance: these are no reports of one backend each: {error}", err=True)
        ctx.exit(2)
    if as_json:
        click.echo(json.dumps([change.as_json() for change in changes], indent=2))
    for change in [] if as_json else changes:
        click.echo(str(change))
    if not (changes or as_json):
        click.echo("no rule changed its outcome")
    ctx.exit(1 if any(change.is_worse for change in changes) else 0)

"""`python -m lual_conformance.zoo [MUTANT...]`: proves that the kit finds what is broken."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence

import click

from lual_conformance.settings import RunSettings
from lual_conformance.zoo.fork_server import BecomeChild
from lual_conformance.zoo.registry import load_mutants
from lual_conformance.zoo.run import (
    WATCHDOG,
    Row,
    perfect_verdict,
    references,
    run_rows,
    unguarded_rules,
    verdict,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the zoo and returns the exit status.

    Raises:
        BecomeChild: In each process that a check has asked for.
    """
    parser = argparse.ArgumentParser(prog="python -m lual_conformance.zoo", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants; 'perfect'; none: all")
    parser.add_argument("--jobs", type=int, default=6 * (os.cpu_count() or 1))
    parser.add_argument("--rules", default="", help="patterns of rule ids, with commas")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run each N times")
    parser.add_argument("--thorough", action="store_true", help="all rules for each mutant")
    parser.add_argument("--patient", action="store_true", help="long watchdogs, as for strangers")
    parser.add_argument("--json", action="store_true", help="write all outcomes as JSON")
    options = parser.parse_args(argv)
    mutants = load_mutants()
    by_reference = {mutant.reference: mutant for mutant in mutants.values()}
    rules = tuple(filter(None, options.rules.split(",")))
    watchdog = RunSettings().watchdog if options.patient else WATCHDOG
    settings = RunSettings(watchdog=watchdog, rules=rules)
    began, wrong = time.monotonic(), dict[str, list[str]]()

    def look(row: Row) -> None:
        mutant = by_reference.get(row.reference)
        found = verdict(mutant, row) if mutant is not None else perfect_verdict(row)
        name = mutant.name if mutant is not None else row.reference
        if found:
            wrong.setdefault(name, []).extend(found)
        _say(f"{'WRONG' if found else 'ok':<6}{row.seconds:6.1f} s  {name}")
        for line in found:
            _say(f"         {line}")

    try:
        wanted = references(options.names) * options.repeat
    except ValueError as error:
        parser.error(str(error))
    rows = run_rows(wanted, settings, options.jobs, look, thorough=options.thorough)
    unguarded = unguarded_rules(mutants) if not (options.names or rules) else []
    _say(f"{len(rows)} backends in {time.monotonic() - began:.0f} s, {len(wrong)} wrong")
    if unguarded:
        _say(f"MUST rules that no mutant needs: {', '.join(unguarded)}")
    if options.json:
        click.echo(
            json.dumps(
                {
                    "rows": [row._asdict() for row in rows],
                    "wrong": wrong,
                    "unguarded": unguarded,
                }
            )
        )
    return 1 if wrong or unguarded else 0


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("LUAL_")]:
        del os.environ[name]
    try:
        sys.exit(main())
    except BecomeChild as child:
        become = child
    become.run()

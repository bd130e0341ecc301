"""Programs whose outputs run in another process, and that are killed or started in all ways."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import lual
from lual_conformance.children import Report
from lual_conformance.children.programs import STALLING, LinesTo, configure, until_inside

#: What a program notes each time its main module is run.
MAIN = "main"

#: What is written when a record that stalled has ended.
ENDED = "ended"

#: So often a main module is run by a backend that runs it again and again.
_MOST_MAINS = 3

#: A main module as people write them: everything at the top, without a guard.
_SCRIPT = """\
import json
from lual_conformance.children.processes import work
work(json.loads({setup!r}), {method!r}, {names!r})
"""


class _EndsTo(LinesTo):
    """Writes a line also at the end of a record that stalls."""

    def __call__(self, text: str, record: Any) -> None:
        super().__call__(text, record)
        if record.message == STALLING:
            self._append(ENDED)


def logs_and_waits(report: Report, setup: Mapping[str, Any], names: Sequence[str]) -> None:
    """Logs, flushes, and waits to be killed."""
    log = configure(setup)
    for name in names:
        log.info(name)
    lual.flush(setup["patience"])
    report("ready")
    sys.stdin.readline()


def stalls_and_waits(report: Report, setup: Mapping[str, Any]) -> None:
    """Logs a record with which the output stalls, and waits to be killed."""
    log = configure(setup, _EndsTo)
    log.error(STALLING)  # an error starts a batch at once
    until_inside(setup)
    report("ready")
    sys.stdin.readline()


def runs_script(
    report: Report, setup: Mapping[str, Any], method: str, names: Sequence[str]
) -> None:
    """Runs a file without a guard as the main module of this process.

    Args:
        report: Unused: the file's own lines tell everything.
        setup: As `programs.run` gives it.
        method: The start method of `multiprocessing` that the file chooses.
        names: What it logs.
    """
    del report
    path = f"{setup['path']}.py"
    with open(path, "w", encoding="utf-8") as file:
        text = _SCRIPT.format(setup=json.dumps(dict(setup)), method=method, names=list(names))
        file.write(text)
    runpy.run_path(path, run_name="__main__")


def work(setup: Mapping[str, Any], method: str, names: Sequence[str]) -> None:
    """Does what the file of `runs_script` is for.

    Args:
        setup: As `programs.run` gives it.
        method: The start method that it chooses.
        names: What it logs.
    """
    LinesTo(setup["path"], setup["gate"])("", lual.Record.build(MAIN))
    with open(setup["path"], encoding="utf-8") as file:
        if sum(line.endswith(f" {MAIN}\n") for line in file) >= _MOST_MAINS:
            os._exit(9)  # else there would be no end of it
    multiprocessing.set_start_method(method, force=True)
    log = configure(setup)
    for name in names:
        log.info(name)
    lual.flush(setup["patience"])

"""One run of one peer, in a process of its own that can't outlive its limit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from line import Verdict, judge
from scenarios import Scenario

_CHILD = Path(__file__).with_name("child.py")

#: Exit status of a process that ended as it was asked to.
_STATUS = {"": 0, "return": 0, "exit": 3, "raise": 1}

#: Characters of a crashed process's last words.
_QUOTED = 300


class Run(NamedTuple):
    """What a run gave.

    Attributes:
        value: The figure; None if there is none, or lines are missing.
        verdict: What is wrong with the file.
        problem: What else went wrong, or nothing.
    """

    value: float | None
    verdict: Verdict
    problem: str

    @property
    def passed(self) -> bool:
        """Whether nothing is lost, doubled or torn, and nothing hung or crashed."""
        return self.verdict.complete and not self.problem

    def trouble(self) -> str:
        """Returns what went wrong in a few words; empty if nothing did."""
        counts = self.verdict._asdict().items()
        return ", ".join([*filter(None, [self.problem]), *(f"{n:,} {w}" for w, n in counts if n)])


def run(scenario: Scenario, peer: str, records: int) -> Run:
    """Runs a scenario once in all its endings; the first one that fails counts."""
    result = Run(None, Verdict(0, 0, 0), "")
    for ending in scenario.endings:
        result = _run(scenario, peer, records, ending)
        if not result.passed:
            break
    return result


def _run(scenario: Scenario, peer: str, records: int, ending: str) -> Run:
    with tempfile.TemporaryDirectory(prefix="lual-benchmark-") as folder:
        path = Path(folder) / "app.log"
        task = {
            "workload": scenario.workload,
            "peer": peer,
            "path": str(path),
            "records": records,
            "ending": ending,
        }
        status, out, err = _execute(task, scenario.limit)
        result = _parse(out)
        problem = (result or {}).get("problem", "")
        if status is None:
            problem = problem or f"hangs ({scenario.limit:g} s)"
        elif result is None or status != _STATUS[ending]:
            problem = f"exit status {status}: {err.strip()[-_QUOTED:]}"
        if result is None:
            return Run(None, Verdict(0, 0, 0), problem)
        verdict = judge(path, result["expected"], numbered=scenario.numbered)
    complete = verdict.complete and not problem
    return Run(result.get("value") if complete else None, verdict, problem)


def _execute(task: dict[str, Any], limit: float) -> tuple[int | None, str, str]:
    """Returns exit status (None: it hung and was killed), standard output and error."""
    command = [sys.executable, "-W", "ignore", str(_CHILD), json.dumps(task)]
    # Settings of the developer's own programs must not decide.
    variables = {name: v for name, v in os.environ.items() if not name.startswith("LUAL_")}
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        # A group of its own: what a killed run has forked must not go on.
        subprocess.Popen(
            command, stdout=out, stderr=err, env=variables, start_new_session=True
        ) as process,
    ):
        status: int | None
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        out.seek(0)
        err.seek(0)
        return status, out.read(), err.read()


def _parse(out: str) -> dict[str, Any] | None:
    lines = out.splitlines()
    try:
        return dict(json.loads(lines[-1])) if lines else None
    except ValueError:
        return None

"""The report of a run: one JSON document, from which all other forms are made."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lual_conformance import __version__
from lual_conformance.outcomes import Result
from lual_conformance.registry import CHAPTERS, UNTESTED, Rule, load_rules
from lual_conformance.settings import RunSettings
from lual_conformance.target import Target
from lual_conformance.verdict import profile_rows, summary, verdict

SCHEMA = "lual-conformance-report/1"

#: The contract that this kit checks.
CONTRACT = "1.0"


def build(
    target: Target, settings: RunSettings, results: Mapping[str, Result], *, finished: bool = True
) -> dict[str, Any]:
    """Returns the report.

    Args:
        target: The backend.
        settings: Of the run.
        results: By rule id.
        finished: False if the run was interrupted.
    """
    rules = [rule for rule in load_rules().values() if rule.runs_at(settings.level)]
    shown = {rule.id: results.get(rule.id, _absent(rule, finished)) for rule in rules}
    restricted = bool(settings.rules or settings.profiles)
    profiles = profile_rows(rules, shown)
    return {
        "schema": SCHEMA,
        "kit": __version__,
        "contract": CONTRACT,
        "level": settings.level,
        "verdict": verdict(rules, shown, restricted=restricted) if finished else "incomplete",
        "seed": settings.seed,
        "backend": _backend(target, settings),
        "environment": _environment(settings),
        "profiles": profiles,
        "rules": [rule_row(rule, shown[rule.id]) for rule in rules],
        "untested": dict(UNTESTED),
        "summary": summary(profiles),
        "reproduce": reproduce(target.name, settings),
    }


def _absent(rule: Rule, finished: bool) -> Result:
    outcome = "skipped_by_user" if finished else "not_run"
    message = "it was not selected" if finished else "the run was interrupted"
    return Result(id=rule.id, outcome=outcome, message=message)


def _backend(target: Target, settings: RunSettings) -> dict[str, Any]:
    info = target.info
    return {
        "name": target.name,
        "dist": target.distribution,
        "version": info.version,
        "entry_point": target.entry_point,
        "mode": settings.mode,
        "options": dict(settings.options),
        "capabilities": {key: _plain(value) for key, value in sorted(info.capabilities.items())},
    }


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (set, frozenset)) else value


def _environment(settings: RunSettings) -> dict[str, Any]:
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation().lower(),
        "gil": has_gil,
        "platform": sys.platform,
        "cpus": os.cpu_count(),
        "timeout_scale": settings.scale,
        "foreign_autouse": [],  # rules are no test functions: no fixture reaches them
    }


def rule_row(rule: Rule, result: Result) -> dict[str, Any]:
    """Returns the row of one rule."""
    row: dict[str, Any] = {
        "id": rule.id,
        "title": rule.title,
        "level": rule.strength,
        "profile": rule.profile,
        "outcome": result.outcome,
        "ms": result.ms,
        "stochastic": rule.stochastic,
        "assumes": list(rule.assumes),
    }
    if result.message:
        row["message"] = result.message
    if result.outcome in ("failed", "error", "known_failure", "unexpected_pass"):
        row |= {"promise": rule.promise, "hint": rule.hint, "details": result.details}
    if result.by:
        row["by"] = list(result.by)
    if result.notes:
        row["notes"] = list(result.notes)
    if result.known is not None:
        row["reason"] = result.known.reason
        row["issue"] = result.known.issue
        row["expires"] = str(result.known.expires)
    return row


def reproduce(name: str, settings: RunSettings) -> str:
    """Returns the command that makes the same run again."""
    words = ["pytest --lual-conformance", f"--lual-backend {name}"]
    words += [f"--lual-backend-option {key}={value}" for key, value in settings.options.items()]
    if settings.level != "standard":
        words.append(f"--lual-level {settings.level}")
    if settings.rules:
        words.append(f"--lual-rule {','.join(settings.rules)}")
    return " ".join([*words, f"--lual-seed {settings.seed}"])


def write(path: str, reports: list[dict[str, Any]]) -> str:
    """Writes reports in the form that the suffix asks for, and returns the text.

    Args:
        path: `.json`, `.md` or `.xml`; `-` is standard output as JSON, which the caller
            writes.
        reports: One for each backend; JSON of a single one is that object itself.

    Raises:
        ValueError: The suffix is none of these.
    """
    text = render(path, reports)
    if path != "-":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
    return text


def check_suffix(path: str) -> None:
    """Refuses a report file whose form can't be told from its name.

    Raises:
        ValueError: The suffix is none of `.json`, `.md` and `.xml`.
    """
    if path != "-" and Path(path).suffix not in (".json", ".md", ".xml"):
        raise ValueError(f"a report is a .json, .md or .xml file, or - ; got {path!r}")


def render(path: str, reports: list[dict[str, Any]]) -> str:
    """Returns the text of reports in the form that a file's name asks for."""
    check_suffix(path)
    if path.endswith(".md"):
        from lual_conformance.markdown import report_page

        return "\n".join(report_page(report) for report in reports)
    if path.endswith(".xml"):
        from lual_conformance.junit import junit_xml

        return junit_xml(reports)
    return json.dumps(reports[0] if len(reports) == 1 else reports, indent=2) + "\n"


def lines(report: Mapping[str, Any], *, passed: bool = True) -> Iterable[str]:
    """Yields one line for each rule, more for one that failed, and the verdict.

    Args:
        report: The report.
        passed: Whether rules that passed, or concern other backends, are shown.
    """
    rows, chapter = report["rules"], 0
    for row in rows:
        quiet = row["outcome"] in ("passed", "not_supported", "not_applicable")
        if (quiet and not passed) or row["outcome"] == "skipped_by_user":
            continue
        if int(row["id"].partition(".")[0]) != chapter:
            chapter = int(row["id"].partition(".")[0])
            yield f"{chapter} {CHAPTERS[chapter][0].title}"
        yield from rule_lines(row)
    yield from closing_lines(report)


def rule_lines(row: Mapping[str, Any]) -> Iterable[str]:
    """Yields the line of one rule; of a failed one also what was seen, promised, and where."""
    word = row["outcome"].replace("_", " ")
    word = word.upper() if row["outcome"] in ("failed", "error", "unexpected_pass") else word
    strength = "" if row["level"] == "MUST" else " (should)"
    line = f"  {row['id']:<6}{word:<16}{row['title']}{strength}"
    if row["outcome"] in ("failed", "error", "unexpected_pass", "known_failure"):
        yield line
        yield f"          observed:  {row.get('message', '')}"
        yield f"          contract:  {row['promise']}"
        yield f"          look at:   {row['hint']}"
    elif row["outcome"] == "passed":
        yield line
    else:
        yield f"{line}: {row.get('message', '')}"
    for note in row.get("notes", ()):
        yield f"          note:      {note}"


def closing_lines(report: Mapping[str, Any]) -> Iterable[str]:
    """Yields the verdict and how to come to it again."""
    backend = report["backend"]
    version = f" {backend['version']}" if backend["version"] else ""
    counts: dict[str, int] = {}
    for row in report["rules"]:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    yield ""
    yield f"{backend['name']}{version}: {report['verdict'].upper()} at level {report['level']}"
    yield f"  {said}"
    yield f"  {report['summary']}"
    yield f"  again: {report['reproduce']}"

"""Reports and the rule book as Markdown pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lual_conformance.registry import CHAPTERS, UNTESTED, Rule

_FAILURES = ("failed", "error", "unexpected_pass", "known_failure")


def report_page(report: Mapping[str, Any]) -> str:
    """Returns a report as a page."""
    backend, environment = report["backend"], report["environment"]
    lines = [
        f"# {backend['name']}: {report['verdict']}",
        "",
        f"{report['summary']}",
        "",
        "| | |",
        "|---|---|",
        f"| backend | {backend['name']} {backend['version']} "
        f"({backend['dist'] or 'by reference'}) |",
        f"| mode | {backend['mode']} |",
        f"| contract, kit | {report['contract']}, {report['kit']} |",
        f"| level, seed | {report['level']}, {report['seed']} |",
        f"| environment | Python {environment['python']}, {environment['platform']}, "
        f"{environment['cpus']} CPUs |",
        f"| again | `{report['reproduce']}` |",
        "",
        *_profiles(report["profiles"]),
        *_failures(report["rules"]),
        "## All rules",
        "",
        "| rule | | outcome | |",
        "|---|---|---|---|",
    ]
    for row in report["rules"]:
        message = "" if row["outcome"] == "passed" else row.get("message", "")
        outcome = row["outcome"].replace("_", " ")
        lines.append(f"| {row['id']} | {row['level']} | {outcome} | {cell(message)} |")
    lines += ["", "## Not tested by any rule", ""]
    lines += [f"- {reason}" for reason in report["untested"].values()]
    return "\n".join(lines) + "\n"


def _profiles(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = ["| profile | result | passed | failed | other |", "|---|---|---|---|---|"]
    for row in rows:
        other = row["blocked"] + row["known_failures"] + row["not_supported"] + row["skipped"]
        lines.append(
            f"| {row['name']} | {row['result'].replace('_', ' ')} | {row['passed']} "
            f"| {row['failed']} | {other} |"
        )
    return [*lines, ""]


def _failures(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        if row["outcome"] in _FAILURES:
            lines += [
                f"## {row['id']} {row['title']}: {row['outcome'].replace('_', ' ')}",
                "",
                f"- observed: {row.get('message', '')}",
                f"- contract: {row['promise']}",
                f"- look at: {row['hint']}",
            ]
            if "reason" in row:
                lines.append(f"- excused until {row['expires']}: {row['reason']} ({row['issue']})")
            lines.append("")
    return lines


def rule_book(rules: Iterable[Rule]) -> str:
    """Returns the rule book as a page of the reference."""
    lines = [
        "# The rule book",
        "",
        "Every rule of [the backend contract](backend.md) that the conformance kit checks. This",
        "page is made by `lual conformance rules --format md`; don't change it by hand.",
        "",
        "A rule that *needs* a capability concerns the backends that claim it. One that *builds",
        "on* others is blocked, not failed, where one of them is broken. *By luck* marks rules",
        "that a broken backend may get through; a sound one never fails any.",
        "",
    ]
    chapter = 0
    for rule in rules:
        if rule.chapter != chapter:
            chapter = rule.chapter
            lines += [f"## {chapter} {CHAPTERS[chapter][0].title}", ""]
        lines += _rule_section(rule)
    lines += ["## Untested", "", "Promised by nobody, or beyond what a rule can try:", ""]
    lines += [f"- {reason}." for reason in UNTESTED.values()]
    return "\n".join(lines) + "\n"


def _rule_section(rule: Rule) -> list[str]:
    facts = [f"**{rule.strength}**"]
    if rule.needs:
        facts.append("needs " + ", ".join(f"`{need}`" for need in rule.needs))
    if rule.assumes:
        facts.append("builds on " + ", ".join(rule.assumes))
    if rule.level != "standard":
        facts.append(f"from level `{rule.level}` on")
    if rule.stochastic:
        facts.append("by luck")
    if rule.seed:
        facts.append(f"in the original design note: {rule.seed}")
    return [
        f"### {rule.id} {rule.title}",
        "",
        rule.promise,
        "",
        f"{'; '.join(facts)}. Where to look: {rule.hint}.",
        "",
    ]


def cell(text: str) -> str:
    """Returns a text that may stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def backend_matrix(reports: Iterable[Mapping[str, Any]]) -> str:
    """Returns the table of backends for the documentation, from their published reports."""
    lines = [
        "| backend | mode | worker | order | overflow | outputs may be slow | verdict | level |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for report in reports:
        backend = report["backend"]
        has = backend["capabilities"]
        passed = sum(row["outcome"] == "passed" for row in report["rules"])
        lines.append(
            f"| {backend['name']} {backend['version']} | {backend['mode']} "
            f"| {has.get('worker', '')} | {has.get('ordering', 'none')} "
            f"| {', '.join(has.get('overflow', ()))} "
            f"| {'yes' if has.get('isolates_slow_outputs') else 'no'} "
            f"| {report['verdict']}, {passed} rules | {report['level']} |"
        )
    return "\n".join(lines) + "\n"

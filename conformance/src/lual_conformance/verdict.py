"""What all results together say of a backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lual_conformance.outcomes import Result
from lual_conformance.registry import PROFILES, Rule

VERDICTS = ("conformant", "partial", "nonconformant", "incomplete")

#: Outcomes of a MUST that leave it without proof, by the user's choice or with an excuse.
_GAPS = ("known_failure", "skipped_by_user", "not_run", "blocked")


def verdict(rules: Iterable[Rule], results: Mapping[str, Result], *, restricted: bool) -> str:
    """Returns one of `VERDICTS`.

    Args:
        rules: All that belong to the level of the run.
        results: By rule id; a rule without one was not run.
        restricted: Whether the user chose among the rules.
    """
    musts = [(rule, results.get(rule.id)) for rule in rules if rule.must and not rule.provisional]
    outcomes = Counter(result.outcome if result else "not_run" for _, result in musts)
    every = Counter(result.outcome for result in results.values())
    if outcomes["failed"] or every["unexpected_pass"]:
        return "nonconformant"
    if every["error"] or not outcomes["passed"]:
        return "incomplete"
    if outcomes["blocked"] and not every["known_failure"]:
        return "incomplete"  # and by what, no other rule tells
    if restricted or any(outcomes[gap] for gap in _GAPS):
        return "partial"
    return "conformant"


def satisfies(found: str, required: str) -> bool:
    """Tells whether a verdict is what was required: `conformant`, or at least `partial`."""
    return found == "conformant" or found == required == "partial"


def profile_rows(rules: Iterable[Rule], results: Mapping[str, Result]) -> list[dict[str, Any]]:
    """Returns, for each profile that has rules here, how many ended how."""
    rows = []
    rules = list(rules)
    for profile in PROFILES:
        counts = Counter(
            results[rule.id].outcome if rule.id in results else "not_run"
            for rule in rules
            if rule.profile == profile
        )
        if counts:
            rows.append({"name": profile, "result": _profile_result(counts), **_sums(counts)})
    return rows


def _profile_result(counts: Counter[str]) -> str:
    if counts["failed"] or counts["unexpected_pass"]:
        return "failure"
    if counts["error"] or (counts["blocked"] and not counts["known_failure"]):
        return "incomplete"
    if any(counts[gap] for gap in _GAPS):
        return "partial"
    return "success" if counts["passed"] else "not_supported"


def _sums(counts: Counter[str]) -> dict[str, int]:
    return {
        "passed": counts["passed"],
        "failed": counts["failed"] + counts["unexpected_pass"],
        "blocked": counts["blocked"] + counts["error"],
        "known_failures": counts["known_failure"],
        "not_supported": counts["not_supported"],
        "skipped": counts["skipped_by_user"] + counts["not_run"] + counts["not_applicable"],
    }


def summary(rows: Iterable[Mapping[str, Any]]) -> str:
    """Returns a sentence for each profile that says something."""
    words = {
        "success": "succeeded",
        "failure": "failed",
        "partial": "succeeded in part",
        "incomplete": "could not be judged",
    }
    sentences = []
    for row in rows:
        if row["result"] in words:
            text = f"{row['name'].capitalize()} {words[row['result']]}"
            if row["failed"]:
                text += f" in {row['failed']} of its rules"
            if row["known_failures"]:
                text += f", with {row['known_failures']} known failures"
            sentences.append(f"{text}.")
    return " ".join(sentences)

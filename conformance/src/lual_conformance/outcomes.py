"""What can become of a rule, and how a check says so."""

from __future__ import annotations

from typing import Any

import attrs

#: Every outcome, in the order of the report's summary.
OUTCOMES = (
    "passed",
    "failed",
    "error",
    "blocked",
    "not_supported",
    "not_applicable",
    "known_failure",
    "unexpected_pass",
    "skipped_by_user",
    "not_run",
    "provisional",
)


class Violation(AssertionError):
    """The backend broke the rule that is being checked.

    Args:
        observed: What was seen, as a sentence without its full stop.
    """

    def __init__(self, observed: str) -> None:
        super().__init__(observed)
        self.observed = observed


class Blocked(Exception):
    """What the check needs first can't be had, because other rules are broken.

    Args:
        reason: What could not be had.
    """


class NotApplicable(Exception):
    """The rule can't be checked on this machine or interpreter, whatever the backend does.

    Args:
        reason: What is missing.
    """


class NotSupported(Exception):
    """The rule is about something that the backend says it lacks.

    Args:
        capability: The capability.
    """


def expect(condition: object, observed: str) -> None:
    """Says what was observed if that isn't what the rule demands.

    Args:
        condition: What the rule demands.
        observed: What was seen instead, as a sentence without its full stop.

    Raises:
        Violation: The condition is false.
    """
    if not condition:
        raise Violation(observed)


@attrs.define(kw_only=True)
class Result:
    """What became of one rule.

    Args:
        id: The rule's.
        outcome: One of `OUTCOMES`.
        message: One sentence: what was observed, or why there is nothing to observe.
        details: Further lines for the report: counters, stacks.
        ms: Real milliseconds.
        by: Ids of the rules that block this one.
        notes: Remarks that change nothing, as "undeclared" ones.
        known: The entry of the known failures, if there is one.
    """

    id: str
    outcome: str
    message: str = ""
    details: str = ""
    ms: float = 0.0
    by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    known: Any = None

    @property
    def is_bad(self) -> bool:
        """True if this alone keeps a backend from being conformant, were the rule a MUST."""
        return self.outcome in ("failed", "error", "unexpected_pass")

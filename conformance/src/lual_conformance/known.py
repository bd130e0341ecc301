"""Failures that are known and excused for a while.

An entry must say why, where that is followed up, and until when. One that is out of date,
or names no rule, is an error: an excuse that nobody looks at any more protects nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from lual_conformance.outcomes import Result
from lual_conformance.registry import load_rules


class KnownFailuresError(ValueError):
    """The list of known failures can't be used; the message names the entry."""


@attrs.frozen(kw_only=True)
class KnownFailure:
    """One failure that is known.

    Args:
        rule: Its id.
        reason: Why it fails.
        issue: Where that is followed up.
        expires: The last day on which it is excused.
    """

    rule: str
    reason: str
    issue: str
    expires: datetime.date


class KnownFailures:
    """All failures that are known.

    Args:
        entries: At most one for a rule.
    """

    def __init__(self, entries: Iterable[KnownFailure] = ()) -> None:
        self._by_rule = {entry.rule: entry for entry in entries}

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], today: datetime.date) -> KnownFailures:
        """Builds the list from tables of a TOML file.

        Raises:
            KnownFailuresError: An entry lacks a key, has expired, or names no rule.
        """
        return cls(_entry(row, today) for row in rows)

    def entry(self, rule: str) -> KnownFailure | None:
        """Returns the entry for a rule, if there is one."""
        return self._by_rule.get(rule)

    def applied(self, result: Result) -> Result:
        """Returns a result with the excuse for it taken into account."""
        entry = self._by_rule.get(result.id)
        if entry is None:
            return result
        if result.outcome == "failed":
            return attrs.evolve(result, outcome="known_failure", known=entry)
        if result.outcome == "passed":
            message = "it is listed as a known failure but passed; take it off the list"
            return attrs.evolve(result, outcome="unexpected_pass", message=message, known=entry)
        return result


def _entry(row: Mapping[str, Any], today: datetime.date) -> KnownFailure:
    name = row.get("rule", "?")
    missing = [key for key in ("rule", "reason", "issue", "expires") if not row.get(key)]
    if missing:
        raise KnownFailuresError(f"the known failure of {name} lacks {', '.join(missing)}")
    unknown = sorted(set(row) - {"rule", "reason", "issue", "expires"})
    if unknown:
        raise KnownFailuresError(f"the known failure of {name} has {unknown}; nothing reads that")
    if name not in load_rules():
        raise KnownFailuresError(f"the known failure of {name}: there is no such rule")
    expires = row["expires"]
    if not isinstance(expires, datetime.date):
        try:
            expires = datetime.date.fromisoformat(str(expires))
        except ValueError:
            raise KnownFailuresError(
                f"the known failure of {name}: expires must be a date like 2027-01-31, "
                f"got {expires!r}"
            ) from None
    if expires < today:
        raise KnownFailuresError(
            f"the known failure of {name} has expired on {expires}; mend it or extend it"
        )
    return KnownFailure(rule=name, reason=row["reason"], issue=row["issue"], expires=expires)

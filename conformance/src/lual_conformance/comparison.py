"""What changed between two reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

#: From good to bad; what isn't here says nothing either way.
_RANKS = {"passed": 0, "known_failure": 1, "blocked": 2, "error": 2, "failed": 3}


class Change(NamedTuple):
    """A rule whose outcome changed.

    Args:
        id: The rule's.
        title: The rule's.
        old: Outcome before, or "absent".
        new: Outcome after, or "absent".
        message: Of the new one.
    """

    id: str
    title: str
    old: str
    new: str
    message: str

    @property
    def is_worse(self) -> bool:
        """True if the backend keeps less than before."""
        if self.new in _RANKS:
            return _RANKS[self.new] > _RANKS.get(self.old, 0)
        return self.old == "passed"  # a proof that is gone

    def as_json(self) -> dict[str, Any]:
        """Returns it as a JSON object."""
        return {**self._asdict(), "is_worse": self.is_worse}

    def __str__(self) -> str:
        mark = "worse " if self.is_worse else "      "
        old, new = self.old.replace("_", " "), self.new.replace("_", " ")
        text = f": {self.message}" if self.message else ""
        return f"{mark}{self.id:<6}{old} -> {new}  {self.title}{text}"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Returns the rules whose outcome changed, in the order of the rule book.

    Args:
        old: A report.
        new: A report.

    Raises:
        KeyError: One of them is none.
    """
    before = {row["id"]: row for row in old["rules"]}
    after = {row["id"]: row for row in new["rules"]}
    changes = []
    for id in sorted({*before, *after}, key=_number):
        was = before.get(id, {}).get("outcome", "absent")
        row = after.get(id, {"outcome": "absent"})
        if was != row["outcome"]:
            title = row.get("title", before.get(id, {}).get("title", ""))
            changes.append(Change(id, title, was, row["outcome"], row.get("message", "")))
    return changes


def _number(id: str) -> tuple[int, ...]:
    return tuple(map(int, id.split(".")))

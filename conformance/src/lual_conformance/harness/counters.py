"""What must be true of the counters that a backend shows, whatever it has been through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lual.backend.ledger import COUNTERS, DERIVED, TABLES

#: Counters that the engine keeps, because no backend can know them.
_ENGINES = ("sync_processed", "output_errors")

#: Counters that every backend shows.
NUMBERS = tuple(name for name in (*COUNTERS, *DERIVED) if name not in _ENGINES)

#: Numbers by reason or level that every backend shows.
BY_NAME = TABLES

#: Numbers that never go down but at a reset.
RISING = tuple(name for name in NUMBERS if name not in ("queue_size", "in_flight"))

_PLACES = ("messages_processed", "messages_failed", "messages_dropped", "queue_size", "in_flight")


def _number(stats: Mapping[str, Any], name: str) -> Any:
    value = stats.get(name)
    return value if isinstance(value, (int, float)) else 0


def imbalance(stats: Mapping[str, Any]) -> str:
    """Returns what is wrong with a snapshot, as a sentence; "" if it is consistent.

    Counters that are missing, or no numbers, count as 0: that is another matter.
    """
    for name in NUMBERS:
        if _number(stats, name) < 0:
            return f"{name} is {stats[name]}"
    places = {name: _number(stats, name) for name in _PLACES}
    submitted = _number(stats, "messages_submitted")
    if submitted != sum(places.values()):
        terms = " + ".join(f"{name} {count}" for name, count in places.items())
        return f"messages_submitted is {submitted}, but {terms} make {sum(places.values())}"
    for name in ("dropped_by_reason", "dropped_by_level"):
        total = sum(stats.get(name, {}).values())
        if places["messages_dropped"] != total:
            return (
                f"messages_dropped is {places['messages_dropped']}, but {name} sums up to {total}"
            )
    return ""


def relapse(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Returns which counter went back between two snapshots, as a sentence; "" if none did."""
    for name in RISING:
        if _number(after, name) < _number(before, name):
            return f"{name} went back from {before[name]} to {after.get(name)}"
    for table in BY_NAME:
        for key, count in before.get(table, {}).items():
            if after.get(table, {}).get(key, 0) < count:
                return f"{table}[{key!r}] went back from {count}"
    return ""

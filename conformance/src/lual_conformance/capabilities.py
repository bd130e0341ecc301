"""Whether a backend has what a rule is about, by its own word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def lacking(capabilities: Mapping[str, Any], needs: Iterable[str]) -> str | None:
    """Returns the first need that a backend doesn't claim, or None.

    Args:
        capabilities: What it claims; an absent one counts as lacking.
        needs: Each is `name` (it must be true), or `name:a|b` (it must be one of these, or
            contain one of them); a `!` in front turns it around.

    >>> lacking({"worker": "thread", "overflow": ("block",)}, ["worker:process"])
    'worker:process'
    >>> lacking({"worker": "thread", "overflow": ("block",)}, ["overflow:block", "!event_loop"])
    """
    for need in needs:
        if has(capabilities, need.removeprefix("!")) is need.startswith("!"):
            return need
    return None


def has(capabilities: Mapping[str, Any], need: str) -> bool:
    """Tells whether a backend claims one thing; see `lacking`."""
    name, _, values = need.partition(":")
    value = capabilities.get(name)
    if not values:
        return bool(value) and value != "unsupported"
    wanted = set(values.split("|"))
    return bool(wanted & set(value)) if isinstance(value, (tuple, list, set)) else value in wanted

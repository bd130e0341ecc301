"""Severities: the built-in ones, custom ones, and how a level argument is read."""

from __future__ import annotations

from collections.abc import Mapping
from keyword import iskeyword
from typing import Final

from lual.errors import ConfigError, did_you_mean

NOTSET: Final = 0
DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
WARN: Final = WARNING
ERROR: Final = 40
CRITICAL: Final = 50

BUILT_IN: Final[Mapping[str, int]] = {
    "notset": NOTSET,
    "debug": DEBUG,
    "info": INFO,
    "warning": WARNING,
    "error": ERROR,
    "critical": CRITICAL,
}

_values: dict[str, int] = {**BUILT_IN, "warn": WARN}
_names: dict[int, str] = {value: name.upper() for name, value in BUILT_IN.items()}


def level_name(level: int) -> str:
    """Returns the level's name in capitals, or `LEVEL 35` for one that has none."""
    return _names.get(level) or f"LEVEL {level}"


def parse_level(level: int | str, setting: str = "level") -> int:
    """Returns the number of a level given as an int, or as a name in any case.

    Args:
        level: What the user gave.
        setting: The setting to name in the error.

    Raises:
        ConfigError: No level has that name, or the value isn't an int or a string.

    >>> parse_level("Warning"), parse_level(35)
    (30, 35)
    """
    if isinstance(level, int) and not isinstance(level, bool):
        if level < 0:
            raise ConfigError(f"{setting} must be 0 or more, got {level}")
        return level
    if isinstance(level, str):
        value = _values.get(level.strip().lower())
        if value is not None:
            return value
        known = ", ".join(sorted(_values, key=_values.__getitem__))
        raise ConfigError(
            f"{setting} is {level!r}, which is no level; use one of {known}, or an int"
            f"{did_you_mean(level, _values)}"
        )
    raise ConfigError(
        f"{setting} must be a level name or an int, got {level!r} ({type(level).__name__})"
    )


def get_levels() -> dict[str, int]:
    """Returns every level by its lower-case name, lowest first; a copy."""
    return {n: v for n, v in sorted(_values.items(), key=lambda kv: kv[1]) if n != "warn"}


def custom_levels() -> dict[str, int]:
    """Returns the custom levels alone; a copy."""
    return {name: v for name, v in _values.items() if name not in BUILT_IN and name != "warn"}


def check_custom_levels(levels: Mapping[str, int], reserved: frozenset[str]) -> dict[str, int]:
    """Returns `levels` as a dict once each has been found usable.

    Args:
        levels: Lower-case identifier to int, strictly between DEBUG and ERROR.
        reserved: Names that a level may not take because they are methods of a logger.

    Raises:
        ConfigError: A name or a number can't be used; the message says why.
    """
    if not isinstance(levels, Mapping):
        raise ConfigError(f"custom levels must map names to numbers, got {levels!r}")
    seen: dict[int, str] = {}
    for name, value in levels.items():
        _check_name(name, {*reserved, *_BUILT_IN_WORDS}, levels)
        if not isinstance(value, int) or isinstance(value, bool) or not DEBUG < value < ERROR:
            raise ConfigError(
                f"custom level {name!r} must be an int between {DEBUG} and {ERROR}, got {value!r}"
            )
        if value in BUILT_IN.values():
            raise ConfigError(f"custom level {name!r} has {value}, which is {level_name(value)}")
        if value in seen:
            raise ConfigError(f"custom levels {seen[value]!r} and {name!r} are both {value}")
        seen[value] = name
    return dict(levels)


def _check_name(name: object, reserved: set[str], levels: Mapping[str, int]) -> None:
    if (
        not isinstance(name, str)
        or not name.isidentifier()
        or name != name.lower()
        or name.startswith("__")
        or iskeyword(name)
    ):
        raise ConfigError(
            f"custom level {name!r} must be a lower-case identifier, because it becomes a method"
        )
    for method in (name, f"a{name}"):  # the awaitable twin is a method as well
        if method in reserved:
            raise ConfigError(f"custom level {name!r} would shadow a logger's own {method!r}")
    if f"a{name}" in levels:
        raise ConfigError(
            f"custom levels {name!r} and {'a' + name!r} can't both exist: a{name} is the "
            f"awaitable twin of {name}"
        )


_BUILT_IN_WORDS = frozenset({*BUILT_IN, "warn", "log", "exception"})


def replace_custom_levels(levels: Mapping[str, int]) -> None:
    """Makes `levels`, already checked, the only custom ones."""
    global _names, _values
    _values = {**BUILT_IN, "warn": WARN, **levels}
    _names = {value: name.upper() for name, value in _values.items() if name != "warn"}

"""Levels from the command line: `-v`, `-vv`, `--quiet` and the like."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from lual.engine import hierarchy
from lual.errors import ConfigError
from lual.levels import parse_level

DEFAULTS: Mapping[str, str] = {
    "-v": "warning",
    "-vv": "info",
    "-vvv": "debug",
    "--verbose": "info",
    "--quiet": "error",
    "--silent": "critical",
}

_chosen: Mapping[str, int] = {}


def set_command_line_verbosity(
    mapping: Mapping[str, int | str] | None = None,
    auto_detect: bool = True,
    argv: Sequence[str] | None = None,
) -> int | None:
    """Sets the root's level from the program's arguments.

    Args:
        mapping: Argument to level; None: `-v` WARNING, `-vv` INFO, `-vvv` DEBUG,
            `--verbose` INFO, `--quiet` ERROR, `--silent` CRITICAL.
        auto_detect: True looks at the arguments now; False only keeps the mapping for a
            later call without one.
        argv: The arguments; None: those of the program. A `--` ends them.

    Returns:
        The level that was set (the last argument wins), or None if none was found.

    Raises:
        ConfigError: The mapping has a level that doesn't exist, or a key that is no option.
    """
    global _chosen
    if mapping is not None or not _chosen:
        given = DEFAULTS if mapping is None else mapping
        if not isinstance(given, Mapping):
            raise ConfigError(f"verbosity must map options to levels, got {given!r}")
        for option in given:
            if not isinstance(option, str) or not option.startswith("-"):
                raise ConfigError(f"verbosity option {option!r} must begin with a dash")
        _chosen = {o: parse_level(v, f"verbosity option {o}") for o, v in given.items()}
    if not auto_detect:
        return None
    found = None
    for argument in sys.argv[1:] if argv is None else argv:
        if argument == "--":
            break
        found = _chosen.get(argument, found)
    if found is not None:
        hierarchy.root().set_level(found)
    return found


def forget() -> None:
    """Goes back to the default mapping."""
    global _chosen
    _chosen = {}

"""The root's level, changed from outside while the program runs.

The level is read from an environment variable, for what changes its own environment, and
from a file, because nobody can change the environment of another process: if the
variable's value is a path (it has a slash in it), the file's first word is the level.
"""

from __future__ import annotations

import itertools
import os

from lual import reports
from lual.engine import hierarchy
from lual.errors import ConfigError
from lual.levels import parse_level

_live: LiveLevel | None = None


class LiveLevel:
    """Looks for a changed level once in a number of logging calls.

    Args:
        env_var: The environment variable's name.
        check_interval: Logging calls between two looks, disabled ones included.
    """

    def __init__(self, env_var: str, check_interval: int) -> None:
        self._env_var = env_var
        self._interval = check_interval
        self._calls = itertools.count(1)
        self._seen = ""
        self._before: int | None = None  # None: nothing is asked for from outside

    def count_call(self) -> None:
        """Counts one logging call, and looks if it is the turn."""
        if next(self._calls) % self._interval == 0:
            self.look()

    def look(self) -> None:
        """Applies the level that is asked for now, if that has changed."""
        wanted = self._read()
        if wanted == self._seen:
            return
        self._seen = wanted
        if not wanted:
            self.restore()
            return
        try:
            level = parse_level(int(wanted) if wanted.isdecimal() else wanted)
        except ValueError as error:  # also an int of more digits than Python is willing to read
            reports.problem("live_level", f"the live level of {self._env_var}: {error}")
            return
        if self._before is None:
            self._before = hierarchy.root().effective_level
        hierarchy.root().set_level(level)

    def restore(self) -> None:
        """Gives back the level that was in force before one was asked for from outside."""
        before, self._before = self._before, None
        if before is not None:
            hierarchy.root().set_level(before)

    def _read(self) -> str:
        value = os.environ.get(self._env_var, "").strip()
        if os.sep not in value:
            return value
        try:
            with open(value, encoding="utf-8", errors="replace") as file:
                return (file.read(64).split() or [""])[0]
        except OSError:  # not written yet, or being replaced: nothing is asked for
            return ""


def set_live_level(env_var: str, check_interval: int = 100) -> None:
    """Lets the root's level be changed from outside while the program runs.

    Args:
        env_var: Name of the environment variable that holds a level, or the path of a file
            that does (a value with a slash in it). Emptied, the level of before returns.
        check_interval: Logging calls between two looks; disabled calls count too, so that
            a silent program can be made to speak.

    Raises:
        ConfigError: The name is empty, or the interval is below 1.

    Blocks: each look reads an environment variable, and the file if one is named.
    """
    if not isinstance(env_var, str) or not env_var:
        raise ConfigError(f"env_var must be the name of an environment variable, got {env_var!r}")
    is_number = isinstance(check_interval, int) and not isinstance(check_interval, bool)
    if not is_number or check_interval < 1:
        raise ConfigError(f"check_interval must be 1 call or more, got {check_interval!r}")
    global _live
    turn_off()
    _live = LiveLevel(env_var, check_interval)
    _live.look()
    hierarchy.set_live_check(_live.count_call)


def turn_off() -> None:
    """Stops looking, and gives back the level of before."""
    global _live
    hierarchy.set_live_check(None)
    live, _live = _live, None
    if live is not None:
        live.restore()

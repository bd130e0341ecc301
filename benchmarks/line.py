"""The one line that every run writes, and how a file of such lines is judged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

LOGGER = "app.db"
MESSAGE = "user %d logged in from %s in %.1f ms"
USER = 42
ADDRESS = "10.0.0.1"
DURATION = 12.5

_LINE = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6} INFO app\.db "
    rb"user (\d+) logged in from (\S+) in 12\.5 ms\n"
)


class Verdict(NamedTuple):
    """What is wrong with a file.

    Attributes:
        lost: Lines that are missing.
        doubled: Lines that stand there more often than they were logged.
        torn: Lines that nobody logged so.
    """

    lost: int
    doubled: int
    torn: int

    @property
    def complete(self) -> bool:
        """Whether the file holds what was logged and nothing else."""
        return not any(self)


def judge(path: Path, expected: Mapping[str, int], *, numbered: bool) -> Verdict:
    """Compares a file with what was logged.

    Args:
        path: The file; a missing one is an empty one.
        expected: How many records were logged with each address.
        numbered: Whether the records of an address carry the users 0, 1, 2 and so on, so
            that a lost line and a doubled one don't make up for each other.
    """
    found: Counter[tuple[str, int]] = Counter()
    torn = 0
    for text in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        match = _LINE.fullmatch(text)
        if match is None:
            torn += 1
        else:
            found[match[2].decode(), int(match[1]) if numbered else USER] += 1
    wanted: Counter[tuple[str, int]] = Counter()
    for address, count in expected.items():
        if numbered:
            wanted.update(dict.fromkeys(((address, user) for user in range(count)), 1))
        else:
            wanted[address, USER] = count
    return Verdict(_total(wanted - found), _total(found - wanted), torn)


def _total(counter: Counter[tuple[str, int]]) -> int:
    return sum(counter.values())

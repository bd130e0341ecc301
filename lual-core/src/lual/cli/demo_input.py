"""What the demo replays: the lines of any file, however odd, as something to log.

Guarantees: every byte of the input but the line feeds is in the text of one line; what
isn't UTF-8 is carried as lone surrogates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lual.levels import CRITICAL, DEBUG, ERROR, INFO, WARNING

_LEVELS = {
    "trace": DEBUG,
    "debug": DEBUG,
    "info": INFO,
    "notice": INFO,
    "warn": WARNING,
    "warning": WARNING,
    "err": ERROR,
    "error": ERROR,
    "crit": CRITICAL,
    "critical": CRITICAL,
    "fatal": CRITICAL,
    "alert": CRITICAL,
    "emerg": CRITICAL,
    "panic": CRITICAL,
}

#: As a word of its own: `libgpg-error-dev` is a package, `error.log` is a file.
_LEVEL = re.compile(
    rf"(?<![\w./-])(?:{'|'.join(_LEVELS)})(?![\w/-]|\.\w)", re.IGNORECASE | re.ASCII
)

#: `shop.db:` of an application, `sshd[712]:` of a system's journal.
_NAMED = re.compile(r"([A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)(?:\[\d+\])?:(?=\s)", re.ASCII)

#: Elsewhere the first plain word says what a line is about, as in a package manager's log.
_WORD = re.compile(r"(?<!\S)([A-Za-z]{3,})(?!\S)", re.ASCII)

_MONTHS = frozenset(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
)

#: Characters at the start of a line in which level and name are looked for.
_HEAD = 200

#: Parts of a name, and names in one input: a logger is kept for as long as its process.
_MOST_PARTS = 3
_MOST_NAMES = 64

#: The name of a line that has none, and of those beyond `_MOST_NAMES`.
_UNNAMED = "line"


class Line(NamedTuple):
    """One line of the input.

    Args:
        text: The line itself, without its line feed.
        level: Of the first word that names a level; INFO if there is none.
        component: The last parts of its logger's name.
    """

    text: str
    level: int
    component: str


def read_lines(stream: Iterable[bytes]) -> list[Line]:
    """Returns the lines of a binary stream, none of which is refused.

    Raises:
        OSError: The stream can't be read.
    """
    return list(_lines(stream))


def _lines(stream: Iterable[bytes]) -> Iterator[Line]:
    names: set[str] = set()
    for line in stream:
        text = line.removesuffix(b"\n").decode("utf-8", "surrogateescape")
        name = component_of(text)
        if name not in names and len(names) >= _MOST_NAMES:
            name = _UNNAMED
        names.add(name)
        yield Line(text, level_of(text), name)


def level_of(text: str) -> int:
    """Returns the level that the line names first.

    >>> level_of("2025-11-28 18:52:40 Warn: no error yet")
    30
    """
    found = _LEVEL.search(text, 0, _HEAD)
    return _LEVELS[found[0].lower()] if found else INFO


def component_of(text: str) -> str:
    """Returns the name of the program or the part of it that the line is from.

    >>> component_of("Nov 28 18:53:28 host sshd[712]: closed")
    'sshd'
    >>> component_of("2025-06-24 14:36:25 status unpacked libc-bin:amd64")
    'status'
    """
    named = next((n[1] for n in _NAMED.finditer(text, 0, _HEAD) if _is_name(n[1])), None)
    if named is None:
        named = next((w[1] for w in _WORD.finditer(text, 0, _HEAD) if _is_name(w[1])), _UNNAMED)
    return ".".join(named.lower().split(".")[:_MOST_PARTS])


def _is_name(word: str) -> bool:
    return word.lower() not in _LEVELS and word.lower() not in _MONTHS

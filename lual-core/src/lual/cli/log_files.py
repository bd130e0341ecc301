"""Reading a rotated JSON-lines log back: all its files, oldest first, packed ones too."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class LogLine(NamedTuple):
    """One line of a log.

    Args:
        place: File and line, for people.
        entry: The line's JSON object; None if the line is no such object.
        problem: Why it isn't.
    """

    place: str
    entry: dict[str, Any] | None
    problem: str = ""


def log_files(path: Path) -> list[Path]:
    """Returns the file at `path` and its backups that exist, oldest first."""
    backup = re.compile(rf"{re.escape(path.name)}(?:\.(\d+)(?:\.gz)?)?")
    found = [(int(m[1] or 0), p) for p in path.parent.iterdir() if (m := backup.fullmatch(p.name))]
    return [file for _, file in sorted(found, reverse=True)]


def read_log(files: Iterable[Path]) -> Iterator[LogLine]:
    """Yields every line of the files; a file that can't be read on ends with a problem."""
    for path in files:
        number = 0
        try:
            with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as lines:
                for number, line in enumerate(lines, 1):
                    yield _parsed(line, f"{path.name}, line {number}")
        except (OSError, EOFError, zlib.error) as error:
            yield LogLine(f"{path.name}, line {number + 1}", None, str(error))


def _parsed(line: bytes, place: str) -> LogLine:
    if not line.endswith(b"\n"):
        return LogLine(place, None, "it has no end")
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        return LogLine(place, None, str(error))
    if not isinstance(entry, dict):
        return LogLine(place, None, "it is no JSON object")
    return LogLine(place, entry)

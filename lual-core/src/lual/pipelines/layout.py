"""The layout of a text line: literal text and the places that a record fills."""

from __future__ import annotations

import re
from typing import NamedTuple

from lual.errors import ConfigError, did_you_mean

#: Python expressions over the names that lual.pipelines.compiling defines, free of
#: quotes and backslashes. Indices are those of lual.record, written out for speed.
EXPRESSIONS = {
    "time": "clock(raw[3])",
    "level": "level",
    "logger": "raw[2].name",
    "message": "message",
    "fields": "fields_text(fields_of(raw))",
    "exception": "exception_of(raw)",
    "file": "record.file",
    "line": "record.line",
    "function": "record.function",
    "module": "record.module",
    "thread": "record.thread_name",
    "task": "record.task_name",
    "process": "record.process_id",
    "seq": "raw[1]",
}
_NUMBERS = frozenset({"line", "process", "seq"})
_TOKEN = re.compile(
    r"\{\{|\}\}|\{(?P<name>[^{}:!]*)(?P<conversion>![^{}:]*)?(?::(?P<spec>[^{}]*))?\}|[{}]"
)
#: Wider than any line; a width of ten digits would ask for gigabytes.
_TOO_WIDE = re.compile(r"\d{4}")


class Placeholder(NamedTuple):
    """A place in a layout that a record fills."""

    name: str
    spec: str


def parse_layout(layout: object) -> list[str | Placeholder]:
    """Returns the layout's literal texts and placeholders in order.

    Raises:
        ConfigError: It isn't a string, a brace stands alone, a placeholder is unknown, or
            its format specification can't be used.
    """
    if not isinstance(layout, str):
        raise ConfigError(f"layout must be a str such as '{{time}} {{message}}', got {layout!r}")
    pieces: list[str | Placeholder] = []
    end = 0
    for token in _TOKEN.finditer(layout):
        pieces.append(layout[end : token.start()])
        end = token.end()
        if token[0] in ("{{", "}}"):
            pieces.append(token[0][0])
        elif token[0] in ("{", "}"):
            raise ConfigError(
                f"layout {layout!r} has a single {token[0]!r} at {token.start()}; "
                f"write {token[0] * 2!r} for the character itself"
            )
        else:
            pieces.append(_placeholder(token))
    pieces.append(layout[end:])
    return [piece for piece in pieces if piece]


def _placeholder(token: re.Match[str]) -> Placeholder:
    """Returns the placeholder that a match stands for, once it has been tried."""
    name, spec = token["name"], token["spec"] or ""
    if name not in EXPRESSIONS:
        raise ConfigError(
            f"layout has the unknown placeholder {token[0]!r}; use one of "
            f"{', '.join(EXPRESSIONS)}{did_you_mean(name, EXPRESSIONS)}"
        )
    if token["conversion"]:
        raise ConfigError(
            f"layout has {token[0]!r}: conversions such as {token['conversion']!r} aren't "
            f"possible; write {{{name}}} or a format specification like {{{name}:<8}}"
        )
    try:
        if _TOO_WIDE.search(spec):
            raise ValueError("widths end at 999")
        format(0 if name in _NUMBERS else "", spec)
    except ValueError as error:
        better = "use time_format for that" if name == "time" else f"write it like {{{name}:<8}}"
        raise ConfigError(
            f"layout has {token[0]!r}, whose format specification {spec!r} can't be used: "
            f"{error}; {better}"
        ) from error
    return Placeholder(name, spec)

"""Making one Python function of a layout.

A function per layout, rather than an interpreter of layouts, because presenting is the
longest part of what happens to a record: it costs no more than the f-string one would
have written by hand.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lual.levels import level_name
from lual.pipelines.details import (
    exception_text,
    fields_of,
    fields_text,
    indented,
    stack_text,
)
from lual.pipelines.escape import escape
from lual.pipelines.layout import EXPRESSIONS, Placeholder, parse_layout
from lual.record import EXTRA, Record, message_of
from lual.snapshot import safe_str

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lual.pipelines.timestamps import TimeText

    Many = Callable[[Sequence[Sequence[Any]]], list[str]]
    #: Level number and name to the characters that turn its colour on.
    Paint = Callable[[int, str], str]

#: Always a str, so that an f-string can take them as they are.
_TEXTS = frozenset({"time", "level", "logger", "message"})

_SIMPLE_SPEC = re.compile(r"[<>^]?\d*")

RESET = "\x1b[0m"


def compile_layout(
    layout: str, clock: TimeText, *, escaped: bool, paint: Paint | None = None
) -> Many:
    """Returns the function that presents raw records by the layout.

    Args:
        layout: Literal text and placeholders.
        clock: Makes the text of a timestamp.
        escaped: Whether dangerous characters in what the record brings are made visible.
        paint: Colours the level, or the line of a layout without one; None for no colour.

    Raises:
        ConfigError: The layout can't be used.
    """
    pieces = parse_layout(layout)
    placed = {piece.name for piece in pieces if isinstance(piece, Placeholder)}
    names: dict[str, Any] = {
        "clock": clock,
        "digits": three_digits(),
        "around": clock.around,
        "escape": escape,
        "exception_of": _exception_of,
        "fields_of": fields_of,
        "fields_text": fields_text,
        "finish": _finisher(placed, escaped),
        "level_name": level_name,
        "message_of": message_of,
        "paint": paint,
        "Record": Record,
        "shown": _shown,
    }
    source = _Source(placed, clock.iso, escaped, names)
    source.add_all(pieces, painted=paint is not None)
    # The source holds expressions of the table above and literals made by repr, nothing
    # that a user could have written as code.
    exec(compile(source.text(), f"<layout {layout!r}>", "exec"), names)  # noqa: S102  see above
    many: Many = names["many"]
    return many


#: How a run of the line is made; see `_Source`.
_SAFE, _STABLE, _CHECKED = range(3)


class _Source:
    """Python source of a function `many(raws)`, put together piece by piece.

    A line consists of runs. A safe one (literal text, ISO times, colours) stands as it is.
    A stable one is the same for all records of one level and route: it is made, and
    checked for dangerous characters, once for as many records as follow each other. A
    checked one is made and checked for each record.
    """

    def __init__(self, placed: set[str], iso: bool, escaped: bool, names: dict[str, Any]) -> None:
        self._placed = placed
        self._iso = iso
        self._escaped = escaped
        self._names = names
        self._runs: list[tuple[int, str]] = []  # (kind, body of an f-string)

    def add_all(self, pieces: Sequence[str | Placeholder], painted: bool) -> None:
        """Adds the pieces of a layout.

        Args:
            pieces: In order.
            painted: Whether the level is coloured, or the line if it has none.
        """
        whole = painted and "level" not in self._placed
        if whole:
            self._add_paint()
        for piece in pieces:
            if isinstance(piece, str):
                after_stable = bool(self._runs) and self._runs[-1][0] == _STABLE
                harmless = escape(piece) == piece
                self._add(_STABLE if after_stable and harmless else _SAFE, _doubled(piece))
            elif piece.name == "level" and painted:
                self._add_paint()
                self._add_placeholder(piece)
                self._add(_SAFE, RESET)
            else:
                self._add_placeholder(piece)
        if whole:
            self._add(_SAFE, RESET)

    def _add_paint(self) -> None:
        self._placed = self._placed | {"level"}
        self._add(_SAFE, "{paint(raw[0], level)}")

    def _add_placeholder(self, place: Placeholder) -> None:
        name, spec = place
        kind = _STABLE if name in ("level", "logger") else _CHECKED
        if name == "time" and self._iso and not spec:
            kind = _SAFE
            body = "{before}{digits[us // 1000]}{digits[us % 1000]}{after}"
        elif name in _TEXTS and _SIMPLE_SPEC.fullmatch(spec):
            body = f"{{{EXPRESSIONS[name]}!s:{spec}}}" if spec else f"{{{EXPRESSIONS[name]}}}"
        else:
            constant = f"spec_{len(self._names)}"
            self._names[constant] = spec
            body = f"{{shown({EXPRESSIONS[name]}, {constant})}}"
        self._add(kind, body)

    def _add(self, kind: int, body: str) -> None:
        if kind == _CHECKED and not self._escaped:
            kind = _SAFE
        if self._runs and self._runs[-1][0] == kind:
            body = self._runs.pop()[1] + body
        self._runs.append((kind, body))

    def text(self) -> str:
        """Returns the finished source."""
        lines = [
            "def many(raws):",
            " lines = []",
            " last_number = last_route = None",
            " second = 1 << 99",
        ]
        lines += [" for raw in raws:"]
        lines += [f"  {line}" for line in (*self._preparations(), *self._assembly())]
        lines += [
            "  if extra is not None or fields or scope is not None:",
            "   line = finish(line, raw)",
            "  lines.append(line)",
            " return lines",
        ]
        return "\n".join(lines)

    def _preparations(self) -> list[str]:
        lines = ["number, _, route, ns, message, args, _, _, _, scope, fields, extra = raw"]
        if "message" in self._placed:
            lines += [
                "if args:",
                " try:",
                "  message = message % args",
                " except Exception:",
                "  message = message_of(raw)",
            ]
        if "time" in self._placed and self._iso:
            lines += [
                "us = (ns - second) // 1000",
                "if not 0 <= us <= 999999:",
                " before, after = around(ns // 1000000000)",
                " us = ns // 1000 % 1000000",
                " second = ns // 1000000000 * 1000000000",
            ]
        if any(EXPRESSIONS[name].startswith("record.") for name in self._placed):
            lines.append("record = Record(raw)")
        return [*lines, *self._stable_runs()]

    def _stable_runs(self) -> list[str]:
        lines = []
        if "level" in self._placed:
            lines += [
                " level = level_name(number)",
                " if extra is not None:",
                "  level = extra.get('level_name', level)",
            ]
        for number, (kind, body) in enumerate(self._runs):
            if kind == _STABLE:
                lines += [f" run_{number} = f{body!r}"]
                lines += [f" {line}" for line in self._check(f"run_{number}")]
        if not lines:
            return []
        return [
            "if number != last_number or route is not last_route or extra is not None:",
            *lines,
            # What a record with attributes of its own left behind holds for no other one.
            " last_number, last_route = number if extra is None else None, route",
        ]

    def _assembly(self) -> list[str]:
        lines, whole = [], ""
        for number, (kind, body) in enumerate(self._runs):
            if kind == _SAFE:
                whole += body
                continue
            if kind == _CHECKED:
                text = "message" if body == "{message}" else f"f{body!r}"
                lines += [f"run_{number} = {text}", *self._check(f"run_{number}")]
            whole += f"{{run_{number}}}"
        return [*lines, f"line = f{whole!r}"]

    def _check(self, name: str) -> list[str]:
        if not self._escaped:
            return []
        return [f"if not {name}.isprintable():", f" {name} = escape({name})"]


_three_digits: list[str] = []


def three_digits() -> list[str]:
    """Returns the texts of 0 to 999 with leading zeros: a third of what formatting costs."""
    if not _three_digits:
        _three_digits.extend([f"{number:03d}" for number in range(1000)])
    return _three_digits


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _exception_of(raw: Sequence[Any]) -> str:
    extra = raw[EXTRA]
    return exception_text(extra.get("exception")) if extra is not None else ""


def _shown(value: object, spec: str) -> str:
    """Returns the value by its format specification; None is shown as a dash."""
    if value is None:
        value = "-"
    try:
        return format(value, spec)
    except Exception:  # noqa: BLE001  a transformer may have put anything there
        return safe_str(value)


def _finisher(placed: set[str], escaped: bool) -> Callable[[str, Sequence[Any]], str]:
    """Returns the function that appends what the layout doesn't place."""
    append_fields = "fields" not in placed
    append_exception = "exception" not in placed

    def finish(line: str, raw: Sequence[Any]) -> str:
        if append_fields and (fields := fields_of(raw)):
            line = f"{line} {fields_text(fields)}"
        extra = raw[EXTRA]
        if extra is not None:
            if append_exception and "exception" in extra:
                line += indented(exception_text(extra["exception"]), escaped)
            if "stack" in extra:
                line += indented(stack_text(extra["stack"]), escaped)
        return line

    return finish

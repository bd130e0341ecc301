"""The JSON presenter: one object a line, which any JSON reader takes.

Guarantees:
    * no record raises, whatever an application or a transformer put into it;
    * a line (without `pretty`) holds no control character and no line separator.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from lual.levels import level_name
from lual.pipelines.details import exception_text, fields_of, stack_text
from lual.pipelines.escape import escape_in_json, json_encoder
from lual.pipelines.text import checked_switch
from lual.pipelines.timestamps import UTC, TimeText
from lual.record import ARGS, EXTRA, FIELDS, LEVEL, MESSAGE, ROUTE, SCOPE, TIME_NS, message_of
from lual.snapshot import is_plain, safe_repr, safe_str

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

    from lual.record import Record

#: Names that fields can't have, whether or not the record has an exception or a stack.
RESERVED = frozenset({"timestamp", "level", "logger", "message", "exception", "stack"})

#: Containers inside containers; capturing stops at six, so only a transformer goes deeper.
_MAX_DEPTH = 10


class JsonPresenter:
    """Presents records as JSON objects; made by `lual.json`.

    Threads: any thread may call.
    """

    __slots__ = ("_clock", "_encode", "_settings")

    def __init__(self, pretty: bool, timezone: str) -> None:
        self._settings = (checked_switch("pretty", pretty), timezone)
        self._clock = TimeText(timezone)
        self._encode = json_encoder()

    def __call__(self, record: Record) -> str:
        """Returns the record as one JSON object."""
        return self.many((record.raw,))[0]

    def many(self, raws: Sequence[Sequence[Any]]) -> list[str]:
        """Returns the objects of several raw records, which is quicker than one by one."""
        encode = self._encode
        lines = []
        second: int | None = None
        before = after = ""
        for raw in raws:
            try:
                ns = raw[TIME_NS]
                if (now := ns // 1_000_000_000) != second:
                    before, after = self._clock.around(now)
                    second = now
                message = raw[MESSAGE]
                if raw[ARGS]:
                    try:
                        message = message % raw[ARGS]
                    except Exception:  # noqa: BLE001  a misfit is described in the message itself
                        message = message_of(raw)
                line = (
                    f'{{"timestamp": "{before}{ns // 1000 % 1_000_000:06d}{after}", '
                    f'"level": {encode(level_name(raw[LEVEL]))}, '
                    f'"logger": {encode(raw[ROUTE].name)}, "message": {encode(message)}'
                )
                extra = raw[EXTRA]
                if extra is not None and "level_name" in extra:
                    line = self._unusual(raw)
                elif extra is not None or raw[FIELDS] or raw[SCOPE] is not None:
                    line += self._rest(raw)
            except Exception:  # noqa: BLE001  a part isn't of the type that lual's capturing makes
                line = self._unusual(raw)
            lines.append((line if line.isprintable() else escape_in_json(line)) + "}")
        return [_pretty(line) for line in lines] if self._settings[0] else lines

    def _unusual(self, raw: Sequence[Any]) -> str:
        """Returns the object, but for its last brace, of a record of any making."""
        extra = raw[EXTRA] or {}
        readers: dict[str, Callable[[], Any]] = {
            "timestamp": lambda: self._clock(raw[TIME_NS]),
            "level": lambda: extra.get("level_name") or level_name(raw[LEVEL]),
            "logger": lambda: raw[ROUTE].name,
            "message": lambda: message_of(raw),
        }
        members = [f'"{name}": {self._encode(_guarded(read))}' for name, read in readers.items()]
        opening = "{" + ", ".join(members)
        try:
            return opening + self._rest(raw)
        except Exception as error:  # noqa: BLE001  no record may raise, whatever was put into it
            return f'{opening}, "fields": {self._encode(_raised(error))}'

    def _rest(self, raw: Sequence[Any]) -> str:
        """Returns the members that not every record has, each after a comma."""
        encode = self._encode
        members = [
            f", {encode(name)}: {_encoded(value, encode)}"
            for name, value in _named(fields_of(raw), RESERVED)
        ]
        extra = raw[EXTRA]
        if extra is not None:
            texts = {
                "exception": exception_text(extra.get("exception")),
                "stack": stack_text(extra.get("stack")),
            }
            members += [f', "{name}": {encode(text)}' for name, text in texts.items() if text]
        return "".join(members)

    def __reduce__(self) -> tuple[Any, ...]:
        return JsonPresenter, self._settings

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JsonPresenter):
            return NotImplemented
        return self._settings == other._settings

    def __hash__(self) -> int:
        return hash(self._settings)

    def __repr__(self) -> str:
        return f"lual.json(pretty={self._settings[0]!r}, timezone={self._settings[1]!r})"


def _guarded(read: Callable[[], Any]) -> str:
    """Returns what `read` returns, as text, or what it raised."""
    try:
        return safe_str(read())
    except Exception as error:  # noqa: BLE001  no record may raise, whatever was put into it
        return _raised(error)


def _raised(error: Exception) -> str:
    return f"<{type(error).__name__}: {safe_str(error)}>"


def _named(values: Mapping[Any, Any], reserved: Set[str]) -> list[tuple[str, Any]]:
    """Returns the items with string names, none reserved and none twice."""
    items = list(values.items())
    taken: set[str] | None = None
    for place, (name, value) in enumerate(items):
        if type(name) is str and name not in reserved:
            continue
        if taken is None:
            taken = {*reserved, *(key for key, _ in items if type(key) is str)}
        unique = safe_str(name)
        while unique in taken:
            unique += "_"
        taken.add(unique)
        items[place] = (unique, value)
    return items


def _encoded(value: Any, encode: Callable[[str], str], around: tuple[int, ...] = ()) -> str:
    """Returns the value as JSON; what JSON can't carry, as a string.

    Args:
        value: Anything.
        encode: Makes a JSON string literal.
        around: Identities of the containers that the value stands in.
    """
    kind = type(value)
    if kind is str:
        return encode(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    try:
        if kind is int or isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, str):
            return encode(value)
        if isinstance(value, float):
            return float.__repr__(value) if isfinite(value) else encode(_NAMES[str(float(value))])
        if isinstance(value, (dict, list, tuple)):
            return _container(value, encode, around)
    except Exception:  # noqa: BLE001  a subclass with methods of its own, or changed while it was read
        return encode(safe_repr(value))
    readable = is_plain(kind) and not isinstance(value, bytes)
    return encode(safe_str(value) if readable else safe_repr(value))


_NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _container(value: Any, encode: Callable[[str], str], around: tuple[int, ...]) -> str:
    if len(around) >= _MAX_DEPTH or id(value) in around:
        return encode(safe_repr(value))
    inside = (*around, id(value))
    if isinstance(value, dict):
        members = [
            f"{encode(name)}: {_encoded(item, encode, inside)}"
            for name, item in _named(value, frozenset())
        ]
        return "{" + ", ".join(members) + "}"
    return "[" + ", ".join([_encoded(item, encode, inside) for item in list(value)]) + "]"


def _pretty(line: str) -> str:
    from json import dumps, loads  # 2 ms that only this presenter pays

    return escape_in_json(dumps(loads(line), ensure_ascii=False, indent=2))


def json(pretty: bool = False, timezone: str = UTC) -> JsonPresenter:
    """Returns a presenter of one JSON object a line.

    An object has `timestamp`, `level`, `logger`, `message`, then the fields of context and
    record (one of these names, or named `exception` or `stack`, gets underscores behind),
    then `exception` and `stack` as text if there are any. What JSON can't carry becomes a
    string.

    Args:
        pretty: Whether objects are written over several lines, for people.
        timezone: `lual.UTC`, whose timestamps end in `+00:00`, or `lual.LOCAL_TIME`.

    Raises:
        ConfigError: A value can't be used.

    Threads: any thread may use the presenter.

    >>> from lual.record import Record
    >>> json()(Record.build("hi", level=20, fields={"level": 7, "ok": True}))[67:]
    '"logger": "", "message": "hi", "level_": 7, "ok": true}'
    """
    return JsonPresenter(pretty, timezone)

"""The snapshot rule: a line shows the values as they were at the moment of the call.

Values of immutable standard types are kept and presented later; everything else is
turned into plain data, or into text, while the caller waits.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from lual.reports import describe

#: Types whose values can't change and whose `str` runs no code of the application.
PLAIN: set[type] = {int, float, str, bool, type(None), bytes, complex}

#: Further ones, recognised when first met so that their modules needn't be imported here.
#: (`datetime` isn't among them: its text depends on a tzinfo that anybody may write, so
#: that each value has to be looked at.)
_PLAIN_LATER = {
    ("datetime", "date"),
    ("datetime", "timedelta"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("uuid", "UUID"),
    ("ipaddress", "IPv4Address"),
    ("ipaddress", "IPv6Address"),
}

#: Deeper containers are rendered as text; nobody reads more than that in a log line.
_MAX_DEPTH = 6


def is_plain(kind: type) -> bool:
    """Tells whether values of this type can be kept as they are."""
    if kind in PLAIN:
        return True
    home = (getattr(kind, "__module__", ""), getattr(kind, "__qualname__", ""))
    if home in _PLAIN_LATER and getattr(sys.modules.get(home[0]), home[1], None) is kind:
        PLAIN.add(kind)
        return True
    return False


def _is_fixed_time(value: Any, kind: type) -> bool:
    """Tells whether `value` is a date and time whose zone is nobody's own class."""
    datetime = sys.modules.get("datetime")
    if datetime is None or kind not in (datetime.datetime, datetime.time):
        return False
    zone = type(value.tzinfo)
    zoneinfo = sys.modules.get("zoneinfo")
    return zone in (type(None), datetime.timezone) or zone is getattr(zoneinfo, "ZoneInfo", None)


def safe_repr(value: object) -> str:
    """Returns `repr(value)`, or what it raised; never an exception of its own."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  the application's own __repr__: anything may come
        return f"<{type(value).__name__}, whose repr raised {describe(error)}>"


def safe_str(value: object) -> str:
    """Returns `str(value)`, or what it raised; never an exception of its own."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  the application's own __str__: anything may come
        return f"<{type(value).__name__}, whose str raised {describe(error)}>"


def snapshot_value(value: Any, _depth: int = 0) -> Any:
    """Returns `value` if it can't change, else a copy as plain data, else its `repr`.

    >>> snapshot_value({"ids": [1, 2], "who": object}) == {"ids": [1, 2], "who": repr(object)}
    True
    """
    kind = type(value)
    if is_plain(kind) or _is_fixed_time(value, kind):
        return value
    try:
        if _depth < _MAX_DEPTH:
            if kind is dict:
                return {
                    (k if type(k) is str else safe_str(k)): snapshot_value(v, _depth + 1)
                    for k, v in list(value.items())
                }
            if kind is list or kind is tuple or kind is set or kind is frozenset:
                return [snapshot_value(v, _depth + 1) for v in list(value)]
    except RuntimeError:  # another thread changed it while it was copied
        return safe_repr(value)
    return safe_repr(value)


def snapshot_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy of `fields` in which every value is a snapshot."""
    return {name: snapshot_value(value) for name, value in fields.items()}


def format_message(template: str, args: Any) -> tuple[str, Exception | None]:
    """Returns `template % args`, and the reason if that didn't work.

    A template that doesn't fit is written with its arguments and the reason: the
    information is worth more than the form.

    Args:
        template: The message as logged.
        args: Its positional arguments; a single mapping fills `%(name)s`, as in the
            standard library.
    """
    try:
        # In this order: asking a value of the application whether it is true runs its code.
        if len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
            args = args[0]
        return template % args, None
    except Exception as error:  # noqa: BLE001  user code may run inside %: anything may come
        return _format_by_parts(template, args, error), error


def _format_by_parts(template: str, args: Any, error: Exception) -> str:
    """Returns what can be saved of a message whose formatting raised `error`."""
    try:
        # An argument whose __str__ raises is written as what it raised.
        text: str = template % _shielded(args)
        return text
    except Exception:  # noqa: BLE001  the template itself doesn't fit: described instead
        return f"{template} | arguments: {safe_repr(args)} | {describe(error)}"


def _shielded(args: Any) -> Any:
    if isinstance(args, tuple):
        return tuple(a if is_plain(type(a)) else _Shielded(a) for a in args)
    return {k: v if is_plain(type(v)) else _Shielded(v) for k, v in args.items()}


class _Shielded:
    """Stands for an argument whose own text might raise."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __str__(self) -> str:
        return safe_str(self.value)

    def __repr__(self) -> str:
        return safe_repr(self.value)

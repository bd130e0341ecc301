"""What a record carries besides its message, as text: fields, exception and stack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lual.pipelines.escape import escape, quote
from lual.record import EXTRA, FIELDS, SCOPE
from lual.snapshot import safe_repr, safe_str

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Types whose text is always one harmless word.
_WORDS = frozenset({int, float, bool, type(None)})

_NEEDS_QUOTES = re.compile(r"""[ "'=\\]""")

_INDENT = "\n    "


def fields_of(raw: Sequence[Any]) -> Mapping[str, Any]:
    """Returns the record's fields over those of its context."""
    extra = raw[EXTRA]
    if extra is not None and "context" in extra:
        context = extra["context"]
    else:
        context = raw[SCOPE].fields if raw[SCOPE] is not None else None
    fields = raw[FIELDS]
    if fields and not isinstance(fields, Mapping):  # a transformer may put anything there
        fields = {"fields": fields}
    if context and fields:
        return {**context, **fields}
    return fields or context or {}


def fields_text(fields: Mapping[str, Any]) -> str:
    r"""Returns the fields as `key=value` words; what isn't one word becomes a JSON string.

    >>> fields_text({"user": 42, "note": "x admin=1"})
    'user=42 note="x admin=1"'
    """
    words = []
    for name, value in fields.items():
        key = name if type(name) is str and name.isidentifier() else _word(safe_str(name))
        kind = type(value)
        if kind is str:
            word = value if value.isalnum() else _word(value)
        elif kind in _WORDS:
            try:
                word = str(value)
            except ValueError:  # an int of more digits than Python is willing to write
                word = _word(safe_str(value))
        else:
            word = _word(safe_str(value))
        words.append(f"{key}={word}")
    return " ".join(words)


def _word(text: str) -> str:
    if text and text.isprintable() and not _NEEDS_QUOTES.search(text):
        return text
    return quote(text)


def exception_text(exception: Any) -> str:
    """Returns the traceback as text without a newline at its end; "" for None.

    Args:
        exception: A `traceback.TracebackException`, an exception, or finished text.
    """
    if exception is None:
        return ""
    if isinstance(exception, str):
        return exception.rstrip("\n")
    try:
        if isinstance(exception, BaseException):
            from traceback import TracebackException  # only here by a replace(exception=...)

            exception = TracebackException.from_exception(exception)
        return "".join(exception.format()).rstrip("\n")
    except Exception:  # noqa: BLE001  the application's exceptions run code of their own
        return safe_repr(exception)


def stack_text(stack: Any) -> str:
    """Returns the call stack as text without a newline at its end; "" for None."""
    if stack is None:
        return ""
    return (stack if isinstance(stack, str) else safe_str(stack)).rstrip("\n")


def indented(text: str, escaped: bool) -> str:
    """Returns the text as lines that each start with a newline and four spaces.

    Args:
        text: What follows the line of the record; none of it may look like a record.
        escaped: Whether dangerous characters are made visible.
    """
    if not text:
        return ""
    lines = text.split("\n")
    return _INDENT + _INDENT.join([escape(line) for line in lines] if escaped else lines)

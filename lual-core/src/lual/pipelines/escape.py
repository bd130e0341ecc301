"""Making text harmless: nothing a user sends can forge a line or drive a terminal.

Dangerous are the C0 control characters but tab, DEL, C1, the line and paragraph
separators, the bidirectional controls, and lone surrogates, which no file can take.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_C0 = "\\x00-\\x08\\x0a-\\x1f"
_BEYOND_C0 = (
    "\\x7f-\\x9f"  # DEL and C1
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # bidirectional controls
    "\\u2028\\u2029"  # separators that many viewers break lines at
    "\\ud800-\\udfff"  # lone surrogates
)
_UNSAFE = re.compile(f"[{_C0}{_BEYOND_C0}]")
_UNSAFE_BEYOND_C0 = re.compile(f"[{_BEYOND_C0}]")

_SHORT = {"\n": "\\n", "\r": "\\r"}

_encode: Callable[[str], str] | None = None


def escape(text: str) -> str:
    r"""Returns the text with every dangerous character written as a visible escape.

    >>> escape("no\n\x1b[31mforged line")
    'no\\n\\x1b[31mforged line'
    """
    # At C speed, and true of nearly every line. What it refuses (tabs, odd spaces) may
    # still be harmless.
    if text.isprintable():
        return text
    return _UNSAFE.sub(_visible, text)


def quote(text: str) -> str:
    """Returns the text as a JSON string literal without any dangerous character."""
    quoted = json_encoder()(text)
    return quoted if quoted.isprintable() else escape_in_json(quoted)


def escape_in_json(document: str) -> str:
    r"""Returns a JSON document with what is left of dangerous characters as `\uXXXX`.

    Args:
        document: Valid JSON, whose strings therefore hold no raw C0 characters.
    """
    return _UNSAFE_BEYOND_C0.sub(_as_json, document)


def json_encoder() -> Callable[[str], str]:
    """Returns the C function that makes a JSON string literal."""
    global _encode
    if _encode is None:
        from json.encoder import encode_basestring  # 2 ms that `import lual` needn't pay

        _encode = encode_basestring
    return _encode


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _as_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"

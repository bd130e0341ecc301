import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lual.pipelines.escape import escape, escape_in_json, quote

DANGEROUS = [
    *(chr(code) for code in range(0x20) if chr(code) != "\t"),
    *(chr(code) for code in range(0x7F, 0xA0)),
    *"\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "\ud800",
    "\udfff",
]

any_text = st.text(st.characters(), max_size=60) | st.text(st.sampled_from([*DANGEROUS, "a", "é"]))


def is_harmless(text):
    return not any(
        c in DANGEROUS or unicodedata.category(c) == "Cs" or (ord(c) < 0x20 and c != "\t")
        for c in text
    )


@pytest.mark.parametrize("character", DANGEROUS, ids=ascii)
def test_each_dangerous_character_becomes_visible(character):
    escaped = escape(f"a{character}b")
    assert escaped.startswith("a\\")
    assert escaped.endswith("b")
    assert escaped.isascii()
    assert escaped.isprintable()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\x1b", "\\x1b"),
        ("\x9b", "\\x9b"),
        ("\u2028", "\\u2028"),
        ("\udc80", "\\udc80"),
    ],
)
def test_escapes_look_like_those_of_python(text, escaped):
    assert escape(text) == escaped


@pytest.mark.parametrize("text", ["", "plain", "tab\there", "naïve ☃ 🐍", "no\xa0break", "a\\nb"])
def test_harmless_text_stays_as_it_is(text):
    assert escape(text) is text


@given(any_text)
def test_no_text_stays_dangerous(text):
    assert is_harmless(escape(text))


@given(any_text)
def test_escaping_twice_changes_nothing_more(text):
    assert escape(escape(text)) == escape(text)


@given(any_text)
def test_a_quoted_text_is_harmless_json(text):
    quoted = quote(text)
    assert is_harmless(quoted)
    # A pair of surrogates is one character to a JSON reader.
    wide = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert json.loads(quoted) == wide


def test_a_json_document_keeps_its_line_breaks():
    assert escape_in_json('{\n "a": "\u2028"\n}') == '{\n "a": "\\u2028"\n}'

from __future__ import annotations

import pytest

from lual.cli.demo_input import component_of, level_of, read_lines
from lual.levels import CRITICAL, DEBUG, ERROR, INFO, WARNING


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2025-11-28 18:52:08,065 INFO     shop: starts", INFO),
        ("WARN disk", WARNING),
        ("[warning] disk", WARNING),
        ("Error: no such file", ERROR),
        ("18:52 error", ERROR),
        ("<crit> a", CRITICAL),
        ("level=debug msg=x", DEBUG),
        ("nothing of the kind", INFO),
        ("", INFO),
    ],
)
def test_a_level_word_in_any_case_is_the_level(text, level):
    assert level_of(text) == level


def test_the_first_level_word_counts():
    assert level_of("INFO no error was found") == INFO


@pytest.mark.parametrize(
    "word", ["libgpg-error-dev", "error.log", "/var/error", "terror", "errors"]
)
def test_a_part_of_a_longer_word_is_no_level(word):
    assert level_of(f"2026-05-09 07:29:25 status unpacked {word}") == INFO


@pytest.mark.parametrize(
    ("text", "component"),
    [
        ("2025-11-28 18:52:08,065 INFO     shop.db: connected", "shop.db"),
        ("Nov 28 18:53:28 host sshd[712]: closed", "sshd"),
        ("Nov 28 18:53:28 host kernel: TCP: cookies", "kernel"),
        ("ERROR: out of memory", "out"),
        ("2025-06-24 14:36:25 status unpacked libc-bin:amd64", "status"),
        ("a.b.c.d.e: deep", "a.b.c"),
        ("1 2 3", "line"),
        ("", "line"),
    ],
)
def test_the_component_is_who_the_line_is_from(text, component):
    assert component_of(text) == component


def test_every_byte_but_the_line_feed_survives():
    data = bytes(range(256)).replace(b"\n", b"")
    (line,) = read_lines([data + b"\n"])
    assert line.text.encode("utf-8", "surrogateescape") == data


def test_empty_lines_carriage_returns_and_a_missing_last_line_feed_are_kept():
    lines = read_lines([b"\n", b"a\r\n", b"b"])
    assert [line.text for line in lines] == ["", "a\r", "b"]


def test_an_input_makes_a_limited_number_of_names():
    lines = read_lines(b"name%d: text\n" % number for number in range(1000))
    assert len({line.component for line in lines}) <= 65
    assert lines[-1].component == "line"

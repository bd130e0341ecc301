from __future__ import annotations

import sys
from typing import Any

import pytest

import lual


def level() -> int:
    return lual.logger("root").effective_level


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("-v", 30),
        ("-vv", 20),
        ("-vvv", 10),
        ("--verbose", 20),
        ("--quiet", 40),
        ("--silent", 50),
    ],
)
def test_an_argument_sets_the_level(argument: str, expected: int) -> None:
    lual.config(level=25)
    assert lual.set_command_line_verbosity(argv=["in.txt", argument, "--other"]) == expected
    assert level() == expected


def test_the_programs_own_arguments_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["-vvv", "--quiet"])  # the first is the program itself
    assert lual.set_command_line_verbosity() == 40


def test_the_last_argument_wins() -> None:
    assert lual.set_command_line_verbosity(argv=["-vvv", "--silent", "-vv"]) == 20


def test_two_dashes_end_the_arguments() -> None:
    assert lual.set_command_line_verbosity(argv=["--quiet", "--", "-vvv"]) == 40


def test_without_such_an_argument_nothing_changes() -> None:
    lual.config(level="error")
    assert lual.set_command_line_verbosity(argv=["-x", "verbose", "-vvvv"]) is None
    assert level() == 40


def test_a_mapping_replaces_the_default() -> None:
    assert lual.set_command_line_verbosity({"--loud": "debug"}, argv=["--loud", "--quiet"]) == 10


def test_without_detection_the_mapping_is_kept_for_later() -> None:
    assert (
        lual.set_command_line_verbosity({"--loud": 10}, auto_detect=False, argv=["--loud"]) is None
    )
    assert level() == 30
    assert lual.set_command_line_verbosity(argv=["--loud"]) == 10


def test_reset_config_forgets_the_mapping() -> None:
    lual.set_command_line_verbosity({"--loud": "debug"}, auto_detect=False)
    lual.reset_config()
    assert lual.set_command_line_verbosity(argv=["--loud"]) is None
    assert lual.set_command_line_verbosity(argv=["-vv"]) == 20


def test_levels_may_be_custom_ones() -> None:
    lual.set_levels({"trace": 15})
    assert lual.set_command_line_verbosity({"-t": "Trace"}, argv=["-t"]) == 15


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"--loud": "lowd"}, "verbosity option --loud is 'lowd'"),
        ({"loud": "info"}, "'loud' must begin with a dash"),
        ({5: "info"}, "5 must begin"),
        (["-v"], "must map"),
    ],
)
def test_a_mapping_that_can_not_be_used_is_refused(mapping: Any, message: str) -> None:
    with pytest.raises(lual.ConfigError, match=message):
        lual.set_command_line_verbosity(mapping, argv=["--loud"])
    assert lual.set_command_line_verbosity(argv=["-vv"]) == 20

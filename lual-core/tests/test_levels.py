from __future__ import annotations

from typing import Any

import pytest

import lual
from lual.levels import level_name, parse_level


def test_the_constants_are_those_of_the_standard_library() -> None:
    assert (lual.NOTSET, lual.DEBUG, lual.INFO) == (0, 10, 20)
    assert (lual.WARNING, lual.WARN, lual.ERROR, lual.CRITICAL) == (30, 30, 40, 50)


@pytest.mark.parametrize("given", ["warning", "WARNING", "Warning", " warn ", lual.WARNING])
def test_a_level_is_an_int_a_name_in_any_case_or_a_constant(given: int | str) -> None:
    assert parse_level(given) == 30


def test_a_level_between_the_names_is_allowed() -> None:
    assert parse_level(35) == 35
    assert level_name(35) == "LEVEL 35"


@pytest.mark.parametrize("given", [True, None, 2.5, -1, b"info", ["info"]])
def test_anything_else_is_refused_with_its_value(given: Any) -> None:
    with pytest.raises(lual.ConfigError, match="level must be") as caught:
        parse_level(given)
    assert repr(given) in str(caught.value)


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(lual.ConfigError, match=r"flush_level is 'eror'.*did you mean 'error'"):
        parse_level("eror", "flush_level")


def test_get_levels_lists_each_level_once_from_the_lowest() -> None:
    assert list(lual.get_levels().items()) == [
        ("notset", 0),
        ("debug", 10),
        ("info", 20),
        ("warning", 30),
        ("error", 40),
        ("critical", 50),
    ]


def test_get_levels_is_a_copy() -> None:
    lual.get_levels()["loud"] = 45
    assert "loud" not in lual.get_levels()


class TestSetLevels:
    def test_gives_every_logger_a_method(self, recorded: Any) -> None:
        before = lual.logger("levels.before")
        lual.set_levels({"notice": 25})
        before.notice("one %d", 1, k=2)
        lual.logger("levels.after").notice("two")
        assert recorded.texts == ["one 1 k=2", "two"]
        assert (recorded.last.level, recorded.last.level_name) == (25, "NOTICE")

    def test_gives_bound_loggers_a_method(self, recorded: Any) -> None:
        bound = lual.logger("levels.bound").bind(a=1)
        lual.set_levels({"notice": 25})
        bound.notice("x")
        assert recorded.texts == ["x a=1"]

    def test_gives_an_awaitable_twin(self, recorded: Any) -> None:
        lual.set_levels({"notice": 25})
        lual.logger("levels").anotice("twin")
        assert recorded.messages == ["twin"]

    def test_makes_the_name_a_level_argument(self, recorded: Any) -> None:
        lual.set_levels({"notice": 25})
        log = lual.logger("levels", level="Notice")
        log.info("below")
        log.log("NOTICE", "at")
        assert recorded.messages == ["at"]
        log.set_level(lual.NOTSET)

    def test_a_level_that_is_off_does_nothing(self, recorded: Any) -> None:
        lual.set_levels({"notice": 25})
        log = lual.logger("levels.off")
        log.set_level("warning")
        log.notice("no")
        log.anotice("no")
        assert recorded.messages == []

    def test_appears_in_get_levels_in_order(self) -> None:
        lual.set_levels({"trace": 11, "notice": 25})
        assert list(lual.get_levels())[1:5] == ["debug", "trace", "info", "notice"]

    def test_replaces_all_custom_levels(self) -> None:
        lual.set_levels({"trace": 15})
        log = lual.logger("levels.replaced")
        lual.set_levels({"notice": 25})
        assert "trace" not in lual.get_levels()
        with pytest.raises(AttributeError):
            log.trace("gone")
        with pytest.raises(AttributeError):
            log.atrace("gone")

    def test_a_level_that_stays_may_get_another_number(self, recorded: Any) -> None:
        lual.set_levels({"trace": 15})
        lual.set_levels({"trace": 35})
        lual.logger("levels").trace("x")
        assert recorded.last.level == 35

    def test_reset_config_removes_them(self) -> None:
        lual.set_levels({"trace": 15})
        lual.reset_config()
        assert not hasattr(lual.logger("levels"), "trace")

    @pytest.mark.parametrize(
        "name",
        [
            "Trace",
            "two words",
            "1st",
            "",
            "class",
            "__getattr__",
            "info",
            "warn",
            "notset",
            "log",
            "exception",
            "bind",
            "is_enabled_for",
            "add_pipeline",
            "level",
            "effective_level",
            "propagate",
            "name",
            "parent",
            "ainfo",
            "alog",
            "aexception",
            "_threshold",
            "dd_pipeline",
            5,
        ],
    )
    def test_refuses_a_name_that_is_no_new_method(self, name: Any) -> None:
        with pytest.raises(lual.ConfigError, match="custom level") as caught:
            lual.set_levels({name: 15})
        assert repr(name) in str(caught.value)

    @pytest.mark.parametrize("number", [10, 40, 5, 45, 20, 30, "15", 15.0, True, None])
    def test_refuses_a_number_that_is_not_between_debug_and_error(self, number: Any) -> None:
        with pytest.raises(lual.ConfigError, match="'mine'"):
            lual.set_levels({"mine": number})

    def test_refuses_two_names_for_one_number(self) -> None:
        with pytest.raises(lual.ConfigError, match="'one' and 'two' are both 15"):
            lual.set_levels({"one": 15, "two": 15})

    def test_refuses_a_name_that_is_the_twin_of_another(self) -> None:
        with pytest.raises(lual.ConfigError, match="awaitable twin"):
            lual.set_levels({"trace": 15, "atrace": 16})

    def test_refuses_what_is_no_mapping(self) -> None:
        with pytest.raises(lual.ConfigError, match="must map"):
            lual.set_levels(["trace"])  # type: ignore[arg-type]

    def test_changes_nothing_if_one_is_refused(self) -> None:
        lual.set_levels({"trace": 15})
        with pytest.raises(lual.ConfigError):
            lual.set_levels({"notice": 25, "bind": 26})
        assert [*lual.get_levels()][2] == "trace"
        assert hasattr(lual.logger("levels"), "trace")
        assert not hasattr(lual.logger("levels"), "notice")

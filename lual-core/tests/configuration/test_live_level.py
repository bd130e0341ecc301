from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import lual

ENV = "LUAL_TEST_LEVEL"


@pytest.fixture(autouse=True)
def _nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV, raising=False)


@pytest.fixture
def log(memory: Any) -> lual.Logger:
    lual.config(level="info", pipelines=[lual.pipeline(outputs=[memory])])
    return lual.logger("live")


def level() -> int:
    return lual.logger("root").effective_level


def test_the_variable_is_looked_at_when_it_is_turned_on(
    monkeypatch: pytest.MonkeyPatch, log: lual.Logger
) -> None:
    monkeypatch.setenv(ENV, "debug")
    lual.set_live_level(ENV)
    assert level() == 10


@pytest.mark.parametrize("value", ["DEBUG", "10", " debug "])
def test_a_change_is_seen_after_as_many_calls(
    monkeypatch: pytest.MonkeyPatch, log: lual.Logger, value: str
) -> None:
    lual.set_live_level(ENV, check_interval=3)
    monkeypatch.setenv(ENV, value)
    log.info("1")
    log.info("2")
    assert level() == 20
    log.info("3")
    assert level() == 10


def test_by_default_it_is_looked_for_every_hundred_calls(
    monkeypatch: pytest.MonkeyPatch, log: lual.Logger
) -> None:
    lual.set_live_level(ENV)
    monkeypatch.setenv(ENV, "error")
    for _ in range(99):
        log.info("x")
    assert level() == 20
    log.info("x")
    assert level() == 40


CALLS: dict[str, Any] = {
    "debug": lambda log: log.debug("x"),
    "adebug": lambda log: log.adebug("x"),
    "log": lambda log: log.log("debug", "x"),
    "alog": lambda log: log.alog("debug", "x"),
    "bound": lambda log: log.bind(a=1).debug("x"),
    "exception": lambda log: log.exception("x"),
    "aexception": lambda log: log.aexception("x"),
    "child": lambda log: lual.logger("live.child").debug("x"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_disabled_calls_are_counted_too(
    monkeypatch: pytest.MonkeyPatch, memory: Any, log: lual.Logger, call: Any
) -> None:
    """A silent program can be made to speak."""
    lual.config(level="critical")
    lual.set_live_level(ENV, check_interval=2)
    monkeypatch.setenv(ENV, "debug")
    call(log)
    assert level() == 50
    call(log)
    assert level() == 10
    call(log)
    assert memory.messages[-1] == "x"


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_enabled_calls_are_counted_once(
    monkeypatch: pytest.MonkeyPatch, memory: Any, log: lual.Logger, call: Any
) -> None:
    lual.config(level="debug")
    lual.set_live_level(ENV, check_interval=2)
    monkeypatch.setenv(ENV, "critical")
    call(log)
    assert level() == 10
    call(log)
    assert level() == 50
    assert memory.messages == ["x"]  # the call that turned it off is off itself


def test_an_emptied_variable_gives_back_the_level_of_before(
    monkeypatch: pytest.MonkeyPatch, log: lual.Logger
) -> None:
    lual.set_live_level(ENV, check_interval=1)
    monkeypatch.setenv(ENV, "debug")
    log.info("x")
    monkeypatch.setenv(ENV, "error")
    log.info("x")
    assert level() == 40
    monkeypatch.delenv(ENV)
    log.info("x")
    assert level() == 20


@pytest.mark.parametrize("value", ["loud", "-5", "\u00b2", "9" * 5000], ids=lambda v: v[:8])
def test_a_level_that_does_not_exist_is_reported_once_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, log: lual.Logger, problems: list[str], value: str
) -> None:
    lual.set_live_level(ENV, check_interval=1)
    monkeypatch.setenv(ENV, value)
    log.info("x")
    log.info("x")
    assert level() == 20
    assert len(problems) == 1
    assert ENV in problems[0]


def test_a_wrong_level_after_a_right_one_keeps_the_right_one(
    monkeypatch: pytest.MonkeyPatch, log: lual.Logger, problems: list[str]
) -> None:
    lual.set_live_level(ENV, check_interval=1)
    for value in ("debug", "loud"):
        monkeypatch.setenv(ENV, value)
        log.info("x")
    assert level() == 10
    monkeypatch.delenv(ENV)
    log.info("x")
    assert level() == 20


class TestFile:
    def test_a_value_with_a_slash_is_a_file_that_holds_the_level(
        self, monkeypatch: pytest.MonkeyPatch, log: lual.Logger, tmp_path: Path
    ) -> None:
        path = tmp_path / "level"
        monkeypatch.setenv(ENV, str(path))
        lual.set_live_level(ENV, check_interval=1)
        assert level() == 20
        path.write_text("debug  # until Monday\n")
        log.info("x")
        assert level() == 10
        path.unlink()
        log.info("x")
        assert level() == 20

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe"], ids=repr)
    def test_a_file_without_a_level_raises_nothing(
        self,
        monkeypatch: pytest.MonkeyPatch,
        log: lual.Logger,
        tmp_path: Path,
        content: bytes,
        problems: list[str],
    ) -> None:
        path = tmp_path / "level"
        path.write_bytes(content)
        monkeypatch.setenv(ENV, str(path))
        lual.set_live_level(ENV, check_interval=1)
        log.info("x")
        assert level() == 20


def test_a_second_call_takes_the_place_of_the_first(
    monkeypatch: pytest.MonkeyPatch, log: lual.Logger
) -> None:
    monkeypatch.setenv(ENV, "debug")
    lual.set_live_level(ENV)
    lual.set_live_level(f"{ENV}_2", check_interval=1)
    assert level() == 20
    log.info("x")
    assert level() == 20


def test_reset_config_turns_it_off(
    monkeypatch: pytest.MonkeyPatch, log: lual.Logger, memory: Any
) -> None:
    lual.set_live_level(ENV, check_interval=1)
    lual.reset_config()
    monkeypatch.setenv(ENV, "debug")
    lual.logger("live").warning("x")
    assert level() == 30
    one, two = lual.logger("live.one"), lual.logger("live.two")
    assert one.debug is two.debug


def test_it_works_inside_an_event_loop(
    monkeypatch: pytest.MonkeyPatch, log: lual.Logger, memory: Any
) -> None:
    lual.set_live_level(ENV, check_interval=1)
    monkeypatch.setenv(ENV, "debug")

    async def main() -> None:
        await log.adebug("turns it on")
        await log.adebug("x")

    asyncio.run(main())
    assert memory.messages[-1] == "x"


@pytest.mark.parametrize("name", ["", None, 5], ids=repr)
def test_the_variable_needs_a_name(name: Any) -> None:
    with pytest.raises(lual.ConfigError, match="env_var"):
        lual.set_live_level(name)


@pytest.mark.parametrize("interval", [0, -1, 1.5, "10", True], ids=repr)
def test_the_interval_is_a_number_of_calls(interval: Any) -> None:
    with pytest.raises(lual.ConfigError, match="check_interval"):
        lual.set_live_level(ENV, interval)

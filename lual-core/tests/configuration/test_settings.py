from __future__ import annotations

from typing import Any

import pytest

import lual
from lual.configuration.settings import NAMES, SCALARS, Settings, build_settings

DEFAULTS = {
    "level": 30,
    "async_enabled": False,
    "backend": None,
    "async_batch_size": 50,
    "async_flush_interval": 1.0,
    "max_queue_size": 10_000,
    "overflow_strategy": "drop_oldest",
    "flush_level": 40,
    "protect_level": 40,
    "block_timeout": 1.0,
    "flush_timeout": 5.0,
    "shutdown_timeout": 5.0,
    "after_stop": "inline",
    "backend_options": {},
}

COUNTS = ["async_batch_size", "max_queue_size"]
SECONDS = ["async_flush_interval", "block_timeout", "flush_timeout", "shutdown_timeout"]
LEVELS = ["level", "flush_level", "protect_level"]
NAN = float("nan")

WRONG: list[tuple[str, Any]] = [
    *((name, value) for name in COUNTS for value in (0, -1, 1.5, "50", True, None)),
    *((name, value) for name in SECONDS for value in (-0.1, NAN, "1", True, None)),
    *((name, value) for name in LEVELS for value in (-1, 2.5, True, None, ["info"])),
    *(("async_enabled", value) for value in ("yes", 1, None)),
    *(("backend", value) for value in ("", 5, ["threads"])),
    *(("overflow_strategy", value) for value in (None, 1, ["block"])),
    *(("after_stop", value) for value in (None, True)),
    *(("backend_options", value) for value in (None, "a=1", [("a", 1)], {1: 2})),
    *(("pipelines", value) for value in (None, "console", 5, {"outputs": []})),
    *(("loggers", value) for value in (None, "app", ["app"])),
]


def test_the_defaults_are_those_of_the_contract() -> None:
    config = lual.get_config()
    assert {name: config[name] for name in SCALARS} == DEFAULTS
    assert set(NAMES) == {*DEFAULTS, "pipelines", "loggers"}


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda v: v if v in NAMES else repr(v))
def test_a_value_of_the_wrong_kind_is_refused_by_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(lual.ConfigError) as caught:
        lual.config(**{name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


def test_every_setting_is_checked() -> None:
    assert {name for name, _ in WRONG} == set(NAMES)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        (
            "overflow_strategy",
            "drop-oldest",
            "one of drop_oldest, drop_newest, block, got 'drop-oldest'; did you mean 'drop_oldest'",
        ),
        ("after_stop", "inlin", "one of inline, drop, raise, got 'inlin'; did you mean 'inline'"),
        (
            "level",
            "wraning",
            "'wraning', which is no level; use one of notset, debug, info.*'warning'",
        ),
    ],
)
def test_an_unknown_word_is_refused_with_all_allowed_and_the_nearest(
    name: str, value: str, hint: str
) -> None:
    with pytest.raises(lual.ConfigError, match=f"{name} .*{hint}"):
        lual.config(**{name: value})


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("levl", "level"), ("async_batchsize", "async_batch_size"), ("pipeline", "pipelines")],
)
def test_an_unknown_setting_is_refused_with_the_nearest(given: str, nearest: str) -> None:
    with pytest.raises(lual.ConfigError, match=f"{given!r}; did you mean {nearest!r}"):
        lual.config(**{given: 1})


def test_an_unknown_setting_is_refused_with_all_there_are() -> None:
    with pytest.raises(lual.ConfigError) as caught:
        lual.config(zzz=1)
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize("name", LEVELS)
def test_levels_take_names_in_any_case(name: str) -> None:
    lual.config(**{name: "Info"})
    assert lual.get_config()[name] == 20


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_may_be_whole_zero_or_infinite(name: str) -> None:
    for value in (0, 3, 0.5, float("inf")):
        lual.config(**{name: value})
        assert lual.get_config()[name] == value


class TestBatchAndQueue:
    def test_a_batch_that_can_never_fill_is_refused_if_both_were_given(self) -> None:
        with pytest.raises(lual.ConfigError, match=r"async_batch_size \(11\).*\(10\)"):
            lual.config(async_batch_size=11, max_queue_size=10)

    def test_a_batch_as_large_as_the_queue_is_legal(self) -> None:
        lual.config(async_batch_size=10, max_queue_size=10)
        assert lual.get_config()["async_batch_size"] == 10

    def test_a_defaulted_batch_is_lowered(self) -> None:
        lual.config(max_queue_size=10)
        assert lual.get_config()["async_batch_size"] == 10

    def test_a_lowered_batch_grows_again_with_the_queue(self) -> None:
        lual.config(max_queue_size=10)
        lual.config(max_queue_size=1000)
        assert lual.get_config()["async_batch_size"] == 50

    def test_beside_a_defaulted_queue_its_capacity_counts(self) -> None:
        lual.config(async_batch_size=20_000)
        config = lual.get_config()
        assert (config["async_batch_size"], config["max_queue_size"]) == (10_000, 10_000)

    def test_both_count_as_given_also_in_two_calls(self) -> None:
        lual.config(async_batch_size=20)
        with pytest.raises(lual.ConfigError, match="async_batch_size"):
            lual.config(max_queue_size=10)
        assert lual.get_config()["max_queue_size"] == 10_000


def test_backend_options_are_copied() -> None:
    options = {"a": {"b": [1]}}
    lual.config(backend_options=options)
    options["a"]["b"].append(2)
    assert lual.get_config()["backend_options"] == {"a": {"b": [1]}}


@pytest.mark.parametrize("name", ["pipelines", "loggers"])
def test_what_is_no_scalar_is_left_to_others(name: str) -> None:
    assert build_settings({name: object()}) == Settings()


def test_after_stop_needs_no_other_line() -> None:
    assert not Settings(after_stop="drop").needs_another_line(Settings())


@pytest.mark.parametrize(
    ("name", "value"), [("max_queue_size", 60), ("backend", "x"), ("flush_level", 50)]
)
def test_what_a_running_backend_can_not_change_needs_another_line(name: str, value: Any) -> None:
    changed = Settings(**{name: value})
    assert changed.needs_another_line(Settings())
    assert not changed.needs_another_line(changed)

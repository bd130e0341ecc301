from __future__ import annotations

from typing import Any

import pytest

import lual


def test_loggers_get_level_propagation_and_pipelines(memory: Any) -> None:
    lual.config(
        pipelines=[],
        loggers={
            "app": {"level": "error", "pipelines": [{"outputs": [memory]}]},
            "app.db": {"level": "debug"},
            "app.noise": {"propagate": False},
        },
    )
    lual.logger("app").warning("no")
    lual.logger("app.noise").error("no")
    lual.logger("app.db.pool").debug("yes")
    assert memory.messages == ["yes"]


def test_a_logger_made_earlier_is_changed(memory: Any) -> None:
    log = lual.logger("setting.early")
    lual.config(loggers={"setting.early": {"level": "debug"}})
    assert log.effective_level == 10


def test_a_second_call_leaves_loggers_that_it_does_not_name() -> None:
    lual.config(loggers={"one": {"level": "info"}})
    lual.config(loggers={"two": {"level": "debug"}})
    levels = {name: given["level"] for name, given in lual.get_config()["loggers"].items()}
    assert levels == {"one": 20, "two": 10}


def test_a_second_call_leaves_settings_that_it_does_not_name() -> None:
    lual.config(loggers={"one": {"level": "info", "propagate": False}})
    lual.config(loggers={"one": {"level": "debug"}})
    assert lual.get_config()["loggers"]["one"]["propagate"] is False


def test_the_root_can_be_named() -> None:
    lual.config(loggers={"root": {"level": "info"}})
    assert lual.logger("any").effective_level == 20


def test_level_and_pipelines_by_themselves_win_over_the_root(memory: Any) -> None:
    lual.config(
        level="debug",
        pipelines=[{"outputs": [memory]}],
        loggers={"root": {"level": "error", "pipelines": []}},
    )
    lual.logger("any").debug("x")
    assert memory.messages == ["x"]


@pytest.mark.parametrize(
    ("loggers", "message"),
    [
        ({"app": {"lvl": "info"}}, r"loggers\['app'\] has no 'lvl'.*level, propagate, pipelines"),
        ({"app": {"levels": "info"}}, "did you mean 'level'"),
        ({"app": {"level": "loud"}}, r"loggers\['app'\]\.level is 'loud'"),
        ({"app": {"propagate": 1}}, r"loggers\['app'\]\.propagate must be True or False, got 1"),
        ({"app": {"pipelines": "x"}}, r"loggers\['app'\]\.pipelines must be a list"),
        ({"app": {"pipelines": [{"outputs": ["x"]}]}}, r"\.pipelines\[0\]\.outputs\[0\]"),
        ({"app": "info"}, r"loggers\['app'\] must be a mapping, got 'info'"),
        ({"a..b": {}}, "no empty parts"),
        ({"": {}}, "no empty parts"),
        ({5: {}}, "5"),
        ({"app": {"db": {"level": "info"}}}, r'quote the whole name: \[loggers\."app\.db"\]'),
    ],
)
def test_what_is_wrong_is_named_with_its_place(loggers: Any, message: str) -> None:
    before = lual.get_config()
    with pytest.raises(lual.ConfigError, match=message):
        lual.config(level="debug", loggers=loggers)
    assert lual.get_config() == before

"""What may be said of single loggers: level, propagation, pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lual.errors import ConfigError, did_you_mean
from lual.levels import parse_level
from lual.pipelines.parse import parse_pipeline
from lual.pipelines.pipeline import Pipeline

KEYS = ("level", "propagate", "pipelines")


def parse_pipelines(value: Any, where: str) -> tuple[Pipeline, ...]:
    """Returns the pipelines of a list, whose items may be plain mappings.

    Raises:
        ConfigError: It is no list, or one of them can't be used.
    """
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise ConfigError(f"{where} must be a list of pipelines, got {value!r}")
    return tuple(parse_pipeline(item, f"{where}[{i}]") for i, item in enumerate(value))


def parse_loggers(value: Any) -> dict[str, dict[str, Any]]:
    """Returns what `hierarchy.change` takes for each name, checked.

    Raises:
        ConfigError: It is no mapping, or settings of one can't be used.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"loggers must map names to their settings, got {value!r}")
    return {name: parse_logger_settings(name, given) for name, given in value.items()}


def parse_logger_settings(name: str, given: Any) -> dict[str, Any]:
    """Returns what `hierarchy.change` takes, checked.

    Raises:
        ConfigError: A key is unknown, or a value can't be used.
    """
    where = f"loggers[{name!r}]"
    if not isinstance(name, str) or not all(name.split(".")):
        raise ConfigError(f"{where}: a logger's name has no empty parts, as in 'app.db'")
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} must be a mapping, got {given!r}")
    change: dict[str, Any] = {}
    for key, value in given.items():
        if key == "level":
            change["level"] = parse_level(value, f"{where}.level")
        elif key == "propagate":
            if not isinstance(value, bool):
                raise ConfigError(f"{where}.propagate must be True or False, got {value!r}")
            change["propagate"] = value
        elif key == "pipelines":
            change["pipelines"] = parse_pipelines(value, f"{where}.pipelines")
        else:
            hint = did_you_mean(key, KEYS)
            if isinstance(value, Mapping):
                hint = f'; in TOML, quote the whole name: [loggers."{name}.{key}"]'
            raise ConfigError(f"{where} has no {key!r}; it has: {', '.join(KEYS)}{hint}")
    return change

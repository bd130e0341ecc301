"""Logging that never stalls, crashes or lies to the program that logs.

import lual

log = lual.logger("app")
log.warning("disk %s is %d %% full", "sda1", 93)
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from lual import async_writer, loggers, reports
from lual.async_writer import flush, get_stats
from lual.async_writer import stop as shutdown
from lual.context import bind_context, clear_context
from lual.engine import hierarchy
from lual.engine.exit_guard import install_signal_flush
from lual.engine.fork_guard import ForkGuard
from lual.errors import ConfigError
from lual.levels import CRITICAL, DEBUG, ERROR, INFO, NOTSET, WARN, WARNING, get_levels
from lual.loggers import Logger, set_levels
from lual.pipelines.outputs.console import console
from lual.pipelines.pipeline import Pipeline, pipeline
from lual.pipelines.text import text
from lual.pipelines.timestamps import LOCAL_TIME, UTC
from lual.record import Record
from lual.reports import set_error_handler

if TYPE_CHECKING:
    from lual.configuration.apply import config, get_config, load_config, reset_config
    from lual.configuration.live_level import set_live_level
    from lual.configuration.verbosity import set_command_line_verbosity
    from lual.engine.awaiting import aflush, ashutdown
    from lual.pipelines.color import color
    from lual.pipelines.json_lines import json
    from lual.pipelines.outputs.file import file

__version__ = "0.1.0"

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "LOCAL_TIME",
    "NOTSET",
    "UTC",
    "WARN",
    "WARNING",
    "ConfigError",
    "Logger",
    "Pipeline",
    "Record",
    "aflush",
    "ashutdown",
    "async_writer",
    "bind_context",
    "clear_context",
    "color",
    "config",
    "console",
    "file",
    "flush",
    "get_config",
    "get_levels",
    "get_stats",
    "install_signal_flush",
    "json",
    "load_config",
    "logger",
    "pipeline",
    "reset_config",
    "set_command_line_verbosity",
    "set_error_handler",
    "set_levels",
    "set_live_level",
    "shutdown",
    "text",
]

# Who only logs doesn't pay for what checks a configuration (attrs), nor for outputs and
# presenters that nobody asked for.
_LATER = {
    "aflush": "engine.awaiting",
    "ashutdown": "engine.awaiting",
    "color": "pipelines.color",
    "config": "configuration.apply",
    "file": "pipelines.outputs.file",
    "get_config": "configuration.apply",
    "json": "pipelines.json_lines",
    "load_config": "configuration.apply",
    "reset_config": "configuration.apply",
    "set_command_line_verbosity": "configuration.verbosity",
    "set_live_level": "configuration.live_level",
}


def __getattr__(name: str) -> Any:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module 'lual' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"lual.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def logger(name: str | None = None, **settings: Any) -> Logger:
    """Returns the logger of that name; the same one for the same name.

    Args:
        name: Dotted, as in `app.db`; None takes the calling module's.
        **settings: `level`, `propagate`, `pipelines`; they take effect for the records
            logged from now on.

    Raises:
        ConfigError: A name or a setting can't be used.

    Threads: any thread.
    """
    if name is None:
        name = sys._getframe(1).f_globals.get("__name__") or hierarchy.ROOT_NAME
    found = loggers.get_logger(name)
    if settings:
        from lual.configuration.apply import configure_logger

        configure_logger(found, settings)
    return found


def _outputs_in_use() -> list[Any]:
    return [
        output
        for each in hierarchy.all_loggers().values()
        for own in each.pipelines
        for output in own.outputs
    ]


def _add_pipeline(to: Logger, added: Any) -> None:
    from lual.configuration.apply import add_pipeline

    add_pipeline(to, added)


def _begin() -> None:
    """Gives the root its console, guards forks, and reads `LUAL_CONFIG`."""
    hierarchy.set_pipeline_adder(_add_pipeline)
    hierarchy.change(hierarchy.root(), level=WARNING, pipelines=hierarchy.default_pipelines())
    ForkGuard(
        lambda: hierarchy.registry_lock(),
        hierarchy.replace_registry_lock,
        _outputs_in_use,
        lambda: None,
    ).install()
    path = os.environ.get("LUAL_CONFIG")
    if path:
        from lual.configuration.apply import load_config as load

        try:
            load(path)
        except ConfigError as error:  # an operator's typo must not keep a program from running
            reports.problem("config", f"LUAL_CONFIG was not applied: {error}")


_begin()

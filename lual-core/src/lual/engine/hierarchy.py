"""The hierarchy of loggers: which there are, and what each inherits.

A logger keeps what a call needs and nothing has to be looked up for: its effective
threshold, and its *route* (name and pipelines, inherited ones included), both replaced as
a whole when something in the hierarchy changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from lual.engine import calls
from lual.levels import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    NOTSET,
    WARNING,
    custom_levels,
)

if TYPE_CHECKING:
    from lual.loggers import Logger
    from lual.pipelines.pipeline import Pipeline

ROOT_NAME = "root"


class Route:
    """Where a logger's records go from now on; immutable.

    Args:
        name: The logger's.
        logger: The logger.
        pipelines: Its own, and those it propagates to.
    """

    __slots__ = ("logger", "name", "pipelines")

    def __init__(self, name: str, logger: Any, pipelines: tuple[Pipeline, ...]) -> None:
        self.name = name
        self.logger = logger
        self.pipelines = pipelines


class _Registry:
    """All loggers by name, and the bound ones that follow them."""

    def __init__(self) -> None:
        from weakref import WeakSet

        self.lock = threading.RLock()
        self.root: Logger  # set by the module that has the class
        self.by_name: dict[str, Logger] = {}
        self.bound: WeakSet[Logger] = WeakSet()
        self.methods: dict[str, int] = {}
        #: Set by the package: adding a pipeline is a change of configuration.
        self.add_pipeline: Callable[[Logger, Any], None]
        self.rebuild_methods()

    def rebuild_methods(self) -> None:
        """Notes which method logs at which level."""
        self.methods = {
            "debug": DEBUG,
            "info": INFO,
            "warning": WARNING,
            "warn": WARNING,
            "error": ERROR,
            "critical": CRITICAL,
            **custom_levels(),
        }


registry = _Registry()


def shadow(logger: Logger) -> None:
    """Puts the function that does nothing in front of the methods that are off."""
    space = logger.__dict__
    off = calls.disabled_method()
    for name, level in registry.methods.items():
        if level < logger._threshold:
            space[name] = off
            space["a" + name] = calls.disabled_awaitable
        else:
            space.pop(name, None)
            space.pop("a" + name, None)


def refresh(start: Logger) -> None:
    """Recomputes threshold and route of a logger and all below it.

    The caller holds the registry's lock.
    """
    below = [start]
    changed = set()
    while below:
        logger = below.pop()
        parent = logger.parent
        level = logger._level
        inherited = parent._threshold if parent is not None else WARNING
        logger._threshold = level if level != NOTSET else inherited
        above = parent._route.pipelines if parent is not None and logger._propagate else ()
        # Loggers without pipelines of their own share the parent's tuple: a batch of
        # records of many loggers is then recognised as going one way.
        logger._route = Route(logger.name, logger, (*logger._own, *above) if logger._own else above)
        logger._is_special = logger._bound is not None or calls.are_counted()
        shadow(logger)
        changed.add(logger)
        below += logger._children
    for bound in list(registry.bound):
        if bound._origin in changed:
            bound._take_from(bound._origin)


def change(
    logger: Logger,
    *,
    level: int | None = None,
    propagate: bool | None = None,
    pipelines: Iterable[Pipeline] | None = None,
) -> None:
    """Changes a logger, and everything that inherits from it, in one step."""
    with registry.lock:
        if level is not None:
            logger._level = level
        if propagate is not None:
            logger._propagate = propagate
        if pipelines is not None:
            logger._own = tuple(pipelines)
        refresh(logger)


def default_pipelines() -> tuple[Pipeline, ...]:
    """Returns what the root has until something else is configured: text on the console."""
    from lual.pipelines.outputs.console import console
    from lual.pipelines.pipeline import pipeline

    return (pipeline(outputs=[console()]),)


def root() -> Logger:
    """Returns the root of the hierarchy."""
    return registry.root


def all_loggers() -> dict[str, Logger]:
    """Returns every logger made so far by its name, the root included; a copy."""
    with registry.lock:
        return {ROOT_NAME: registry.root, **registry.by_name}


def registry_lock() -> Any:
    """Returns the lock of the hierarchy, for the fork guard."""
    return registry.lock


def replace_registry_lock() -> None:
    """Replaces the lock in a forked child, where its owner may not exist."""
    registry.lock = threading.RLock()


def set_live_check(check: Callable[[], None] | None) -> None:
    """Has `check` called once a logging call, disabled ones included; None: no more."""
    with registry.lock:
        calls.count_calls(check)
        refresh(registry.root)


def set_pipeline_adder(adder: Callable[[Logger, Any], None]) -> None:
    """Has `Logger.add_pipeline` call `adder`, which stands in a layer above this one."""
    registry.add_pipeline = adder

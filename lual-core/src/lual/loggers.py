"""Loggers: what applications call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from lual.backend.reentry import entry
from lual.context import SCOPE
from lual.engine import calls
from lual.engine.calls import awaitable_method, level_method, level_or_warning
from lual.engine.gap_record import ENGINE_LOGGER
from lual.engine.hierarchy import ROOT_NAME, Route, all_loggers, change, refresh, registry, shadow
from lual.engine.waiting import Submitted
from lual.engine.writer import writer
from lual.errors import ConfigError
from lual.levels import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    NOTSET,
    WARNING,
    check_custom_levels,
    custom_levels,
    level_name,
    parse_level,
    replace_custom_levels,
)
from lual.snapshot import snapshot_fields

if TYPE_CHECKING:
    from lual.pipelines.pipeline import Pipeline

_writer = writer()


class Logger:
    """A named source of records; get one with `lual.logger(name)`.

    `debug info warning warn error critical exception`, one method for each custom level,
    and `log(level, ...)` take a message, its `%` arguments (positional only), and
    structured fields as keywords. `exc_info`, `stack_info` and `stacklevel` mean what they
    mean in the standard library. The twins `ainfo` and so on can be awaited; the record is
    submitted at the call, and awaiting waits only for room.

    Blocks: never, but for `overflow_strategy="block"` and in synchronous mode.
    Threads: any thread, signal handler or finaliser.
    """

    def __init__(self, name: str, parent: Logger | None) -> None:
        self.name = name
        self.parent = parent
        self._level = NOTSET
        self._propagate = True
        self._own: tuple[Pipeline, ...] = ()
        self._children: list[Logger] = []
        self._bound: Mapping[str, Any] | None = None
        self._origin: Logger = self
        self._is_special = False
        self._threshold = -1
        self._route = Route(name, self, ())

    debug = level_method(DEBUG)
    info = level_method(INFO)
    warning = warn = level_method(WARNING)
    error = level_method(ERROR)
    critical = level_method(CRITICAL)
    adebug = awaitable_method(DEBUG)
    ainfo = awaitable_method(INFO)
    awarning = awarn = awaitable_method(WARNING)
    aerror = awaitable_method(ERROR)
    acritical = awaitable_method(CRITICAL)

    @entry
    def exception(self, message: object, /, *args: Any, **fields: Any) -> None:
        """Logs at ERROR with the exception that is being handled."""
        if self._threshold <= ERROR or calls.are_counted():
            fields.setdefault("exc_info", True)
            calls.log(self, ERROR, message, args, fields, calls.caller(), SCOPE.get())

    @entry
    def aexception(self, message: object, /, *args: Any, **fields: Any) -> Awaitable[None]:
        """Logs at ERROR with the exception that is being handled; can be awaited."""
        if self._threshold > ERROR and not calls.are_counted():
            return Submitted(None, _writer)
        fields.setdefault("exc_info", True)
        return calls.alog(self, ERROR, message, args, fields, calls.caller())

    @entry
    def log(self, level: int | str, message: object, /, *args: Any, **fields: Any) -> None:
        """Logs at any level; one that doesn't exist is reported, and counts as WARNING."""
        number = level_or_warning(level)
        if number >= self._threshold or calls.are_counted():
            calls.log(self, number, message, args, fields, calls.caller(), SCOPE.get())

    @entry
    def alog(
        self, level: int | str, message: object, /, *args: Any, **fields: Any
    ) -> Awaitable[None]:
        """Logs at any level; can be awaited."""
        number = level_or_warning(level)
        if number < self._threshold and not calls.are_counted():
            return Submitted(None, _writer)
        return calls.alog(self, number, message, args, fields, calls.caller())

    def is_enabled_for(self, level: int | str) -> bool:
        """Tells whether a record of this level would go anywhere from here."""
        return parse_level(level) >= self._threshold

    @property
    def level(self) -> int:
        """The level set on this logger itself, or NOTSET."""
        return self._origin._level

    @property
    def effective_level(self) -> int:
        """The level in force: its own, or that of the nearest ancestor that sets one."""
        return self._threshold

    @property
    def propagate(self) -> bool:
        """Whether records go to the ancestors' pipelines too."""
        return self._origin._propagate

    @property
    def pipelines(self) -> tuple[Pipeline, ...]:
        """The pipelines of this logger itself."""
        return self._origin._own

    def set_level(self, level: int | str) -> None:
        """Sets the level; NOTSET inherits it again.

        Raises:
            ConfigError: There is no such level.
        """
        change(self._origin, level=parse_level(level))

    def set_propagate(self, propagate: bool) -> None:
        """Says whether records go to the ancestors' pipelines too.

        Raises:
            ConfigError: The value is neither True nor False.
        """
        if not isinstance(propagate, bool):
            raise ConfigError(f"propagate must be True or False, got {propagate!r}")
        change(self._origin, propagate=propagate)

    def add_pipeline(self, pipeline: Pipeline | Mapping[str, Any]) -> None:
        """Adds a pipeline for the records logged from now on.

        Args:
            pipeline: From `lual.pipeline(...)`, or a mapping with the same keys.

        Raises:
            ConfigError: It can't be used, or an output can't be opened.

        Blocks: as long as the outputs take to open.
        """
        registry.add_pipeline(self._origin, pipeline)

    def bind(self, **fields: Any) -> Logger:
        """Returns a logger that adds these fields to each of its records.

        It shares everything else with this one, later changes included.
        """
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._bound = {**(self._bound or {}), **snapshot_fields(fields)}
        bound._is_special = True
        with registry.lock:
            registry.bound.add(bound)
            bound._take_from(self._origin)
        return bound

    def _take_from(self, origin: Logger) -> None:
        self._threshold = origin._threshold
        self._route = origin._route
        shadow(self)

    def __repr__(self) -> str:
        return f"<Logger {self.name!r} {level_name(self._threshold)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Loggers don't travel; their names do, and the fields bound to them.
        return _logger_with, (self.name, self._bound)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]:
            """Custom levels have methods that a type checker can't know."""


def _logger_with(name: str, bound: Mapping[str, Any] | None) -> Logger:
    """Returns what a pickled or copied logger stands for."""
    logger = get_logger(name)
    return logger.bind(**bound) if bound else logger


def get_logger(name: str) -> Logger:
    """Returns the logger of that name, made with its ancestors if it is new.

    Raises:
        ConfigError: The name is no string, or empty between or around its dots.
    """
    if not isinstance(name, str):
        raise ConfigError(f"a logger's name must be a string, got {name!r}")
    found = registry.by_name.get(name)
    if found is not None:
        return found
    if name in ("", ROOT_NAME):
        return registry.root
    parts = name.split(".")
    if not all(parts):
        raise ConfigError(f"logger name {name!r} has an empty part; use names like 'app.db'")
    with registry.lock:
        parent = registry.root
        for end in range(1, len(parts) + 1):
            path = ".".join(parts[:end])
            if path == ROOT_NAME:  # there is one root, also for those who name it
                continue
            child = registry.by_name.get(path)
            if child is None:
                child = Logger(path, parent)
                parent._children.append(child)
                refresh(child)
                registry.by_name[path] = child
            parent = child
        return parent


def set_levels(levels: Mapping[str, int]) -> None:
    """Replaces all custom levels; each gets a method on every logger.

    Args:
        levels: Lower-case identifier to int, strictly between DEBUG (10) and ERROR (40).

    Raises:
        ConfigError: A name or a number can't be used; nothing was changed.
    """
    with registry.lock:
        before = custom_levels()
        of_levels = {*before, *(f"a{name}" for name in before)}
        # What stands in a logger's own namespace is no less its own than its methods.
        reserved = frozenset({*dir(Logger), *vars(registry.root)} - of_levels)
        checked = check_custom_levels(levels, reserved)
        replace_custom_levels(checked)
        for name, value in checked.items():
            setattr(Logger, name, level_method(value))
            setattr(Logger, f"a{name}", awaitable_method(value))
        for name in before.keys() - checked.keys():
            for method in (name, f"a{name}"):
                delattr(Logger, method)
                for logger in (*all_loggers().values(), *registry.bound):
                    logger.__dict__.pop(method, None)
        registry.rebuild_methods()
        refresh(registry.root)


registry.root = Logger(ROOT_NAME, None)
refresh(registry.root)
_writer.engine_route = lambda: get_logger(ENGINE_LOGGER)._route
_writer.root_pipelines = lambda: registry.root._own

"""Loggers: the hierarchy, and the methods that applications call.

A logger keeps what a call needs and nothing has to be looked up for: its effective
threshold, and its *route* (name and pipelines, inherited ones included), both replaced as
a whole when something in the hierarchy changes.

A disabled level costs one call of a shared function that does nothing: it stands in the
logger's own namespace, in front of the class's method. An enabled call builds one tuple
and hands it over; the method that does this is made once a level, with everything it
needs bound.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from lual import reports
from lual.backend.reentry import entry
from lual.context import SCOPE, Scope
from lual.engine.capture import LOCAL, CapturedItem, capture, next_seq
from lual.engine.gap_record import ENGINE_LOGGER
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
from lual.snapshot import PLAIN, snapshot_fields

if TYPE_CHECKING:
    from lual.pipelines.pipeline import Pipeline

ROOT_NAME = "root"

#: A record logged about a record logged about a record is dropped: nothing new is in it.
_LOOP_DEPTH = 2

_writer = writer()


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


# Six positional places spare most calls the packing of their arguments into a tuple.
def _disabled(
    message: object,
    a: object = None,
    b: object = None,
    c: object = None,
    d: object = None,
    e: object = None,
    /,
    *args: object,
    **fields: object,
) -> None:
    """Does nothing: stands in for the methods of a level that is off."""


def _counting_disabled(*args: object, **fields: object) -> None:
    """As `_disabled`, while a live level wants every call counted."""
    live = _live_check
    if live is not None:
        live()


def _disabled_awaitable(*args: object, **fields: object) -> Awaitable[None]:
    _counting_disabled()
    return Submitted(None, _writer)


#: Called once a logging call while a live level is on; see `lual.configuration.live_level`.
_live_check: Callable[[], None] | None = None


def _level_method(level: int) -> Callable[..., None]:
    """Returns the method that logs at one level.

    Everything that can be bound is bound here, and the common case (a plain message,
    arguments of plain types, no fields) calls nothing that it can do itself.
    """
    getframe = sys._getframe
    time_ns = time.time_ns
    scope_of_context = SCOPE.get
    new = tuple.__new__
    plain = PLAIN
    modules = sys.modules
    local = LOCAL
    engine = _writer
    item_class = CapturedItem

    @entry
    def log_at_level(self: Logger, message: object, /, *args: Any, **fields: Any) -> None:
        scope = scope_of_context()
        if (
            fields
            or type(message) is not str
            or scope is not None
            or self._is_special
            or ((loops := modules.get("_asyncio")) is not None and loops._get_running_loop())
        ):
            _log(self, level, message, args, fields, getframe(1), scope)
            return
        for value in args:
            if type(value) not in plain:
                _log(self, level, message, args, fields, getframe(1), scope)
                return
        frame = getframe(1)
        who = local.who
        pair = who.pair
        # Read past the property, which would take longer than all the reads around it.
        if pair[1] is not who.thread._name:  # type: ignore[attr-defined]
            pair = who.renamed()
        item = new(
            item_class,
            (
                level,
                next_seq(),
                self._route,
                time_ns(),
                message,
                args,
                frame.f_code,
                frame.f_lasti,
                pair,
                None,
                None,
                None,
            ),
        )
        submit = engine.submit
        if not submit(item):
            engine.refused(item, submit)

    return log_at_level


def _log(
    self: Logger,
    level: int,
    message: object,
    args: tuple[Any, ...],
    fields: dict[str, Any],
    frame: FrameType,
    scope: Scope | None,
) -> None:
    """Logs any call, whatever is special about it."""
    if _live_check is not None:
        _live_check()
        if level < self._threshold:
            return
    item = capture(level, self._route, message, args, fields, frame, scope, self._bound)
    if scope is not None and scope.depth >= _LOOP_DEPTH:
        _writer.drop(item, "reentrant_loop")
        return
    submit = _writer.submit
    if not submit(item):
        _writer.refused(item, submit)


def _awaitable_method(level: int) -> Callable[..., Awaitable[None]]:
    """Returns the awaitable twin of a level's method."""

    @entry
    def alog_at_level(
        self: Logger, message: object, /, *args: Any, **fields: Any
    ) -> Awaitable[None]:
        return _alog(self, level, message, args, fields, sys._getframe(1))

    return alog_at_level


def _alog(
    self: Logger,
    level: int,
    message: object,
    args: tuple[Any, ...],
    fields: dict[str, Any],
    frame: FrameType,
) -> Awaitable[None]:
    scope = SCOPE.get()
    item = capture(level, self._route, message, args, fields, frame, scope, self._bound)
    if scope is not None and scope.depth >= _LOOP_DEPTH:
        _writer.drop(item, "reentrant_loop")
        return Submitted(None, _writer)
    return Submitted(item, _writer)


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

    debug = _level_method(DEBUG)
    info = _level_method(INFO)
    warning = warn = _level_method(WARNING)
    error = _level_method(ERROR)
    critical = _level_method(CRITICAL)
    adebug = _awaitable_method(DEBUG)
    ainfo = _awaitable_method(INFO)
    awarning = awarn = _awaitable_method(WARNING)
    aerror = _awaitable_method(ERROR)
    acritical = _awaitable_method(CRITICAL)

    @entry
    def exception(self, message: object, /, *args: Any, **fields: Any) -> None:
        """Logs at ERROR with the exception that is being handled."""
        if self._threshold <= ERROR:
            fields.setdefault("exc_info", True)
            _log(self, ERROR, message, args, fields, sys._getframe(1), SCOPE.get())

    @entry
    def aexception(self, message: object, /, *args: Any, **fields: Any) -> Awaitable[None]:
        """Logs at ERROR with the exception that is being handled; can be awaited."""
        if self._threshold > ERROR:
            return Submitted(None, _writer)
        fields.setdefault("exc_info", True)
        return _alog(self, ERROR, message, args, fields, sys._getframe(1))

    @entry
    def log(self, level: int | str, message: object, /, *args: Any, **fields: Any) -> None:
        """Logs at any level; one that doesn't exist is reported, and counts as WARNING."""
        number = _level_or_warning(level)
        if number >= self._threshold or _live_check is not None:
            _log(self, number, message, args, fields, sys._getframe(1), SCOPE.get())

    @entry
    def alog(
        self, level: int | str, message: object, /, *args: Any, **fields: Any
    ) -> Awaitable[None]:
        """Logs at any level; can be awaited."""
        number = _level_or_warning(level)
        if number < self._threshold:
            return Submitted(None, _writer)
        return _alog(self, number, message, args, fields, sys._getframe(1))

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
        """Says whether records go to the ancestors' pipelines too."""
        change(self._origin, propagate=bool(propagate))

    def add_pipeline(self, pipeline: Pipeline | Mapping[str, Any]) -> None:
        """Adds a pipeline for the records logged from now on.

        Args:
            pipeline: From `lual.pipeline(...)`, or a mapping with the same keys.

        Raises:
            ConfigError: It can't be used, or an output can't be opened.
        """
        from lual.pipelines.parse import parse_pipeline

        parsed = parse_pipeline(pipeline, "pipeline")
        parsed.open()
        change(self._origin, pipelines=(*self._origin._own, parsed))

    def bind(self, **fields: Any) -> Logger:
        """Returns a logger that adds these fields to each of its records.

        It shares everything else with this one, later changes included.
        """
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._bound = {**(self._bound or {}), **snapshot_fields(fields)}
        bound._is_special = True
        with _registry.lock:
            _registry.bound.add(bound)
            bound._take_from(self._origin)
        return bound

    def _take_from(self, origin: Logger) -> None:
        self._threshold = origin._threshold
        self._route = origin._route
        _shadow_disabled(self)

    def __repr__(self) -> str:
        return f"<Logger {self.name!r} {level_name(self._threshold)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Loggers don't travel; their names do.
        return (get_logger, (self.name,))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]:
            """Custom levels have methods that a type checker can't know."""


def _level_or_warning(level: int | str) -> int:
    try:
        return parse_level(level)
    except ConfigError as error:
        reports.problem("level", f"{error}; the record is written at WARNING")
        return WARNING


class _Registry:
    """All loggers by name, and the bound ones that follow them."""

    def __init__(self) -> None:
        from weakref import WeakSet

        self.lock = threading.RLock()
        self.root = Logger(ROOT_NAME, None)
        self.by_name: dict[str, Logger] = {}
        self.bound: WeakSet[Logger] = WeakSet()
        self.methods: dict[str, int] = {}
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


def _shadow_disabled(logger: Logger) -> None:
    """Puts the function that does nothing in front of the methods that are off."""
    space = logger.__dict__
    off = _disabled if _live_check is None else _counting_disabled
    for name, level in _registry.methods.items():
        if level < logger._threshold:
            space[name] = off
            space["a" + name] = _disabled_awaitable
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
        logger._is_special = logger._bound is not None or _live_check is not None
        _shadow_disabled(logger)
        changed.add(logger)
        below += logger._children
    for bound in list(_registry.bound):
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
    with _registry.lock:
        if level is not None:
            logger._level = level
        if propagate is not None:
            logger._propagate = propagate
        if pipelines is not None:
            logger._own = tuple(pipelines)
        refresh(logger)


def get_logger(name: str) -> Logger:
    """Returns the logger of that name, made with its ancestors if it is new.

    Raises:
        ConfigError: The name is empty between or around its dots.
    """
    found = _registry.by_name.get(name)
    if found is not None:
        return found
    if name in ("", ROOT_NAME):
        return _registry.root
    parts = name.split(".")
    if not all(parts):
        raise ConfigError(f"logger name {name!r} has an empty part; use names like 'app.db'")
    with _registry.lock:
        parent = _registry.root
        for end in range(1, len(parts) + 1):
            path = ".".join(parts[:end])
            child = _registry.by_name.get(path)
            if child is None:
                child = Logger(path, parent)
                parent._children.append(child)
                refresh(child)
                _registry.by_name[path] = child
            parent = child
        return parent


def default_pipelines() -> tuple[Pipeline, ...]:
    """Returns what the root has until something else is configured: text on the console."""
    from lual.pipelines.outputs.console import console
    from lual.pipelines.pipeline import pipeline

    return (pipeline(outputs=[console()]),)


def root() -> Logger:
    """Returns the root of the hierarchy."""
    return _registry.root


def all_loggers() -> dict[str, Logger]:
    """Returns every logger made so far by its name, the root included; a copy."""
    with _registry.lock:
        return {ROOT_NAME: _registry.root, **_registry.by_name}


def registry_lock() -> threading.RLock:
    """Returns the lock of the hierarchy, for the fork guard."""
    return _registry.lock  # type: ignore[return-value]


def replace_registry_lock() -> None:
    """Replaces the lock in a forked child, where its owner may not exist."""
    _registry.lock = threading.RLock()


def set_live_check(check: Callable[[], None] | None) -> None:
    """Has `check` called once a logging call, disabled ones included; None: no more."""
    global _live_check
    with _registry.lock:
        _live_check = check
        refresh(_registry.root)


def set_levels(levels: Mapping[str, int]) -> None:
    """Replaces all custom levels; each gets a method on every logger.

    Args:
        levels: Lower-case identifier to int, strictly between DEBUG (10) and ERROR (40).

    Raises:
        ConfigError: A name or a number can't be used; nothing was changed.
    """
    with _registry.lock:
        before = custom_levels()
        own = frozenset(n for n in dir(Logger) if n not in before and n[1:] not in before)
        checked = check_custom_levels(levels, own)
        for name in before:
            delattr(Logger, name)
            delattr(Logger, "a" + name)
            for logger in (*all_loggers().values(), *_registry.bound):
                logger.__dict__.pop(name, None)
                logger.__dict__.pop("a" + name, None)
        replace_custom_levels(checked)
        for name, value in checked.items():
            setattr(Logger, name, _level_method(value))
            setattr(Logger, "a" + name, _awaitable_method(value))
        _registry.rebuild_methods()
        refresh(_registry.root)


_registry = _Registry()
refresh(_registry.root)
_writer.engine_route = lambda: get_logger(ENGINE_LOGGER)._route
_writer.root_pipelines = lambda: _registry.root._own

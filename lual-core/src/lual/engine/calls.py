"""What a logging call does: the methods of a level that is on, and of one that is off.

A disabled level costs one call of a shared function that does nothing. An enabled call
builds one tuple and hands it over; the method that does this is made once a level, with
everything it needs bound.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from lual import reports
from lual.backend.reentry import entry
from lual.context import SCOPE, Scope
from lual.engine.capture import LOCAL, CapturedItem, capture, next_seq
from lual.engine.loop_guard import is_loop
from lual.engine.waiting import Submitted
from lual.engine.writer import writer
from lual.errors import ConfigError, StoppedError
from lual.levels import WARNING, parse_level
from lual.snapshot import PLAIN

if TYPE_CHECKING:
    from lual.loggers import Logger

_writer = writer()


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


def disabled_awaitable(*args: object, **fields: object) -> Awaitable[None]:
    """Does nothing, and can be awaited: stands in for the twins of a level that is off."""
    _counting_disabled()
    return Submitted(None, _writer)


#: Called once a logging call while a live level is on; see `lual.configuration.live_level`.
_live_check: Callable[[], None] | None = None


def count_calls(check: Callable[[], None] | None) -> None:
    """Has `check` called once a logging call from now on; None: no more."""
    global _live_check
    _live_check = check


def are_counted() -> bool:
    """Tells whether something wants to know of every call, disabled ones included."""
    return _live_check is not None


def disabled_method() -> Callable[..., None]:
    """Returns the function that stands in for the methods of a level that is off."""
    return _disabled if _live_check is None else _counting_disabled


def caller() -> FrameType:
    """Returns the frame that called the function that calls this.

    A logging method itself stands for its caller if that has no frame: C code calls it,
    `atexit` say.
    """
    try:
        return sys._getframe(2)
    except ValueError:
        return sys._getframe(1)


def level_method(level: int) -> Callable[..., None]:
    """Returns the method that logs at one level.

    Everything that can be bound is bound here, and the common case (a plain message,
    arguments of plain types, no fields) calls nothing that it can do itself. Bound names
    are also still there when the interpreter ends and has emptied this module.
    """
    number = next_seq
    log_any = log
    survive = _survive
    getframe = sys._getframe
    find_caller = caller
    time_ns = time.time_ns
    scope_of_context = SCOPE.get
    plain = PLAIN
    modules = sys.modules
    local = LOCAL
    engine = _writer
    item_class = CapturedItem

    finalizing = sys.is_finalizing

    @entry
    def log_at_level(self: Logger, message: object, /, *args: Any, **fields: Any) -> None:
        try:
            scope = scope_of_context()
            if (
                fields
                or type(message) is not str
                or scope is not None
                or self._is_special
                or ("_asyncio" in modules and modules["_asyncio"]._get_running_loop())
            ):
                log_any(self, level, message, args, fields, find_caller(), scope)
                return
            for value in args:
                if type(value) not in plain:
                    log_any(self, level, message, args, fields, find_caller(), scope)
                    return
            try:
                frame = getframe(1)
            except ValueError:  # see `caller`, which would be one call more
                frame = getframe()
            who = local.who
            pair = who.pair
            # Read past the property, which would take longer than all the reads around it.
            if pair[1] is not who.thread._name:  # type: ignore[attr-defined]
                pair = who.renamed()
            item = item_class(
                (
                    level,
                    number(),
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
        except Exception as error:  # noqa: BLE001  a logging call never raises what isn't asked for
            if not finalizing():  # else this module's own names may be gone
                survive(error)

    return log_at_level


def _survive(error: Exception) -> None:
    """Reports a fault of lual's own instead of raising it into the application.

    Raises:
        StoppedError: That one was asked for.
    """
    if isinstance(error, StoppedError):
        raise error
    reports.problem("internal", f"a record was lost by a fault in lual: {reports.describe(error)}")


def log(
    self: Logger,
    level: int,
    message: object,
    args: tuple[Any, ...],
    fields: dict[str, Any],
    frame: FrameType,
    scope: Scope | None,
) -> None:
    """Logs any call, whatever is special about it."""
    try:
        if _live_check is not None and not _is_on_after_look(self, level):
            return
        item = capture(level, self._route, message, args, fields, frame, scope, self._bound)
        if is_loop(scope, frame):
            _writer.drop(item, "reentrant_loop")
            return
        submit = _writer.submit
        if not submit(item):
            _writer.refused(item, submit)
    except Exception as error:  # noqa: BLE001  a logging call never raises what isn't asked for
        _survive(error)


def _is_on_after_look(self: Logger, level: int) -> bool:
    """Counts a call for the live level, and tells whether its level is on after that."""
    _counting_disabled()
    return level >= self._threshold


def awaitable_method(level: int) -> Callable[..., Awaitable[None]]:
    """Returns the awaitable twin of a level's method."""

    @entry
    def alog_at_level(
        self: Logger, message: object, /, *args: Any, **fields: Any
    ) -> Awaitable[None]:
        return alog(self, level, message, args, fields, caller())

    return alog_at_level


def alog(
    self: Logger,
    level: int,
    message: object,
    args: tuple[Any, ...],
    fields: dict[str, Any],
    frame: FrameType,
) -> Awaitable[None]:
    """Logs any call, and returns what its caller may await."""
    if _live_check is not None and not _is_on_after_look(self, level):
        return Submitted(None, _writer)
    scope = SCOPE.get()
    item = capture(level, self._route, message, args, fields, frame, scope, self._bound)
    if is_loop(scope, frame):
        _writer.drop(item, "reentrant_loop")
        return Submitted(None, _writer)
    return Submitted(item, _writer)


def level_or_warning(level: int | str) -> int:
    """Returns the number of a level; one that doesn't exist is reported, and is WARNING."""
    try:
        return parse_level(level)
    except ConfigError as error:
        reports.problem("level", f"{error}; the record is written at WARNING")
        return WARNING

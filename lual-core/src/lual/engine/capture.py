"""Turning a logging call into one tuple of plain data, on the caller's thread.

This is the hot path: `Logger`'s methods inline the common case of what stands here, and
come here for everything else.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from lual import record as raw
from lual import reports
from lual.backend.items import WorkItem
from lual.context import Scope
from lual.record import Record, Route
from lual.snapshot import format_message, is_plain, safe_repr, safe_str, snapshot_fields


class _MadeOfTuple(tuple[Any, ...]):
    """Gives its subclasses tuple's own constructor, one call of C instead of two."""

    __slots__ = ()
    __new__ = tuple.__new__


class CapturedItem(_MadeOfTuple, WorkItem):
    """A work item whose tuple is the raw record itself; see `lual.record`.

    `record` is worked out anew at each reading; `submitted_at` is the time of the call.
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # a checker knows them as attributes of WorkItem
        logger = property(lambda self: self[raw.ROUTE].logger)
        record = property(Record)
        submitted_at = property(lambda self: self[raw.TIME_NS] / 1e9)
        #: The engine's items go to the engine's dispatch.
        dispatch_func = None


def new_item(values: tuple[Any, ...]) -> CapturedItem:
    """Returns the work item of a raw tuple."""
    item: CapturedItem = tuple.__new__(CapturedItem, values)
    return item


class _Numbers:
    """Counts attempts where `itertools.count` isn't atomic: builds without the GIL."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._next = 0

    def __call__(self) -> int:
        with self._lock:
            self._next += 1
            return self._next


def _has_gil() -> bool:
    return getattr(sys, "_is_gil_enabled", lambda: True)()


#: Numbers every attempt to log, so that gaps tell what was dropped.
next_seq: Callable[[], int] = itertools.count(1).__next__ if _has_gil() else _Numbers()


class Who:
    """The running thread, and its (ident, name) as long as it isn't renamed."""

    __slots__ = ("pair", "thread")

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.pair = (threading.get_ident(), self.thread.name)

    def renamed(self) -> tuple[int, str]:
        """Returns the pair with the thread's present name."""
        self.pair = (self.pair[0], self.thread.name)
        return self.pair


class _Local(threading.local):
    def __init__(self) -> None:
        self.who = Who()


LOCAL = _Local()


def current_thread_pair() -> tuple[int, str]:
    """Returns (ident, name) of the running thread, as they are now."""
    who = LOCAL.who
    return who.pair if who.pair[1] == who.thread.name else who.renamed()


def current_task_name() -> str | None:
    """Returns the name of the running asyncio task, if there is one."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        task = asyncio.current_task()
    except (RuntimeError, AttributeError):  # no loop runs here; or asyncio is half imported
        return None
    return task.get_name() if task is not None else None


def capture_message(template: str, args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Applies the snapshot rule to a message.

    Returns:
        Template and arguments to be joined later, or the finished text and `()`.
    """
    for value in args:
        if not is_plain(type(value)):
            text, error = format_message(template, args)
            if error is not None:
                reports.problem("format", f"a message doesn't fit its arguments: {text}")
            return text, ()
    return template, args


def capture_exception(exc_info: object) -> Any:
    """Returns a `TracebackException` without frames or live objects, or None.

    Args:
        exc_info: True for the exception being handled, an exception, or a triple as from
            `sys.exc_info`.
    """
    if isinstance(exc_info, BaseException):
        error: Any = exc_info
    elif isinstance(exc_info, tuple) and len(exc_info) == 3:
        error = exc_info[1]
    else:
        error = sys.exc_info()[1]
    if error is None:
        return None
    from traceback import TracebackException  # needed for exceptions only

    try:
        captured = TracebackException.from_exception(error, lookup_lines=False, compact=True)
        _keep_notes(captured)
        return captured
    except Exception as problem:  # noqa: BLE001  its own attributes may raise anything
        return f"{type(error).__name__} (its traceback can't be had: {reports.describe(problem)})"


def _keep_notes(captured: Any) -> None:
    """Replaces the exceptions' own lists of notes, which may change, by copies."""
    left = [captured]
    while left:
        part = left.pop()
        if part is None:
            continue
        notes = getattr(part, "__notes__", None)  # new in Python 3.11, as groups are
        if isinstance(notes, (list, tuple)):
            part.__notes__ = [safe_str(note) for note in notes]
        elif notes is not None:
            part.__notes__ = [safe_repr(notes)]
        left += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]


def _is_asked_for(given: object) -> bool:
    """Tells whether `exc_info` or `stack_info` is wanted; an exception may be false itself."""
    try:
        return isinstance(given, BaseException) or bool(given)
    except Exception:  # noqa: BLE001  the application's own __bool__: anything may come
        return True


def _stacklevel(given: object) -> int:
    if isinstance(given, int):
        return given
    reports.problem("stacklevel", f"stacklevel must be an int, got {safe_repr(given)}; 1 is used")
    return 1


def outer_frame(frame: FrameType, stacklevel: int) -> FrameType:
    """Returns the frame `stacklevel` - 1 callers further out, or the outermost."""
    while stacklevel > 1 and frame.f_back is not None:
        frame = frame.f_back
        stacklevel -= 1
    return frame


def capture(
    level: int,
    route: Route,
    message: object,
    args: tuple[Any, ...],
    fields: dict[str, Any],
    frame: FrameType,
    scope: Scope | None,
    bound: Mapping[str, Any] | None,
) -> CapturedItem:
    """Returns the work item of any call, whatever was passed to it.

    Args:
        level: Severity.
        route: Where the record goes.
        message: Template, or any object that stands for a text.
        args: Positional arguments of the call.
        fields: Keyword arguments of the call; `exc_info`, `stack_info` and `stacklevel`
            are taken out.
        frame: The caller's.
        scope: The running context's.
        bound: Fields of the logger itself, already snapshots.
    """
    extra: dict[str, Any] = {}
    if fields:
        exc_info = fields.pop("exc_info", None)
        if _is_asked_for(exc_info) and (exception := capture_exception(exc_info)) is not None:
            extra["exception"] = exception
        if "stacklevel" in fields:
            frame = outer_frame(frame, _stacklevel(fields.pop("stacklevel")))
        if _is_asked_for(fields.pop("stack_info", False)):
            from traceback import format_stack  # needed on request only

            extra["stack"] = "".join(format_stack(frame)).rstrip("\n")
        fields = snapshot_fields(fields)
    task = current_task_name()
    if task is not None:
        extra["task_name"] = task
    template = message if type(message) is str else safe_str(message)
    text, kept = capture_message(template, args)
    if args and not kept:
        extra["message_format"] = template
    return new_item(
        (
            level,
            next_seq(),
            route,
            time.time_ns(),
            text,
            kept,
            frame.f_code,
            frame.f_lasti,
            current_thread_pair(),
            scope,
            ({**bound, **fields} if bound else fields) or None,
            extra or None,
        )
    )

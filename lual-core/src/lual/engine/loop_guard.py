"""Recognising a record that is logged about a record that is logged about a record.

Such a record has nothing new in it, and its kind would never end. A signal handler that
happens to interrupt a dispatch logs about something else: it is let through.
"""

from __future__ import annotations

import signal
from types import CodeType, FrameType

from lual.context import Scope
from lual.engine.dispatch import Dispatcher

#: Depth from which on a record logged inside a dispatch is dropped.
_LOOP_DEPTH = 2

_DISPATCH = Dispatcher._run_same_depth.__code__


def is_loop(scope: Scope | None, frame: FrameType) -> bool:
    """Tells whether a record must be dropped as `reentrant_loop`.

    Args:
        scope: Of the call that logs.
        frame: Its caller's.
    """
    return scope is not None and scope.depth >= _LOOP_DEPTH and not _in_signal_handler(frame)


def _in_signal_handler(frame: FrameType | None) -> bool:
    """Tells whether a signal handler stands between the call and the dispatch around it."""
    handlers = _handlers()
    while frame is not None and frame.f_code is not _DISPATCH:
        if frame.f_code in handlers:
            return True
        frame = frame.f_back
    return False


def _handlers() -> set[CodeType]:
    """Returns the code of all Python functions that handle signals at present."""
    found = set()
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler):
            function = getattr(handler, "__func__", getattr(handler, "func", handler))
            code = getattr(function, "__code__", None)
            if code is None:  # an object with a method that is called
                call = vars(type(function)).get("__call__")
                code = getattr(call, "__code__", None)
            if code is not None:
                found.add(code)
    return found

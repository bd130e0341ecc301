"""Finding out, before a wait, how long this call may wait where it stands.

A signal handler or a finaliser may log in the middle of anything, so a call that is about
to wait must know whether it interrupted another one: that one might hold the very lock,
or be the very consumer, that the wait needs. Keeping a flag for it would cost every
logging call; looking at the stack costs only those that wait.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, TypeVar

from lual.context import dispatch_depth

#: Seconds that a blocking submit may hold the thread of a running event loop.
LOOP_BLOCK_TIMEOUT = 0.05

_exiting = False

_F = TypeVar("_F", bound=Callable[..., Any])

#: Functions that carry one item inwards, and the name of the argument that is the item.
_carriers: dict[CodeType, str] = {}
#: Functions that work on the queue or the worker itself.
_busy: set[CodeType] = set()
#: Functions through which an application enters; one call has exactly one of them.
_entries: set[CodeType] = set()


def carries(argument: str) -> Callable[[_F], _F]:
    """Marks a function that passes one work item on."""

    def mark(function: _F) -> _F:
        _carriers[function.__code__] = argument
        return function

    return mark


def busy(function: _F) -> _F:
    """Marks a function during which the same thread must not wait."""
    _busy.add(function.__code__)
    return function


def entry(function: _F) -> _F:
    """Marks a function through which applications enter lual."""
    _entries.add(function.__code__)
    return function


def interrupts_lual(item: object = None) -> bool:
    """Tells whether this call interrupted another one of lual on the same thread.

    Args:
        item: What the current call carries; functions that carry the same object belong
            to the current call.

    Blocks: never; some microseconds, by the depth of the stack.
    """
    frame = sys._getframe(1)
    entered = 0
    above = frame.f_back
    while above is not None:
        code = above.f_code
        if code in _busy:
            return True
        name = _carriers.get(code)
        if name is not None and above.f_locals.get(name) is not item:
            return True
        if code in _entries:
            entered += 1
            if entered > 1:
                return True
        above = above.f_back
    return False


def interpreter_is_ending() -> None:
    """Tells all queues that nobody may wait for room any more; called by the exit guard."""
    global _exiting
    _exiting = True


def patience(item: object, timeout: float) -> tuple[float, str]:
    """Returns the seconds that a call may wait for room here, and how a vain wait is called.

    Args:
        item: What the current call carries.
        timeout: Seconds, where nothing speaks against it.
    """
    if _exiting or sys.is_finalizing() or dispatch_depth() or interrupts_lual(item):
        return 0.0, "cannot_block"
    asyncio = sys.modules.get("asyncio.events")
    in_loop = asyncio is not None and asyncio._get_running_loop() is not None
    if in_loop and timeout > LOOP_BLOCK_TIMEOUT:
        return LOOP_BLOCK_TIMEOUT, "cannot_block"
    return timeout, "block_timeout"

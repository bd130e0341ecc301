"""Where lual says what went wrong with lual: one handler, one line a problem.

Guarantees:
    * the default handler prints to stderr the first problem of a kind at once, then at
      most one a kind in five seconds, with the number of those left out;
    * whatever a handler does or raises, the caller goes on, and a handler that causes a
      problem itself isn't called again for it.
Assumes: nobody calls `problem` with an engine lock held.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

ErrorHandler = Callable[[str], Any]

#: Seconds between two lines of one kind on stderr.
REPORT_INTERVAL = 5.0


class Reporter:
    """Hands problems to the application's handler, or prints them sparingly.

    Args:
        now: Monotonic seconds; injected by tests.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._handler: ErrorHandler | None = None
        self._busy = threading.local()
        self._printed: dict[str, tuple[float, int]] = {}  # kind: (when, left out since)
        self.last_error: dict[str, Any] | None = None
        self.counts: dict[str, int] = {}

    def set_handler(self, handler: ErrorHandler | None) -> None:
        """Makes `handler` the one that problems go to; None restores stderr.

        Raises:
            TypeError: The handler can't be called.
        """
        if handler is not None and not callable(handler):
            raise TypeError(f"an error handler must be callable with one message, got {handler!r}")
        self._handler = handler

    def forget(self) -> None:
        """Forgets what was reported so far, but not the handler; for tests."""
        self._printed.clear()
        self.counts.clear()
        self.last_error = None

    def problem(self, kind: str, message: str) -> None:
        """Reports one problem.

        Args:
            kind: A short word; problems of one kind are limited together on stderr.
            message: One sentence for a person.

        Blocks: as long as the handler does.
        Threads: any thread, also inside a handler (then it only counts).
        """
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.last_error = {"time": time.time(), "kind": kind, "message": message}
        if getattr(self._busy, "inside", False):
            return
        self._busy.inside = True
        try:
            if self._handler is None:
                self._print(kind, message)
            else:
                self._handler(message)
        except Exception as error:  # noqa: BLE001  a broken handler must not break the application
            with contextlib.suppress(Exception):
                self._print("error_handler", f"the error handler raised {error!r} on: {message}")
        finally:
            self._busy.inside = False

    def _print(self, kind: str, message: str) -> None:
        now = self._now()
        when, left_out = self._printed.get(kind, (None, 0))
        if when is not None and now - when < REPORT_INTERVAL:
            self._printed[kind] = (when, left_out + 1)
            return
        self._printed[kind] = (now, 0)
        more = f" (+{left_out} more of this kind)" if left_out else ""
        stream = sys.stderr
        if stream is not None:  # pythonw and daemons have none
            with contextlib.suppress(Exception):
                stream.write(f"lual: {_one_line(message)}{more}\n")
                stream.flush()


def _one_line(message: str) -> str:
    """Returns the message without anything that could forge a line or drive a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)


def describe(error: BaseException) -> str:
    """Returns an exception's type and text, also if its text raises."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  an application's own exception: anything may come
        text = "its text can't be had"
    name = type(error).__name__
    return f"{name}: {text}" if text else name


_reporter = Reporter()


def reporter() -> Reporter:
    """Returns the process-wide reporter."""
    return _reporter


def problem(kind: str, message: str) -> None:
    """Reports one problem to the process-wide reporter; see `Reporter.problem`."""
    _reporter.problem(kind, message)


def set_error_handler(handler: ErrorHandler | None) -> None:
    """Sends lual's own problems to `handler`, called with one message.

    Args:
        handler: May be called from any thread, never while lual holds a lock; what it
            raises is printed and changes nothing. None restores the default, which
            prints to standard error: the first of a kind at once, then at most one in
            five seconds and kind, with a count.

    Raises:
        TypeError: The handler can't be called.
    """
    _reporter.set_handler(handler)

"""The backend's only source of time, so that a test can drive it."""

from __future__ import annotations

import math
import threading
import time
from typing import Any


class Clock:
    """The real clock; the conformance kit injects one that it advances by hand.

    Threads: any thread.
    """

    def now(self) -> float:
        """Returns monotonic seconds; only differences mean anything."""
        return time.monotonic()

    def time(self) -> float:
        """Returns epoch seconds."""
        return time.time()

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Waits until `condition` is notified or `timeout` has passed.

        Args:
            condition: Held by the caller, released while waiting, held again after.
            timeout: Seconds; None or infinity waits for the notification alone.

        Returns:
            False if the time passed. Callers look at their own state either way.

        Blocks: at most `timeout` seconds.
        """
        if timeout is None or timeout > threading.TIMEOUT_MAX:
            timeout = None
        try:
            return condition.wait(timeout)
        except BaseException:
            # A Ctrl-C may come between the release and the wait, or after it.
            if not condition._is_owned():  # type: ignore[attr-defined]
                condition.acquire()
            raise


def check_timeout(timeout: float | None, default: float) -> float:
    """Returns the seconds that a caller asked for.

    Raises:
        ValueError: The timeout is negative or not a number.
    """
    if timeout is None:
        return default
    if math.isnan(timeout) or timeout < 0:
        raise ValueError(f"timeout must be 0 or more seconds, got {timeout!r}")
    return timeout


def is_duration(value: Any) -> bool:
    """Tells whether a setting is a number of seconds, 0 or more; infinity is one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0

"""Time that passes only when a check says so, and that knows who waits for it."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from typing import NamedTuple

from lual.backend import Clock
from lual_conformance.outcomes import Violation

#: Real seconds for which somebody else's lock is waited for.
_LOCK_PATIENCE = 10.0

#: Virtual seconds below which a wait is over at once: less than a float keeps apart.
_SOON = 1e-9


class _Sleeper(NamedTuple):
    thread: threading.Thread
    condition: threading.Condition
    deadline: float


class ManualClock(Clock):
    """A `Clock` that stands still between two calls of `advance`.

    It is also a probe: a thread that is parked in `wait` can be seen from outside.

    Args:
        now: Where monotonic time starts, in seconds.
        epoch: Where epoch time starts, in seconds.

    Threads: any thread.
    """

    is_manual = True

    def __init__(self, now: float = 1000.0, epoch: float = 1_700_000_000.0) -> None:
        self._now = now
        self._ahead = epoch - now
        self._changed = threading.Condition(threading.RLock())
        self._sleepers: list[_Sleeper] = []
        self._parks: Counter[threading.Thread] = Counter()
        #: Calls of any method, by thread.
        self.calls: Counter[threading.Thread] = Counter()

    def now(self) -> float:
        """Returns monotonic seconds."""
        self.calls[threading.current_thread()] += 1
        return self._now

    def time(self) -> float:
        """Returns epoch seconds."""
        self.calls[threading.current_thread()] += 1
        return self._now + self._ahead

    def set_time(self, epoch: float) -> None:
        """Sets epoch time, as an administrator might; monotonic time doesn't notice."""
        self._ahead = epoch - self._now

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Waits until notified, or until `advance` has passed the deadline.

        Args:
            condition: Held by the caller.
            timeout: Virtual seconds; None or infinity waits for the notification alone.

        Returns:
            False if the time has passed.
        """
        thread = threading.current_thread()
        self.calls[thread] += 1
        with self._changed:
            if timeout is not None and timeout <= _SOON:
                self._now += max(timeout, 0)  # so long a wait takes that long
                return False
            deadline = math.inf if timeout is None else self._now + timeout
            me = _Sleeper(thread, condition, deadline)
            self._sleepers.append(me)
            self._parks[thread] += 1
            self._changed.notify_all()
        try:
            condition.wait()
        finally:
            with self._changed:
                self._sleepers.remove(me)
        return self._now < deadline

    def advance(self, seconds: float) -> None:
        """Lets virtual time pass, and wakes who has waited long enough.

        Raises:
            Violation: Somebody keeps the lock on which a sleeper waits.
        """
        with self._changed:
            self._now += seconds
            due = [s for s in self._sleepers if s.deadline <= self._now + _SOON]
        for sleeper in due:
            self._ring(sleeper.condition)

    def release_all(self) -> None:
        """Wakes everybody who waits, whatever for; for the end of a check."""
        with self._changed:
            sleepers = list(self._sleepers)
        for sleeper in sleepers:
            if sleeper.condition.acquire(timeout=0.1):
                sleeper.condition.notify_all()
                sleeper.condition.release()

    def _ring(self, condition: threading.Condition) -> None:
        if not condition.acquire(timeout=_LOCK_PATIENCE):
            raise Violation("a lock on which a thread of the backend waits was never released")
        condition.notify_all()
        condition.release()

    # Looking at who waits

    def parked(self) -> list[threading.Thread]:
        """Returns the threads that wait now."""
        with self._changed:
            return [sleeper.thread for sleeper in self._sleepers]

    def is_parked(self, thread: threading.Thread) -> bool:
        """Tells whether a thread waits now."""
        return thread in self.parked()

    def is_timing(self) -> bool:
        """Tells whether somebody waits for a moment in time, and not for a notification alone."""
        with self._changed:
            return any(sleeper.deadline < math.inf for sleeper in self._sleepers)

    def parks(self, thread: threading.Thread) -> int:
        """Returns how often a thread has begun to wait."""
        with self._changed:
            return self._parks[thread]

    def until_parked(self, thread: threading.Thread, patience: float) -> bool:
        """Waits until a thread waits on this clock; False if it was never seen to.

        Args:
            thread: Which.
            patience: Real seconds.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self.is_parked(thread), patience)


class WallClock(Clock):
    """The real clock, for backends that a foreign scheduler wakes.

    `advance` really waits, so checks use short times with it.
    """

    is_manual = False

    def advance(self, seconds: float) -> None:
        """Waits until the time has passed."""
        time.sleep(seconds)

    def release_all(self) -> None:
        """Wakes nobody: real time ends every wait by itself."""

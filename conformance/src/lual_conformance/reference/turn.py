"""Taking turns without waiting for them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class Turn:
    """Lets one thread at a time do something; the others leave it to that one.

    Args:
        lock: A re-entrant one; held for a moment when a turn begins and ends.

    Threads: any thread; a signal handler or finaliser may come in the middle.
    """

    def __init__(self, lock: threading.RLock) -> None:
        #: Told when a turn has ended.
        self.changed = threading.Condition(lock)
        self._owner: int | None = None
        self._dependents = 0

    def is_taken(self) -> bool:
        """Tells whether some thread has its turn."""
        return self._owner is not None

    def is_mine(self) -> bool:
        """Tells whether the calling thread has its turn."""
        return self._owner == threading.get_ident()

    @contextlib.contextmanager
    def depending(self) -> Iterator[None]:
        """Says that the caller is about to wait for what only a turn can bring about."""
        with self.changed:
            self._dependents += 1
        try:
            yield
        finally:
            with self.changed:
                self._dependents -= 1

    def is_awaited(self) -> bool:
        """Tells whether somebody may be waiting who can't take a turn himself."""
        return self._dependents > 0

    def take(self, work: Callable[[], object]) -> bool:
        """Does `work` if nobody has a turn, this very thread included; else returns False."""
        me = threading.get_ident()
        if self._owner == me:
            return False
        try:
            with self.changed:
                if self._owner is not None:
                    return False
                self._owner = me
            work()
        finally:
            # First, and without a call: a Ctrl-C that came earlier would keep the turn.
            if self._owner == me:
                self._owner = None
                with self.changed:
                    self.changed.notify_all()
        return True

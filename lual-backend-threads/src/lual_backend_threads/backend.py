"""One worker thread: it parks until a batch is due, runs it, and parks again.

Everything else (batching, flush, stop, supervision) is `BaseBackend`'s.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from lual.backend import BackendConfig, BaseBackend


class _Worker(threading.Thread):
    """A thread that says itself when it ends.

    A Ctrl-C in `Thread.join` or `is_alive` makes Python before 3.13 take a running thread
    for ended, and lual would start a second worker beside it.

    Args:
        work: What it does.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="lual-worker", daemon=True)
        self._job = work
        self._ends: SimpleQueue[None] = SimpleQueue()
        self._has_ended = False

    def run(self) -> None:
        """Does the work."""
        try:
            self._job()
        finally:
            self._has_ended = True
            self._ends.put(None)

    def wait_for_end(self, timeout: float) -> bool:
        """Waits until the work is done, or was never begun; False if the time passed."""
        if self.ident is None:
            return True
        if timeout > 0 and not self._has_ended:
            with contextlib.suppress(Empty):
                self._ends.get(timeout=min(timeout, threading.TIMEOUT_MAX))
                self._ends.put(None)  # for who else waits
        return self._has_ended


class ThreadsBackend(BaseBackend):
    """Drains the queue in one daemon thread.

    A daemon, because a forgotten `stop` must not keep a program from ending; lual's exit
    guard drains the queue while the thread is still alive.

    Args:
        config: What lual built; this backend has no options of its own.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._thread: _Worker | None = None

    def start_worker(self) -> None:
        """Starts the thread; raises `RuntimeError` if the system refuses one."""
        # Known before it runs: it may die, and start its successor, before `start` returns.
        self._thread = thread = _Worker(self._work)
        thread.start()

    def join_worker(self, timeout: float) -> bool:
        """Waits until the thread has ended.

        Args:
            timeout: Seconds; 0 only looks.
        """
        thread = self._thread
        if thread is None:
            return True
        return thread.wait_for_end(0 if thread is threading.current_thread() else timeout)

    def _work(self) -> None:
        while (items := self.next_batch()) is not None:
            self.run(items)

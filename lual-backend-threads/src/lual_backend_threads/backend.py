"""One worker thread: it parks until a batch is due, runs it, and parks again.

Everything else (batching, flush, stop, supervision) is `BaseBackend`'s.
"""

from __future__ import annotations

import threading

from lual.backend import BackendConfig, BaseBackend


class ThreadsBackend(BaseBackend):
    """Drains the queue in one daemon thread.

    A daemon, because a forgotten `stop` must not keep a program from ending; lual's exit
    guard drains the queue while the thread is still alive.

    Args:
        config: What lual built; this backend has no options of its own.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._thread: threading.Thread | None = None

    def start_worker(self) -> None:
        """Starts the thread; raises `RuntimeError` if the system refuses one."""
        thread = threading.Thread(target=self._work, name="lual-worker", daemon=True)
        thread.start()
        self._thread = thread

    def join_worker(self, timeout: float) -> bool:
        """Waits until the thread has ended.

        Args:
            timeout: Seconds; 0 only looks.
        """
        thread = self._thread
        if thread is None:
            return True
        if timeout > 0 and thread is not threading.current_thread():
            thread.join(min(timeout, threading.TIMEOUT_MAX))
        return not thread.is_alive()

    def _work(self) -> None:
        while (items := self.next_batch()) is not None:
            self.run(items)

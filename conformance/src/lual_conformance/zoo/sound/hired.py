"""Ways to run the loop of `BaseBackend`: plainly, in an executor, in a thread for each batch.

None of them offers the fault that the kit could kill a worker with, so none claims that it
replaces one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from lual.backend import BackendConfig, BaseBackend, WorkItem
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.solo import CLAIMS


class HiredBackend(BaseBackend):
    """The loop in a plain thread, as short as an author would write it.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._thread: threading.Thread | None = None

    def start_worker(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def join_worker(self, timeout: float) -> bool:
        """Waits until the thread has ended."""
        thread = self._thread
        if thread is None:
            return True
        # Another thread may reset while this one is about to start it.
        if timeout and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout)
        return not thread.is_alive()

    def _loop(self) -> None:
        while (items := self.next_batch()) is not None:
            self.run(items)


class ExecutorBackend(HiredBackend):
    """The loop as the only task of an executor, which is made and ended with it.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._future: Future[None] | None = None

    def start_worker(self) -> None:
        """Makes the executor, whose one thread ends once the loop does."""
        executor = ThreadPoolExecutor(max_workers=1)
        self._future = executor.submit(self._loop)
        executor.shutdown(wait=False)

    def join_worker(self, timeout: float) -> bool:
        """Waits until the loop has ended."""
        if self._future is None:
            return True
        wait([self._future], timeout=0 if self._is_inside() else min(timeout, 1e6))
        return self._future.done()


class ThreadPerBatchBackend(HiredBackend):
    """Runs each batch in a thread of its own, and waits for that."""

    def _loop(self) -> None:
        while (items := self.next_batch()) is not None:
            thread = threading.Thread(target=self.run, args=(items,), daemon=True)
            thread.start()
            thread.join()


class OneByOne:
    """A dispatch function without the batches that the real one offers.

    Args:
        func: The real one.
    """

    def __init__(self, func: Any) -> None:
        self._func = func

    def __call__(self, logger: Any, record: Any) -> Any:
        """Dispatches one record."""
        return self._func(logger, record)

    def flush(self) -> None:
        """Makes the outputs hand over what they hold, if they hold anything."""
        getattr(self._func, "flush", int)()


class OneByOneBackend(HiredBackend):
    """Never hands a whole batch to the outputs."""

    def start(self, dispatch_func: Any = None) -> None:
        """Begins to work; see `Backend.start`."""
        super().start(None if dispatch_func is None else OneByOne(dispatch_func))


class SlicesBackend(HiredBackend):
    """Takes large batches, and runs them in slices of two."""

    def run(self, items: Sequence[WorkItem], *, on_caller: bool = False) -> None:
        """Dispatches the batch in slices."""
        for start in range(0, len(items), 2):
            super().run(items[start : start + 2], on_caller=on_caller)


plugin = Plugin(HiredBackend, "hired", "a plain thread", **CLAIMS)

executor = Plugin(
    ExecutorBackend,
    "executor",
    "the only task of an executor",
    **{**CLAIMS, "exit_flush": False},
)

per_batch = Plugin(ThreadPerBatchBackend, "per_batch", "a thread for each batch", **CLAIMS)

one_by_one = Plugin(OneByOneBackend, "one_by_one", "single records only", **CLAIMS)

slices = Plugin(SlicesBackend, "slices", "batches in slices of two", **CLAIMS)

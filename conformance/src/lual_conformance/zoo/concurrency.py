"""Mutants that are right as long as one thread at a time calls them.

Each waits a moment where its fault is: what a busy machine brings about once a week happens
at every second call then.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from lual.backend import BackendConfig, WorkItem, run_batch
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.plugin import Plugin
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant

#: Seconds between a look and the deed.
_MOMENT = 0.001

_HANGS = "had not returned after"


@mutant({"11.1": _HANGS})
class LockOrderInversion(RefThreads):
    """Takes two locks in one order in `flush`, and in the other one in `reset`."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.books = threading.RLock()

    def checked(self, timeout: float | None, default: float) -> float:
        """Holds the books, and takes the lock, at the beginning of a flush or a stop."""
        with self.books:
            time.sleep(_MOMENT)
            with self.lock:
                return super().checked(timeout, default)

    def zero_counters(self) -> None:
        """Takes the books, where the lock is held."""
        time.sleep(_MOMENT)
        with self.books:
            super().zero_counters()


def _inline(backend: Any, name: str, **capabilities: Any) -> Plugin:
    return Plugin(
        backend,
        name,
        "takes two locks in two orders",
        worker="cooperative",
        ordering="fifo",
        overflow=("drop_oldest", "drop_newest", "block"),
        dispatch_concurrency=1,
        restartable=True,
        clock="injected",
        exit_flush=True,
        fork="reinit",
        **capabilities,
    )


@mutant({"11.1": _HANGS}, plugin=_inline)
class InlineLockOrderInversion(RefInline):
    """Takes two locks in one order in `start`, and in the other one in `stop`."""

    def __init__(self, config: BackendConfig) -> None:
        self.books = threading.RLock()
        super().__init__(config)

    def start(self, dispatch_func: Any = None) -> None:
        """Holds the books, and takes the lock."""
        with self.books:
            time.sleep(_MOMENT)
            super().start(dispatch_func)

    def _close(self) -> None:
        time.sleep(_MOMENT)
        with self.books:
            super()._close()


@mutant({"11.1": "raised AttributeError: 'NoneType' object has no attribute 'join'"})
class ResetTakesTheThreadAway(RefThreads):
    """Forgets its thread in `reset`, while a `stop` in another thread joins it."""

    def join(self, seconds: float) -> bool:
        """Looks at its thread twice."""
        ended = super().join(seconds)
        if self.thread is not None and not self.is_inside():
            time.sleep(_MOMENT)
            self.thread.join(0)
        return ended

    def reset(self) -> None:
        """Forgets the thread, which has ended."""
        super().reset()
        if self.thread is not None and not self.thread.is_alive():
            self.thread = None


@mutant({"11.1": "records were accepted"})
class StartsRace(RefThreads):
    """Begins with an empty queue at each start, also if another thread has just started it."""

    def start(self, dispatch_func: Any = None) -> None:
        """Looks whether it runs, and not again before it clears."""
        is_new = not self.is_started(None)
        super().start(dispatch_func)
        if is_new:
            time.sleep(_MOMENT)
            self.queue.clear()


@mutant({"11.1": "are counted processed"})
class DrainSwallowsFailures(RefThreads):
    """Counts what fails while it drains for a stop as written."""

    def run_item(self, item: WorkItem) -> None:
        """Hides the exception."""
        if self.state == "stopping" and item.dispatch_func is None:
            run_batch([item], self.dispatch_quietly, self.config)
        else:
            super().run_item(item)

    def dispatch_quietly(self, logger: Any, record: Any) -> None:
        """Dispatches, and raises nothing."""
        with contextlib.suppress(ValueError):
            self.dispatch(logger, record)


@mutant({"11.3": "messages_dropped was 0 instead of 1"})
class GrowsWithEachStart(RefThreads):
    """Makes room for one more record at each start but the first."""

    def launch(self) -> None:
        """Takes the room of before for taken."""
        if self.epoch > 1:
            self.queue.max_size += 1
        super().launch()

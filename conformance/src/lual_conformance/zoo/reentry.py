"""Mutants that can't be interrupted by themselves."""

from __future__ import annotations

import queue
import threading
import time

from lual.backend import BackendConfig, WorkItem, run_batch
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"3.6": "inside the dispatch of another record"})
class RecursiveDispatch(RefThreads):
    """Dispatches a record at once if it comes from the worker itself."""

    def submit(self, work_item: WorkItem) -> bool:
        """Needs no queue on the worker's thread."""
        if not self.is_inside() or not super().submit(work_item):
            return not self.is_inside() and super().submit(work_item)
        with self.lock:
            batch = self.queue.extract_batch(1)
        run_batch(batch, self.dispatch, self.config)
        return True


@mutant({"3.6": "inside the dispatch of another record"})
class RecursiveInline(RefInline):
    """Runs a batch that a record from inside an output makes due, right there."""

    def submit(self, work_item: WorkItem) -> bool:
        """Doesn't leave it to the dispatch in progress."""
        taken = super().submit(work_item)
        while taken and self._in_output and self._is_inside() and self._is_due():
            self._run_nested()
        return taken

    def _run_nested(self) -> None:
        """Goes past whoever dispatches."""
        run_batch(self.queue.extract_batch(1), self._dispatch, self.config)


@mutant({"3.6": "a submit inside an output never returned"})
class InnerSubmitWaits(RefThreads):
    """Waits in the submit of an urgent record until the worker has seen it."""

    def wake(self, item: WorkItem) -> None:
        """Waits for itself inside an output."""
        super().wake(item)
        while self.is_inside() and item.level >= self.config.flush_level:
            time.sleep(0.01)


@mutant({"3.6": "never reached it"})
class InnerRecordLost(RefThreads):
    """Says that it took a record that comes from the worker, and lets it fall."""

    def admit(self, item: WorkItem) -> bool:
        """Avoids every loop."""
        return self.is_inside() or super().admit(item)


@mutant({"3.9": "hung"})
class NonReentrantLock(RefThreads):
    """Guards its door with a plain lock."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.door = threading.Lock()

    def admit(self, item: WorkItem) -> bool:
        """Deadlocks if it is interrupted by itself."""
        with self.door:
            return super().admit(item)


@mutant({"3.9": "hung"})
class PlainBell(RefThreads):
    """Wakes somebody through an event, as most people would."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.bell = threading.Event()

    def wake(self, item: WorkItem) -> None:
        """Deadlocks if it is interrupted inside the event."""
        self.bell.set()
        super().wake(item)


@mutant({"3.9": "hung"})
class PlainQueue(RefInline):
    """Passes each record through a `queue.Queue`."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.staging: queue.Queue[WorkItem] = queue.Queue()

    def submit(self, work_item: WorkItem) -> bool:
        """Deadlocks if it is interrupted inside of put or get."""
        self.staging.put(work_item)
        self.staging.get_nowait()
        return super().submit(work_item)


@mutant({"3.9": "lost:"})
class SwallowsInterruption(RefInline):
    """Guards against re-entry by saying yes and doing nothing."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.here = threading.local()

    def _admit(self, item: WorkItem) -> bool:
        """Lets a record fall that comes in between."""
        if getattr(self.here, "admits", False):
            return True
        self.here.admits = True
        try:
            return super()._admit(item)
        finally:
            self.here.admits = False


@mutant({"3.9": "refused:"})
class RefusesInterruption(RefThreads):
    """Guards against re-entry by saying no."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.here = threading.local()

    def admit(self, item: WorkItem) -> bool:
        """Refuses the record of a handler."""
        if getattr(self.here, "admits", False):
            return False
        self.here.admits = True
        try:
            return super().admit(item)
        finally:
            self.here.admits = False

"""Mutants that break what is promised of start, stop and the states between."""

from __future__ import annotations

import threading
from typing import Any

from lual.backend import WorkItem
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant

# 2.1


@mutant({"2.1": "after a second start 2 records were inside the output at once"})
class SecondStartSecondWorker(RefThreads):
    """Starts another worker whenever it is started."""

    def start(self, dispatch_func: Any = None) -> None:
        """Starts, and starts."""
        was_running = self.state == "running"
        super().start(dispatch_func)
        if was_running:
            self.launch()


@mutant({"2.1": "half a batch submitted"})
class SecondStartDispatches(RefInline):
    """Dispatches what waits when it is started while running."""

    def start(self, dispatch_func: Any = None) -> None:
        """Starts, or makes haste."""
        was_running = self._state == "running"
        super().start(dispatch_func)
        if was_running:
            self._urge()
            self._dispatch_due()


# 2.2


@mutant({"2.2": "stop(1) raised RuntimeError"})
class StopTwiceRaises(RefThreads):
    """Can be stopped once."""

    def stop(self, timeout: float | None = None) -> bool:
        """Stops what runs."""
        if self.state == "stopped" and self.answer and not self.gave_up:
            raise RuntimeError("the backend is stopped")
        return super().stop(timeout)


@mutant({"2.2": "stop on a new backend made its state 'stopped'"})
class StopOnNewStops(RefThreads):
    """Is stopped by a stop that comes before the first start."""

    def stop(self, timeout: float | None = None) -> bool:
        """Stops what never ran."""
        answer = super().stop(timeout)
        self.state = "stopped"
        return answer


@mutant({"2.2": "a stop of what was stopped changed reports"})
class ReportsEachStop(RefThreads):
    """Reports a stop of what has stopped long ago."""

    def stop(self, timeout: float | None = None) -> bool:
        """Stops, or complains."""
        if self.state == "stopped" and self.answer:
            self.report("stop was called twice")
        return super().stop(timeout)


@mutant({"2.2": "stop on a new backend returned False"})
class StopOnNewIsFalse(RefInline):
    """Says False to a stop that comes before the first start."""

    def stop(self, timeout: float | None = None) -> bool:
        """Stops what runs."""
        return super().stop(timeout) if self._state != "new" else False


# 2.3


@mutant({"2.3": "submit before start answered"})
class ImplicitStart(RefThreads):
    """Starts at the first record."""

    def submit(self, work_item: WorkItem) -> bool:
        """Starts if nobody has."""
        if self.state == "new":
            self.start()
        return super().submit(work_item)


@mutant({"2.3": "records that it refused"})
class KeepsWhatItRefused(RefInline):
    """Refuses a record before start, and keeps it all the same."""

    def submit(self, work_item: WorkItem) -> bool:
        """Puts it aside."""
        if self._state == "new":
            self.queue.enqueue(work_item)
        return super().submit(work_item)


@mutant({"2.3": "records that it refused"})
class CountsWhatNeverStarted(RefThreads):
    """Counts a record dropped that comes before start."""

    def submit(self, work_item: WorkItem) -> bool:
        """Counts it."""
        if self.state == "new":
            self.ledger.drop_one(work_item.level, "stopped")
        return super().submit(work_item)


# 2.4


@mutant({"2.4": "submit after stop answered"})
class ResurrectsAfterStop(RefThreads):
    """Starts again when a record comes after stop."""

    def submit(self, work_item: WorkItem) -> bool:
        """Starts if somebody has stopped it."""
        if self.state == "stopped" and self.answer and not self.gave_up:
            self.start()
        return super().submit(work_item)


@mutant({"2.4": "submit after stop started"})
class WakesAWorkerAfterStop(RefThreads):
    """Refuses a record after stop, and starts a thread to tell."""

    def submit(self, work_item: WorkItem) -> bool:
        """Wakes a worker that there isn't."""
        if self.state == "stopped":
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        return super().submit(work_item)


@mutant({"2.4": "records that it refused"})
class CountsAfterStop(RefInline):
    """Counts a record dropped that comes after stop."""

    def submit(self, work_item: WorkItem) -> bool:
        """Counts it."""
        if self._state == "stopped":
            self._ledger.drop_one(work_item.level, "stopped")
        return super().submit(work_item)


# 2.5


@mutant({"2.5": "started 2 times, a full batch was submitted"})
class OneShot(RefThreads):
    """Has a worker for its first start only."""

    is_used = False

    def launch(self) -> None:
        """Starts the worker's thread, the first time."""
        if not self.is_used:
            super().launch()
        self.is_used = True

    def reset(self) -> None:
        """Goes back to the state after creation."""
        super().reset()
        self.is_used = False


@mutant({"2.5": "started 3 times, a full batch was submitted"})
class StopForgetsTheDispatch(RefThreads):
    """Forgets its dispatch function when it is stopped."""

    def finish(self) -> None:
        """Ends a stop, and all that start was given."""
        super().finish()
        self.dispatch = None


@mutant({"2.5": "started 2 times, submit answered"})
class KeepsItsDoorClosed(RefInline):
    """Never opens again the queue that it has closed."""

    def _open(self) -> None:
        was_stopped = self._state == "stopped"
        super()._open()
        if was_stopped:
            self.queue.close()

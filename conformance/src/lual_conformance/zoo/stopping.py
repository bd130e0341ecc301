"""Mutants that break what `stop` promises while there is time."""

from __future__ import annotations

import threading
from typing import Any

from lual.backend import WorkItem
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"9.1": "had not written"})
class StopDiscards(RefThreads):
    """Empties the queue when it stops, and calls that done."""

    def begin_stop(self) -> None:
        """Throws away what waits."""
        super().begin_stop()
        self.queue.clear()


@mutant({"9.1": "while a record was still inside an output", "2.8": "instead of 'stopped'"})
class StopIgnoresInside(RefThreads):
    """Takes an empty queue and an empty hand for the end of the drain."""

    def wait_for_drain(self, deadline: float) -> None:
        """Forgets the record that is inside an output."""
        while self.state == "stopping" and not self.gave_up and (self.hand or self.queue.size()):
            left = deadline - self.clock.now()
            if left <= 0:
                return
            self.clock.wait(self.changed, left)

    def abandon(self) -> tuple[int, int]:
        """Drops nothing if there was time for everything."""
        return super().abandon() if self.hand or self.queue.size() else (0, 0)


@mutant({"9.1": "changed the order"})
class StopDrainsBackwards(RefThreads):
    """Drains the rest of the queue from its newer end."""

    def begin_stop(self) -> None:
        """Turns around what waits."""
        super().begin_stop()
        rest = self.queue.extract_batch(self.queue.size())
        self.queue.requeue_front(rest[::-1])


@mutant({"9.1": "had not written"})
class InlineStopDiscards(RefInline):
    """Empties the queue when it stops, without a thread of its own."""

    def _close(self) -> None:
        super()._close()
        self.queue.clear()


@mutant({"9.4": "took 1 records during stop that were never written"})
class StopRaceLoss(RefThreads):
    """Opens the queue again as soon as it has stopped, for the next start."""

    def finish(self) -> None:
        """Trusts that nobody submits, because of the state."""
        super().finish()
        self.queue.open()


@mutant({"9.4": "took 1 records during stop that were never written"})
class InlineStopRaceLoss(RefInline):
    """Closes the door by its state alone, and leaves the queue open."""

    def _close(self) -> None:
        self._state = "stopping"


class _KnowsItsStops(RefThreads):
    """Tells a stop on the worker's thread from other calls there."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.stops = threading.local()

    def stop(self, timeout: float | None = None) -> bool:
        """Stops, noting that this thread does."""
        self.stops.now = True
        try:
            return super().stop(timeout)
        finally:
            self.stops.now = False

    def stops_inside(self) -> bool:
        """Tells whether this is a stop inside an output."""
        return getattr(self.stops, "now", False) and super().is_inside()


@mutant({"9.5": "inside an output never returned"})
class StopReentrantDeadlock(_KnowsItsStops):
    """Waits, inside an output, for the end of that very output."""

    def is_inside(self) -> bool:
        """Doesn't look where a stop comes from."""
        return super().is_inside() and not self.stops_inside()


@mutant({"9.5": "gave RuntimeError"})
class StopJoinsItself(_KnowsItsStops):
    """Joins the worker's thread from the worker's thread."""

    def is_inside(self) -> bool:
        """Finds out too late."""
        if self.stops_inside() and self.thread is not None:
            self.thread.join()
        return super().is_inside()


@mutant({"9.5": "instead of False"})
class StopInsideAnswersTrue(RefThreads):
    """Says, inside an output, that everything was written."""

    def stop(self, timeout: float | None = None) -> bool:
        """Promises what the worker will only do later."""
        inside = self.is_inside()
        return super().stop(timeout) or inside


@mutant({"9.5": "the rest of the queue was never written"})
class StopInsideForgetsTheRest(RefThreads):
    """Ends at once when it is stopped inside an output."""

    def stop(self, timeout: float | None = None) -> bool:
        """Leaves nobody who could drain the rest."""
        if not self.is_inside():
            return super().stop(timeout)
        with self.lock:
            self.begin_stop()
            self.abandon()
        return False


@mutant({"9.5": "inside an output never returned"})
class InlineStopReentrantDeadlock(RefInline):
    """Waits, inside an output, for the thread that dispatches, which is this one."""

    def stop(self, timeout: float | None = None) -> bool:
        """Waits for its own end."""
        if self._is_inside():
            with self._lock:
                self._close()
                while self._is_inside():
                    self._clock.wait(self._changed, None)
        return super().stop(timeout)


@mutant({"9.13": "the outputs saw"})
class StopSkipsFlush(RefThreads):
    """Leaves in the outputs' buffers what a stop has written."""

    def flush_outputs(self) -> None:
        """Flushes for a flush alone."""
        if self.state == "stopping" and not self.tickets:
            self.touched.clear()
        super().flush_outputs()


@mutant({"9.13": "the outputs saw"})
class InlineStopSkipsFlush(RefInline):
    """Leaves in the outputs' buffers what a stop has written on the caller's thread."""

    def _flush_outputs(self) -> None:
        if self._state == "stopping" and not self._tickets:
            self._unflushed.clear()
        super()._flush_outputs()


@mutant({"9.15": "went on taking records"})
class AdmitsWhileStopping(RefThreads):
    """Takes records until the drain has ended, which a busy producer can hold off."""

    def is_accepting(self) -> bool:
        """Takes a drain for running."""
        return self.state in ("running", "stopping")

    def begin_stop(self) -> None:
        """Closes the door for who waits before it, and opens it again."""
        begins = self.state == "running"
        super().begin_stop()
        if begins:
            self.queue.open()

    def finish(self) -> None:
        """Closes the door for good."""
        self.queue.close()
        super().finish()


@mutant({"9.15": "while stop drained was taken"})
class InlineAdmitsWhileStopping(RefInline):
    """Takes what an output logs while a stop drains."""

    def submit(self, work_item: WorkItem) -> bool:
        """Adds it to what is drained."""
        if self._state != "stopping":
            return super().submit(work_item)
        self.queue.open()
        taken = self.queue.enqueue(work_item)
        self.queue.close()
        return bool(taken)

"""What authors get wrong who begin with nothing but the six calls."""

from __future__ import annotations

import threading
from typing import Any

from lual.backend import BackendConfig, WorkItem, run_batch
from lual_conformance.zoo.registry import mutant
from lual_conformance.zoo.second_look import claiming
from lual_conformance.zoo.sound.pool import PoolBackend
from lual_conformance.zoo.sound.solo import SoloBackend
from lual_conformance.zoo.sound.solo_worker import Ticket


@mutant(
    {"4.2": "was dispatched when it was the turn of 'in turn"},
    plugin=claiming,
    dispatch_concurrency=2,
)
class TwoInOrder(PoolBackend):
    """Claims an order that two workers can't keep."""


@mutant(
    {"6.6": "still waited after stop was called", "9.15": "while stop was draining"},
    plugin=claiming,
)
class ClosesLast(SoloBackend):
    """Drains up to a mark first, and closes its queue then."""

    def _close(self) -> None:
        self._mark = self._queue.watermark()

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        if self._state == "stopping":
            return self._queue.enqueue(work_item)
        return super().submit(work_item)

    def _seconds_to_due(self) -> float | None:
        wait = super()._seconds_to_due()
        if self._state == "stopping" and (self._queue.oldest() or 0) >= self._mark:
            self._queue.close()
            self._queue.clear()
            return None
        return wait


@mutant({"4.6": "had waited 10.5 s with flush_interval 10"}, plugin=claiming)
class WaitsForReal(SoloBackend):
    """Parks its worker on the condition's own timeout."""

    def _park(self, wait: float | None) -> None:
        self._changed.wait(None if wait is None else min(wait, threading.TIMEOUT_MAX))


@mutant({"4.5": "only 0 of 5 records"}, plugin=claiming)
class OneTooMany(SoloBackend):
    """Starts a batch when there is one record more than a batch."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._trigger += 1


@mutant({"4.6": "had waited 10.5 s with flush_interval 10"}, plugin=claiming)
class StartsTheIntervalAnew(SoloBackend):
    """Counts the interval from the newest record."""

    _newest = 0.0

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        self._newest = work_item.submitted_at
        return super().submit(work_item)

    def _age(self) -> float:
        return max(self._clock.time() - self._newest, 0)


@mutant({"5.5": "while a producer went on submitting"}, plugin=claiming)
class FlushesUntilIdle(SoloBackend):
    """Answers a flush when there is nothing left at all."""

    def _is_reached(self, position: int) -> bool:
        return self._queue.is_empty() and super()._is_reached(position)


@mutant({"9.2": "stop(5) had not returned"}, plugin=claiming)
class TwoBudgets(SoloBackend):
    """Gives the join as much time again as the drain has had."""

    def _join(self, is_over: bool, deadline: float) -> None:
        thread = self._thread
        if thread is None:
            return
        again = self._clock.now() + self.config.shutdown_timeout
        with self._changed:
            while self._inside and (left := again - self._clock.now()) > 0:
                self._clock.wait(self._changed, left)
        super()._join(is_over, deadline)


@mutant({"9.11": "while the first one, which had more time"}, plugin=claiming)
class LaterStopsWaitOn(SoloBackend):
    """Lets a second stop wait for the first one's answer, however long that takes."""

    def _await_drain(self, deadline: float) -> None:
        if self._waits:
            deadline = self._clock.now() + 1e9
        self._waits = True
        super()._await_drain(deadline)
        self._waits = False

    _waits = False


@mutant({"5.8": "one of four concurrent flushes never returned"}, plugin=claiming)
class WakesOne(SoloBackend):
    """Wakes one of those that wait for the worker's answer."""

    def _answer_tickets(self, reached: list[Ticket]) -> None:
        for ticket in reached:
            ticket.done = True
            self._tickets.remove(ticket)
        self._changed.notify()

    def _leave(self) -> None:
        with self._changed:
            self._inside = False
            self._changed.notify()


@mutant({"5.3": "set back by an hour"}, plugin=claiming)
class DeadlinesByTheCalendar(SoloBackend):
    """Measures its deadlines by the time of day."""

    def _await_ticket(self, ticket: Ticket, deadline: float) -> None:
        until = self._clock.time() + deadline - self._clock.now()
        while not ticket.done and self._state in ("running", "stopping"):
            left = until - self._clock.time()
            if left <= 0:
                return
            self._clock.wait(self._changed, left)


@mutant({"9.13": "with nothing left to write"}, plugin=claiming)
class FlushesOnlyWhatItDrained(SoloBackend):
    """Flushes the outputs at stop only if something was left to drain."""

    def _close(self) -> None:
        if self._queue.is_empty() and not self._hand and not self._inside:
            self._touched = []
        super()._close()


@mutant({"5.12": "on the thread that called flush"}, plugin=claiming)
class FlushesOutputsItself(SoloBackend):
    """Calls the outputs' own flush on the thread that asked for it."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._wanted: list[Any] = []

    def _flush_outputs(self, turn: int) -> None:
        self._wanted, self._touched = self._touched, []

    def flush(self, timeout: float | None = None) -> bool:
        """Waits."""
        self._wanted = []
        done = super().flush(timeout)
        for func in self._wanted:
            func.flush()
        return done


@mutant({"5.12": "not called after 'bad', which failed"}, plugin=claiming)
class NoFlushAfterFailure(SoloBackend):
    """Forgets the outputs' own flush after a record that failed."""

    def _run_one(self, turn: int) -> bool:
        before = self.config.ledger["messages_failed"]
        more = super()._run_one(turn)
        if self.config.ledger["messages_failed"] > before:
            self._touched = []
        return more


@mutant({"9.5": "gave True instead of False"}, plugin=claiming)
class StopsFromOutputsToo(SoloBackend):
    """Ends at once when an output asks it to stop."""

    def stop(self, timeout: float | None = None) -> bool:
        """Stops."""
        if threading.current_thread() is self._thread:
            with self._changed:
                self._close()
                self._abandon(0)
            return True
        return super().stop(timeout)


@mutant({"9.2": "counted 24 as shutdown_timeout"}, plugin=claiming)
class CountsTheBegunAsDropped(SoloBackend):
    """Counts the record inside an output among the dropped ones, too."""

    def _abandon(self, seconds: float) -> str:
        if self._inside:
            self.config.ledger.drop_one(20, "shutdown_timeout", in_flight=True)
        return super()._abandon(seconds)


@mutant(
    {"6.6": "still waited after stop was called", "9.4": "that were never written"}, plugin=claiming
)
class AcceptsAfterItsLastLook(SoloBackend):
    """Leaves its queue open while it stops, and looks at the state alone."""

    def _close(self) -> None:
        return None

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        return self._state == "running" and super().submit(work_item)


@mutant({"8.6": "'messages_failed': 1"}, plugin=claiming)
class ForgetsItsTotals(SoloBackend):
    """Resets the counters, but leaves those of failures."""

    def reset(self) -> None:
        """Goes back."""
        failed = self.config.ledger["messages_failed"]
        super().reset()
        self.config.ledger.book(self.config.ledger.generation, failed=failed, in_flight=0)


@mutant({"4.4": "beside a flush"}, plugin=claiming)
class HelpsOutAtFlush(SoloBackend):
    """Runs batches on the thread that flushes, beside its worker."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits."""
        if threading.current_thread() is not self._thread and self._inside:
            func = self._default
            while func is not None and (items := self._queue.extract_batch(self.config.batch_size)):
                run_batch(items, func, self.config)
                self._touched.append(func)
        return super().flush(timeout)

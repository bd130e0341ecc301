"""The caller's side of the backends here: the six calls, without `BaseBackend`.

Guarantees:
    * `submit` never waits for a thread to start or to end;
    * start and reset come one after the other; neither waits for an output longer than a
      moment, and what an output of before does afterwards changes nothing.
"""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from lual.backend import Backend, BackendConfig, WorkItem
from lual.backend.clock import check_timeout
from lual.backend.items import Dispatch
from lual.backend.reentry import busy, carries, interrupts_lual
from lual.context import dispatch_depth
from lual_conformance.zoo.sound.hands import Hand, Ticket, WorkerSide

#: Real seconds beyond a deadline for a thread that has nothing left to do but end.
_GRACE = 0.05

#: Real seconds that `start` and `reset` wait for such a thread.
_END_GRACE = 1.0

#: Real seconds that `stop` waits for it at most, whatever its clock says.
_LONGEST_END = 10.0


class BareBackend(WorkerSide, Backend):
    """Submit, flush, start, stop, reset and statistics over any number of workers.

    A backend says in `_launch` who works from the start, and may rest or wake otherwise.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._changing = threading.RLock()  # held by start and reset
        self._threads: dict[threading.Thread, int] = {}  # with the epoch of each
        self._hirings = 0  # threads that are about to start
        self._is_open = False
        self._is_stopped_by_somebody = False
        self._answer = True  # of the last stop

    @abstractmethod
    def _launch(self) -> None:
        """Starts whoever works from the start; raises if that fails."""

    def _hire(self, hand: Hand) -> None:
        """Starts a thread that serves with a hand."""
        thread = threading.Thread(target=self._serve, args=(hand,), name="zoo-worker", daemon=True)
        with self._lock:
            self._hirings += 1
        try:
            thread.start()
            with self._lock:
                self._threads = {**self._alive(), thread: hand.epoch}
        finally:
            self._end_hiring()

    def _end_hiring(self) -> None:
        with self._lock:
            self._hirings -= 1
            self._changed.notify_all()

    @carries("work_item")
    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record; see `Backend.submit`."""
        if not self._is_open or not self.queue.enqueue(work_item):
            return False
        with self._lock:
            if self._state == "new":  # a reset came in between, and the record after it
                self.queue.clear()
                return False
            urgent = work_item.level >= self.config.flush_level
            if urgent:
                self._demand = max(self._demand, self.queue.watermark())
            self._announce(urgent)
        return True

    def _announce(self, urgent: bool) -> None:
        """Wakes the workers for a new record, if it makes a difference to them."""
        sought = any(hand.waits_for_any for hand in self._hands)
        if urgent or sought or self.queue.size() >= self._trigger:
            self._wake()

    # Flushing

    @busy
    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all records admitted so far are finished; see `Backend.flush`."""
        seconds = check_timeout(timeout, self.config.flush_timeout)
        if self._is_inside() or interrupts_lual():
            return False
        deadline = self._clock.now() + seconds
        self._ledger.add("flushes")
        with self._lock:
            ticket = Ticket(self.queue.watermark())
            clean = self._is_clean(ticket.position)
            if clean or self._state in ("new", "stopped"):
                return clean or self._may_be_unclean()
            epoch = self._epoch
            self._tickets.append(ticket)
            self._demand = max(self._demand, ticket.position)
            self._asked = max(self._asked, ticket.position)
            self._wake()
        try:
            self._wait_until(lambda: ticket.done or epoch != self._epoch, deadline)
        finally:
            with self._lock:
                if ticket in self._tickets:
                    self._tickets.remove(ticket)
        if not ticket.done:
            self._ledger.add("flush_timeouts")
        return ticket.done

    def _is_clean(self, position: int) -> bool:
        return self._is_reached(position) and not self._touched and not self._flushing

    def _may_be_unclean(self) -> bool:
        """Tells what a flush answers for records that a stopped backend has left."""
        return True

    def _wait_until(self, done: Callable[[], bool], deadline: float) -> None:
        """Waits until something is true, which is asked with the lock held, or too late."""
        with self._lock:
            while not done() and (left := deadline - self._clock.now()) > 0:
                self._clock.wait(self._changed, left)

    def _is_inside(self) -> bool:
        return dispatch_depth() > 0 or threading.current_thread() in self._threads

    # Lifecycle

    def start(self, dispatch_func: Dispatch | None = None) -> None:
        """Begins to work; see `Backend.start`."""
        with self._changing:
            if self._is_running(dispatch_func):
                return
            if not self._join(_END_GRACE):
                raise RuntimeError("a worker of before is still inside an output")
            with self._lock:
                before = (self._state, self._dispatch)
                self._forget()
                self._epoch += 1
                self._state = "running"
                if dispatch_func is not None:
                    self._dispatch = dispatch_func
            try:
                self._launch()
            except BaseException:
                self._undo_start(*before)
                raise
            with self._lock:
                if self._state == "running":
                    self.queue.open()
                    self._is_open = True

    def _is_running(self, dispatch_func: Dispatch | None) -> bool:
        """Hands a running backend its new dispatch function; False if it must be started."""
        with self._lock:
            if self._state == "stopping":
                raise RuntimeError("the backend is stopping; start it when stop has returned")
            if self._state == "running" and dispatch_func is not None:
                self._dispatch = dispatch_func
            return self._state == "running"

    def _undo_start(self, state: str, dispatch_func: Any) -> None:
        with self._lock:
            self._epoch += 1
            self._state, self._dispatch = state, dispatch_func
            self._wake()
        self._join(_END_GRACE)
        with self._lock:
            self._hands.clear()

    @busy
    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, drains, ends the workers; see `Backend.stop`."""
        seconds = check_timeout(timeout, self.config.shutdown_timeout)
        deadline = self._clock.now() + seconds
        inside = self._is_inside() or interrupts_lual()
        with self._lock:
            if self._state == "new":
                return not inside
            if self._state == "running":
                self._begin_stop()
            if inside:
                return False  # the workers finish the drain by themselves
            epoch = self._epoch
            decides = self._state == "stopping" and not self._is_stopped_by_somebody
            self._is_stopped_by_somebody |= decides
        loss = None
        try:
            self._wait_until(lambda: self._state != "stopping" or epoch != self._epoch, deadline)
            with self._lock:
                if decides and self._state == "stopping" and epoch == self._epoch:
                    loss = self._abandon(seconds)
                stuck = self._flushing or any(hand.begun for hand in self._hands)
                ended = self._state != "stopping" or epoch != self._epoch
                answer = self._answer and ended
        finally:
            if decides:
                self._is_stopped_by_somebody = False
        if loss:
            self._report(loss)
        left = 0.0 if stuck else max(deadline - self._clock.now(), _GRACE)
        return self._join(left, epoch) and answer

    def _begin_stop(self) -> None:
        self._is_open = False
        self.queue.close()
        self._state = "stopping"
        self._answer = True
        self._wake()

    def _abandon(self, seconds: float) -> str | None:
        """Drops what a stop could not drain; returns what is to be said of it."""
        left = 0
        while items := self.queue.extract_batch(self.config.batch_size):
            left += self._drop(items)
        begun = 0
        for hand in self._hands:
            left += self._drop(hand.items)
            hand.items.clear()
            begun += hand.begun
        self._answer = not (left or begun or self._flushing or self._touched)
        self._halt("stopped")
        if not (left or begun):
            return None
        return (
            f"stop ran out of time after {seconds:g} s: {left} records dropped "
            f"(shutdown_timeout), {begun} still inside an output"
        )

    def _drop(self, items: Any) -> int:
        for item in items:
            self._ledger.drop_one(item.level, "shutdown_timeout", in_flight=True)
        return len(items)

    def _halt(self, state: str) -> None:
        """Lets nothing of before begin any more; the caller holds the lock."""
        self._epoch += 1
        self._state = state
        self._wake()
        self._changed.notify_all()

    def _alive(self) -> dict[threading.Thread, int]:
        return {thread: epoch for thread, epoch in self._threads.items() if thread.is_alive()}

    def _join(self, seconds: float, epoch: float = math.inf) -> bool:
        """Waits until threads have ended; False if one hasn't, or is the caller.

        Args:
            seconds: Real ones.
            epoch: The last whose threads are meant; another caller may have started more.
        """
        seconds = min(seconds, _LONGEST_END)
        me = threading.current_thread()
        with self._lock:
            self._changed.wait_for(lambda: not self._hirings, seconds)
            threads = [thread for thread, began in self._threads.items() if began <= epoch]
        for thread in threads:
            if thread is not me:
                thread.join(seconds)
        with self._lock:
            self._threads = self._alive()
            return not self._hirings and all(began > epoch for began in self._threads.values())

    def reset(self) -> None:
        """Goes back to the state after creation; see `Backend.reset`."""
        with self._changing:
            with self._lock:
                self._is_open = False
                self.queue.close()
                self._answer = False
                self._halt("stopped")
            self._join(_END_GRACE)
            with self._lock:
                self.queue.clear()
                self.queue.open()
                self._forget()
                self._halt("new")
                self._dispatch = None
                self._answer = True
                self._ledger.reset()

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters and `state`; see `Backend.get_stats`."""
        with self._lock:
            self._ledger.publish()
            return {**self._ledger.snapshot(), "state": self._state}

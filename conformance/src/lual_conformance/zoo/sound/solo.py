"""A worker thread and one condition, from scratch, that dispatches one record at a time.

Guarantees:
    * what is in hand and not begun can be called back at any moment;
    * a flush is a ticket with a position, answered by the worker between two batches.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from lual.backend import Backend, WorkItem
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.solo_worker import SoloWorker, Ticket

#: Seconds for a worker that has nothing left to do but end.
_END_GRACE = 1.0

#: More records than any queue holds.
_ALL = 1 << 30


def seconds_of(timeout: float | None, default: float) -> float:
    """Returns the seconds that a caller asked for.

    Raises:
        ValueError: The timeout is negative or not a number.
    """
    if timeout is None:
        return default
    if math.isnan(timeout) or timeout < 0:
        raise ValueError(f"a timeout is 0 or more seconds, not {timeout!r}")
    return timeout


class SoloBackend(SoloWorker, Backend):
    """Drains the queue in one daemon thread; arguments as for `SoloWorker`."""

    # Submitting

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record; see `Backend.submit`."""
        if self._state != "running" or not self._queue.enqueue(work_item):
            return False
        with self._changed:
            if self._is_urgent(work_item):
                self._urgent = self._queue.watermark()
            self._ring()
        return True

    def _is_urgent(self, item: WorkItem) -> bool:
        return item.level >= self.config.flush_level

    # Flushing

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all records admitted so far are finished; see `Backend.flush`."""
        seconds = seconds_of(timeout, self.config.flush_timeout)
        if threading.current_thread() is self._thread:
            return False
        deadline = self._clock.now() + seconds
        self.config.ledger.add("flushes")
        with self._changed:
            if self._state in ("new", "stopped"):
                return True
            ticket = Ticket(self._queue.watermark())
            if not self._touched and self._is_reached(ticket.position):
                return True
            self._urgent = max(self._urgent, ticket.position)
            self._tickets.append(ticket)
            self._ring()
            self._await_ticket(ticket, deadline)
            if ticket in self._tickets:
                self._tickets.remove(ticket)
            done = ticket.done or (self._state == "stopped" and self._answer)
        if not done:
            self.config.ledger.add("flush_timeouts")
        return done

    def _await_ticket(self, ticket: Ticket, deadline: float) -> None:
        while not ticket.done and self._state in ("running", "stopping"):
            left = deadline - self._clock.now()
            if left <= 0:
                return
            self._clock.wait(self._changed, left)

    # Lifecycle

    def start(self, dispatch_func: Any = None) -> None:
        """Begins to work; see `Backend.start`."""
        self._await_old_worker()
        with self._changed:
            if self._state == "stopping":
                raise RuntimeError("the backend is stopping")
            if self._state != "running":
                self._start_thread()
            if dispatch_func is not None:
                self._default = dispatch_func

    def _await_old_worker(self) -> None:
        thread = self._thread
        if thread is None or self._state == "running":
            return
        if thread is not threading.current_thread():
            thread.join(0 if self._inside else _END_GRACE)
        if thread.is_alive() and self._state in ("new", "stopped"):
            raise RuntimeError("the worker of before is still inside an output")

    def _start_thread(self) -> None:
        before, self._state = self._state, "running"
        self._turn += 1
        self._tickets, self._urgent, self._touched = [], 0, []
        thread = self._new_thread()
        try:
            thread.start()
        except BaseException:
            self._state = before
            raise
        self._thread = thread
        self._queue.open()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._work, args=(self._turn,), daemon=True)

    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, drains, ends the worker; see `Backend.stop`."""
        seconds = seconds_of(timeout, self.config.shutdown_timeout)
        deadline = self._clock.now() + seconds
        lost = ""
        with self._changed:
            if self._state == "new":
                return True
            if self._state == "running":
                self._state, self._answer = "stopping", True
                self._close()
                self._ring()
            if threading.current_thread() is self._thread:
                return False
            decides, self._stopper = not self._stopper, True
            self._await_drain(deadline)
            if self._state == "stopping" and decides:
                lost = self._abandon(seconds)
            if decides:
                self._stopper = False
            answer = self._answer and self._state == "stopped"
        if lost:
            self._report(lost)
        self._join(answer, deadline)
        return answer

    def _close(self) -> None:
        self._queue.close()

    def _await_drain(self, deadline: float) -> None:
        while self._state == "stopping" and (left := deadline - self._clock.now()) > 0:
            self._clock.wait(self._changed, left)

    def _join(self, is_over: bool, deadline: float) -> None:
        if is_over and self._thread is not None:
            self._thread.join(_END_GRACE)

    def _abandon(self, seconds: float) -> str:
        while items := self._queue.extract_batch(_ALL):
            self._hand.extend(items)
        left = len(self._hand)
        while self._hand:
            level = self._hand.popleft().level
            self.config.ledger.drop_one(level, "shutdown_timeout", in_flight=True)
        self._answer = not (left or self._inside)
        self._end("stopped")
        return f"stop ran out of time after {seconds:g} s: {left} records dropped"

    def reset(self) -> None:
        """Goes back to the state after creation; see `Backend.reset`."""
        with self._changed:
            self._close()
            self._answer = False
            self._end("stopped")
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(0 if self._inside else _END_GRACE)
        with self._changed:
            self._queue.clear()
            self._queue.open()
            self._forget()
            self.config.ledger.reset()
            self._end("new")  # whoever was started meanwhile ends, whoever waits looks again

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters and `state`; see `Backend.get_stats`."""
        self.config.ledger.publish()
        return {**self.config.ledger.snapshot(), "state": self._state}


CLAIMS: dict[str, Any] = {
    "worker": "thread",
    "isolates_slow_outputs": True,
    "ordering": "fifo",
    "overflow": ("drop_oldest", "drop_newest", "block"),
    "dispatch_concurrency": 1,
    "restartable": True,
    "clock": "injected",
    "exit_flush": True,
    "fork": "reinit",
    "delivery": "at_most_once",
}

plugin = Plugin(SoloBackend, "solo", "one thread, one condition, one record at a time", **CLAIMS)

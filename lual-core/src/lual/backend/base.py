"""The backend that keeps every promise; where its worker runs is the author's to say.

An author overrides `start_worker` and `join_worker`, and `wake_worker` if the worker
doesn't park in `next_batch`. The worker runs one loop:

    while (items := self.next_batch()) is not None:
        self.run(items)

Guarantees:
    * `submit` writes nothing but the queue, and wakes the worker only for a reason;
    * a worker that dies is replaced, and its records are resumed in order.
Assumes: nothing of an author's code is called with a lock held.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from threading import get_ident
from typing import Any

from lual.backend.batch import report
from lual.backend.clock import check_timeout
from lual.backend.consumer import NEVER, Consumer, FlushTicket, State
from lual.backend.contract import Backend, BackendConfig
from lual.backend.items import LEVEL, Dispatch, WorkItem
from lual.backend.reentry import busy, carries, interrupts_lual
from lual.backend.supervisor import Supervisor
from lual.context import dispatch_depth
from lual.reports import describe

#: Seconds beyond a deadline for a worker that has nothing left to do but end.
_GRACE = 0.05

#: Seconds that `reset` waits for such a worker; only tests call it.
_RESET_GRACE = 1.0


def _refuse(item: WorkItem) -> bool:
    """Stands for the queue's `enqueue` while the backend doesn't run."""
    return False


class BaseBackend(Consumer, Backend):
    """Correct `submit`, `flush`, `start`, `stop`, `reset`, `get_stats` and supervision.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._enqueue: Callable[[WorkItem], bool] = _refuse
        self._waiting: Callable[[], int] = getattr(self.queue, "waiting", self.queue.size)
        self._flush_level = config.flush_level
        self._supervisor = Supervisor()
        self._worker_lives = False
        self._hurry = False  # a caller waits for the restart
        self._gave_up = False
        self._answer = True  # of the last stop

    # What an author provides

    @abstractmethod
    def start_worker(self) -> None:
        """Arranges that the loop over `next_batch` runs somewhere; raises if it can't."""

    def wake_worker(self) -> None:
        """Makes the loop look again; here, one that is parked in `next_batch`."""
        with self._lock:
            self._changed.notify_all()

    @abstractmethod
    def join_worker(self, timeout: float) -> bool:
        """Waits until the loop has ended.

        Args:
            timeout: Seconds; 0 only looks.

        Returns:
            True if it has ended, or was never started.
        """

    # Submitting

    @carries("work_item")
    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record; see `Backend.submit`."""
        if not self._enqueue(work_item):
            return False
        urgent = work_item[LEVEL] >= self._flush_level
        if urgent or self._waiting() >= self._wake_at:
            self._attend(urgent)
        return True

    @busy
    def _attend(self, urgent: bool) -> None:
        with self._lock:
            if urgent:
                self._demand = self.queue.watermark()
            self._wake_at = NEVER  # once is enough: it will look
        self._replace_if_vanished()
        self.wake_worker()

    # Flushing

    @busy
    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all records admitted so far are finished; see `Backend.flush`."""
        seconds = check_timeout(timeout, self.config.flush_timeout)
        if dispatch_depth() or get_ident() == self._worker or interrupts_lual():
            return False
        deadline = self._clock.now() + seconds
        self._ledger.add("flushes")
        with self._lock:
            position = self.queue.watermark()
            clean = self._is_reached(position) and not (self._unflushed or self._in_output)
            if clean or self._state in ("new", "stopped"):
                return True
            ticket = FlushTicket(position)
            self._flushes.append(ticket)
            self._demand = max(self._demand, position)
            self._hurry = True
        self._replace_if_vanished()
        self.wake_worker()
        with self._lock:
            while not ticket.done and self._state in ("running", "stopping"):
                left = deadline - self._clock.now()
                if left <= 0:
                    break
                self._clock.wait(self._changed, left)
            if ticket in self._flushes:
                self._flushes.remove(ticket)
            # A stop that drained everything meanwhile flushed the outputs as well.
            done = ticket.done or (self._state == "stopped" and self._answer)
            if not done:
                self._ledger.add("flush_timeouts")
            return done

    # Lifecycle

    def start(self, dispatch_func: Dispatch | None = None) -> None:
        """Begins to work; see `Backend.start`."""
        with self._lock:
            if self._state == "running":
                self._dispatch = dispatch_func or self._dispatch
                return
            if self._state == "stopping":
                raise RuntimeError("the backend is stopping; start it when stop has returned")
        if not self.join_worker(0):
            raise RuntimeError("the worker of before is still inside an output")
        with self._lock:
            before = (self._state, self._dispatch)
            self._forget_work()
            self._begin_epoch("running")
            self._dispatch = dispatch_func or self._dispatch
            self._gave_up = False
            self._supervisor.forget()
            self.queue.open()
            self._enqueue = self.queue.enqueue
        try:
            self.start_worker()
        except BaseException:
            with self._lock:
                self._enqueue = _refuse
                self._begin_epoch(before[0])
                self._dispatch = before[1]
                if before[0] == "stopped":
                    self.queue.close()
            raise
        self._worker_lives = True

    def _begin_epoch(self, state: State) -> None:
        self._epoch += 1
        self._state = state
        self._changed.notify_all()

    @busy
    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, drains, ends the worker; see `Backend.stop`."""
        seconds = check_timeout(timeout, self.config.shutdown_timeout)
        deadline = self._clock.now() + seconds
        inside = bool(dispatch_depth() or get_ident() == self._worker or interrupts_lual())
        with self._lock:
            if self._state == "new":
                return True
            first = self._state == "running" or self._gave_up
            if first:
                self._gave_up = False
                self._state = "stopping"
                self._answer = True
                self._enqueue = _refuse
                self.queue.close()
                self._changed.notify_all()
        if first:
            self._replace_if_vanished()
            self.wake_worker()
        if inside:
            return False  # the worker finishes the drain by itself
        if not self._await_drain(deadline) and first:
            self._abandon(seconds)
        return self._join(deadline)

    def _await_drain(self, deadline: float) -> bool:
        """Returns True once the queue is drained, False at the deadline."""
        with self._lock:
            while self._state == "stopping" and self._worker_lives:
                left = deadline - self._clock.now()
                if left <= 0:
                    return False
                self._clock.wait(self._changed, left)
        if self._state == "stopping":  # no worker: the caller does it
            while self._clock.now() < deadline and (items := self._next_batch(False)):
                self.run(items, on_caller=True)
        return self._state == "stopped"

    def _join(self, deadline: float) -> bool:
        with self._lock:
            stuck = self._in_output
            answer = self._answer and self._state == "stopped"
        left = 0.0 if stuck else max(deadline - self._clock.now(), _GRACE)
        return self.join_worker(left) and answer

    def _abandon(self, seconds: float) -> None:
        """Drops and reports what a stop could not drain in time."""
        with self._lock:
            if self._state != "stopping":
                return
            self._begin_epoch("stopped")
            left = [*self._hand, *self.queue.extract_batch(self.queue.size())]
            self._hand.clear()
            begun = self._begun
            self._ledger.drop([i.level for i in left], "shutdown_timeout", in_flight=True)
            self._ledger.publish()
            self._answer = not (left or begun or self._in_output)
        if left or begun:
            self._report(
                f"stop ran out of time after {seconds:g} s: {len(left)} records dropped "
                f"(shutdown_timeout), {begun} still inside an output"
            )

    def reset(self) -> None:
        """Goes back to the state after creation; see `Backend.reset`."""
        with self._lock:
            self._enqueue = _refuse
            self._begin_epoch("stopped")
            stuck = self._in_output
        self.wake_worker()
        self.join_worker(0 if stuck else _RESET_GRACE)
        with self._lock:
            self.queue.clear()
            self.queue.open()
            self._forget_work()
            self._begin_epoch("new")
            self._dispatch = None
            self._gave_up = False
            self._supervisor.forget()
            self._ledger.reset()

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters, `state` and `worker_restarts`; see `Backend.get_stats`."""
        with self._lock:
            self._ledger.publish()
            return {**self._ledger.snapshot(), "state": self._state}

    # Supervision

    def kill_worker(self) -> None:
        """Makes the worker die at its next look at the queue; for tests only."""
        self._killed = True
        self.wake_worker()

    def _replace_if_vanished(self) -> None:
        """Replaces a worker that ended without passing through `next_batch`."""
        if self._worker_lives and self.join_worker(0):
            self._lose_hand()
            if self._state == "running":
                self._restart("it ended without a word", patient=False)

    def _died(self, error: BaseException) -> None:
        self._lose_hand()
        if self._state == "running":
            self._restart(describe(error), patient=True)

    def _lose_hand(self) -> None:
        """Settles what a lost worker had in hand: begun or not."""
        with self._lock:
            self._worker_lives = self._killed = False
            self._put_back()
            if self._begun:
                self._ledger.book(
                    self._ledger.generation, failed=self._begun, reason="worker_lost"
                )
            self._begun = 0
            self._in_output = False
            self._worker = None
            self._changed.notify_all()

    def _restart(self, why: str, *, patient: bool) -> None:
        """Starts a new worker, after the pause that is due; gives up after too many."""
        while True:
            with self._lock:
                delay = self._supervisor.next_delay(self._clock.now())
                if delay is None:
                    break
                until = self._clock.now() + delay
                while patient and not self._hurry and self._state == "running":
                    left = until - self._clock.now()
                    if left <= 0:
                        break
                    self._clock.wait(self._changed, left)
                if self._state != "running":
                    return
                self._hurry = False
                self._ledger.add("worker_restarts")
            self._report(f"the worker was lost ({why}) and is replaced")
            try:
                self.start_worker()
            except Exception as error:  # whatever keeps a worker from starting, it is tried again
                why = f"no new one could be started: {describe(error)}"
                continue
            self._worker_lives = True
            return
        self._give_up(why)

    def _give_up(self, why: str) -> None:
        with self._lock:
            self._enqueue = _refuse
            self._gave_up = True
            self._answer = False
            self.queue.close()
            self._begin_epoch("stopped")
        self._report(f"the worker was lost too often ({why}); the backend has stopped")

    def _report(self, message: str) -> None:
        report(self.config.error_callback, message)

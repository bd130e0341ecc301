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

from threading import get_ident
from typing import Any

from lual.backend.clock import check_timeout
from lual.backend.consumer import FlushTicket, State
from lual.backend.contract import Backend, BackendConfig
from lual.backend.items import LEVEL, Dispatch, WorkItem
from lual.backend.reentry import busy, carries, interrupts_lual
from lual.backend.runner import NEVER
from lual.backend.supervisor import Supervised
from lual.context import dispatch_depth

#: Seconds beyond a deadline for a worker that has nothing left to do but end.
_GRACE = 0.05

#: Seconds that `start` and `reset` wait for such a worker.
_END_GRACE = 1.0

#: Seconds after which a stop that waits for its worker looks whether there is a new one.
_JOIN_SLICE = 0.1


class BaseBackend(Supervised, Backend):
    """Correct `submit`, `flush`, `start`, `stop`, `reset`, `get_stats` and supervision.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._flush_level = config.flush_level
        self._somebody_stops = False  # and will abandon what can't be drained

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
        try:
            with self._lock:
                if urgent:
                    self._demand = self.queue.watermark()
                self._woken()
            self._look_after_worker()
            self.wake_worker()
        except BaseException:  # a Ctrl-C: nobody may have woken it
            self._wake_at = 1
            raise

    def _is_inside(self) -> bool:
        """Tells whether this call comes from the worker or an output."""
        return dispatch_depth() > 0 or get_ident() == self._worker

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
            position = self.queue.watermark()
            clean = self._is_reached(position) and not self._unflushed
            if clean or self._state in ("new", "stopped"):
                return clean or not self._gave_up
        ticket = FlushTicket(position)
        try:
            with self._lock:
                self._flushes.append(ticket)
                self._demand = max(self._demand, position)
                self._owed = max(self._owed, position)
            self.wake_worker()
            self._wait_until(lambda: ticket.done or self._is_forgotten(ticket), deadline)
        finally:
            with self._lock:
                if ticket in self._flushes:
                    self._flushes.remove(ticket)
        # A stop that drained everything meanwhile flushed the outputs as well.
        done = ticket.done or (self._state == "stopped" and self._answer)
        if not done:
            self._ledger.add("flush_timeouts")
        return done

    def _is_forgotten(self, ticket: FlushTicket) -> bool:
        """Tells whether nobody will answer a flush any more; after a start, not even by state."""
        return self._state not in ("running", "stopping") or ticket not in self._flushes

    # Lifecycle

    def start(self, dispatch_func: Dispatch | None = None) -> None:
        """Begins to work; see `Backend.start`."""
        while not self._is_running(dispatch_func):
            worker = self._incarnation
            if self._starting:  # by a start that a stop has overtaken
                raise RuntimeError("the worker of before is still being started")
            if not self.join_worker(0 if self._in_output else _END_GRACE):
                raise RuntimeError("the worker of before is still inside an output")
            if self._start_after(worker, dispatch_func):
                return

    def _start_after(self, worker: int, dispatch_func: Dispatch | None) -> bool:
        """Starts a new worker, unless another thread did since `worker` was seen to end."""
        before = (self._state, self._dispatch, self._gave_up)
        mine = -1
        try:
            with self._lock:
                if worker != self._incarnation or self._state in ("running", "stopping"):
                    return False
                self._forget_work()
                self._supervisor.forget()
                self._in_output = self._gave_up = False
                self._retry_at = None
                self._begin_epoch(self._state)
                mine = self._epoch
                self._state = "running"
                if dispatch_func is not None:
                    self._dispatch = dispatch_func
            self._launch(mine)
            with self._lock:
                if mine == self._epoch and self._state == "running":
                    self._open_door()
        except BaseException:
            with self._lock:
                if mine == self._epoch:
                    self._undo_start(*before)
            raise
        return True

    def _undo_start(self, state: State, dispatch_func: Dispatch | None, gave_up: bool) -> None:
        self._close_door()
        if state == "new":
            self.queue.open()
        self._begin_epoch(state)
        self._dispatch, self._gave_up = dispatch_func, gave_up

    def _is_running(self, dispatch_func: Dispatch | None) -> bool:
        """Hands a running backend its new dispatch function; False if it must be started."""
        with self._lock:
            if self._state == "stopping":
                raise RuntimeError("the backend is stopping; start it when stop has returned")
            if self._state == "running" and dispatch_func is not None:
                self._dispatch = dispatch_func
            return self._state == "running"

    @busy
    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, drains, ends the worker; see `Backend.stop`."""
        seconds = check_timeout(timeout, self.config.shutdown_timeout)
        deadline = self._clock.now() + seconds
        inside = self._is_inside() or interrupts_lual()
        decides = False
        try:
            with self._lock:
                if self._state == "new":
                    return True
                if self._state == "running" or self._gave_up:
                    self._begin_stop()
                decides = self._state == "stopping" and not inside and not self._somebody_stops
                self._somebody_stops = self._somebody_stops or decides
            self.wake_worker()
            if inside:
                return False  # the worker finishes the drain by itself
            self._await_drain(deadline, decides)
            if decides and self._state == "stopping":
                self._abandon(seconds)
        finally:
            if decides:
                self._somebody_stops = False
        return self._join(deadline)

    def _begin_stop(self) -> None:
        self._gave_up = False
        self._answer = True
        self._close_door()
        self._state = "stopping"
        self._changed.notify_all()

    def _await_drain(self, deadline: float, decides: bool) -> None:
        """Waits until the queue is drained; does it here if there is no worker left."""

        def is_over() -> bool:
            return self._state != "stopping" or (decides and not self._worker_lives)

        if self._wait_until(is_over, deadline) and self._state == "stopping":
            self._killed = False
            while self._clock.now() < deadline and (items := self._next_batch(False)):
                self.run(items, on_caller=True)

    def _join(self, deadline: float) -> bool:
        with self._lock:
            stuck = self._in_output
            answer = self._answer and self._state == "stopped"
        left = 0.0 if stuck else max(deadline - self._clock.now(), _GRACE)
        while not (ended := self.join_worker(min(left, _JOIN_SLICE))) and left > _JOIN_SLICE:
            left -= _JOIN_SLICE
            if self._state != "stopped":  # started again: what would be joined is another one
                return answer
        return ended and answer

    def _abandon(self, seconds: float) -> None:
        """Drops and reports what a stop could not drain in time."""
        left = 0
        with self._lock:
            if self._state != "stopping":
                return
            self._begin_epoch("stopping")  # nothing of before begins any more
            begun = self._begun
            try:
                while items := self.queue.extract_batch(NEVER):
                    self._hand.extend(items)
                while self._hand:
                    level = self._hand.popleft().level
                    self._ledger.drop_one(level, "shutdown_timeout", in_flight=True)
                    left += 1
            except BaseException:  # a Ctrl-C: the next stop goes on with the rest
                self._put_back()
                raise
            self._answer = not (left or self._in_output or self._unflushed)
            self._begin_epoch("stopped")
            self._ledger.publish()
        if left or begun:
            self._report(
                f"stop ran out of time after {seconds:g} s: {left} records dropped "
                f"(shutdown_timeout), {begun} still inside an output"
            )

    def reset(self) -> None:
        """Goes back to the state after creation; see `Backend.reset`."""
        with self._lock:
            self._close_door()
            self._answer = False  # for a flush that waits
            self._begin_epoch("stopped")
            stuck = self._in_output
        self.wake_worker()
        self.join_worker(0 if stuck else _END_GRACE)
        with self._lock:
            self.queue.clear()
            self.queue.open()
            self._forget_work()
            self._begin_epoch("new")
            self._dispatch = None
            self._gave_up = False
            self._retry_at = None
            self._supervisor.forget()
            self._ledger.reset()

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters, `state` and `worker_restarts`; see `Backend.get_stats`."""
        with self._lock:
            self._ledger.publish()
            return {**self._ledger.snapshot(), "state": self._state}

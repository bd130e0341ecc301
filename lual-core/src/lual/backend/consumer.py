"""The worker's side of `BaseBackend`: when a batch is due, and running it.

Guarantees:
    * one lock, the ledger's, and never during anything that an author or user wrote;
    * records in hand stand in `_hand` until begun, so that a stop or a death can tell
      what was not begun;
    * a flush that waits is answered before the next batch is taken, so that a busy
      producer can't hold it.
Assumes: one worker at a time.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Sequence
from threading import get_ident
from typing import Literal

from lual.backend.batch import group_by_dispatch, report, run_group
from lual.backend.contract import BackendConfig
from lual.backend.items import Dispatch, WorkItem
from lual.backend.queue import BoundedQueue
from lual.reports import describe

#: `_wake_at` of a worker that is busy and will look at the queue by itself.
NEVER = sys.maxsize

State = Literal["new", "running", "stopping", "stopped"]


class WorkerKilled(BaseException):  # noqa: N818  it is no error: a test asked for it
    """Raised in the worker by `kill_worker`; only tests do that."""


class FlushTicket:
    """One flush that waits until everything before `position` is finished."""

    __slots__ = ("done", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.done = False


class Consumer:
    """Takes batches from the queue when they are due, and runs them.

    Args:
        config: The backend's.
    """

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self.queue = config.queue
        self._clock = config.clock
        self._ledger = config.ledger
        if isinstance(self.queue, BoundedQueue):
            self.queue.bind(self._ledger)
        self._lock = self._ledger.lock
        self._changed = threading.Condition(self._lock)
        self._trigger = min(config.batch_size, getattr(self.queue, "max_size", NEVER))
        self._dispatch: Dispatch | None = None
        self._state: State = "new"
        self._epoch = 0  # rises when nothing of before may begin any more
        self._forget_work()

    def _forget_work(self) -> None:
        self._wake_at = NEVER  # waiting records from which on a submit must wake the worker
        self._hand: deque[WorkItem] = deque()
        self._begun = 0  # records whose dispatch call is in progress
        self._in_output = False
        self._unflushed = False  # something was dispatched since the outputs' last flush
        self._flushes: list[FlushTicket] = []
        self._demand = 0  # records before this position don't wait for their batch
        self._worker: int | None = None  # its thread's ident
        self._killed = False
        self._floor = self._clock.now()  # nothing that waits is older than this

    def next_batch(self, *, park: bool = True) -> list[WorkItem] | None:
        """Returns the next records to run; the worker calls it in a loop.

        Args:
            park: False returns `[]` instead of waiting, for a worker that is scheduled
                from elsewhere.

        Returns:
            Up to `batch_size` records; None when the worker must end.

        Blocks: until a batch is due.
        """
        try:
            return self._next_batch(park)
        except BaseException as error:  # noqa: BLE001  the worker ends, reported and replaced
            self._died(error)
            return None

    def _died(self, error: BaseException) -> None:
        """Overridden by the side that supervises."""
        raise NotImplementedError

    def _next_batch(self, park: bool) -> list[WorkItem] | None:
        while True:
            self._flush_outputs()
            with self._lock:
                self._worker = get_ident()
                if self._killed:
                    raise WorkerKilled("a test asked for it")
                if self._state not in ("running", "stopping"):
                    return None
                if self._answer_flushes():
                    continue  # the outputs must be flushed first, without the lock
                wait = self._seconds_to_due()
                if wait == 0:
                    return self._take()
                if self._state == "stopping":
                    if self._unflushed:
                        continue
                    self._finish()
                    return None
                if not park:
                    return []
                # Said before the last look at the queue: a submit takes no lock, so it
                # either is seen here or sees that it must wake this worker.
                self._wake_at = 1 if wait is None else self._trigger
                if self.queue.size() < self._wake_at:
                    self._clock.wait(self._changed, wait)
                self._wake_at = NEVER

    def _finish(self) -> None:
        """Ends the stop that this worker has drained for."""
        self._state = "stopped"
        self._changed.notify_all()

    def _seconds_to_due(self) -> float | None:
        """Returns 0 if a batch is due, else the seconds until one is; None: nothing waits."""
        now = self._clock.now()
        size = self.queue.size()
        if size == 0:
            self._floor = now
            return None
        oldest = self.queue.oldest() or 0
        if size >= self._trigger or oldest < self._demand or self._state == "stopping":
            return 0
        return max(self._arrival(now) + self.config.flush_interval - now, 0)

    def _arrival(self, now: float) -> float:
        """Returns when the oldest waiting record came, never too late.

        The caller reads no clock for this. The record's own time tells, as long as it
        lies between what the worker knows for certain and now.
        """
        if isinstance(self.queue, BoundedQueue):
            item = self.queue.oldest_item()
            if item is not None:
                came = now - (self._clock.time() - item.submitted_at)
                if self._floor <= came <= now:
                    return came
        return self._floor

    def _take(self) -> list[WorkItem]:
        items = self.queue.extract_batch(self.config.batch_size)
        self._hand = deque(items)
        if items:
            self._ledger.sample("queue", self._clock.time() - items[0].submitted_at)
        if self.queue.size() == 0:
            self._floor = self._clock.now()
        return items

    def run(self, items: Sequence[WorkItem], *, on_caller: bool = False) -> None:
        """Dispatches what `next_batch` returned.

        Args:
            items: The batch.
            on_caller: True on an application's thread; see `run_batch`.

        Blocks: as long as the outputs do.
        """
        epoch = self._epoch
        for func, group in group_by_dispatch(items, self._dispatch):
            if not self._begin(len(group), epoch):
                return
            try:
                interruption = run_group(group, func, self.config)
            finally:
                self._end(epoch)
            if on_caller and interruption is not None:
                self._put_back()  # a caller's Ctrl-C: what was not begun waits again
                raise interruption

    def _begin(self, count: int, epoch: int) -> bool:
        with self._lock:
            if epoch != self._epoch:
                return False
            if count >= len(self._hand):
                self._hand.clear()
            else:
                for _ in range(count):
                    self._hand.popleft()
            self._begun = count
            self._in_output = self._unflushed = True
            return True

    def _end(self, epoch: int) -> None:
        with self._lock:
            if epoch == self._epoch or self._state == "stopped":
                self._begun = 0
                self._in_output = False

    def _put_back(self) -> None:
        with self._lock:
            self.queue.requeue_front(self._hand)
            self._hand.clear()

    def _is_reached(self, position: int) -> bool:
        oldest = self.queue.oldest()
        return (oldest is None or oldest >= position) and not self._hand and not self._begun

    def _answer_flushes(self) -> bool:
        """Marks the flushes that are finished; True if the outputs must be flushed first."""
        reached = [f for f in self._flushes if self._is_reached(f.position)]
        if not reached:
            return False
        if self._unflushed:
            return True
        for ticket in reached:
            ticket.done = True
            self._flushes.remove(ticket)
        self._changed.notify_all()
        return False

    def _flush_outputs(self) -> None:
        """Calls the dispatch's own flush if somebody waits for it."""
        with self._lock:
            wanted = self._state == "stopping" and self.queue.size() == 0
            wanted = wanted or any(self._is_reached(f.position) for f in self._flushes)
            if not (wanted and self._unflushed):
                return
            epoch = self._epoch
            flush = getattr(self._dispatch, "flush", None)
            self._unflushed = False
            self._in_output = True
        try:
            if flush is not None:
                flush()
        except BaseException as error:  # noqa: BLE001  an output's fault, not the worker's
            report(self.config.error_callback, f"the outputs' flush raised {describe(error)}")
        finally:
            self._end(epoch)

"""When a batch is due: the worker's side of `BaseBackend`.

Guarantees:
    * one lock, the ledger's, and never during anything that an author or user wrote;
    * a flush that waits is answered before any later record is taken, so that a busy
      producer can't hold it.
Assumes: one worker at a time.
"""

from __future__ import annotations

from threading import get_ident
from typing import Literal

from lual.backend.contract import BackendConfig
from lual.backend.items import WorkItem
from lual.backend.queue import BoundedQueue
from lual.backend.reentry import busy
from lual.backend.runner import NEVER, Runner

#: Seconds; beyond what epoch seconds as a float can tell apart in this millennium.
_EPOCH_ROUNDING = 1e-6

State = Literal["new", "running", "stopping", "stopped"]


class WorkerKilled(BaseException):
    """Raised in the worker by `kill_worker`; only tests do that."""


class FlushTicket:
    """One flush that waits until everything before `position` is finished."""

    __slots__ = ("done", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.done = False


class Consumer(Runner):
    """Takes batches from the queue when they are due, and runs them.

    Args:
        config: The backend's.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._is_bounded = isinstance(self.queue, BoundedQueue)
        self._waiting = getattr(self.queue, "waiting", self.queue.size)
        self._trigger = min(config.batch_size, getattr(self.queue, "max_size", NEVER))
        self._state: State = "new"
        self._forget_work()

    def _forget_work(self) -> None:
        self._forget_hand()
        self._flushes: list[FlushTicket] = []
        self._demand = 0  # records before this position don't wait for their batch
        self._owed = 0  # up to here somebody wants the outputs flushed, waiting or not
        self._worker: int | None = None  # its thread's ident
        self._worker_lives = False
        self._killed = False
        self._floor = self._clock.now()  # nothing that waits is older than this

    def next_batch(self, *, park: bool = True) -> list[WorkItem] | None:
        """Returns the next records to run; the worker calls it in a loop.

        Args:
            park: False returns `[]` instead of waiting, for a worker that is scheduled
                from elsewhere.

        Returns:
            Up to `batch_size` records; None when the worker must end.

        Raises:
            BaseException: Without `park`, what belongs to the thread that lends itself: a
                `KeyboardInterrupt`, say.

        Blocks: until a batch is due.
        """
        try:
            return self._next_batch(park)
        except BaseException as error:  # the worker ends, reported and replaced
            if not (park or isinstance(error, (Exception, WorkerKilled))):
                self._put_back()
                raise
            self._died(error, may_wait=park)
            return None

    def _died(self, error: BaseException, *, may_wait: bool) -> None:
        """Overridden by the side that supervises."""
        raise NotImplementedError

    @busy
    def _next_batch(self, park: bool) -> list[WorkItem] | None:
        while True:
            self._flush_outputs(on_caller=not park)
            with self._lock:
                if park:
                    self._worker = get_ident()
                if self._killed:
                    raise WorkerKilled("a test asked for it")
                if self._state not in ("running", "stopping"):
                    self._retire()
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
                self._park(wait)

    def _park(self, wait: float | None) -> None:
        # Said before the last look at the queue: a submit takes no lock, so it either is
        # seen here or sees that it must wake this worker.
        elsewhere = self.queue.size() - self._waiting()
        self._wake_at = 1 if wait is None else self._trigger - elsewhere
        if self._waiting() < self._wake_at:
            self._clock.wait(self._changed, wait)
        self._wake_at = NEVER

    def _finish(self) -> None:
        """Ends the stop that this worker has drained for."""
        self._state = "stopped"
        self._retire()
        self._changed.notify_all()

    def _retire(self) -> None:
        self._worker = None
        self._worker_lives = False

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
        if self._is_bounded:
            item = self.queue.oldest_item()
            if item is not None:
                age = self._clock.time() - item.submitted_at
                came = now - age - _EPOCH_ROUNDING
                if age >= 0 and came >= self._floor:
                    return came
        return self._floor

    def _take(self) -> list[WorkItem]:
        size = self.config.batch_size
        if self._flushes and self._is_bounded:  # a later record would keep the flush waiting
            oldest = self.queue.oldest() or 0
            ahead = [f.position for f in self._flushes if f.position > oldest]
            items = self.queue.extract_batch(size, before=min(ahead, default=None))
        else:
            items = self.queue.extract_batch(size)
        self._hand.extend(items)
        self._note_taking()
        if items:
            self._ledger.sample("queue", self._clock.time() - items[0].submitted_at)
        if self.queue.size() == 0:
            self._floor = self._clock.now()
        return items

    def _is_reached(self, position: int) -> bool:
        oldest = self.queue.oldest()
        return (oldest is None or oldest >= position) and not self._hand and not self._in_output

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

    def _flush_outputs(self, *, on_caller: bool) -> None:
        """Calls the dispatches' own flush if somebody waits for it."""
        with self._lock:
            wanted = self._state == "stopping" and self.queue.size() == 0
            wanted = wanted or any(self._is_reached(f.position) for f in self._flushes)
            # For who polls: the answer to this call may be wanted by the next.
            if self._owed and self._is_reached(self._owed):
                wanted, self._owed = True, 0
        if wanted and self._unflushed:
            self._flush_touched(on_caller)

"""Running what was taken: each record begun once, its outcome booked once.

Guarantees:
    * records in hand stand in `_hand` until begun, so that a stop or a death can tell
      what was not begun;
    * an outcome counts only if nothing of before was declared lost or forgotten meanwhile;
    * no lock is held during anything that an author or user wrote.
Assumes: one worker at a time.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lual.backend import batch
from lual.backend.contract import BackendConfig
from lual.backend.items import Dispatch, WorkItem
from lual.backend.reentry import busy
from lual.context import dispatching
from lual.reports import describe

#: `_wake_at` of a worker that is busy and will look at the queue by itself.
NEVER = sys.maxsize

#: The ledger's generation for outcomes that don't count; there is none below 0.
_STALE = -1


class Taken(NamedTuple):
    """What was the case when a batch was taken; later it may be out of date."""

    epoch: int
    generation: int
    worker: int


class HotPath:
    """What `submit` reads for every record: slots are faster than one dict of many names."""

    __slots__ = ("_enqueue", "_flush_level", "_waiting", "_wake_at")

    _enqueue: Callable[[WorkItem], bool]
    _flush_level: int
    _waiting: Callable[[], int]
    _wake_at: int


class Runner(HotPath):
    """Dispatches batches and keeps account of what is in hand.

    Args:
        config: The backend's.
    """

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self.queue = config.queue
        self._clock = config.clock
        self._ledger = config.ledger
        self._lock = self._ledger.lock
        self._changed = threading.Condition(self._lock)
        self._dispatch: Dispatch | None = None
        self._epoch = 0  # rises when nothing of before may begin any more
        self._incarnation = 0  # of the worker; rises when one is started, and when one is lost
        self._in_output = False
        self._forget_hand()

    def _forget_hand(self) -> None:
        self._wake_at = NEVER  # waiting records from which on a submit must wake the worker
        self._hand: deque[WorkItem] = deque()
        self._begun = 0  # records whose dispatch call is in progress
        self._unflushed: list[Any] = []  # dispatches that were called since their last flush
        self._note_taking()

    def _note_taking(self) -> None:
        self._taken = Taken(self._epoch, self._ledger.generation, self._incarnation)

    @busy
    def run(self, items: Sequence[WorkItem], *, on_caller: bool = False) -> None:
        """Dispatches what `next_batch` returned.

        Args:
            items: The batch.
            on_caller: True on an application's thread; see `run_batch`.

        Raises:
            BaseException: With `on_caller`, what the outputs raised for the caller.

        Blocks: as long as the outputs do.
        """
        taken = self._taken
        start = self._clock.now()
        try:
            for func, group in batch.group_by_dispatch(items, lambda: self._dispatch):
                if not self._begin(func, len(group), taken):
                    return
                failures = self._run_group(func, group, taken)
                if on_caller:
                    batch.raise_interruption(failures)
        except BaseException:
            self._lose_batch(taken)
            raise
        self._ledger.sample("dispatch", self._clock.now() - start, taken.generation)

    def _run_group(self, func: Any, group: Sequence[WorkItem], taken: Taken) -> batch.Failures:
        try:
            outcomes = batch.call(group, func)
            with self._lock:
                counts = taken.worker == self._incarnation  # else they were booked as lost
                generation = taken.generation if counts else _STALE
                failures = batch.book(group, func, outcomes, self.config, generation)
                if counts:
                    self._begun = 0
            batch.report_failures(failures, self.config)
            return failures
        finally:
            self._end(taken.worker)

    def _begin(self, func: Any, count: int, taken: Taken) -> bool:
        with self._lock:
            if taken.epoch != self._epoch or taken.worker != self._incarnation:
                return False
            if count >= len(self._hand):
                self._hand.clear()
            else:
                for _ in range(count):
                    self._hand.popleft()
            self._begun = count
            self._in_output = True
            if hasattr(func, "flush") and not any(func is known for known in self._unflushed):
                self._unflushed.append(func)
            return True

    def _end(self, worker: int) -> None:
        with self._lock:
            if worker == self._incarnation:
                self._in_output = False

    def _lose_batch(self, taken: Taken) -> None:
        """Settles a batch that ended by an exception: what was not begun waits again."""
        with self._lock:
            if taken.worker == self._incarnation:
                self._settle_begun()
                self._put_back()
                self._wake_at = 1  # nobody may look by itself any more
                self._changed.notify_all()

    def _settle_begun(self) -> None:
        """Books what was begun and has no outcome."""
        if self._begun:
            lost, self._begun = self._begun, 0
            self._ledger.book(self._ledger.generation, failed=lost, reason="worker_lost")

    def _put_back(self) -> None:
        with self._lock:
            if self._hand:
                items = list(self._hand)
                self._hand.clear()  # first: better lost by a Ctrl-C than written twice
                self.queue.requeue_front(items)

    def _flush_touched(self, on_caller: bool) -> None:
        """Calls the own flush of all dispatches that were called since the last time."""
        with self._lock:
            worker = self._incarnation
            touched, self._unflushed = self._unflushed, []
            self._in_output = True
        try:
            for dispatch in touched:
                self._flush_one(dispatch, on_caller)
        finally:
            self._end(worker)

    def _flush_one(self, dispatch: Any, on_caller: bool) -> None:
        try:
            with dispatching(0):
                dispatch.flush()
        except BaseException as error:
            if on_caller and not isinstance(error, Exception):
                raise
            self._ledger.add("backend_errors")
            message = f"the outputs' flush raised {describe(error)}"
            batch.report(self.config.error_callback, message)

"""The worker's side of the backends here: when a batch is due, and who has what in hand.

Written against the contract alone, apart from `BaseBackend`: any number of workers, each
with a hand of its own, so that a flush can wait for exactly the records before it.

Guarantees:
    * one lock, the ledger's, and never during an output, its flush or a report;
    * outputs are flushed by one worker at a time, after the records that a flush waits for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

from lual.backend import BackendConfig, BoundedQueue, WorkItem, run_batch
from lual.backend.batch import report
from lual.backend.reentry import busy
from lual.context import dispatching
from lual.reports import describe

#: What a worker does next, without the lock.
Task = Callable[[], None]

#: Seconds that two readings of epoch time may differ by rounding.
_ROUNDING = 1e-6


class Ticket:
    """One flush that waits until everything before `position` is finished."""

    __slots__ = ("done", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.done = False


class Hand:
    """What one worker has taken from the queue.

    Args:
        epoch: The start that it belongs to; of another epoch it may begin nothing.
        generation: The ledger's when it was made.
        lock: Of the condition on which its worker rests.
    """

    def __init__(self, epoch: int, generation: int, lock: threading.RLock) -> None:
        self.epoch = epoch
        self.generation = generation
        self.condition = threading.Condition(lock)
        self.items: deque[WorkItem] = deque()  # not begun
        self.begun = 0  # records whose call is in progress
        self.start: int | None = None  # position of the oldest one in hand
        self.waits_for_any = False  # rests, and must be told of the very next record
        self.on_caller = False  # serves on an application's thread


class WorkerSide:
    """Takes batches when they are due, runs them, and answers flushes.

    Args:
        config: The backend's.
    """

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self.queue = config.queue
        if isinstance(self.queue, BoundedQueue):
            self.queue.bind(config.ledger)
        self._clock = config.clock
        self._ledger = config.ledger
        self._lock = config.ledger.lock
        self._changed = threading.Condition(self._lock)
        self._trigger = min(config.batch_size, self.queue.max_size)
        self._dispatch: Any = None
        self._epoch = 0
        self._state = "new"
        self._forget()

    def _forget(self) -> None:
        self._hands: list[Hand] = []
        self._tickets: list[Ticket] = []
        self._demand = 0  # records before this position don't wait for their batch
        self._asked = -1  # a flush asked for the outputs' own up to here, and may have gone
        self._touched: list[Any] = []  # dispatches called since their last flush
        self._flushing = False
        self._floor = self._clock.now()  # nothing that waits is older than this

    def _new_hand(self) -> Hand:
        hand = Hand(self._epoch, self._ledger.generation, self._lock)
        self._hands.append(hand)
        return hand

    # What a worker does next

    def _serve(self, hand: Hand) -> None:
        """Works until the backend stops, or this worker has nothing to stay for."""
        while (task := self._choose(hand)) is not None:
            task()

    @busy
    def _choose(self, hand: Hand) -> Task | None:
        with self._lock:
            while hand.epoch == self._epoch and self._state in ("running", "stopping"):
                task = self._duty(hand) or self._flush_task(hand)
                if task is not None:
                    return task
                wait = self._seconds_to_due()
                if wait == 0:
                    self._take(hand)
                    return partial(self._run, hand)
                if self._state == "stopping":
                    self._finish_if_last()
                    break
                if not self._rest(hand, wait):
                    break
            if hand in self._hands:
                self._hands.remove(hand)
            return None

    def _duty(self, hand: Hand) -> Task | None:
        """Returns what comes before all records; overridden where there is such a thing."""
        return None

    def _rest(self, hand: Hand, wait: float | None) -> bool:
        """Waits until there may be work; False if the worker shall end instead.

        Args:
            hand: The worker's.
            wait: Seconds until a batch is due; None: nothing waits.
        """
        hand.waits_for_any = wait is None
        self._clock.wait(hand.condition, wait)
        hand.waits_for_any = False
        return True

    def _wake(self) -> None:
        """Makes every worker look again; the caller holds the lock."""
        for hand in self._hands:
            hand.condition.notify_all()

    def _finish_if_last(self) -> None:
        """Ends the stop, unless another worker still has something to do."""
        if self._flushing or self._touched or self._are_busy():
            return
        self._state = "stopped"
        self._wake()
        self._changed.notify_all()

    def _are_busy(self) -> bool:
        return any(hand.start is not None for hand in self._hands)

    # Batches

    def _seconds_to_due(self) -> float | None:
        """Returns 0 if a batch is due, else the seconds until one is; None: nothing waits."""
        size, now = self.queue.size(), self._clock.now()
        if size == 0:
            self._floor = now
            return None
        oldest = self.queue.oldest() or 0
        if size >= self._trigger or oldest < self._demand or self._state == "stopping":
            return 0
        return max(self._arrival(now) + self.config.flush_interval - now, 0)

    def _arrival(self, now: float) -> float:
        """Returns when the oldest record came: by its own time, if that can be true."""
        item = self.queue.oldest_item()
        if item is not None:
            came = now - (self._clock.time() - item.submitted_at) - _ROUNDING
            if self._floor <= came <= now:
                return came
        return self._floor

    def _portion(self) -> int:
        """Returns how many records a worker takes at once."""
        return self.config.batch_size

    def _take(self, hand: Hand) -> None:
        hand.start = self.queue.oldest() or 0
        # A later record in the same batch would keep a flush waiting.
        ahead = [ticket.position for ticket in self._tickets if ticket.position > hand.start]
        items = self.queue.extract_batch(self._portion(), before=min(ahead, default=None))
        hand.items.extend(items)
        if items:
            self._ledger.sample("queue", self._clock.time() - items[0].submitted_at)
        else:
            hand.start = None
        if self.queue.size() == 0:
            self._floor = self._clock.now()

    @busy
    def _run(self, hand: Hand) -> None:
        while items := self._not_begun(hand):
            func, group = self._group(items)
            flushable = func if hasattr(func, "flush") else None
            if not self._begin(hand, len(group)):
                return
            try:
                self._perform(hand, group, func)
            finally:
                self._end(hand, flushable)

    def _not_begun(self, hand: Hand) -> list[WorkItem]:
        with self._lock:
            return list(hand.items)

    def _group(self, items: Sequence[WorkItem]) -> tuple[Any, list[WorkItem]]:
        """Returns a dispatch function and the first records, which go there in one call.

        One by one, unless the function takes many: a stop may call the rest back.
        """
        own, default = items[0].dispatch_func, self._dispatch
        if own is None and hasattr(default, "many"):
            return default, list(takewhile(lambda item: item.dispatch_func is None, items))
        return (default if own is None else own), [items[0]]

    def _begin(self, hand: Hand, count: int) -> bool:
        with self._lock:
            if hand.epoch != self._epoch:
                return False
            for _ in range(count):
                hand.items.popleft()
            hand.begun = count
            return True

    def _perform(self, hand: Hand, group: Sequence[WorkItem], func: Any) -> None:
        """Dispatches a group and books its outcomes."""
        run_batch(group, func, self.config, on_caller=hand.on_caller)

    def _end(self, hand: Hand, flushable: Any) -> None:
        with self._lock:
            hand.begun = 0
            if not hand.items:
                hand.start = None
            known = any(flushable is other for other in self._touched)
            if flushable is not None and not known and hand.epoch == self._epoch:
                self._touched.append(flushable)

    # Flushes

    def _is_reached(self, position: int) -> bool:
        oldest = self.queue.oldest()
        if oldest is not None and oldest < position:
            return False
        return all(hand.start is None or hand.start >= position for hand in self._hands)

    def _flush_task(self, hand: Hand) -> Task | None:
        """Answers the flushes that are finished; returns what must be done before that."""
        reached = [ticket for ticket in self._tickets if self._is_reached(ticket.position)]
        drained = self._state == "stopping" and not self.queue.size() and not self._are_busy()
        asked = self._asked >= 0 and self._is_reached(self._asked)
        if self._flushing or not (reached or drained or asked):
            return None
        if asked:
            self._asked = -1
        if self._touched:
            touched, self._touched = self._touched, []
            self._flushing = True
            return partial(self._flush_outputs, hand, touched, reached)
        self._answer_flushes(reached)
        return None

    def _flush_outputs(self, hand: Hand, touched: Sequence[Any], reached: list[Ticket]) -> None:
        try:
            for dispatch in touched:
                self._flush_one(dispatch, hand)
        finally:
            with self._lock:
                if hand.epoch == self._epoch:
                    self._flushing = False
        with self._lock:
            if hand.epoch == self._epoch:
                self._answer_flushes(reached)

    def _flush_one(self, dispatch: Any, hand: Hand) -> None:
        try:
            with dispatching(0):
                dispatch.flush()
        except BaseException as error:
            if hand.on_caller and not isinstance(error, Exception):
                raise
            self._ledger.add("backend_errors")
            self._report(f"the outputs' flush raised {describe(error)}")

    def _answer_flushes(self, reached: list[Ticket]) -> None:
        for ticket in reached:
            ticket.done = True
            if ticket in self._tickets:  # else its caller has given up meanwhile
                self._tickets.remove(ticket)
        if reached:
            self._changed.notify_all()

    def _report(self, message: str) -> None:
        report(self.config.error_callback, message)

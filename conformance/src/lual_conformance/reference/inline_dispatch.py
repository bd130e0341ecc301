"""What a thread does that lends itself to `RefInline`.

Guarantees:
    * no lock is held during anything that a user wrote;
    * nothing is taken from the queue before it begins, so that a stop, a deadline or a new
      dispatch function reaches all the rest.
Assumes: whoever calls `_dispatch_batch` has the turn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, Literal

from lual.backend import BackendConfig
from lual.backend.items import Dispatch
from lual.backend.reentry import busy
from lual_conformance.reference.group import (
    Group,
    flush_outputs,
    has_waited,
    note_dispatch,
    run_group,
    take_group,
)
from lual_conformance.reference.turn import Turn

#: Seconds that a call without time may work all the same, as the contract allows.
_GRACE = 0.05

State = Literal["new", "running", "stopping", "stopped"]


class Ticket:
    """One flush that waits until everything before `position` is finished."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.done = False


class InlineDispatch:
    """When a batch is due, and how a thread that finds it due runs it.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self.queue = config.queue
        self.queue.bind(config.ledger)
        self._ledger, self._clock = config.ledger, config.clock
        self._lock = config.ledger.lock
        self._turn = Turn(self._lock)
        self._changed = self._turn.changed
        self._state: State = "new"
        self._floor = 0.0  # nothing that waits came before
        self._in_output = False  # changed without the lock, by who has the turn alone
        self._forget()

    def _forget(self) -> None:
        self._dispatch: Dispatch | None = None
        self._demand = 0  # records before this position don't wait for their batch
        self._tickets: list[Ticket] = []
        self._unflushed: list[Any] = []  # dispatches called since their last flush
        self._answer = True  # of the last stop
        self._somebody_stops = False  # and will drop what can't be drained

    def _urge(self) -> None:
        """Makes everything due that has been admitted so far."""
        demand = -1
        while demand != self.queue.watermark():  # an interruption may have admitted more
            demand = self._demand = self.queue.watermark()

    # When a batch is due

    def _is_due(self) -> bool:
        return not self.queue.is_empty() and (
            self._is_full() or self._is_demanded() or self._is_overdue()
        )

    def _is_full(self) -> bool:
        return self.queue.size() >= min(self.config.batch_size, self.queue.max_size)

    def _is_demanded(self) -> bool:
        oldest = self.queue.oldest()
        return self._state == "stopping" or (oldest is not None and oldest < self._demand)

    def _is_overdue(self) -> bool:
        return has_waited(self.config, self._floor) >= self.config.flush_interval

    # Dispatching

    def _dispatch_due(self, until: float = math.inf) -> None:
        """Dispatches what is due, also for those who found this thread at it and left."""
        start = self._clock.now()
        for batches in itertools.count():
            ends = self._state == "stopping" and not self._somebody_stops
            if self._clock.now() >= until or not (ends or self._is_due()):
                return
            if self._has_done_enough(batches, start):
                return
            if not self._turn.take(lambda: self._dispatch_batch(until)):
                return

    def _has_done_enough(self, batches: int, start: float) -> bool:
        """Tells whether a call has worked long enough for others.

        After twice the capacity, whoever still leaves more is busy, and one of its next
        calls takes over; unless all of them wait for room.
        """
        if batches < 2 * (self.queue.max_size // self.config.batch_size + 1):
            return False
        waited = self._clock.now() - start
        return not self._turn.is_awaited() or waited >= self.config.block_timeout

    @busy
    def _dispatch_batch(self, until: float = math.inf) -> None:
        """Runs up to one batch, as long as there is time, and answers who waits for it."""
        left = self.config.batch_size
        try:
            while left > 0 and self._clock.now() < until and (group := self._take(left)):
                left -= len(group.items)
                self._run(group)
        except BaseException:  # the caller's, on its way there: the next call goes on
            self._in_output = False
            self._urge()
            raise
        if self._clock.now() < until:
            self._answer_flushes()

    def _take(self, most: int) -> Group | None:
        """Takes what begins now; never what came after a flush that still waits."""
        with self._lock:
            if self._state not in ("running", "stopping"):
                return None
            oldest = self.queue.oldest() or 0
            ahead = [t.position for t in self._tickets if t.position > oldest]
            if len(ahead) < len(self._tickets):
                return None  # one of them is to be answered first
            group = take_group(self.config, self._dispatch, most, min(ahead, default=None))
            if group is not None:
                self._in_output = True
                note_dispatch(group.func, self._unflushed)
            return group

    def _run(self, group: Group) -> None:
        try:
            run_group(group, self.config)
        finally:
            self._in_output = False

    # Answering

    def _pursue(self, is_over: Callable[[], bool], deadline: float) -> None:
        """Dispatches, or waits for who does, until something is over or the time is."""
        latest = max(deadline, self._deadline(_GRACE))
        while not is_over():
            if self._clock.now() < latest and self._turn.take(lambda: self._dispatch_batch(latest)):
                continue
            with self._lock:
                left = deadline - self._clock.now()
                if left <= 0:
                    return
                if self._turn.is_taken() and not is_over():
                    self._clock.wait(self._changed, left)

    def _deadline(self, seconds: float) -> float:
        return self._clock.now() + seconds

    def _is_finished(self, position: int) -> bool:
        """Tells whether nothing admitted before is left; asked where nothing is in hand."""
        oldest = self.queue.oldest()
        return oldest is None or oldest >= position

    def _answer_flushes(self) -> None:
        """Ends the flushes, and the stop, for which everything is finished."""
        with self._lock:
            reached = [t for t in self._tickets if self._is_finished(t.position)]
            drained = self._state == "stopping" and self.queue.is_empty()
        if reached or drained:
            self._flush_outputs()
        with self._lock:
            for ticket in reached:
                ticket.done = True
                self._tickets = [t for t in self._tickets if t is not ticket]
            if drained and self._state == "stopping":
                self._state = "stopped"
            self._changed.notify_all()

    def _flush_outputs(self) -> None:
        self._in_output = True
        try:
            flush_outputs(self._unflushed, self.config, on_caller=True)
        finally:
            self._in_output = False

"""A backend that writes each record before `submit` returns.

There is no batch and nothing to wait for: a record waits only while another call is in the
middle of writing, and that call goes on with it. The outputs are flushed behind each record.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any, Literal

from lual.backend import Backend, BackendConfig, WorkItem
from lual.backend.clock import check_timeout
from lual.backend.items import Dispatch
from lual.backend.reentry import busy, carries, interrupts_lual
from lual_conformance.reference.group import (
    drop_waiting,
    flush_outputs,
    report_dropped,
    run_group,
    take_group,
)
from lual_conformance.reference.plugin import Plugin
from lual_conformance.reference.turn import Turn

#: Position of the record in hand, when there is none.
_NONE = -1

#: Position after every record.
_ALL = sys.maxsize

#: Seconds beyond a deadline that a call without time may use.
_SHORTEST = 0.05


class Synchronous(Backend):
    """Dispatches inline, one record at a time.

    Args:
        config: See `BackendConfig`; batch size and interval don't matter here.
    """

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self._queue = config.queue
        self._queue.bind(config.ledger)
        self._clock = config.clock
        self._turn = Turn(config.ledger.lock)
        self._dispatch: Dispatch | None = None
        self._state: Literal["new", "running", "stopping", "stopped"] = "new"
        self._in_hand = _NONE
        self._was_clean = True
        self._somebody_stops = False  # and will drop what can't be written

    @carries("work_item")
    def submit(self, work_item: WorkItem) -> bool:
        """Writes one record, or leaves it to the call that is writing."""
        if self._state != "running":
            return False
        if self._queue.overflow_strategy == "block":
            taken = self._enqueue_with_room(work_item)
        else:
            taken = self._queue.enqueue(work_item)
        if taken:
            self._write_waiting(work_item)
        return taken

    def _enqueue_with_room(self, item: WorkItem) -> bool:
        with self._turn.depending():
            while self._queue.size() >= self._queue.max_size:
                if interrupts_lual(item) or not self._turn.take(self._write):
                    break
            return self._queue.enqueue(item)

    def _write_waiting(self, item: WorkItem) -> None:
        """Writes what waits, also for those who found this thread at it and left.

        After twice the capacity, whoever still leaves more is busy, and calls again; unless
        all of them wait for room.
        """
        end = self._clock.now() + self.config.block_timeout
        for written in itertools.count():
            is_enough = written >= 2 * self._queue.max_size
            if is_enough and not (self._turn.is_awaited() and self._clock.now() < end):
                break
            if self._queue.is_empty() or interrupts_lual(item) or not self._turn.take(self._write):
                break
        self._end_stop()

    @busy
    def _write(self) -> None:
        """Writes one record and flushes the outputs behind it."""
        with self._turn.changed:
            oldest = self._queue.oldest()
            taken = take_group(self.config, self._dispatch, 1)
            if taken is None or oldest is None:
                return
            self._in_hand = oldest
        try:
            run_group(taken, self.config)
        finally:
            try:
                if hasattr(taken.func, "flush"):
                    flush_outputs([taken.func], self.config, on_caller=True)
            finally:
                self._in_hand = _NONE

    @busy
    def flush(self, timeout: float | None = None) -> bool:
        """Waits for other calls that are writing."""
        seconds = check_timeout(timeout, self.config.flush_timeout)
        if self._turn.is_mine() or interrupts_lual():
            return False
        self.config.ledger.add("flushes")
        with self._turn.changed:
            if self._state in ("new", "stopped"):
                return True
            position, generation = self._queue.watermark(), self.config.ledger.generation
        done = self._pursue(lambda: self._is_written(position), seconds)
        done = done and generation == self.config.ledger.generation  # else they were reset
        if not done:
            self.config.ledger.add("flush_timeouts")
        self._end_stop()
        return done

    def _is_written(self, position: int) -> bool:
        oldest = self._queue.oldest()
        waits = oldest is not None and oldest < position
        return not (waits or _NONE < self._in_hand < position)

    def _pursue(self, is_over: Callable[[], bool], seconds: float) -> bool:
        """Writes, or waits for who does, until something is over; False if time is."""
        deadline = self._clock.now() + seconds
        latest = max(deadline, self._clock.now() + _SHORTEST)
        while True:
            with self._turn.changed:
                if is_over():
                    return True
            if self._clock.now() < latest and self._turn.take(self._write):
                continue
            with self._turn.changed:
                left = deadline - self._clock.now()
                if left <= 0:
                    return is_over()
                if self._turn.is_taken() and not is_over():
                    self._clock.wait(self._turn.changed, left)

    def start(self, dispatch_func: Dispatch | None = None) -> None:
        """Begins to take records."""
        with self._turn.changed:
            if self._state == "stopping":
                raise RuntimeError("the backend is stopping; start it when stop has returned")
            if self._state != "running":
                if self._in_hand != _NONE:
                    raise RuntimeError("a call of before is still inside an output")
                self._queue.open()
                self._was_clean = True
                self._state = "running"
            if dispatch_func is not None:
                self._dispatch = dispatch_func

    @busy
    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, and waits for calls that are writing."""
        seconds = check_timeout(timeout, self.config.shutdown_timeout)
        inside = self._turn.is_mine() or interrupts_lual()
        decides = False
        try:
            with self._turn.changed:
                if self._state == "running":
                    self._state = "stopping"
                    self._queue.close()
                decides = self._state == "stopping" and not (inside or self._somebody_stops)
                self._somebody_stops = self._somebody_stops or decides
            if inside:
                return False  # the call that is writing ends the stop
            self._pursue(lambda: self._state != "stopping" or self._is_written(_ALL), seconds)
            self._end_stop()
            if decides:
                self._abandon(seconds)
        finally:
            if decides:
                self._somebody_stops = False
        return self._state in ("new", "stopped") and self._was_clean

    def _end_stop(self) -> None:
        """Ends a stop for which nothing is left, whoever asked for it."""
        with self._turn.changed:
            if self._state == "stopping" and self._is_written(_ALL):
                self._state = "stopped"
                self._turn.changed.notify_all()

    def _abandon(self, seconds: float) -> None:
        with self._turn.changed:
            if self._state != "stopping":
                return
            begun = self._in_hand != _NONE
            count = drop_waiting(self.config)
            self._was_clean = not (count or begun)
            self._state = "stopped"
            self._turn.changed.notify_all()
        report_dropped(self.config, seconds, count, begun=begun)

    def reset(self) -> None:
        """Goes back to the state after creation, counting nothing."""
        with self._turn.changed:
            self._state = "new"
            self._queue.close()  # until a start: a submit may be on its way
            self._queue.clear()
            self._dispatch = None
            self._was_clean = True
            self.config.ledger.reset()
            self._turn.changed.notify_all()

    def get_stats(self) -> dict[str, Any]:
        """Returns the ledger's counters and the state."""
        self.config.ledger.publish()
        return {**self.config.ledger.snapshot(), "state": self._state}


plugin = Plugin(
    Synchronous,
    "synchronous",
    "writes each record before the call returns",
    worker="none",
    ordering="fifo",
    overflow=("drop_oldest", "drop_newest", "block"),
    dispatch_concurrency=1,
    restartable=True,
    clock="injected",
    exit_flush=True,
    fork="reinit",
    free_threaded=True,
    delivery="at_most_once",
)

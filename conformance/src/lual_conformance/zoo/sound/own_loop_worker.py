"""The event loop of `OwnLoop`, and what happens in it.

The loop sleeps until it is woken, or its timer says that the oldest record has waited long
enough; both end in `_look`, which does all the work.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Literal

from lual.backend import BackendConfig, run_batch
from lual.backend.items import Dispatch
from lual.backend.reentry import busy
from lual_conformance.reference.group import (
    Group,
    flush_outputs,
    has_waited,
    note_dispatch,
    take_group,
)


class LoopWorker:
    """Drains the queue from callbacks of an event loop.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        self.config = config
        self._queue = config.queue
        self._queue.bind(config.ledger)
        self._clock = config.clock
        self._changed = threading.Condition(config.ledger.lock)
        self._state: Literal["new", "running", "stopping", "stopped"] = "new"
        self._trigger = min(config.batch_size, self._queue.max_size)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_woken = False  # a look is on its way
        self._is_timed = False  # a record alone needs no look: the timer will come
        self._in_output = False
        self._floor = 0.0  # nothing that waits came earlier
        self._somebody_stops = False  # and will drop what can't be drained
        self._forget()

    def _forget(self) -> None:
        self._dispatch: Dispatch | None = None
        self._demand = 0  # records before this position don't wait for their batch
        self._awaited: list[int] = []  # positions that flushes wait for
        self._flushed = 0  # everything before is finished, and the outputs flushed
        self._unflushed: list[Any] = []
        self._was_clean = True

    def _urge(self) -> int:
        """Makes all that was admitted so far due; returns the position after it."""
        demand = -1
        while demand != self._queue.watermark():  # an interruption may have admitted more
            demand = self._demand = self._queue.watermark()
        return demand

    @busy
    def _wake(self) -> None:
        loop = self._loop
        if loop is None or self._is_woken:
            return
        try:
            self._is_woken = True
            loop.call_soon_threadsafe(self._look)
        except RuntimeError:  # the loop has ended since
            self._is_woken = False
        except BaseException:  # a Ctrl-C: nobody may have woken it
            self._is_woken = False
            raise

    # In the loop

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon(self._look)
            loop.run_forever()
        finally:
            loop.close()

    @busy
    def _look(self) -> None:
        """Runs every batch that is due, answers flushes, and arranges the next look."""
        self._is_woken = False
        while self._is_due():
            self._answer()  # what is due may stand behind a flush that nothing keeps waiting
            self._run_due_batch()
        self._answer()
        if self._state in ("running", "stopping"):
            self._arrange_next_look()
        else:
            asyncio.get_running_loop().stop()

    def _is_due(self) -> bool:
        oldest = self._queue.oldest()
        if oldest is None or self._state not in ("running", "stopping"):
            return False
        return (
            self._queue.size() >= self._trigger
            or oldest < self._demand
            or self._state == "stopping"
            or self._seconds_left() <= 0
        )

    def _seconds_left(self) -> float:
        return self.config.flush_interval - has_waited(self.config, self._floor)

    def _run_due_batch(self) -> None:
        left = self.config.batch_size
        while left > 0 and (group := self._take(left)):
            left -= len(group.items)
            try:
                run_batch(group.items, group.func, self.config)
            finally:
                with self._changed:
                    self._in_output = False
                    self._changed.notify_all()
            self._answer()

    def _take(self, most: int) -> Group | None:
        """Takes what begins now; never what came after a flush that still waits."""
        with self._changed:
            if self._state not in ("running", "stopping"):
                return None
            group = take_group(self.config, self._dispatch, most, min(self._awaited, default=None))
            if group is not None:
                self._in_output = True
                note_dispatch(group.func, self._unflushed)
            return group

    def _answer(self) -> None:
        """Flushes the outputs if somebody waits for that, and says how far all is finished."""
        with self._changed:
            oldest = self._queue.oldest()
            position = self._queue.watermark() if oldest is None else oldest
            drained = self._state == "stopping" and oldest is None
            if not drained and not any(p <= position for p in self._awaited):
                return
            self._in_output = True
        flush_outputs(self._unflushed, self.config, on_caller=False)
        with self._changed:
            self._in_output = False
            self._flushed = max(self._flushed, position)
            self._awaited = [p for p in self._awaited if p > position]
            if drained and self._state == "stopping":
                self._state = "stopped"
            self._changed.notify_all()

    def _arrange_next_look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._is_timed = None, False
        now = self._clock.now()
        if not self._queue.is_empty():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(self._seconds_left(), 0.0), self._look)
            self._is_timed = True
            if self._is_due():  # since the last look
                self._wake()
        else:
            self._floor = now

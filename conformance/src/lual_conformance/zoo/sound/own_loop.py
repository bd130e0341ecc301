"""A backend whose worker is an asyncio event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from lual.backend import Backend, WorkItem
from lual.backend.clock import check_timeout
from lual.backend.items import Dispatch
from lual.backend.reentry import busy, carries, interrupts_lual
from lual_conformance.reference.group import drop_waiting, report_dropped
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.own_loop_worker import LoopWorker

#: Seconds for a worker that is not inside an output, and so must be about to end.
_END_GRACE = 1.0

#: Seconds beyond its deadline that a stop waits for such a worker.
_GRACE = 0.04


class OwnLoop(LoopWorker, Backend):
    """Drains the queue from callbacks of a private event loop.

    Args:
        config: See `BackendConfig`.
    """

    # Submitting

    @carries("work_item")
    def submit(self, work_item: WorkItem) -> bool:
        """Queues one record, and wakes the loop if that makes a batch due."""
        if self._state != "running" or not self._queue.enqueue(work_item):
            return False
        urgent = work_item.level >= self.config.flush_level
        if urgent:
            self._urge()
        if urgent or not self._is_timed or self._queue.size() >= self._trigger:
            self._wake()
        return True

    # Flushing

    @busy
    def flush(self, timeout: float | None = None) -> bool:
        """Waits until the loop has dispatched everything admitted so far."""
        seconds = check_timeout(timeout, self.config.flush_timeout)
        if self._is_inside() or interrupts_lual():
            return False
        deadline = self._clock.now() + seconds
        self.config.ledger.add("flushes")
        with self._changed:
            if self._state in ("new", "stopped"):
                return True
            generation, position = self.config.ledger.generation, self._urge()
            self._awaited.append(position)
        try:
            self._wake()
            self._wait(
                lambda: self._flushed >= position or self._state in ("new", "stopped"), deadline
            )
            done = generation == self.config.ledger.generation and (
                self._flushed >= position or (self._state == "stopped" and self._was_clean)
            )
        finally:
            with self._changed:
                if position in self._awaited:
                    self._awaited.remove(position)
        if not done:
            self.config.ledger.add("flush_timeouts")
        return done

    def _is_inside(self) -> bool:
        return threading.current_thread() is self._thread

    def _wait(self, is_over: Callable[[], bool], deadline: float) -> None:
        with self._changed:
            while not is_over() and (left := deadline - self._clock.now()) > 0:
                self._clock.wait(self._changed, left)

    # Lifecycle

    def start(self, dispatch_func: Dispatch | None = None) -> None:
        """Starts the thread and its loop."""
        self._join(0.0 if self._in_output else _END_GRACE)
        with self._changed:
            if self._state == "stopping":
                raise RuntimeError("the backend is stopping; start it when stop has returned")
            if self._state != "running":
                self._launch()
            if dispatch_func is not None:
                self._dispatch = dispatch_func

    def _launch(self) -> None:
        if not self._has_ended():
            raise RuntimeError("the thread of before is still inside an output")
        loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=self._work, args=(loop,), name="lual-own-loop", daemon=True
        )
        before = (self._state, self._loop, self._thread)
        self._is_woken = self._is_timed = False
        self._timer = None
        self._floor = self._clock.now()
        self._loop, self._thread = loop, thread
        try:
            self._state = "running"
            thread.start()
        except BaseException:
            self._state, self._loop, self._thread = before
            if thread.ident is None:
                loop.close()
            raise
        self._was_clean = True
        self._queue.open()

    def _has_ended(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def _join(self, seconds: float) -> bool:
        """Waits for a thread that has been told to end; False if it goes on."""
        thread = self._thread
        if thread is None or self._is_inside() or self._state in ("running", "stopping"):
            return thread is None
        thread.join(seconds)
        return not thread.is_alive()

    @busy
    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, and waits until the loop has drained and ended."""
        seconds = check_timeout(timeout, self.config.shutdown_timeout)
        deadline = self._clock.now() + seconds
        inside = self._is_inside() or interrupts_lual()
        decides = False
        try:
            with self._changed:
                if self._state == "new":
                    return True
                if self._state == "running":
                    self._state = "stopping"
                    self._queue.close()
                decides = self._state == "stopping" and not (inside or self._somebody_stops)
                self._somebody_stops = self._somebody_stops or decides
            self._wake()
            if inside:
                return False  # the loop finishes the drain by itself
            self._wait(lambda: self._state != "stopping", deadline)
            if decides:
                self._abandon(seconds)
        finally:
            if decides:
                self._somebody_stops = False
        left = 0.0 if self._in_output else max(deadline - self._clock.now(), _GRACE)
        return self._join(min(left, threading.TIMEOUT_MAX)) and self._was_clean

    def _abandon(self, seconds: float) -> None:
        with self._changed:
            if self._state != "stopping":
                return
            count, begun = drop_waiting(self.config), self._in_output
            self._was_clean = not (count or begun or self._unflushed)
            self._state = "stopped"
            self._changed.notify_all()
        self._wake()
        report_dropped(self.config, seconds, count, begun=begun)

    def reset(self) -> None:
        """Goes back to the state after creation, counting nothing."""
        with self._changed:
            self._state = "new"
            self._queue.close()  # until a start: a submit may be on its way
            self._changed.notify_all()
        self._wake()
        if not self._is_inside():
            # The outcomes of a batch that has hardly begun would count as new ones.
            self._wait(lambda: not self._in_output, self._clock.now() + _END_GRACE)
            self._join(0.0 if self._in_output else _END_GRACE)
        with self._changed:
            self._queue.clear()
            self._forget()
            self.config.ledger.reset()

    def get_stats(self) -> dict[str, Any]:
        """Returns the ledger's counters and the state."""
        self.config.ledger.publish()
        return {**self.config.ledger.snapshot(), "state": self._state}


plugin = Plugin(
    OwnLoop,
    "own_loop",
    "a thread that runs an event loop of its own",
    worker="thread",
    isolates_slow_outputs=True,
    ordering="fifo",
    overflow=("drop_oldest", "drop_newest", "block"),
    dispatch_concurrency=1,
    restartable=True,
    clock="wall",
    exit_flush=True,
    fork="reinit",
    delivery="at_most_once",
)

"""A backend that takes nothing from lual but the contract.

It inherits nothing of lual's, has a queue of its own, dispatches by itself, and so counts
by itself: every key that `BoundedQueue` and `run_batch` would keep, in `config.stats`.
"""

from __future__ import annotations

import threading
from typing import Any

from lual.backend import Backend, WorkItem
from lual.backend.items import Dispatch
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.duck_worker import DuckWorker

#: Real seconds for a thread that has nothing left to do but end.
_END_GRACE = 1.0


class Duck(DuckWorker):
    """Six calls over one thread and one deque; arguments as for `DuckWorker`."""

    def submit(self, work_item: WorkItem) -> bool:
        """Queues one record, and wakes the thread if that makes a batch due."""
        with self._changed:
            taken = self._leave(work_item) if self._is_busy else self._admit_all(work_item)
            self._admit_late()
        if self._untold:
            self._tell_drops()
        return taken

    # Flushing

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until everything admitted so far is finished."""
        deadline = self._clock.now() + _seconds(timeout, self.config.flush_timeout)
        with self._changed:
            if self._is_inside():
                return False
            self._admit_late()
            self._books.add("flushes")
            self._books.write()
            if self._state in ("new", "stopped"):
                return True
            position, generation = self._admitted, self._books.generation
            self._demand = position
            self._awaited.append(position)
            self._changed.notify_all()
            try:
                while self._flushed < position and self._state in ("running", "stopping"):
                    left = deadline - self._clock.now()
                    if left <= 0:
                        break
                    self._clock.wait(self._changed, left)
                clean = self._state == "stopped" and self._was_clean
                done = generation == self._books.generation and (self._flushed >= position or clean)
            finally:
                if position in self._awaited:
                    self._awaited.remove(position)
            if not done:
                self._books.add("flush_timeouts")
                self._books.write()
            return done

    def _is_inside(self) -> bool:
        """Tells whether this call comes from an output, or interrupts another one."""
        return self._is_busy or threading.current_thread() is self._thread

    # Lifecycle

    def start(self, dispatch_func: Dispatch | None = None) -> None:
        """Starts the thread."""
        self._join(0.0 if self._in_hand else _END_GRACE)
        with self._changed:
            if self._state == "stopping":
                raise RuntimeError("the backend is stopping; start it when stop has returned")
            if self._state != "running":
                self._launch()
            if dispatch_func is not None:
                self._dispatch = dispatch_func

    def _launch(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            raise RuntimeError("the thread of before is still inside an output")
        before = (self._state, self._thread)
        try:
            self._state = "running"
            self._thread = threading.Thread(target=self._work, name="lual-duck", daemon=True)
            self._thread.start()
        except BaseException:
            self._state, self._thread = before
            raise
        self._was_clean = True

    def _join(self, seconds: float) -> bool:
        """Waits for a thread that has been told to end; False if it goes on."""
        thread = self._thread
        if thread is None:
            return True
        if self._state in ("running", "stopping") or thread is threading.current_thread():
            return False
        thread.join(seconds)
        return not thread.is_alive()

    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, and waits until the thread has drained and ended."""
        seconds = _seconds(timeout, self.config.shutdown_timeout)
        deadline = self._clock.now() + seconds
        with self._changed:
            if self._state == "new":
                return True
            if self._state == "running":
                self._state = "stopping"
                self._changed.notify_all()
            if self._is_inside():
                return False  # the thread finishes the drain by itself
            decides = self._state == "stopping" and not self._somebody_stops
            self._somebody_stops = self._somebody_stops or decides
            try:
                while self._state == "stopping" and (left := deadline - self._clock.now()) > 0:
                    self._clock.wait(self._changed, left)
                loss = self._abandon(seconds) if decides and self._state == "stopping" else None
            finally:
                if decides:
                    self._somebody_stops = False
        if loss:
            self._report(loss)
        return self._join(0.0 if self._in_hand else _END_GRACE) and self._was_clean

    def _abandon(self, seconds: float) -> str | None:
        """Drops what could not be drained in time; returns the report of it."""
        self._admit_all(None)
        count, begun = len(self._queue), self._in_hand
        while self._queue:
            self._drop(self._queue.popleft().item, "shutdown_timeout")
        self._books.write()
        self._was_clean = not (count or begun or self._unflushed)
        self._state = "stopped"
        self._changed.notify_all()
        if not (count or begun):
            return None
        return (
            f"stop ran out of time after {seconds:g} s: {count} records dropped "
            f"(shutdown_timeout), {int(begun)} still inside an output"
        )

    def reset(self) -> None:
        """Goes back to the state after creation, counting nothing."""
        with self._changed:
            self._state = "new"
            self._late.clear()
            self._forget()
            self._books.zero()
            self._changed.notify_all()
            stuck = self._in_hand
        self._join(0.0 if stuck else _END_GRACE)

    def get_stats(self) -> dict[str, Any]:
        """Returns all counters, and the state."""
        with self._changed:
            return {**self._books.read(), "state": self._state}


Backend.register(Duck)


def _seconds(timeout: float | None, default: float) -> float:
    if timeout is None:
        return default
    if not timeout >= 0:  # NaN is neither
        raise ValueError(f"timeout must be 0 or more seconds, got {timeout!r}")
    return timeout


plugin = Plugin(
    Duck,
    "duck",
    "inherits from nothing, and has a queue and books of its own",
    worker="thread",
    isolates_slow_outputs=True,
    ordering="fifo",
    overflow=("drop_oldest", "drop_newest"),
    dispatch_concurrency=1,
    restartable=True,
    clock="injected",
    exit_flush=True,
    fork="reinit",
    delivery="at_most_once",
)

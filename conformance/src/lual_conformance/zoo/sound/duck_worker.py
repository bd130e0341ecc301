"""The queue and the thread of `Duck`.

One lock, which is re-entrant: a call that interrupts another one on the same thread (from a
signal handler, say) finds `_is_busy` set, and leaves what it wants to the one that it
interrupted.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import Any, Literal, NamedTuple

from lual.backend import BackendConfig, ConfigError, WorkItem
from lual.backend.items import Dispatch
from lual.errors import ReportedError
from lual_conformance.zoo.sound.duck_books import Books

#: Seconds of a clock that counts them as floats.
_ROUNDING = 1e-9


class Waiting(NamedTuple):
    """A record in the queue: how many came before it, since when it waits, and itself."""

    position: int
    since: float
    item: WorkItem


class Begun(NamedTuple):
    """A record on its way to the outputs, with what was the case when it was taken."""

    item: WorkItem
    func: Any
    generation: int


class DuckWorker:
    """What happens between `submit` and the outputs.

    Args:
        config: See `BackendConfig`; its queue only says how much fits.

    Raises:
        ConfigError: The strategy is `block`, which this backend doesn't have.
    """

    def __init__(self, config: BackendConfig) -> None:
        strategy = config.queue.overflow_strategy
        if "block" in (strategy, config.overflow_strategy):
            raise ConfigError(
                "overflow_strategy is 'block', which this backend doesn't have; "
                "use drop_oldest or drop_newest"
            )
        self.config = config
        self._evicts = strategy == "drop_oldest"
        self._limit = min(config.queue.max_size, config.max_queue_size)
        self._trigger = min(config.batch_size, self._limit)
        self._clock = config.clock
        self._changed = threading.Condition(config.ledger.lock)
        self._state: Literal["new", "running", "stopping", "stopped"] = "new"
        self._thread: threading.Thread | None = None
        self._is_busy = False  # the thread that holds the lock is in the middle of something
        self._late: deque[WorkItem] = deque()  # from calls that interrupted that
        self._untold: deque[tuple[WorkItem, str]] = deque()  # drops
        self._in_hand = False
        self._admitted = 0
        self._entering = 0  # 1 while a record is being queued
        self._somebody_stops = False  # and will drop what can't be drained
        self._forget()
        self._books = Books(config, lambda: len(self._queue))

    def _forget(self) -> None:
        self._queue: deque[Waiting] = deque()
        self._batch = 0  # records of the batch in progress that have not begun
        self._demand = 0  # records before this position don't wait for their batch
        self._awaited: list[int] = []  # positions that flushes wait for
        self._flushed = -1  # all before is finished, and the outputs flushed
        self._dispatch: Dispatch | None = None
        self._unflushed: list[Any] = []
        self._was_clean = True

    # Queueing

    def _leave(self, item: WorkItem) -> bool:
        """Leaves a record to the call that this one interrupted."""
        if self._state != "running":
            return False
        ahead = len(self._queue) + len(self._late) + self._entering
        if not self._evicts and ahead >= self._limit:
            self._drop(item, "overflow_newest")
            return False
        self._late.append(item)
        return True

    def _admit_all(self, item: WorkItem | None) -> bool:
        """Queues a record and those that came meanwhile; tells whether it was taken itself."""
        taken = False
        try:
            self._is_busy = True
            if item is not None and self._state == "running":
                self._entering = 1
                taken = self._admit(item)
                self._entering = 0
            while self._late:
                self._admit(self._late.popleft())
            self._books.write()
        finally:
            self._entering = 0
            self._is_busy = False
        if len(self._queue) == 1 or self._is_due():
            self._changed.notify_all()
        return taken

    def _admit_late(self) -> None:
        """Queues what came at the very end of the call that was interrupted."""
        while self._late and not self._is_busy:
            self._admit_all(None)

    def _admit(self, item: WorkItem) -> bool:
        if len(self._queue) >= self._limit:
            self._books.overflow(len(self._queue))
            if not self._make_room(item):
                self._drop(item, "overflow_newest")
                return False
        position = self._admitted
        self._queue.append(Waiting(position, self._clock.now(), item))
        self._admitted = position + 1
        if item.level >= self.config.flush_level:
            self._demand = self._admitted
        return True

    def _make_room(self, item: WorkItem) -> bool:
        """Evicts a record for a newcomer; False if the newcomer must go."""
        protect = self.config.protect_level
        protected = item.level >= protect
        if not (self._evicts or protected):
            return False
        index = next((i for i, w in enumerate(self._queue) if w.item.level < protect), None)
        if index is None:
            if not (protected and self._evicts):
                return False
            index = 0
        victim = self._queue[index].item
        del self._queue[index]
        self._drop(victim, "overflow_oldest")
        return True

    def _drop(self, item: WorkItem, reason: str) -> None:
        self._books.drop(item.level, reason)
        if reason != "shutdown_timeout":
            self._untold.append((item, reason))

    def _tell_drops(self) -> None:
        """Tells whoever watches the queue that this one stands in for."""
        told = self.config.queue.on_drop
        with contextlib.suppress(IndexError):  # another thread tells them as well
            while self._untold:
                item, reason = self._untold.popleft()
                if told is not None:
                    with contextlib.suppress(Exception):
                        told(item, reason)

    # The worker

    def _work(self) -> None:
        while self._await_batch():
            while (begun := self._begin()) is not None:
                self._run(begun)
                self._answer()
            self._answer()

    def _await_batch(self) -> bool:
        """Parks until there is something to do; False: the thread must end."""
        with self._changed:
            while self._state in ("running", "stopping"):
                self._admit_late()
                if self._is_due() or self._is_answer_due():
                    self._batch = self.config.batch_size
                    return True
                self._clock.wait(self._changed, self._seconds_left())
            return False

    def _is_due(self) -> bool:
        if not self._queue:
            return False
        return (
            self._state == "stopping"
            or len(self._queue) >= self._trigger
            or self._queue[0].position < self._demand
            or (self._seconds_left() or 0.0) <= _ROUNDING
        )

    def _seconds_left(self) -> float | None:
        """Returns when the oldest record must go; None if there is none."""
        if not self._queue:
            return None
        waited = self._clock.now() - self._queue[0].since
        return max(self.config.flush_interval - waited, 0.0)

    def _begin(self) -> Begun | None:
        """Takes the next record of the batch; none that a flush need not wait for."""
        with self._changed:
            if self._state not in ("running", "stopping") or not (self._queue and self._batch):
                return None
            if any(position <= self._queue[0].position for position in self._awaited):
                return None
            self._is_busy = True
            try:
                item = self._queue.popleft().item
                self._books.take()
                self._batch -= 1
                self._in_hand = True
                self._books.write()
            finally:
                self._is_busy = False
            func = self._dispatch if item.dispatch_func is None else item.dispatch_func
            if hasattr(func, "flush") and not any(func is known for known in self._unflushed):
                self._unflushed.append(func)
            return Begun(item, func, self._books.generation)

    def _run(self, begun: Begun) -> None:
        reason: str | None = None
        error: BaseException | None = None
        if begun.func is None:
            reason = "no_dispatch"
        else:
            try:
                begun.func(begun.item.logger, begun.item.record)
            except BaseException as raised:  # noqa: BLE001  it fails this record, and no other
                reason, error = "dispatch", raised
        if reason is not None and not isinstance(error, ReportedError):
            self._report(_sentence(begun.item, error))
        with self._changed:
            self._in_hand = False
            self._books.finish(begun.generation, reason)
            self._books.write()

    def _report(self, message: str) -> None:
        with contextlib.suppress(BaseException):  # the error path must end here
            self.config.error_callback(message)

    def _is_answer_due(self) -> bool:
        reached = self._first()
        return any(position <= reached for position in self._awaited) or (
            self._state == "stopping" and not self._queue
        )

    def _first(self) -> int:
        """Returns the position before which everything has left the queue."""
        return self._queue[0].position if self._queue else self._admitted

    def _answer(self) -> None:
        """Flushes the outputs if somebody waits for that, and says how far all is finished."""
        with self._changed:
            if not self._is_answer_due():
                return
            reached, drained = self._first(), not self._queue
            touched, self._unflushed = self._unflushed, []
            self._in_hand = bool(touched)
        for dispatch in touched:
            self._flush_one(dispatch)
        with self._changed:
            self._in_hand = False
            self._flushed = max(self._flushed, reached)
            self._awaited = [position for position in self._awaited if position > reached]
            if self._state == "stopping" and drained and not self._late:
                self._state = "stopped"
            self._changed.notify_all()

    def _flush_one(self, dispatch: Any) -> None:
        try:
            dispatch.flush()
        except BaseException as error:  # noqa: BLE001  an output's fault ends nobody's flush
            with self._changed:
                self._books.add("backend_errors")
                self._books.write()
            self._report(f"the outputs' flush raised {type(error).__name__}: {error}")


def _sentence(item: WorkItem, error: BaseException | None) -> str:
    """Returns the report of a failed record; whatever it is made of, it can be had."""
    try:
        what = "there is no dispatch function" if error is None else f"{error}"
        kind = "NoDispatch" if error is None else type(error).__name__
        name = getattr(item.logger, "name", item.logger)
        message = str(getattr(item.record, "message", item.record))[:80]
        return f"{kind}: {what}, while dispatching a record of logger {name!r}: {message!r}"
    except Exception:  # noqa: BLE001  a user's own exception, logger or record: anything may come
        return f"{type(error).__name__}, while dispatching a record"

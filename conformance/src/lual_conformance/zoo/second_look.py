"""What authors get wrong on top of `BaseBackend`: wrappers around outputs and submits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar

from lual.backend import BackendConfig, BoundedQueue, WorkItem
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.registry import mutant
from lual_conformance.zoo.sound.hired import HiredBackend
from lual_conformance.zoo.sound.solo import CLAIMS


def claiming(cls: type, name: str, **capabilities: Any) -> Plugin:
    """Returns the plugin of a backend that claims what plain thread backends do, and more."""
    return Plugin(cls, name, "broken", **{**CLAIMS, **capabilities})


class Wrapped:
    """A dispatch function with everything that the real one has.

    Args:
        func: The real one.
    """

    def __init__(self, func: Any) -> None:
        self.func = func
        if hasattr(func, "flush"):
            self.flush = func.flush

    def __call__(self, logger: Any, record: Any) -> Any:
        """Dispatches one record."""
        return self.func(logger, record)


class Wrapping(HiredBackend):
    """Hands the worker a wrapped dispatch function."""

    wrapper: ClassVar[type[Wrapped]] = Wrapped

    def start(self, dispatch_func: Any = None) -> None:
        """Begins to work."""
        super().start(None if dispatch_func is None else self.wrapper(dispatch_func))


# Around outputs


class _Quiet(Wrapped):
    def __call__(self, logger: Any, record: Any) -> Any:
        try:
            return self.func(logger, record)
        except Exception:  # noqa: BLE001  the mistake
            return None


@mutant({"7.1": "messages_failed is 0 instead of"}, plugin=claiming)
class PassesOverErrors(Wrapping):
    """Has an `except Exception: pass` around every output."""

    wrapper = _Quiet


class _Again(Wrapped):
    def __call__(self, logger: Any, record: Any) -> Any:
        try:
            return self.func(logger, record)
        except Exception:  # noqa: BLE001  the mistake
            return self.func(logger, record)


@mutant({"4.1": "more than once: {'failing': 2}"}, plugin=claiming)
class TriesAgain(Wrapping):
    """Gives a record that failed a second chance."""

    wrapper = _Again


class _Batches(Wrapped):
    def __init__(self, func: Any) -> None:
        super().__init__(func)
        if hasattr(func, "many"):
            self.many = self._many

    def _many(self, items: Sequence[WorkItem]) -> list[BaseException | None]:
        self.func.many(items)
        return [None] * len(items)


@mutant({"7.1": "messages_failed is 0 instead of 2"}, plugin=claiming)
class TrustsBatches(Wrapping):
    """Takes a batch that didn't raise for one that was written."""

    wrapper = _Batches


@mutant({"4.3": "the function that the latest start named"}, plugin=claiming)
class KeepsItsFirstFunction(HiredBackend):
    """Ignores the argument of every start but the first."""

    def start(self, dispatch_func: Any = None) -> None:
        """Begins to work."""
        super().start(dispatch_func if self._dispatch is None else None)


@mutant({"4.13": "'a' and 'c' and 'e' came with an own dispatch function"}, plugin=claiming)
class OneFunctionPerBatch(HiredBackend):
    """Runs a whole batch by the function of its first item."""

    def run(self, items: Sequence[WorkItem], *, on_caller: bool = False) -> None:
        """Dispatches the batch."""
        func = items[0].dispatch_func if items else None
        if func is not None:
            items = [
                WorkItem(i.logger, i.record, func, i.submitted_at, i.level, i.seq) for i in items
            ]
        super().run(items, on_caller=on_caller)


@mutant({"3.3": "while an output was stalled"}, plugin=claiming)
class LocksWhileRunning(HiredBackend):
    """Holds the backend's lock while the outputs run."""

    def run(self, items: Sequence[WorkItem], *, on_caller: bool = False) -> None:
        """Dispatches the batch."""
        with self._lock:
            super().run(items, on_caller=on_caller)


@mutant({"7.9": "get_stats() of another thread was held"}, plugin=claiming)
class LocksItsCallback(HiredBackend):
    """Keeps the calls of its error callback apart with the lock that it has."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        told = config.error_callback

        def tell(message: str) -> None:
            with self._lock:
                told(message)

        config.error_callback = tell


# Around submit


@mutant({"3.2": "dispatched on the thread that submitted"}, plugin=claiming)
class WritesWhatItRefuses(HiredBackend):
    """Writes a record on the caller's thread rather than refuse it."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        if super().submit(work_item):
            return True
        refused = self.config.overflow_strategy == "drop_newest" and self._state == "running"
        func = work_item.dispatch_func or self._dispatch
        if refused and func is not None:
            func(work_item.logger, work_item.record)
        return refused


@mutant({"6.3": "25 records were lost, messages_dropped says 50"}, plugin=claiming)
class CountsRefusalsAgain(HiredBackend):
    """Counts the drops that the queue has counted."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        taken = super().submit(work_item)
        if not taken and self._state == "running":
            self.config.ledger.drop_one(work_item.level, "overflow_newest")
        return taken


class FullError(Exception):
    """There is no room."""


@mutant({"3.4": "submit raised FullError"}, plugin=claiming)
class RaisesOnRefusal(HiredBackend):
    """Raises where it should return False."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        if not super().submit(work_item) and self._state == "running":
            raise FullError("there is no room")
        return self._state == "running"


@mutant({"3.9": "a submit from a signal handler hung"}, plugin=claiming)
class SubmitsOneAtATime(HiredBackend):
    """Guards its submit with a plain lock."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._door = threading.Lock()

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        with self._door:
            return super().submit(work_item)


@mutant({"3.7": "another logger than was given"}, plugin=claiming)
class CopiesItems(HiredBackend):
    """Stamps each record into an item of its own, and loses the logger for its name."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        name = getattr(work_item.logger, "name", None) or str(work_item.logger)
        return super().submit(
            WorkItem(
                name,
                work_item.record,
                work_item.dispatch_func,
                work_item.submitted_at,
                work_item.level,
                work_item.seq,
            )
        )


@mutant({"4.11": "came with flush_level"}, plugin=claiming)
class UrgentIsMore(HiredBackend):
    """Takes `flush_level` for the last level that can wait."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._flush_level += 1


@mutant({"2.7": "left the thread", "3.4": "can't start new thread"}, plugin=claiming)
class TimersForIntervals(HiredBackend):
    """Sets a timer for each interval, and never cancels one."""

    _timer: threading.Timer | None = None

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record."""
        taken = super().submit(work_item)
        if taken and (self._timer is None or not self._timer.is_alive()):
            interval = min(self.config.flush_interval, threading.TIMEOUT_MAX)
            self._timer = threading.Timer(interval, self.wake_worker)
            self._timer.daemon = True
            self._timer.start()
        return taken


# Around reset


@mutant({"2.6": "doesn't use config.queue any more"}, plugin=claiming)
class NewQueueAtReset(HiredBackend):
    """Begins with another queue after a reset."""

    def reset(self) -> None:
        """Goes back to the state after creation."""
        super().reset()
        config = self.config
        config.queue = BoundedQueue(
            config.max_queue_size, config.overflow_strategy, stats=config.stats, clock=config.clock
        )
        self.__init__(config)  # type: ignore[misc]


@mutant({"2.6": "waited when reset was called"}, plugin=claiming)
class WritesAtReset(HiredBackend):
    """Stops before it resets, as it does elsewhere."""

    def reset(self) -> None:
        """Goes back to the state after creation."""
        self.stop()
        super().reset()

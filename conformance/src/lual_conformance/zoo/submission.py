"""Mutants that break what `submit` promises."""

from __future__ import annotations

import queue
import threading
import time

from lual.backend import BackendConfig, WorkItem, run_batch
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"3.1": "though there was room"})
class LyingReturn(RefThreads):
    """Takes every third record, and says that it didn't."""

    count = 0

    def submit(self, work_item: WorkItem) -> bool:
        """Answers False now and then."""
        taken = super().submit(work_item)
        self.count += taken
        return taken and self.count % 3 != 0


@mutant({"3.1": "returned [None, None"})
class AnswersNothing(RefInline):
    """Takes records and forgets to say so."""

    def submit(self, work_item: WorkItem) -> bool:
        """Returns None where it should return True."""
        super().submit(work_item)
        return None  # type: ignore[return-value]


@mutant({"3.1": "which never reached the output"})
class LosesSeventh(RefThreads):
    """Says that it took a record, and puts every seventh nowhere."""

    count = 0

    def admit(self, item: WorkItem) -> bool:
        """Forgets one."""
        self.count += 1
        return self.count % 7 == 0 or super().admit(item)


@mutant({"3.2": "were dispatched on the thread that submitted"})
class DispatchInline(RefThreads):
    """Writes an urgent record, and what waits, on the caller's thread if the worker rests."""

    writer: threading.Thread | None = None

    def wake(self, item: WorkItem) -> None:
        """Goes past the worker."""
        with self.lock:
            rests = not (self.inside or self.hand or self.tickets or self.writer)
            if not rests or item.level < self.config.flush_level or self.is_inside():
                super().wake(item)
                return
            self.writer = threading.current_thread()
            self.hand.extend(self.queue.extract_batch(self.queue.size()))
            while (first := self.next_item(self.epoch)) is not None:
                self.run_item(first)
                self.leave_output()
            self.writer = None

    def is_inside(self) -> bool:
        """Knows the other thread that writes."""
        return threading.current_thread() is self.writer or super().is_inside()


@mutant({"3.2": "were dispatched on the thread that submitted"})
class CallerRunsWhenFull(RefThreads):
    """Lets the submitting thread make room in a full queue by writing the oldest record."""

    def admit(self, item: WorkItem) -> bool:
        """Helps the worker out."""
        if self.queue.size() >= self.queue.max_size and not self.is_inside():
            run_batch(self.queue.extract_batch(1), self.dispatch, self.config)
        return super().admit(item)


@mutant({"3.3": "submit did not return while an output was stalled"})
class HoldsLockDuringDispatch(RefThreads):
    """Takes a lock in submit that the worker holds during a dispatch."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.door = threading.RLock()

    def admit(self, item: WorkItem) -> bool:
        """Takes the lock."""
        with self.door:
            return super().admit(item)

    def run_item(self, item: WorkItem) -> None:
        """Holds the lock."""
        with self.door:
            super().run_item(item)


@mutant({"3.3": "submit did not return while an output was stalled"})
class UrgentSubmitWaits(RefThreads):
    """Lets the submit of an urgent record wait until it was begun, as if that were safer."""

    def wake(self, item: WorkItem) -> None:
        """Waits for the worker."""
        super().wake(item)
        if item.level < self.config.flush_level or self.is_inside():
            return
        with self.lock:
            while self.state == "running" and not self.queue.is_empty():
                self.clock.wait(self.changed, None)


@mutant({"3.4": "submit raised Full"})
class RaisesQueueFull(RefThreads):
    """Raises what the standard library's queue raises when a record is refused."""

    def admit(self, item: WorkItem) -> bool:
        """Raises instead of answering False."""
        if not super().admit(item):
            raise queue.Full
        return True


@mutant({"3.4": "when no thread could be started"})
class WakesByThread(RefThreads):
    """Starts a thread for each urgent record that wakes the worker."""

    def wake(self, item: WorkItem) -> None:
        """Wakes from another thread."""
        if item.level >= self.config.flush_level:
            waking = threading.Thread(target=super().wake, args=(item,), daemon=True)
            waking.start()
            waking.join()
        else:
            super().wake(item)


@mutant({"3.4": "after stop"})
class RaisesAfterStop(RefInline):
    """Says loudly that it was stopped."""

    def submit(self, work_item: WorkItem) -> bool:
        """Raises once the backend has stopped."""
        if self._state == "stopped" and self._dispatch is not None:
            raise RuntimeError("the backend has stopped")
        return super().submit(work_item)


@mutant({"3.5": "never reached the output"})
class RacySubmit(RefThreads):
    """Gathers records in a list that it reads and writes back."""

    def forget_work(self) -> None:
        """Forgets the list, too."""
        super().forget_work()
        self.gathered: list[WorkItem] = []

    def admit(self, item: WorkItem) -> bool:
        """Loses records if two threads are here at once."""
        if self.is_inside():
            return super().admit(item)
        gathered = self.gathered
        time.sleep(0)
        self.gathered = [*gathered, item]
        time.sleep(0)
        ready, self.gathered = self.gathered, []
        return [super(RacySubmit, self).admit(each) for each in ready][-1:] != [False]


@mutant({"3.5": "never reached the output"})
class InlineRacySubmit(RefInline):
    """Passes each record on through an attribute."""

    passed: WorkItem

    def _admit(self, item: WorkItem) -> bool:
        """Passes on another thread's record if two are here at once."""
        if self._is_inside():
            return super()._admit(item)
        self.passed = item
        time.sleep(0)
        return super()._admit(self.passed)


@mutant({"3.7": "the record's fields was"})
class MutatesRecord(RefThreads):
    """Adds a field of its own to every record."""

    def admit(self, item: WorkItem) -> bool:
        """Replaces the item."""
        record = item.record.replace(fields={**item.record.fields, "backend": "mine"})
        return super().admit(
            WorkItem(item.logger, record, item.dispatch_func, item.submitted_at, item.level)
        )


@mutant({"3.7": "the output got another logger than was given"})
class PassesLoggerName(RefThreads):
    """Hands the logger's name on in place of the logger."""

    def admit(self, item: WorkItem) -> bool:
        """Replaces the item."""
        name = getattr(item.logger, "name", item.logger)
        func, level = item.dispatch_func, item.level
        return super().admit(WorkItem(name, item.record, func, item.submitted_at, level, item.seq))


@mutant({"3.7": "the output got another record object"})
class CopiesRecord(RefInline):
    """Hands an equal copy of the record on."""

    def submit(self, work_item: WorkItem) -> bool:
        """Replaces the item."""
        item, copy = work_item, work_item.record.replace()
        func, at, level = item.dispatch_func, item.submitted_at, item.level
        return super().submit(WorkItem(item.logger, copy, func, at, level, item.seq))


@mutant({"3.8": "changed later"}, snapshot=True)
class LateFormatting(RefThreads):
    """Claims to take a snapshot, and reads the record when it is dispatched."""


@mutant({"3.8": "['at submit', 'changed later']"}, snapshot=True)
class ShallowSnapshot(RefThreads):
    """Copies a record's fields, but not what they contain."""

    def admit(self, item: WorkItem) -> bool:
        """Keeps lists as they are."""
        record = item.record.replace(fields=dict(item.record.fields))
        func, level = item.dispatch_func, item.level
        return super().admit(
            WorkItem(item.logger, record, func, item.submitted_at, level, item.seq)
        )


@mutant({"3.4": "raised KeyError"})
class SeedStatsRaise(RefThreads):
    """Counts drops in a key that the mapping need not have."""

    def admit(self, item: WorkItem) -> bool:
        """Counts the first drop, or raises."""
        before = self.ledger["queue_overflows"]
        taken = super().admit(item)
        if self.ledger["queue_overflows"] > before:
            self.config.stats["messages_dropped"] += 1
        return taken

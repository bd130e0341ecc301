"""Mutants that dispatch too often, out of order, too many at once, or keep what is done."""

from __future__ import annotations

import threading

from lual.backend import WorkItem, run_batch
from lual_conformance.reference.group import Group
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant

TWICE = "records were dispatched more than once"


@mutant({"4.1": TWICE})
class DuplicatesOnFlush(RefThreads):
    """Writes the last record again when somebody flushes, to be sure."""

    last: WorkItem | None = None

    def run_item(self, item: WorkItem) -> None:
        """Remembers it."""
        self.last = item
        super().run_item(item)
        if self.tickets and self.queue.is_empty() and not self.hand:
            self.repeat()

    def repeat(self) -> None:
        """Writes the last record again, and counts nothing."""
        if self.last is not None and self.func_of(self.last) is not None:
            try:
                self.func_of(self.last)(self.last.logger, self.last.record)
            except Exception as error:  # noqa: BLE001  it was counted the first time
                self.last_error = error


@mutant({"4.1": TWICE})
class RetriesFailed(RefThreads):
    """Gives a record that failed a second try."""

    def run_item(self, item: WorkItem) -> None:
        """Tries once more, and books the first result."""
        failed = self.ledger.snapshot()["messages_failed"]
        super().run_item(item)
        func = self.func_of(item)
        if func is None or self.ledger.snapshot()["messages_failed"] == failed:
            return
        try:
            func(item.logger, item.record)
        except BaseException as error:  # noqa: BLE001  it was counted the first time
            self.second_error = type(error)


@mutant({"4.1": TWICE})
class RestartReplays(RefThreads):
    """Writes the last record of before once more after a restart."""

    last: WorkItem | None = None
    is_first: bool

    def run_item(self, item: WorkItem) -> None:
        """Remembers the last record, and repeats that of the run before."""
        before, self.last = self.last, item
        if before is not None and self.is_first and self.func_of(before) is not None:
            self.func_of(before)(before.logger, before.record)
        self.is_first = False
        super().run_item(item)

    def forget_work(self) -> None:
        """Begins anew."""
        super().forget_work()
        self.is_first = True

    def reset(self) -> None:
        """Forgets even that."""
        super().reset()
        self.last = None


@mutant({"4.1": TWICE})
class DuplicatesAfterDeath(RefThreads):
    """Gives what a dead worker has begun to the next one, though it was written."""

    last: WorkItem | None = None

    def run_item(self, item: WorkItem) -> None:
        """Remembers it."""
        self.last = item
        super().run_item(item)

    def put_back(self) -> None:
        """Writes it again."""
        super().put_back()
        func = self.func_of(self.last) if self.last is not None else None
        if func is not None and self.last is not None:
            func(self.last.logger, self.last.record)


@mutant({"4.1": TWICE})
class InlineRetriesFailed(RefInline):
    """Writes a batch in which something failed once more, record by record."""

    def _run(self, group: Group) -> None:
        """Repeats it, and books the first result."""
        failed = self._ledger.snapshot()["messages_failed"]
        super()._run(group)
        if group.func is None or self._ledger.snapshot()["messages_failed"] == failed:
            return
        for item in group.items:
            try:
                group.func(item.logger, item.record)
            except Exception as error:  # noqa: BLE001  it was counted the first time
                self.second_error = type(error)


@mutant({"4.2": "was dispatched when it was the turn of"})
class LifoBatch(RefThreads):
    """Runs each batch from its end."""

    def take(self) -> list[WorkItem]:
        """Turns it around."""
        return super().take()[::-1]


@mutant({"4.2": "was dispatched when it was the turn of"})
class UrgentOvertakes(RefThreads):
    """Begins the urgent records of each batch first."""

    def take(self) -> list[WorkItem]:
        """Sorts by urgency."""
        return sorted(super().take(), key=lambda item: item.level < self.config.flush_level)


@mutant({"4.2": "was dispatched when it was the turn of"})
class DeathReorders(RefThreads):
    """Puts what a dead worker's successor finds first behind what it finds next."""

    def put_back(self) -> None:
        """Exchanges the first two batches."""
        super().put_back()
        first = self.queue.extract_batch(2)
        second = self.queue.extract_batch(2)
        self.queue.requeue_front([*second, *first])


@mutant({"4.2": "was dispatched when it was the turn of"})
class InlineUrgentOvertakes(RefInline):
    """Dispatches the urgent records of a batch ahead of the others."""

    def _take(self, most: int) -> Group | None:
        """Puts the first urgent record in front."""
        with self._lock:
            items = self.queue.extract_batch(most)
            is_calm = [item.level < self.config.flush_level for item in items]
            self.queue.requeue_front(
                [item for _, item in sorted(zip(is_calm, items, strict=True), key=lambda p: p[0])]
            )
            return super()._take(most)


@mutant({"4.4": "more calls of the output ran at once"}, ordering="none")
class ParallelDispatch(RefThreads):
    """Writes every second record of a batch in another thread."""

    helper: threading.Thread | None = None

    def run_item(self, item: WorkItem) -> None:
        """Takes the next one along."""
        with self.lock:
            may_help = self.func_of(item) is not None and self.state == "running" and self.hand
            neighbour = self.hand.popleft() if may_help else None
        if neighbour is not None:
            self.helper = threading.Thread(target=super().run_item, args=(neighbour,), daemon=True)
            self.helper.start()
        super().run_item(item)
        if neighbour is not None and self.helper is not None:
            self.helper.join()

    def is_inside(self) -> bool:
        """Knows the other thread that writes."""
        return threading.current_thread() is self.helper or super().is_inside()


@mutant({"4.4": "beside a flush"})
class FlushHelpsOut(RefThreads):
    """Lets a flush that finds the worker busy write records itself."""

    def flush(self, timeout: float | None = None) -> bool:
        """Writes one record on the caller's thread."""
        with self.lock:
            busy = self.inside and timeout and not self.is_inside() and self.state == "running"
            batch = self.queue.extract_batch(1) if busy and self.queue.size() > 9 else []
        run_batch(batch, self.dispatch, self.config)
        return super().flush(timeout)


@mutant({"4.4": "beside a stop"})
class StopHelpsOut(RefThreads):
    """Lets the second one of two stops write records itself."""

    stops = 0

    def wait_for_drain(self, deadline: float) -> None:
        """Writes one record on the caller's thread."""
        self.stops += 1
        if self.stops > 1 and self.inside:
            batch = self.queue.extract_batch(1)
            self.lock.release()
            run_batch(batch, self.dispatch, self.config)
            self.lock.acquire()
        super().wait_for_drain(deadline)
        self.stops -= 1


@mutant({"4.4": "more calls of the output ran at once"})
class InlineParallel(RefInline):
    """Lets every thread dispatch what it made due, whoever else is at it."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes no turn while another thread has its own."""
        taken = super().submit(work_item)
        if taken and self._in_output and not self._is_inside() and self._is_due():
            run_batch(self.queue.extract_batch(1), self._dispatch, self.config)
        return taken

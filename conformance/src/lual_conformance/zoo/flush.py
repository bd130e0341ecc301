"""Mutants whose `flush` waits for the wrong records, or answers too early."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from lual.backend import BackendConfig, WorkItem
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads, Ticket
from lual_conformance.zoo.registry import mutant


@mutant({"5.1": "flush returned while a record was still inside the output"})
class FlushIgnoresInflight(RefThreads):
    """Takes a record inside an output for finished."""

    def is_reached(self, position: int) -> bool:
        """Looks at the queue and the hand alone."""
        oldest = self.queue.oldest()
        return (oldest is None or oldest >= position) and not self.hand


@mutant({"5.1": "flush returned while a record was still inside the output"})
class FlushTakesTakenForDone(RefThreads):
    """Takes a record for finished as soon as it has left the queue."""

    def is_reached(self, position: int) -> bool:
        """Looks at the queue alone."""
        oldest = self.queue.oldest()
        return oldest is None or oldest >= position


@mutant({"5.1": "flush returned while a record was still inside the output"})
class InlineFlushIgnoresInflight(RefInline):
    """Doesn't wait for another thread that is inside an output."""

    def flush(self, timeout: float | None = None) -> bool:
        """Looks at the queue alone, if the outputs needn't be flushed."""
        idle = self.queue.is_empty() and not self._unflushed and not self._is_inside()
        return (idle and self._state == "running") or super().flush(timeout)


@mutant({"5.1": "flush returned while a record was still inside the output"})
class InlineFlushLeavesItToOthers(RefInline):
    """Returns False at once while another thread dispatches."""

    def flush(self, timeout: float | None = None) -> bool:
        """Gives up if it isn't the first."""
        return not self._turn.is_taken() and super().flush(timeout)


@mutant({"5.2": "flush returned before the last of 38 records was written"})
class FlushOneBatch(RefThreads):
    """Waits for one batch, whatever stands behind it."""

    batches = 1

    def wait_for_ticket(self, ticket: Ticket, deadline: float) -> None:
        """Puts the mark no further than a batch away."""
        most = (self.queue.oldest() or 0) + self.batches * self.config.batch_size
        ticket.position = min(ticket.position, most)
        super().wait_for_ticket(ticket, deadline)


@mutant({"5.2": "flush returned before the last of 38 records was written"})
class FlushFourBatches(FlushOneBatch):
    """Waits for four batches at most, as a loop with a limit does."""

    batches = 4


@mutant({"5.5": "flush never returned while a producer went on submitting"})
class FlushChasesTail(RefThreads):
    """Waits until there is nothing at all."""

    def is_reached(self, position: int) -> bool:
        """Moves the mark with every record."""
        return super().is_reached(self.queue.watermark())


@mutant({"5.5": "flush waited for records that were submitted after it was called"})
class FlushMarksLate(RefThreads):
    """Lets the worker set the mark, when it next looks at the queue."""

    def answer_flushes(self) -> None:
        """Sets the marks of the flushes that are new to the worker."""
        for ticket in self.tickets:
            if not hasattr(ticket, "is_known"):
                ticket.is_known = True  # type: ignore[attr-defined]
                ticket.position = self.demand = self.queue.watermark()
        super().answer_flushes()


@mutant({"5.8": "one of four concurrent flushes never returned"})
class SingleWaiter(RefThreads):
    """Knows the latest flush alone."""

    def wait_for_ticket(self, ticket: Ticket, deadline: float) -> None:
        """Forgets all others."""
        self.tickets[:] = [ticket]
        super().wait_for_ticket(ticket, deadline)


@mutant({"5.8": "a flush was answered for an earlier one, before its own records"})
class FlushJoinsSibling(RefThreads):
    """Takes the answer of a flush that waits already."""

    def wait_for_ticket(self, ticket: Ticket, deadline: float) -> None:
        """Waits for the first."""
        first = self.tickets[0]
        super().wait_for_ticket(first, deadline)
        ticket.done = ticket.done or first.done


@mutant({"5.11": "the record 'a' waited for its interval"})
class FlushWaitsForInterval(RefThreads):
    """Lets a partial batch wait for its interval though somebody flushes."""

    def forget_work(self) -> None:
        """Forgets what was urgent as well."""
        super().forget_work()
        self.urgent = 0

    def wake(self, item: WorkItem) -> None:
        """Keeps what is urgent apart from what a flush asks for."""
        super().wake(item)
        if item.level >= self.config.flush_level:
            self.urgent = self.queue.watermark()

    def is_demanded(self) -> bool:
        """Heeds what is urgent alone."""
        return (self.queue.oldest() or 0) < self.urgent


@mutant({"5.11": "the record 'b' waited for its interval"})
class FlushAsksOnce(RefThreads):
    """Asks for a batch in its first flush; a flag is never put back."""

    def forget_work(self) -> None:
        """Has asked for nothing yet."""
        super().forget_work()
        self.asked = 0

    def wait_for_ticket(self, ticket: Ticket, deadline: float) -> None:
        """Withdraws what a later flush asked for."""
        self.asked = self.asked or self.demand
        self.demand = min(self.demand, self.asked)
        super().wait_for_ticket(ticket, deadline)


@mutant({"5.12": "the dispatch's own flush() was not called after 'c'"})
class FlushSkipsOutputs(RefThreads):
    """Flushes the outputs at stop only."""

    def flush_outputs(self) -> None:
        """Forgets who was called."""
        if self.state != "stopping":
            self.touched = []
        super().flush_outputs()


@mutant({"5.12": "the dispatch's own flush() was not called after 'full 4'"})
class FlushSkipsOutputsOfDoneRecords(RefThreads):
    """Doesn't flush the outputs if nothing waits at the moment of the call."""

    def flush(self, timeout: float | None = None) -> bool:
        """Takes an empty queue for the end."""
        with self.lock:
            idle = self.is_reached(self.queue.watermark()) and self.state == "running"
        return idle or super().flush(timeout)


@mutant({"5.12": "the dispatch's own flush() was not called after"})
class FlushesOutputsFirst(RefThreads):
    """Flushes the outputs before the records that a flush waits for."""

    def run_item(self, item: WorkItem) -> None:
        """Flushes, and then writes."""
        func = self.func_of(item)
        flushable = hasattr(func, "flush")
        if flushable and self.tickets:
            self.flush_output(func)
        super().run_item(item)
        if flushable and self.state != "stopping":
            self.touched = []


@mutant({"5.12": "the dispatch's own flush() was not called after 'c'"})
class InlineFlushSkipsOutputs(RefInline):
    """Flushes the outputs at stop only."""

    def _flush_outputs(self) -> None:
        if self._state == "stopping":
            super()._flush_outputs()


@mutant({"5.13": "flush returned True before the failure of 'a' was reported"})
class FlushBeforeReport(RefThreads):
    """Reports failed records from a thread that has time."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.at_once = config.error_callback

        def later(message: str) -> Any:
            threading.Timer(0.05, self.report, (message,)).start()

        config.error_callback = later

    def report(self, message: str) -> None:
        """Reports all else at once."""
        with contextlib.suppress(BaseException):  # whatever it raises changes nothing
            self.at_once(message)


@mutant({"7.4": "flush never returned after the worker had died"})
class FlushMissesDeath(RefThreads):
    """Replaces a dead worker at the next submit; a flush waits for the dead one."""

    is_dead = False

    def recover(self, error: BaseException, epoch: int) -> bool:
        """Settles the death, and leaves it at that."""
        self.deaths = 0
        goes_on = super().recover(error, epoch)
        if goes_on and self.state == "running":
            self.is_dead = True
            return False
        return goes_on

    def submit(self, work_item: WorkItem) -> bool:
        """Looks after the worker."""
        if self.is_dead:
            self.is_dead = False
            self.launch()
        return super().submit(work_item)

"""Mutants that break what `stop` promises when its time runs out, and to a second caller."""

from __future__ import annotations

import math
from collections.abc import Callable

from lual.backend import WorkItem
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"9.2": "had not returned"})
class StopIgnoresTimeout(RefThreads):
    """Waits for the drain however long it takes."""

    def wait_for_drain(self, deadline: float) -> None:
        """Forgets the deadline."""
        super().wait_for_drain(math.inf)


@mutant({"9.2": "had not returned when its time and the grace had passed"})
class StopBudgetsEachStep(RefThreads):
    """Gives the drain its whole time, and then the worker's end as much again."""

    def wait_for_drain(self, deadline: float) -> None:
        """Waits twice."""
        budget = deadline - self.clock.now()
        super().wait_for_drain(deadline)
        if budget < math.inf:
            super().wait_for_drain(self.clock.now() + budget)


@mutant({"9.2": "the reports don't say so"})
class StopLossSilent(RefThreads):
    """Counts what a stop has dropped, and tells nobody."""

    def report(self, message: str) -> None:
        """Swallows that one report."""
        if "shutdown_timeout" not in message:
            super().report(message)


@mutant({"9.2": "the reports don't say so"})
class StopReportsEachLoss(RefThreads):
    """Reports each record that a stop has dropped, and never how many."""

    def report(self, message: str) -> None:
        """Puts many reports in the place of the one."""
        if "shutdown_timeout" not in message:
            super().report(message)
            return
        for _ in range(self.ledger["messages_dropped"]):
            super().report("a record was dropped (shutdown_timeout)")


@mutant({"9.2": "reported its loss 2 times"})
class StopReportsTwice(RefThreads):
    """Reports what was lost where it happens, and again where stop ends."""

    def report(self, message: str) -> None:
        """Says it again."""
        super().report(message)
        if "shutdown_timeout" in message:
            super().report(message)


@mutant({"9.2": "counted 0 as shutdown_timeout"})
class StopLossUncounted(RefThreads):
    """Reports what a stop has dropped, and doesn't count it."""

    def abandon(self) -> tuple[int, int]:
        """Empties the queue before anybody counts."""
        left = self.queue.size()
        self.queue.clear()
        dropped, begun = super().abandon()
        self.answer = False
        return left + dropped, begun


@mutant({"9.2": "returned True while an output was stalled"})
class StopAlwaysTrue(RefThreads):
    """Says that everything was written, whatever was."""

    def stop(self, timeout: float | None = None) -> bool:
        """Stops, and is content."""
        inside = self.is_inside()
        super().stop(timeout)
        return not inside


@mutant({"9.2": "a second stop returned True"})
class StopForgetsItsAnswer(RefThreads):
    """Answers a second stop as if there had been nothing to lose."""

    def stop(self, timeout: float | None = None) -> bool:
        """Takes a stopped backend for a drained one."""
        self.checked(timeout, 0.0)
        return self.state == "stopped" or super().stop(timeout)


@mutant({"9.3": "began to be dispatched after stop had returned"})
class DispatchesAfterStop(RefThreads):
    """Counts the rest as dropped, and leaves it in the worker's hand."""

    def abandon(self) -> tuple[int, int]:
        """Takes the rest from the queue, but not from the worker."""
        rest: list[WorkItem] = [*self.hand, *self.queue.extract_batch(self.queue.size())]
        self.queue.requeue_front(rest[len(self.hand) :])
        told = super().abandon()
        self.hand.extend(rest)
        return told

    def next_item(self, epoch: int) -> WorkItem | None:
        """Goes on with whatever is in hand."""
        return super().next_item(self.epoch)


@mutant({"9.11": "before the first one had an answer"})
class SecondStopDoesNotWait(RefThreads):
    """Tells a second caller at once that the backend is being stopped."""

    def stop(self, timeout: float | None = None) -> bool:
        """Leaves the wait to the first."""
        return self.state == "stopping" or super().stop(timeout)


@mutant({"9.11": "raised RuntimeError"})
class DoubleJoin(RefThreads):
    """Doesn't expect that two threads stop it at once."""

    def begin_stop(self) -> None:
        """Refuses the second."""
        if self.state == "stopping" and not self.is_inside():
            raise RuntimeError("the backend is being stopped already")
        super().begin_stop()


@mutant({"9.11": "the first of two stops never returned"})
class LaterStopTakesTheAnswer(RefThreads):
    """Remembers one caller who waits for the end of the drain."""

    waiter: object = None

    def wait_for_drain(self, deadline: float) -> None:
        """Tells only who came last."""
        me = self.waiter = object()
        super().wait_for_drain(deadline)
        while self.waiter is not me:
            self.clock.wait(self.changed, None)


@mutant({"9.16": "and then began"})
class InlineStopIgnoresDeadline(RefInline):
    """Drains to the end, however long the outputs take."""

    def _pursue(self, is_over: Callable[[], bool], deadline: float) -> None:
        super()._pursue(is_over, math.inf if self._state == "stopping" else deadline)


@mutant({"9.16": "reported was []"})
class InlineStopLossSilent(RefInline):
    """Counts what a stop has dropped on the caller's thread, and tells nobody."""

    def _abandon(self, seconds: float) -> None:
        callback = self.config.error_callback
        self.config.error_callback = lambda message: None
        super()._abandon(seconds)
        self.config.error_callback = callback


@mutant({"9.16": "counted 0 as shutdown_timeout"})
class InlineStopLossUncounted(RefInline):
    """Reports what a stop has dropped on the caller's thread, and doesn't count it."""

    def _abandon(self, seconds: float) -> None:
        left = self.queue.clear()
        super()._abandon(seconds)
        self._answer = False
        self.config.error_callback(f"{left} records dropped")


@mutant({"9.12": "had not returned"})
class StopNoneMeansForever(RefThreads):
    """Has no use for `shutdown_timeout`."""

    def stop(self, timeout: float | None = None) -> bool:
        """Takes None for as long as it takes."""
        return super().stop(math.inf if timeout is None else timeout)


@mutant({"9.12": "instead of raising ValueError"})
class StopNegativeMeansForever(RefThreads):
    """Takes a negative timeout for none at all."""

    def stop(self, timeout: float | None = None) -> bool:
        """Waits as long as it takes."""
        return super().stop(math.inf if timeout is not None and timeout < 0 else timeout)


@mutant({"9.12": "instead of raising ValueError"})
class StopTakesNan(RefThreads):
    """Refuses what is below 0; but NaN is below nothing."""

    def stop(self, timeout: float | None = None) -> bool:
        """Takes NaN for 0."""
        return super().stop(0.0 if timeout is not None and math.isnan(timeout) else timeout)


@mutant({"9.12": "raised, and stopped"})
class StopChecksTooLate(RefThreads):
    """Closes the door before it looks at the timeout."""

    def stop(self, timeout: float | None = None) -> bool:
        """Begins, and then looks."""
        with self.lock:
            if self.state == "running":
                self.begin_stop()
        return super().stop(timeout)


@mutant({"9.12": "and then began"})
class InlineStopNoneMeansForever(RefInline):
    """Has no use for `shutdown_timeout` on the caller's thread."""

    def stop(self, timeout: float | None = None) -> bool:
        """Takes None for as long as it takes."""
        return super().stop(math.inf if timeout is None else timeout)


@mutant({"9.14": "the counters said"})
class OutcomeVoidAfterStop(RefThreads):
    """Takes a stop for a reset: outcomes of before count no more."""

    def abandon(self) -> tuple[int, int]:
        """Begins a generation of its own."""
        told = super().abandon()
        self.ledger.generation += 1
        return told


@mutant({"9.14": "in_flight was 0"})
class CountsTheStalledAsWritten(RefThreads):
    """Closes its books when a stop runs out, with the stalled record as written."""

    def abandon(self) -> tuple[int, int]:
        """Books the outcome before there is one, and ignores the real one."""
        told = super().abandon()
        self.ledger.book(self.ledger.generation, processed=self.inside)
        self.ledger.generation += 1
        return told

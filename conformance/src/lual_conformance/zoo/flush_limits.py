"""Mutants whose `flush` takes too long, or answers wrongly where it can't wait."""

from __future__ import annotations

import math
from typing import Any

from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads, Ticket
from lual_conformance.zoo.registry import mutant


@mutant({"5.3": "had not returned"})
class FlushIgnoresTimeout(RefThreads):
    """Waits for the records however long that takes."""

    def wait_for_ticket(self, ticket: Ticket, deadline: float) -> None:
        """Forgets the deadline, unless there was no time from the start."""
        late = deadline <= self.clock.now()
        super().wait_for_ticket(ticket, deadline if late else math.inf)


@mutant({"5.3": "flush(5) returned True while a record was inside the output"})
class FlushAlwaysTrue(RefThreads):
    """Returns True at the deadline as well."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits, and forgets what for."""
        return self.is_inside() is False if super().flush(timeout) is False else True


@mutant({"5.3": "flush(5) raised TimeoutError"})
class FlushRaisesAtDeadline(RefThreads):
    """Raises when its time is over and an output doesn't return."""

    def flush(self, timeout: float | None = None) -> bool:
        """Takes that for an error."""
        done = super().flush(timeout)
        if not done and self.inside and timeout and not self.is_inside():
            raise TimeoutError(f"nothing was heard for {timeout} s")
        return done


@mutant({"5.3": "flush(10) had not returned after 11 s"})
class FlushDeadlinePerBatch(RefThreads):
    """Begins to count anew whenever there is progress."""

    def wait_for_ticket(self, ticket: Ticket, deadline: float) -> None:
        """Gives every wait all the time."""
        seconds = deadline - self.clock.now()
        while not ticket.done and self.state in ("running", "stopping"):
            if seconds <= 0 or not self.clock.wait(self.changed, seconds):
                break
        super().wait_for_ticket(ticket, -math.inf)


@mutant({"5.12": "on the thread that called flush"})
class FlushesOutputsOnCaller(RefThreads):
    """Calls the dispatch's own flush on the thread that flushes."""

    def forget_work(self) -> None:
        """Forgets who is to be flushed."""
        super().forget_work()
        self.unflushed: list[Any] = []

    def flush_outputs(self) -> None:
        """Leaves it to who flushes, or does it at stop."""
        with self.lock:
            if self.state == "stopping":
                self.touched += [f for f in self.unflushed if f not in self.touched]
            else:
                self.unflushed += [f for f in self.touched if f not in self.unflushed]
                self.touched = []
        super().flush_outputs()

    def flush(self, timeout: float | None = None) -> bool:
        """Flushes the outputs after all records."""
        done = super().flush(timeout)
        if done and not self.is_inside():
            with self.lock:
                unflushed, self.unflushed = [*self.unflushed, *self.touched], []
                self.touched = []
            for func in unflushed:
                self.flush_output(func)
        return done


@mutant({"5.4": "flush(0) had not returned"})
class FlushZeroMeansDefault(RefThreads):
    """Takes a timeout of 0 for none."""

    def flush(self, timeout: float | None = None) -> bool:
        """Forgets that 0 is false."""
        return super().flush(timeout or None)


@mutant({"5.4": "was not dispatched after flush(0)"})
class FlushZeroOnlyLooks(RefThreads):
    """Asks for no batch if it can't wait for it."""

    def flush(self, timeout: float | None = None) -> bool:
        """Looks, and leaves."""
        if timeout == 0 and self.state == "running":
            with self.lock:
                return self.is_reached(self.queue.watermark()) and not self.touched
        return super().flush(timeout)


@mutant({"5.4": "was not dispatched after flush(0)"})
class InlineFlushZeroOnlyLooks(RefInline):
    """Dispatches nothing if there is no time."""

    def flush(self, timeout: float | None = None) -> bool:
        """Looks, and leaves."""
        if timeout == 0 and self._state == "running":
            return self.queue.is_empty() and not (self._unflushed or self._turn.is_taken())
        return super().flush(timeout)


@mutant({"5.7": "after others had run out of time"})
class FlushTimeoutPoisons(RefThreads):
    """Remembers for ever that a flush has run out of time."""

    is_poisoned = False

    def flush(self, timeout: float | None = None) -> bool:
        """Fails once it has failed."""
        if self.is_poisoned and self.state == "running":
            return False
        done = super().flush(timeout)
        self.is_poisoned = not done and timeout != 0 and not self.is_inside()
        return done


@mutant({"5.7": "were never written after a flush had run out of time"})
class FlushDropsOnTimeout(RefThreads):
    """Drops what it could not get written in time."""

    def flush(self, timeout: float | None = None) -> bool:
        """Clears the queue when its time is over."""
        done = super().flush(timeout)
        if not done and timeout != 0 and self.state == "running" and not self.is_inside():
            for item in self.queue.extract_batch(self.queue.size()):
                self.ledger.drop_one(item.level, "shutdown_timeout", in_flight=True)
        return done


@mutant({"5.7": "flush was answered for one before it that had run out of time"})
class FlushTicketStays(RefThreads):
    """Leaves its mark behind when its time is over, and the next flush takes it for its own."""

    left: Ticket | None = None

    def wait_for_ticket(self, ticket: Ticket, deadline: float) -> None:
        """Waits for what an earlier flush has left."""
        mine, self.left = self.left, None
        if mine is not None and not mine.done:
            self.tickets.append(mine)
        elif deadline - self.clock.now() > 0:
            mine = ticket
        super().wait_for_ticket(mine or ticket, deadline)
        ticket.done = ticket.done or (mine is not None and mine.done)
        if mine is not None and not ticket.done:
            self.left = mine

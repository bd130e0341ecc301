"""Mutants whose batches start too late, and those that never rest."""

from __future__ import annotations

import math

import lual
from lual.backend import WorkItem
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"4.5": "a full batch of five waited (1 in a row)"})
class NoBatchTrigger(RefThreads):
    """Knows the interval alone."""

    def is_full(self, size: int) -> bool:
        """Is never full, unless nothing more fits."""
        return size >= self.queue.max_size


@mutant({"4.5": "a full batch of five waited (1 in a row)"})
class NeedsOneMore(RefInline):
    """Starts a batch when there is more than one."""

    def _is_full(self) -> bool:
        """Is wrong by one, unless nothing more fits."""
        size, most = self.queue.size(), self.config.batch_size
        return size > most or size >= self.queue.max_size or most == 1


@mutant({"4.5": "twelve records gathered"})
class FullByEquality(RefThreads):
    """Looks for exactly one batch, which it never sees when it was busy."""

    def is_full(self, size: int) -> bool:
        """Compares with ==, unless nothing more fits."""
        return size == self.config.batch_size or size >= self.queue.max_size or size > 12


@mutant({"4.6": "partial batch 1 in a row"})
class NoIntervalTrigger(RefThreads):
    """Knows full batches alone."""

    def arrival(self, now: float) -> float:
        """Lets every record look as if it had just come."""
        return now


@mutant({"4.6": "partial batch 1 in a row"})
class IntervalRestarts(RefThreads):
    """Counts the interval from the latest record."""

    latest = 0.0

    def admit(self, item: WorkItem) -> bool:
        """Begins the interval anew."""
        self.latest = self.clock.now()
        return super().admit(item)

    def arrival(self, now: float) -> float:
        """Looks at the latest record."""
        return max(super().arrival(now), self.latest)


@mutant({"4.6": "partial batch 2 in a row"})
class IntervalOnce(RefThreads):
    """Has a timer that is never set again."""

    fired = False

    def forget_work(self) -> None:
        """Sets it for the next run."""
        super().forget_work()
        self.fired = False

    def seconds_to_due(self) -> float | None:
        """Waits for the interval once."""
        wait = super().seconds_to_due()
        urged = self.is_full(self.queue.size()) or self.is_demanded() or self.state == "stopping"
        if wait == 0 and not urged:
            if self.fired:
                return None
            self.fired = self.config.flush_interval > 0
        return wait


@mutant({"4.6": "while the output was busy"})
class IntervalFromRest(RefThreads):
    """Counts the interval from when the worker has time for it."""

    rested = -math.inf

    def leave_output(self) -> None:
        """Is free again."""
        super().leave_output()
        self.rested = self.clock.now()

    def arrival(self, now: float) -> float:
        """Takes what it hasn't looked at for new."""
        return max(super().arrival(now), self.rested)


@mutant({"4.6": "with flush_interval 0"})
class ZeroMeansNever(RefThreads):
    """Takes an interval of 0 for none."""

    def arrival(self, now: float) -> float:
        """Doesn't let the time pass."""
        return super().arrival(now) if self.config.flush_interval else now + 1.0


@mutant({"4.6": "partial batch 1 in a row"})
class InlineNoInterval(RefInline):
    """Never looks at the clock in submit."""

    def _is_overdue(self) -> bool:
        """Knows full batches alone, and an interval of 0."""
        return self.config.flush_interval == 0


@mutant({"4.6": "in a row: a record had waited"})
class InlineIntervalRestarts(RefInline):
    """Counts the interval from the latest record."""

    latest = math.inf
    before = math.inf

    def _note_arrival(self, item: WorkItem) -> None:
        """Begins the interval anew."""
        super()._note_arrival(item)
        self.before, self.latest = self.latest, self._clock.now()

    def _is_overdue(self) -> bool:
        """Looks at the gap before the latest record."""
        interval = self.config.flush_interval
        return interval == 0 or self._clock.now() - self.before >= interval


@mutant({"4.8": "looked at the clock or the queue"})
class BusyWaits(RefThreads):
    """Looks at the queue a thousand times a second."""

    def park(self, seconds: float | None) -> None:
        """Sleeps for a millisecond of real time."""
        self.changed.wait(0.001)


@mutant({"4.8": "with one record that waits for its batch, a thread looked at"})
class Spins(RefThreads):
    """Never sleeps while a partial batch waits."""

    def park(self, seconds: float | None) -> None:
        """Spins until something has changed."""
        size, state, demand = self.queue.size(), self.state, self.demand
        if not size or seconds is None or seconds < 1e5:
            super().park(seconds)
            return
        self.lock.release()
        try:
            while (size, state, demand) == (self.queue.size(), self.state, self.demand):
                if self.tickets or self.killed:
                    break
        finally:
            self.lock.acquire()


@mutant({"4.11": "a record of level"})
class NoUrgency(RefThreads):
    """Treats urgent records like all others."""

    def wake(self, item: WorkItem) -> None:
        """Makes nothing due."""
        with self.lock:
            self.changed.notify_all()


@mutant({"4.11": "a record of level 30 came with flush_level 30"})
class UrgencyIsError(RefThreads):
    """Knows only errors to be urgent, whatever is configured."""

    def wake(self, item: WorkItem) -> None:
        """Ignores `flush_level`."""
        with self.lock:
            if item.level >= max(self.config.flush_level, lual.ERROR):
                self.demand = self.queue.watermark()
            self.changed.notify_all()


@mutant({"4.11": "a record of level 30 came with flush_level 30"})
class InlineUrgencyAbove(RefInline):
    """Takes the level itself for not urgent."""

    def _note_arrival(self, item: WorkItem) -> None:
        """Compares with >."""
        if item.level != self.config.flush_level:
            super()._note_arrival(item)
        elif self.queue.size() <= 1:
            self._floor = self._clock.now()


@mutant({"4.11": "while the output was busy"})
class UrgencyForgotten(RefThreads):
    """Notes an urgent record only if the worker rests."""

    def wake(self, item: WorkItem) -> None:
        """Relies on somebody who listens."""
        with self.lock:
            if item.level >= self.config.flush_level and not self.inside:
                self.demand = self.queue.watermark()
            self.changed.notify_all()

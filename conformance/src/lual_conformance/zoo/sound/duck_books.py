"""The counters of a backend that has neither lual's queue nor its `run_batch`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lual.backend import BackendConfig


class Books:
    """Counts what happens to each record, and keeps the totals that depend on the queue.

    Single counters are changed through the ledger, whose steps nothing interrupts: a signal
    handler between reading `config.stats[key]` and writing it would be forgotten. Totals are
    worked out anew each time, so that one which was interrupted is made good by the next.

    Args:
        config: The backend's; callers of `write` and `read` hold its ledger's lock.
        size: Returns how many records wait.
    """

    def __init__(self, config: BackendConfig, size: Callable[[], int]) -> None:
        self._stats = config.stats
        self._ledger = config.ledger
        self._size = size
        #: Outcomes count only if this is still the same when they arrive.
        self.generation = config.ledger.generation
        self.write()

    def add(self, counter: str) -> None:
        """Counts one more of something that has a plain counter."""
        self._ledger.add(counter)

    def overflow(self, size: int) -> None:
        """Counts a record that found `size` others, and no room."""
        self._ledger.overflow(size)

    def drop(self, level: int, reason: str) -> None:
        """Counts a record that was evicted or refused."""
        self._ledger.drop_one(level, reason)

    def take(self) -> None:
        """Counts a record that left the queue for its dispatch."""
        self._ledger.high_water(self._size() + 1)
        self._ledger.take(1)

    def finish(self, generation: int, reason: str | None) -> None:
        """Counts the outcome of a dispatch.

        Args:
            generation: When it was taken.
            reason: Why it failed; None: it didn't.
        """
        failed = int(reason is not None)
        self._ledger.book(generation, processed=1 - failed, failed=failed, reason=reason or "")

    def _totals(self, counters: Mapping[str, Any]) -> dict[str, int]:
        size = self._size()
        dropped = sum(counters["dropped_by_reason"].values())
        done = counters["messages_processed"] + counters["messages_failed"]
        return {
            "queue_size": size,
            "messages_dropped": dropped,
            "messages_submitted": done + dropped + size + counters["in_flight"],
        }

    def write(self) -> None:
        """Writes the totals into `config.stats`."""
        written: dict[str, int] = {}
        while written != (totals := self._totals(self._stats)):  # again after an interruption
            self._stats.update(totals)
            written = totals

    def zero(self) -> None:
        """Sets every counter to zero, in place."""
        self._ledger.reset()
        self.generation = self._ledger.generation
        self.write()

    def read(self) -> dict[str, Any]:
        """Returns a copy of all counters, consistent in itself."""
        self._ledger.high_water(self._size())
        self.write()
        counters = self._ledger.snapshot()
        counters.update(self._totals(counters))
        return counters

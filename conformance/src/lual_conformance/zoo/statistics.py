"""Mutants that break what chapter 8 promises of statistics."""

from __future__ import annotations

import threading
import time
from typing import Any

from lual.backend import BackendConfig, WorkItem
from lual.backend.batch import call, report_failures
from lual.backend.ledger import Ledger
from lual_conformance.reference.group import Group
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"8.1": "get_stats has no 'blocked_seconds'"})
class MissingKey(RefThreads):
    """Leaves out a counter."""

    def get_stats(self) -> dict[str, Any]:
        stats = super().get_stats()
        del stats["blocked_seconds"]
        return stats


@mutant({"8.1": "not JSON-serialisable"})
class ShowsItsThread(RefThreads):
    """Shows an object that no JSON can carry."""

    def get_stats(self) -> dict[str, Any]:
        return {**super().get_stats(), "worker": self.thread}


@mutant({"8.1": "flush_timeouts is 0.0 instead of int"})
class CountsInFloats(RefInline):
    """Shows a counter as a float."""

    def get_stats(self) -> dict[str, Any]:
        stats = super().get_stats()
        return {**stats, "flush_timeouts": float(stats["flush_timeouts"])}


@mutant({"8.2": "records are processed when only"})
class DeliveredCountedEarly(RefThreads):
    """Counts a record as processed when it is handed to the output."""

    def run_item(self, item: WorkItem) -> None:
        func, ledger = self.func_of(item), self.ledger
        if func is None:
            super().run_item(item)
            return
        generation = ledger.generation
        ledger.book(generation, processed=1)
        (error,) = call([item], func)
        if error is not None and generation == ledger.generation:
            with ledger.lock:
                ledger["messages_processed"] -= 1
                ledger.book(generation, failed=1, in_flight=0)
            report_failures([(item, error)], self.config)


@mutant({"8.2": "backend_errors is 10 instead of 5"})
class FailuresCountTwice(RefThreads):
    """Counts a failed record as two errors."""

    def run_item(self, item: WorkItem) -> None:
        before = self.ledger["messages_failed"]
        super().run_item(item)
        self.ledger.add("backend_errors", self.ledger["messages_failed"] - before)


@mutant({"2.3": "counted", "2.4": "counted"})
class CountsAttempts(RefThreads):
    """Counts a record that it refuses because it isn't running."""

    def submit(self, work_item: WorkItem) -> bool:
        if not self.is_accepting():
            self.ledger.drop_one(work_item.level, "stopped")
        return super().submit(work_item)


@mutant({"8.2": "and five after a restart"})
class RestartForgets(RefThreads):
    """Begins to count anew at each start."""

    def start(self, dispatch_func: Any = None) -> None:
        if self.state == "stopped":
            self.ledger.reset()
        super().start(dispatch_func)


@mutant({"8.3": "a snapshot taken under load"})
class TornSnapshot(RefThreads):
    """Reads one counter later than the others."""

    def get_stats(self) -> dict[str, Any]:
        stats = super().get_stats()
        time.sleep(0.001)
        return {**stats, "messages_processed": self.ledger["messages_processed"]}


@mutant({"8.3": "a snapshot taken inside an output"})
class ForgetsWhatIsInHand(RefInline):
    """Shows a record inside the output nowhere."""

    def get_stats(self) -> dict[str, Any]:
        return {**super().get_stats(), "in_flight": 0}


@mutant({"8.4": "get_stats() had not returned"})
class StatsBlocks(RefThreads):
    """Needs a lock for its statistics that is held while an output runs."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.busy = threading.RLock()

    def run_item(self, item: WorkItem) -> None:
        with self.busy:
            super().run_item(item)

    def get_stats(self) -> dict[str, Any]:
        with self.busy:
            return super().get_stats()


@mutant({"8.4": "get_stats was held as long as"})
class StatsBlockInline(RefInline):
    """Lets nobody see its statistics while a thread dispatches."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.busy = threading.RLock()

    def _run(self, group: Group) -> None:
        with self.busy:
            super()._run(group)

    def get_stats(self) -> dict[str, Any]:
        with self.busy:
            return super().get_stats()


@mutant({"8.5": "a snapshot changed after it was taken"})
class StatsLive(RefThreads):
    """Shows the same dict each time."""

    shown: dict[str, Any] | None = None

    def get_stats(self) -> dict[str, Any]:
        stats = super().get_stats()
        if self.shown is None:
            self.shown = {}
        self.shown.update(stats)
        return self.shown


@mutant({"8.5": "a snapshot changed after it was taken: ['failed_by_reason']"})
class StatsShareTables(RefThreads):
    """Copies the counters, but not the tables."""

    def get_stats(self) -> dict[str, Any]:
        return {**super().get_stats(), "failed_by_reason": self.ledger["failed_by_reason"]}


@mutant({"8.5": "changing what get_stats had returned changed"})
class StatsCached(RefInline):
    """Keeps what it has shown as long as nothing happens."""

    shown: dict[str, Any] | None = None

    def get_stats(self) -> dict[str, Any]:
        stats = super().get_stats()
        if self.shown is None or self.shown["messages_submitted"] != stats["messages_submitted"]:
            self.shown = stats
        return {**stats, "dropped_by_reason": self.shown["dropped_by_reason"]}


@mutant({"8.6": "the mapping that the backend was given still has"})
class ResetDetachesStats(RefThreads):
    """Counts in a new mapping after a reset."""

    def zero_counters(self) -> None:
        kept = dict(self.ledger._data)
        storage = self.ledger._data
        self.ledger._data = dict(kept)
        super().zero_counters()
        storage.update(kept)


@mutant({"8.6": "after reset, get_stats still has {'failed_by_reason'"})
class ResetKeepsATable(RefThreads):
    """Zeroes the counters, but not a table."""

    def zero_counters(self) -> None:
        table = dict(self.ledger["failed_by_reason"])
        super().zero_counters()
        self.ledger["failed_by_reason"].update(table)


@mutant({"8.7": "by the latency"})
class WallClockAge(RefThreads):
    """Measures latencies with the real clock."""

    longest = 0

    def run_item(self, item: WorkItem) -> None:
        start = time.monotonic()
        super().run_item(item)
        self.longest = max(self.longest, int((time.monotonic() - start) * 1e9))

    def get_stats(self) -> dict[str, Any]:
        stats = super().get_stats()
        stats["latency"]["dispatch"].update(max_ns=self.longest, sum_ns=self.longest)
        return stats


@mutant({"8.8": "after a flush"})
class CountsElsewhere(RefThreads):
    """Keeps its counters in a mapping of its own."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        if not isinstance(config.stats, Ledger):
            self.ledger._data = {
                key: dict(value) if isinstance(value, dict) else value
                for key, value in self.ledger._data.items()
            }

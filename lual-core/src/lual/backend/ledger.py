"""The one place where records are counted.

Few counters are kept and the totals are derived from them, so that

    submitted == processed + failed + dropped + queue_size + in_flight
    dropped   == sum(dropped_by_reason) == sum(dropped_by_level)

hold in any snapshot by construction: admitting a record writes no counter at all, it
makes a queue longer.

Guarantees:
    * no term is ever negative; counters go back only at `reset`, and in place;
    * `lock` is re-entrant and held only for short sections, never during user code.
Assumes: a backend that replaces the queue or `run_batch` keeps their keys itself, by
writing to this mapping.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from lual.levels import level_name

if TYPE_CHECKING:
    from lual.backend.queue import BoundedQueue

#: Kept as they are.
COUNTERS = (
    "messages_processed",
    "messages_failed",
    "in_flight",
    "sync_processed",
    "backend_errors",
    "output_errors",
    "queue_overflows",
    "queue_high_watermark",
    "blocked_submits",
    "blocked_seconds",
    "flushes",
    "flush_timeouts",
    "worker_restarts",
)
#: Kept, by name.
TABLES = ("dropped_by_reason", "dropped_by_level", "failed_by_reason")
#: Worked out when read.
DERIVED = ("messages_submitted", "messages_dropped", "queue_size")

#: Histograms have a bucket for each power of two of nanoseconds, up to about 1.2 hours.
BUCKETS = 42


class Histogram:
    """Durations in powers of two nanoseconds."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets all samples."""
        self.count = 0
        self.sum_ns = 0
        self.max_ns = 0
        self.buckets = [0] * BUCKETS

    def add(self, seconds: float) -> None:
        """Counts one duration; a negative one (a clock that was set back) counts as 0."""
        ns = max(int(seconds * 1e9), 0)
        self.count += 1
        self.sum_ns += ns
        self.max_ns = max(self.max_ns, ns)
        self.buckets[min(ns.bit_length(), BUCKETS - 1)] += 1

    def as_dict(self) -> dict[str, Any]:
        """Returns `count`, `sum_ns`, `max_ns` and `buckets` (bucket i: below 2**i ns)."""
        return {
            "count": self.count,
            "sum_ns": self.sum_ns,
            "max_ns": self.max_ns,
            "buckets": list(self.buckets),
        }


class Ledger(MutableMapping[str, Any]):
    """All counters of one engine, or of one backend that stands alone.

    Args:
        storage: Where the counters live; a plain dict, also one with keys missing, is
            kept up to date in place.

    Threads: any thread; re-entrant.
    """

    def __init__(self, storage: MutableMapping[str, Any] | None = None) -> None:
        self.lock = threading.RLock()
        self.generation = 0
        self.latency = {"queue": Histogram(), "dispatch": Histogram()}
        self._queues: tuple[BoundedQueue, ...] = ()
        self._data: MutableMapping[str, Any] = {} if storage is None else storage
        self._is_public = storage is not None
        for name in COUNTERS:
            self._data.setdefault(name, 0)
        for name in TABLES:
            self._data.setdefault(name, {})

    @classmethod
    def of(cls, stats: MutableMapping[str, Any] | Ledger) -> Ledger:
        """Returns `stats` if it is a ledger, else a new one that keeps its counters there."""
        return stats if isinstance(stats, Ledger) else cls(stats)

    # The mapping: what a backend that counts for itself writes to.

    def __getitem__(self, key: str) -> Any:
        if key in DERIVED and (self._queues or key not in self._data):
            return self.totals()[key]
        return self._data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        with self.lock:
            self._data[key] = value

    def __delitem__(self, key: str) -> None:
        del self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot())

    def __len__(self) -> int:
        return len(self.snapshot())

    # Queues

    def attach(self, queue: BoundedQueue) -> None:
        """Counts the records that wait in `queue` from now on."""
        with self.lock:
            if queue not in self._queues:
                self._queues = (*self._queues, queue)

    def detach(self, queue: BoundedQueue) -> None:
        """Stops counting `queue`, which must be empty."""
        with self.lock:
            self._queues = tuple(q for q in self._queues if q is not queue)

    # Bookings

    def take(self, count: int) -> None:
        """Books records that left a queue for a worker's hands; negative: they went back."""
        with self.lock:
            self._data["in_flight"] += count

    def book(
        self,
        generation: int,
        *,
        processed: int = 0,
        failed: int = 0,
        reason: str = "dispatch",
        in_flight: int | None = None,
        inline: bool = False,
    ) -> None:
        """Books outcomes; those from before a `reset` are ignored.

        Args:
            generation: The ledger's `generation` when the records were taken.
            processed: Records that an output took, or that no pipeline wanted.
            failed: Records whose dispatch raised.
            reason: Why they failed.
            in_flight: How many leave the workers' hands; None: all of these.
            inline: True if the caller's thread dispatched them past the queue.
        """
        with self.lock:
            if generation != self.generation:
                return
            data = self._data
            if failed:
                table = data["failed_by_reason"]
                table[reason] = table.get(reason, 0) + failed
            leaving = processed + failed if in_flight is None else in_flight
            data.update(
                messages_processed=data["messages_processed"] + processed,
                messages_failed=data["messages_failed"] + failed,
                backend_errors=data["backend_errors"] + failed,
                in_flight=data["in_flight"] - leaving,
                sync_processed=data["sync_processed"] + (processed if inline else 0),
            )

    def drop(self, levels: Iterable[int], reason: str, *, in_flight: bool = False) -> int:
        """Books dropped records.

        Args:
            levels: The level of each.
            reason: Why they were dropped.
            in_flight: True if they were in a worker's hands.

        Returns:
            How many they were.
        """
        with self.lock:
            reasons = self._data["dropped_by_reason"]
            by_level = self._data["dropped_by_level"]
            count = 0
            for level in levels:
                name = level_name(level)
                by_level[name] = by_level.get(name, 0) + 1
                reasons[reason] = reasons.get(reason, 0) + 1
                count += 1
            if in_flight:
                self._data["in_flight"] -= count
            return count

    def add(self, counter: str, amount: float = 1) -> None:
        """Adds to one of the plain counters."""
        with self.lock:
            self._data[counter] = self._data.get(counter, 0) + amount

    def high_water(self, size: int) -> None:
        """Raises the high-water mark to `size` if it was lower."""
        with self.lock:
            if size > self._data["queue_high_watermark"]:
                self._data["queue_high_watermark"] = size

    def sample(self, kind: str, seconds: float) -> None:
        """Adds one duration to a latency histogram: `queue` or `dispatch`."""
        with self.lock:
            self.latency[kind].add(seconds)

    # Reading

    def totals(self) -> dict[str, int]:
        """Returns the derived totals, and writes them to the storage for who reads that."""
        with self.lock:
            data = self._data
            if not self._queues and "messages_submitted" in data:  # somebody else's queue
                return {name: data.get(name, 0) for name in DERIVED}
            size = sum(queue.size() for queue in self._queues)
            dropped = sum(data["dropped_by_reason"].values())
            done = data["messages_processed"] + data["messages_failed"]
            return {
                "messages_submitted": done + dropped + size + data["in_flight"],
                "messages_dropped": dropped,
                "queue_size": size,
            }

    def snapshot(self) -> dict[str, Any]:
        """Returns a copy of all counters, tables, totals and `latency`, consistent in itself.

        Blocks: for a short section of another thread at most.
        """
        with self.lock:
            totals = self.totals()
            if self._queues:
                self.high_water(totals["queue_size"])
            copy = {k: dict(v) if isinstance(v, Mapping) else v for k, v in self._data.items()}
            copy.update(totals)
            copy["latency"] = {name: h.as_dict() for name, h in self.latency.items()}
            return copy

    def publish(self) -> None:
        """Writes the derived totals into the storage, for who reads a plain dict."""
        if self._is_public:
            with self.lock:
                self._data.update(self.totals())

    def reset(self) -> None:
        """Sets every counter to zero, in place; outcomes still on their way are ignored."""
        with self.lock:
            self.generation += 1
            for name, value in self._data.items():
                if isinstance(value, MutableMapping):
                    value.clear()
                elif isinstance(value, (int, float)) and not isinstance(value, bool):
                    self._data[name] = 0
            for histogram in self.latency.values():
                histogram.clear()

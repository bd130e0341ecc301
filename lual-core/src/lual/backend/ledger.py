"""The one place where records are counted.

Few counters are kept and the totals are derived from them, so that

    submitted == processed + failed + dropped + queue_size + in_flight
    dropped   == sum(dropped_by_reason) == sum(dropped_by_level)

hold in any snapshot by construction: admitting a record writes no counter at all, it
makes a queue longer.

Guarantees:
    * no term is ever negative; counters go back only at `reset`, and in place;
    * `lock` is re-entrant and held only for short sections, never during user code;
    * a signal handler or finaliser may book or read in the middle of anything: a counter
      is changed by one statement without a call in it, which nothing interrupts.
Assumes: a backend that replaces the queue or `run_batch` keeps their keys itself, by
writing to this mapping; of the totals it writes `queue_size` alone, because the others
follow from that, and go on being true when the engine writes inline or a line is replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from lual.backend.histogram import Histogram
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
        self._derives = False  # totals; True once there was a queue
        self._elsewhere = 0  # records that wait in a queue of a backend's own
        self._changes = 0  # so that a snapshot notices an interruption
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

    def __getitem__(self, key: str) -> Any:
        if key in DERIVED:
            with self.lock:
                return self._totals(self._data)[key]
        if key == "latency":
            return self.snapshot()[key]
        return self._data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        with self.lock:
            if key not in DERIVED or not self._derives:
                self._data[key] = value
            elif key == "queue_size":
                self._elsewhere = value
            self._changes += 1

    def __delitem__(self, key: str) -> None:
        del self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot())

    def __len__(self) -> int:
        return len(self.snapshot())

    def keeps_in(self, storage: object) -> bool:
        """Tells whether the counters live in `storage`, or are `storage` itself."""
        return storage is self or storage is self._data

    # Queues

    def attach(self, queue: BoundedQueue) -> None:
        """Counts the records that wait in `queue` from now on."""
        with self.lock:
            self._derives = True
            if queue not in self._queues:
                self._queues = (*self._queues, queue)

    def detach(self, queue: BoundedQueue) -> None:
        """Stops counting `queue`, which must be empty."""
        with self.lock:
            self._queues = tuple(q for q in self._queues if q is not queue)

    def absorb(self, other: Ledger) -> None:
        """Adds what another ledger has counted, for a queue that moves from there to here."""
        with self.lock:
            for name in COUNTERS:
                if name == "queue_high_watermark":
                    self.high_water(other[name])
                else:
                    self.add(name, other[name])
            for name in TABLES:
                for key, count in other[name].items():
                    self._data[name][key] = self._data[name].get(key, 0) + count

    # Bookings

    def take(self, count: int) -> None:
        """Books records that left a queue for a worker's hands; negative: they went back."""
        with self.lock:
            self._data["in_flight"] += count
            self._changes += 1

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
                table.setdefault(reason, 0)
                table[reason] += failed
            leaving = processed + failed if in_flight is None else in_flight
            data["messages_processed"] += processed
            data["messages_failed"] += failed
            data["in_flight"] -= leaving
            data["backend_errors"] += failed
            if inline:
                data["sync_processed"] += processed
            self._changes += 1

    def drop(self, levels: Iterable[int], reason: str, *, in_flight: bool = False) -> None:
        """Books dropped records.

        Args:
            levels: The level of each.
            reason: Why they were dropped.
            in_flight: True if they were in a worker's hands.
        """
        for level in levels:
            self.drop_one(level, reason, in_flight)

    def drop_one(self, level: int, reason: str, in_flight: bool = False) -> None:
        """Books one dropped record; see `drop`."""
        name = level_name(level)
        with self.lock:
            data = self._data
            reasons, by_level = data["dropped_by_reason"], data["dropped_by_level"]
            if reason not in reasons:
                reasons[reason] = 0
            if name not in by_level:
                by_level[name] = 0
            reasons[reason], by_level[name] = reasons[reason] + 1, by_level[name] + 1
            if in_flight:
                data["in_flight"] -= 1
            self._changes += 1

    def add(self, counter: str, amount: float = 1) -> None:
        """Adds to one of the plain counters."""
        with self.lock:
            self._data.setdefault(counter, 0)
            self._data[counter] += amount
            self._changes += 1

    def overflow(self, size: int) -> None:
        """Counts a record that came when its queue was full, with `size` records."""
        with self.lock:
            data = self._data
            data["queue_overflows"] += 1
            if size > data["queue_high_watermark"]:
                data["queue_high_watermark"] = size
            self._changes += 1

    def high_water(self, size: int) -> None:
        """Raises the high-water mark to `size` if it was lower."""
        with self.lock:
            if size > self._data["queue_high_watermark"]:
                self._data["queue_high_watermark"] = size

    def sample(self, kind: str, seconds: float, generation: int | None = None) -> None:
        """Adds one duration to a latency histogram: `queue` or `dispatch`.

        Args:
            kind: Which histogram.
            seconds: The duration.
            generation: As for `book`; None: whichever it is.
        """
        with self.lock:
            if generation is None or generation == self.generation:
                self.latency[kind].add(seconds)

    # Reading

    def _totals(self, data: Mapping[str, Any]) -> dict[str, int]:
        """Returns the derived totals; without any queue, those that a backend wrote."""
        size = sum(queue.size() for queue in self._queues) + self._elsewhere
        dropped = sum(data["dropped_by_reason"].values())
        done = data["messages_processed"] + data["messages_failed"]
        totals = {
            "messages_submitted": done + dropped + size + data["in_flight"],
            "messages_dropped": dropped,
            "queue_size": size,
        }
        if not self._derives:
            totals.update((name, data[name]) for name in DERIVED if name in data)
        return totals

    def snapshot(self) -> dict[str, Any]:
        """Returns a copy of all counters, tables, totals and `latency`, consistent in itself.

        Blocks: for a short section of another thread at most.
        """
        with self.lock:
            while True:
                before = self._changes
                data = list(self._data.items())
                copy: dict[str, Any] = {}
                copy.update((k, dict(v) if isinstance(v, Mapping) else v) for k, v in data)
                copy.update(self._totals(copy))
                if self._derives:
                    self.high_water(copy["queue_size"])
                copy["queue_high_watermark"] = self._data["queue_high_watermark"]
                copy["latency"] = {name: h.as_dict() for name, h in self.latency.items()}
                if self._changes == before:  # else an interruption booked meanwhile
                    return copy

    def publish(self) -> None:
        """Writes the derived totals into the storage, for who reads a plain dict."""
        if self._is_public and self._derives:
            with self.lock:
                self._data.update(self._totals(self._data))

    def outlive_threads(self) -> None:
        """Replaces the lock, once the interpreter's end has frozen whoever may hold it."""
        self.lock = threading.RLock()

    def reset(self) -> None:
        """Sets every counter to zero, in place; outcomes still on their way are ignored."""
        with self.lock:
            self.generation += 1
            self._changes += 1
            self._elsewhere = 0
            for name, value in self._data.items():
                if isinstance(value, MutableMapping):
                    value.clear()
                elif isinstance(value, (int, float)) and not isinstance(value, bool):
                    self._data[name] = 0
            for histogram in self.latency.values():
                histogram.clear()

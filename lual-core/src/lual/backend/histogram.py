"""How long things took: counts by powers of two, which never overflow and add up."""

from __future__ import annotations

from typing import Any

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
        if ns > self.max_ns:
            self.max_ns = ns
        bucket = min(ns.bit_length(), BUCKETS - 1)
        self.buckets[bucket] += 1

    def as_dict(self) -> dict[str, Any]:
        """Returns `count`, `sum_ns`, `max_ns` and `buckets` (bucket i: below 2**i ns)."""
        return {
            "count": self.count,
            "sum_ns": self.sum_ns,
            "max_ns": self.max_ns,
            "buckets": list(self.buckets),
        }

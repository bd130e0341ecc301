"""Periods of drops, each of which ends with one record in the log itself.

A log that lost records says so where a reader would miss them: how many, by level and
reason, between which numbers, for how long. One record a period, not one a drop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from lual.levels import level_name

#: Seconds after which a period is reported although it goes on.
LONGEST_PERIOD = 10.0


class Gap:
    """What one period of drops lost.

    Args:
        now: Monotonic seconds at which it began.
    """

    def __init__(self, now: float) -> None:
        self.start = now
        self.last = now
        self.by_reason: dict[str, int] = {}
        self.by_level: dict[str, int] = {}
        self.first_seq: int | None = None
        self.last_seq: int | None = None

    def add(self, seq: int | None, level: int, reason: str, now: float) -> None:
        """Counts one dropped record."""
        name = level_name(level)
        self.by_reason[reason] = self.by_reason.get(reason, 0) + 1
        self.by_level[name] = self.by_level.get(name, 0) + 1
        self.last = now
        if seq is not None:
            self.first_seq = seq if self.first_seq is None else min(seq, self.first_seq)
            self.last_seq = seq if self.last_seq is None else max(seq, self.last_seq)

    def message(self) -> str:
        """Returns the sentence that the log shows."""
        reasons = ", ".join(f"{name} {n}" for name, n in self.by_reason.items())
        levels = ", ".join(f"{name} {n}" for name, n in self.by_level.items())
        return (
            f"{sum(self.by_reason.values())} records were dropped in "
            f"{self.last - self.start:.3f} s ({reasons}; {levels}; "
            f"between seq {self.first_seq} and {self.last_seq})"
        )

    def fields(self) -> dict[str, Any]:
        """Returns the same as structured fields."""
        return {
            "dropped_total": sum(self.by_reason.values()),
            "dropped_by_reason": dict(self.by_reason),
            "dropped_by_level": dict(self.by_level),
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "duration": round(self.last - self.start, 6),
        }


class GapReports:
    """Opens a period at the first drop, and hands out periods that have ended.

    Args:
        changed: Called with True when a period opens, and with False when none is open
            any more; the engine watches admissions only in between.
        now: Monotonic seconds; injected by tests.

    Threads: any thread, re-entrant.
    """

    def __init__(
        self, changed: Callable[[bool], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._changed = changed
        self._now = now
        self._lock = threading.RLock()
        self._open: Gap | None = None
        self._ended: list[Gap] = []
        self.has_ended = False  # read without the lock, once a batch

    def drop(self, seq: int | None, level: int, reason: str) -> None:
        """Counts one dropped record in the open period, or opens one."""
        now = self._now()
        with self._lock:
            opened = self._open is None
            if self._open is None:
                self._open = Gap(now)
            self._open.add(seq, level, reason, now)
        if opened:
            self._changed(True)

    def outlive_threads(self) -> None:
        """Replaces the lock; see `AsyncWriter.outlive_threads`."""
        self._lock = threading.RLock()

    @property
    def is_open(self) -> bool:
        """True while a period goes on."""
        return self._open is not None

    def is_overdue(self) -> bool:
        """Tells whether the open period is due although records are still dropped."""
        gap = self._open
        return gap is not None and self._now() - gap.start >= LONGEST_PERIOD

    def end(self) -> None:
        """Ends the open period, if there is one."""
        with self._lock:
            if self._open is None:
                return
            self._ended.append(self._open)
            self._open = None
            self.has_ended = True
        self._changed(False)

    def take(self) -> list[Gap]:
        """Returns the ended periods that nobody has taken yet."""
        with self._lock:
            taken, self._ended = self._ended, []
            self.has_ended = False
            return taken

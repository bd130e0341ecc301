"""The bounded queue: limit, overflow, waiting for room, and the booking of admissions.

Guarantees:
    * every operation is O(1) per record; admission takes no lock while there is room: it
      appends, and looks whether that was one too many;
    * `size()` never exceeds the limit, with or without the GIL (`requeue_front` alone may
      exceed it, by one batch);
    * re-entrant: a signal handler or finaliser may call anything in the middle of anything;
    * no lock is held while anybody waits, or is told of a drop.
Assumes: callers hold no lock that the consumer needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from lual.backend.backlog import Backlog
from lual.backend.clock import Clock, is_duration
from lual.backend.ledger import Ledger
from lual.backend.reentry import busy, carries, interpreter_is_ending, patience
from lual.errors import ConfigError, did_you_mean
from lual.levels import ERROR

if TYPE_CHECKING:
    from lual.backend.items import WorkItem

OnDrop = Callable[["WorkItem", str], object]

__all__ = ["STRATEGIES", "BoundedQueue", "interpreter_is_ending"]

STRATEGIES = ("drop_oldest", "drop_newest", "block")


class BoundedQueue(Backlog):
    """A FIFO of work items with a limit and a strategy for when it is reached.

    Args:
        max_size: Limit in records, 1 or more.
        overflow_strategy: `drop_oldest` evicts the oldest record, `drop_newest` refuses
            the new one, `block` waits for room and refuses after `block_timeout`.
        protect_level: Records at this level or above are dropped only when no other
            record could go instead.
        block_timeout: Seconds, for `block`.
        stats: The ledger that admissions are booked in; None: the queue keeps its own
            until a backend binds it.
        clock: Source of time; None: the real one.
        on_drop: Called with each dropped item and the reason, with no lock held.

    Raises:
        ConfigError: An argument is out of range, or the strategy has no such name.

    Threads: any thread, re-entrant.

    >>> from lual.backend.items import WorkItem
    >>> queue = BoundedQueue(2)
    >>> [queue.enqueue(WorkItem("app", None, level=20, seq=n)) for n in (1, 2, 3)]
    [True, True, True]
    >>> [item.seq for item in queue.extract_batch(10)], queue.stats()["dropped"]
    ([2, 3], 1)
    """

    def __init__(
        self,
        max_size: int = 10_000,
        overflow_strategy: str = "drop_oldest",
        *,
        protect_level: int = ERROR,
        block_timeout: float = 1.0,
        stats: MutableMapping[str, Any] | None = None,
        clock: Clock | None = None,
        on_drop: OnDrop | None = None,
    ) -> None:
        if not isinstance(max_size, int) or isinstance(max_size, bool) or max_size < 1:
            raise ConfigError(f"max_size must be 1 record or more, got {max_size!r}")
        if overflow_strategy not in STRATEGIES:
            raise ConfigError(
                f"overflow_strategy must be one of {', '.join(STRATEGIES)}, "
                f"got {overflow_strategy!r}{did_you_mean(overflow_strategy, STRATEGIES)}"
            )
        if not is_duration(block_timeout):
            raise ConfigError(f"block_timeout must be 0 or more seconds, got {block_timeout!r}")
        super().__init__(max_size, protect_level)
        self.overflow_strategy = overflow_strategy
        self.block_timeout = block_timeout
        self.clock = clock if clock is not None else Clock()
        self.on_drop = on_drop
        self.bound = stats is not None
        self._waiters = 0
        self._closings = 0
        self._use(Ledger.of(stats) if stats is not None else Ledger())

    def _use(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._lock = ledger.lock
        self._has_room = threading.Condition(self._lock)
        ledger.attach(self)

    def bind(self, ledger: Ledger) -> None:
        """Books in `ledger` from now on, unless the queue was built with one.

        Args:
            ledger: The backend's.
        """
        if not self.bound:
            self.bound = True
            mine = self.ledger
            self._use(ledger)
            ledger.absorb(mine)

    # Admission

    @carries("item")
    def enqueue(self, item: WorkItem) -> bool:
        """Admits `item`; when the queue is full, the strategy decides.

        Returns:
            True if `item` was admitted. False: it was dropped and counted, or the queue
            is closed and nothing was counted.

        Blocks: only under `block`, at most `block_timeout`.
        Threads: any thread; the items of one thread keep their order.
        """
        self._append(item)
        if self.waiting() <= self._room:
            return True
        return self._settle(item)

    @carries("item")
    def _settle(self, item: WorkItem) -> bool:
        """Decides what goes, since `item` was one too many when it was appended."""
        protected = item.level >= self.protect_level
        drops: list[tuple[WorkItem, str]] = []
        admitted = may_wait = False
        with self._lock:
            if self._is_open and len(self._items) > self._room:
                self.ledger.overflow(self.max_size + self._surplus)
            while not (admitted := self._is_open and len(self._items) <= self._room):
                if not self._is_open and self._came_in_time(item):
                    admitted = True
                    break
                victim, reason = self._choose_victim(protected) if self._is_open else (None, "")
                if victim is None:  # `item` itself is to go, or to wait
                    admitted = not self._withdraw(item)
                    if admitted or not reason:
                        may_wait = not admitted and self._is_open
                        break
                    victim = item
                self.ledger.drop_one(victim.level, reason)
                drops.append((victim, reason))
                if reason == "overflow_newest":
                    break
        for victim, reason in drops:
            self._tell(victim, reason)
        return self._wait_for_room(item) if may_wait else admitted

    def _choose_victim(self, protected: bool) -> tuple[WorkItem | None, str]:
        """Evicts a record for a newcomer; without one, tells why that is refused.

        Args:
            protected: Whether the newcomer is.

        Returns:
            The record and the reason; None and "" if the newcomer may wait for room.
        """
        strategy = self.overflow_strategy
        if protected or strategy == "drop_oldest":
            victim = self._evict_unprotected()
            if victim is None and protected and strategy == "drop_oldest":
                victim = self._evict_oldest()
            if victim is not None:
                return victim, "overflow_oldest"
        if strategy == "block" and (protected or self._holds_unprotected()):
            return None, ""
        return None, "overflow_newest"

    @carries("item")
    def _wait_for_room(self, item: WorkItem) -> bool:
        limit, reason = patience(item, self.block_timeout)
        start = self.clock.now()
        with self._lock:
            closings = self._closings
            if limit > 0:
                self.ledger.add("blocked_submits")
            while not (admitted := self._closings == closings and self._admit(item)):
                left = start + limit - self.clock.now()
                if left <= 0 or self._closings != closings or not self._is_open:
                    break
                self._waiters += 1
                try:
                    self.clock.wait(self._has_room, left)
                finally:
                    self._waiters -= 1
            if limit > 0:
                self.ledger.add("blocked_seconds", self.clock.now() - start)
            refused = not admitted and self._closings == closings and self._is_open
            if refused:
                self.ledger.drop_one(item.level, reason)
        if refused:
            self._tell(item, reason)
        return admitted

    def _tell(self, item: WorkItem, reason: str) -> None:
        if self.on_drop is not None:
            try:
                self.on_drop(item, reason)
            except Exception:  # noqa: BLE001  no logging call raises what others did wrong
                self.ledger.add("backend_errors")

    # Extraction

    @busy
    def extract_batch(self, n: int, *, before: int | None = None) -> list[WorkItem]:
        """Takes up to `n` items, oldest first, and books them as in flight.

        Args:
            n: How many at most.
            before: Only those admitted before this position; None: any.

        Returns:
            `[]` if the queue is empty or `n` is 0 or less.

        Blocks: never.
        """
        with self._lock:
            size = self.size()
            n = min(n, size if before is None else self._count_before(before))
            if n <= 0:
                return []
            self.ledger.high_water(size)
            batch = self._take(n)
            self.ledger.take(len(batch))
            if self._waiters:
                self._has_room.notify(n)
            return batch

    @busy
    def requeue_front(self, items: Iterable[WorkItem]) -> None:
        """Gives extracted items back, in order, ahead of everything; may exceed the limit."""
        with self._lock:
            self.ledger.take(-self._give_back(items))

    @busy
    def clear(self) -> int:
        """Removes all items, counting nothing; returns how many they were."""
        with self._lock:
            count = self._take_all()
            self._has_room.notify_all()
            return count

    # State

    @busy
    def close(self) -> None:
        """Refuses items from now on, without counting them, and wakes who waits for room."""
        with self._lock:
            if self._is_open:
                self._seal()
            self._is_open = False
            self._closings += 1
            self._measure()
            self._has_room.notify_all()

    def open(self) -> None:
        """Admits items again."""
        with self._lock:
            self._is_open = True
            self._measure()

    def watermark(self) -> int:
        """Returns the position after the last admitted item."""
        with self._lock:
            return self._watermark()

    def oldest(self) -> int | None:
        """Returns the position of the oldest item that still waits, or None.

        For an item given back it is 0: earlier than any watermark.
        """
        with self._lock:
            return self._oldest()

    def oldest_item(self) -> WorkItem | None:
        """Returns the item that would be extracted next, or None."""
        with self._lock:
            return self._oldest_item()

    def stats(self) -> dict[str, Any]:
        """Returns `size max_size overflow_strategy overflows is_empty high_watermark dropped`."""
        counts = self.ledger.snapshot()
        return {
            "size": self.size(),
            "max_size": self.max_size,
            "overflow_strategy": self.overflow_strategy,
            "overflows": counts["queue_overflows"],
            "is_empty": self.is_empty(),
            "high_watermark": counts["queue_high_watermark"],
            "dropped": counts["messages_dropped"],
        }

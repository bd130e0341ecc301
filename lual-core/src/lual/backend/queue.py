"""The bounded queue: order, limit, overflow, and the booking of what is admitted.

Guarantees:
    * every operation is O(1) per record; admission takes no lock while there is room: it
      appends, and looks whether that was one too many;
    * `size()` never exceeds the limit, with or without the GIL (`requeue_front` alone may
      exceed it, by one batch);
    * re-entrant: a signal handler or finaliser may call anything in the middle of anything;
    * nothing of an item is read but its level, and that only on overflow.
Assumes: callers hold no lock that the consumer needs.

Records stand in three places, extracted in this order: those given back by a lost worker,
protected records that stepped aside when an older unprotected one had to be found, and
all others. Positions count admissions, so that a flush can wait for "all before mine".
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from lual.backend.clock import Clock
from lual.backend.ledger import Ledger
from lual.backend.reentry import busy, carries, interrupts_lual
from lual.context import dispatch_depth
from lual.errors import ConfigError, did_you_mean
from lual.levels import ERROR

if TYPE_CHECKING:
    from lual.backend.items import WorkItem

OnDrop = Callable[["WorkItem", str], object]

STRATEGIES = ("drop_oldest", "drop_newest", "block")

#: Seconds that a blocking submit may hold the thread of a running event loop.
LOOP_BLOCK_TIMEOUT = 0.05

_exiting = False


def interpreter_is_ending() -> None:
    """Tells all queues that nobody may wait for room any more; called by the exit guard."""
    global _exiting
    _exiting = True


class BoundedQueue:
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
        if not isinstance(max_size, int) or max_size < 1:
            raise ConfigError(f"max_size must be 1 record or more, got {max_size!r}")
        if overflow_strategy not in STRATEGIES:
            raise ConfigError(
                f"overflow_strategy must be one of {', '.join(STRATEGIES)}, "
                f"got {overflow_strategy!r}{did_you_mean(overflow_strategy, STRATEGIES)}"
            )
        self.max_size = max_size
        self.overflow_strategy = overflow_strategy
        self.protect_level = protect_level
        self.block_timeout = block_timeout
        self.clock = clock if clock is not None else Clock()
        self.on_drop = on_drop
        self.bound = stats is not None
        self._items: deque[WorkItem] = deque()
        #: As `size()`, but one call of C: read once a record by `BaseBackend.submit`.
        self.waiting: Callable[[], int] = self._items.__len__
        self._append: Callable[[WorkItem], None] = self._items.append
        self._aside: deque[tuple[int, WorkItem]] = deque()  # (position, protected record)
        self._returned: deque[WorkItem] = deque()
        self._is_open = True
        self._room = max_size  # for _items; 0 while closed
        self._removed = 0  # records that left, but for those given back
        self._waiting = 0
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
            for table in ("dropped_by_reason", "dropped_by_level"):
                kept = ledger[table]
                for name, count in mine[table].items():
                    kept[name] = kept.get(name, 0) + count

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
        """Decides about an item that was one too many when it was appended."""
        with self._lock:
            if self._is_open and len(self._items) <= self._room:  # room appeared meanwhile
                return True
            if not self._withdraw(item):
                return True
        return self._overflow(item)

    def _withdraw(self, item: WorkItem) -> bool:
        """Takes `item` out again; other threads may append meanwhile, but not extract.

        Returns:
            False if it isn't there: it was extracted, or evicted and counted.
        """
        for index in range(len(self._items) - 1, -1, -1):
            if self._items[index] is item:
                del self._items[index]
                return True
        return False

    @carries("item")
    def _overflow(self, item: WorkItem) -> bool:
        level = item.level
        with self._lock:
            if not self._is_open:
                return False
            if len(self._items) < self._room:  # room appeared meanwhile
                self._items.append(item)
                return True
            self.ledger.high_water(self.size())
            self.ledger.add("queue_overflows")
            victim, reason = self._choose_victim(item, level >= self.protect_level)
            if reason is not None and victim is not None:
                self.ledger.drop([victim.level], reason)
                if victim is not item:
                    self._items.append(item)
        if reason is None or victim is None:
            return self._wait_for_room(item)
        self._tell(victim, reason)
        return victim is not item

    def _choose_victim(
        self, item: WorkItem, protected: bool
    ) -> tuple[WorkItem | None, str | None]:
        """Returns who goes and why; (None, None): `item` may wait for room instead."""
        strategy = self.overflow_strategy
        if protected or strategy == "drop_oldest":
            victim = self._evict_unprotected()
            if victim is None and protected and strategy == "drop_oldest":
                victim = self._evict_oldest()
            if victim is not None:
                return victim, "overflow_oldest"
        if strategy == "block" and (protected or self._holds_unprotected()):
            return None, None
        return item, "overflow_newest"

    def _holds_unprotected(self) -> bool:
        self._step_aside()
        return bool(self._items) or any(i.level < self.protect_level for i in self._returned)

    def _step_aside(self) -> None:
        """Moves protected records from the head aside; each moves once, so O(1) amortised."""
        items = self._items
        while items and items[0].level >= self.protect_level:
            position = self._removed + len(self._returned) + len(self._aside)
            self._aside.append((position, items.popleft()))
        self._measure()

    def _evict_unprotected(self) -> WorkItem | None:
        for index, item in enumerate(self._returned):  # one batch at most
            if item.level < self.protect_level:
                del self._returned[index]
                return self._left(item)
        self._step_aside()
        return self._left(self._items.popleft()) if self._items else None

    def _evict_oldest(self) -> WorkItem | None:
        if self._returned:
            return self._left(self._returned.popleft())
        if self._aside:
            return self._left(self._aside.popleft()[1])
        return self._left(self._items.popleft()) if self._items else None

    def _left(self, item: WorkItem) -> WorkItem:
        self._removed += 1
        self._measure()
        return item

    def _measure(self) -> None:
        taken = len(self._aside) + len(self._returned)
        self._room = max(self.max_size - taken, 0) if self._is_open else 0

    @carries("item")
    def _wait_for_room(self, item: WorkItem) -> bool:
        limit = self._may_wait(item)
        reason = "block_timeout" if limit == self.block_timeout else "cannot_block"
        start = self.clock.now()
        with self._lock:
            if limit > 0:
                self.ledger.add("blocked_submits")
            while True:
                if not self._is_open:
                    admitted, reason = False, None
                elif len(self._items) < self._room:
                    self._items.append(item)
                    admitted, reason = True, None
                elif (left := start + limit - self.clock.now()) > 0:
                    self._waiting += 1
                    try:
                        self.clock.wait(self._has_room, left)
                    finally:
                        self._waiting -= 1
                    continue
                else:
                    admitted = False
                    self.ledger.drop([item.level], reason)
                break
            if limit > 0:
                self.ledger.add("blocked_seconds", self.clock.now() - start)
        if reason is not None:
            self._tell(item, reason)
        return admitted

    def _may_wait(self, item: WorkItem) -> float:
        """Returns the seconds that this call may wait here; 0: it must not."""
        if _exiting or sys.is_finalizing() or dispatch_depth() or interrupts_lual(item):
            return 0.0
        asyncio = sys.modules.get("asyncio.events")
        if asyncio is not None and asyncio._get_running_loop() is not None:
            return min(self.block_timeout, LOOP_BLOCK_TIMEOUT)
        return self.block_timeout

    def _tell(self, item: WorkItem, reason: str) -> None:
        if self.on_drop is not None:
            self.on_drop(item, reason)

    # Extraction

    @busy
    def extract_batch(self, n: int) -> list[WorkItem]:
        """Takes up to `n` items, oldest first, and books them as in flight.

        Returns:
            `[]` if the queue is empty or `n` is 0 or less.

        Blocks: never.
        """
        with self._lock:
            size = self.size()
            n = min(n, size)
            if n <= 0:
                return []
            self.ledger.high_water(size)
            batch: list[WorkItem] = []
            while self._returned and len(batch) < n:
                batch.append(self._returned.popleft())
            while self._aside and len(batch) < n:
                batch.append(self._aside.popleft()[1])
            take = self._items.popleft
            batch.extend([take() for _ in range(n - len(batch))])
            self._removed += n
            self.ledger.take(n)
            self._measure()
            if self._waiting:
                self._has_room.notify(n)
            return batch

    @busy
    def requeue_front(self, items: Iterable[WorkItem]) -> None:
        """Gives extracted items back, in order, ahead of everything; may exceed the limit."""
        with self._lock:
            given = list(items)
            self._returned.extendleft(reversed(given))
            self._removed -= len(given)
            self.ledger.take(-len(given))
            self._measure()

    @busy
    def clear(self) -> int:
        """Removes all items, counting nothing; returns how many they were."""
        with self._lock:
            waiting = len(self._items)
            count = len(self._returned) + len(self._aside) + waiting
            self._returned.clear()
            self._aside.clear()
            for _ in range(waiting):  # what others append meanwhile isn't counted
                self._items.popleft()
            self._removed += count
            self._measure()
            self._has_room.notify_all()
            return count

    # State

    @busy
    def close(self) -> None:
        """Refuses items from now on, without counting them, and wakes who waits for room."""
        with self._lock:
            self._is_open = False
            self._measure()
            self._has_room.notify_all()

    def open(self) -> None:
        """Admits items again."""
        with self._lock:
            self._is_open = True
            self._measure()

    def size(self) -> int:
        """Returns how many items wait, 0 to `max_size`."""
        returned = len(self._returned)
        size = returned + len(self._aside) + len(self._items)
        # An append that was one too many stands there until its thread withdraws it.
        return size if returned or size <= self.max_size else self.max_size

    def is_empty(self) -> bool:
        """Tells whether no item waits; a worker may still have some in hand."""
        return not (self._items or self._aside or self._returned)

    def watermark(self) -> int:
        """Returns the position after the last admitted item."""
        with self._lock:
            waiting = len(self._returned) + len(self._aside) + len(self._items)
            return self._removed + waiting

    def oldest(self) -> int | None:
        """Returns the position of the oldest item that still waits, or None.

        For an item given back it is 0: earlier than any watermark.
        """
        with self._lock:
            if self._returned:
                return 0
            if self._aside:
                return self._aside[0][0]
            return self._removed if self._items else None

    def oldest_item(self) -> WorkItem | None:
        """Returns the item that would be extracted next, or None."""
        with self._lock:
            if self._returned:
                return self._returned[0]
            if self._aside:
                return self._aside[0][1]
            return self._items[0] if self._items else None

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

"""The records that wait, and where each stands.

They stand in three places, which are left in this order: those given back by a lost
worker, protected records that stepped aside when an older unprotected one had to be found,
and all others. Positions count admissions, so that a flush can wait for "all before mine".

Guarantees:
    * places and positions stay right when a signal handler or finaliser admits records in
      the middle of anything;
    * O(1) per record; nothing of a record is read but its level, and that only on overflow.
Assumes: the caller holds the lock of the queue, but for appending, which takes none: an
append that was one too many stands at the end until its thread looks and withdraws it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import repeat, starmap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lual.backend.items import WorkItem


class Backlog:
    """Work items in the order in which they leave.

    Args:
        max_size: Limit in records.
        protect_level: Records at this level or above step aside rather than go.
    """

    def __init__(self, max_size: int, protect_level: int) -> None:
        self.max_size = max_size
        self.protect_level = protect_level
        self._items: deque[WorkItem] = deque()
        #: As `size()`, but one call of C: read once a record by `BaseBackend.submit`.
        self.waiting: Callable[[], int] = self._items.__len__
        self._append: Callable[[WorkItem], None] = self._items.append
        self._aside: deque[tuple[int, WorkItem]] = deque()  # (position, protected record)
        self._returned: deque[WorkItem] = deque()
        self._surplus = 0  # by how much records given back exceed the limit
        self._is_open = True
        self._measures = 0
        self._room = max_size  # for _items; 0 while closed
        self._removed = 0  # records that left, but for those given back
        self._sealed = 0  # position after the last record that came before the closing

    # Size

    def size(self) -> int:
        """Returns how many items wait, 0 to `max_size`."""
        size = self._ahead() + len(self._items)
        limit = self.max_size + self._surplus
        if not self._is_open:
            limit = min(limit, max(self._sealed - self._removed, 0))
        # An append that was one too many stands there until its thread withdraws it.
        return size if size <= limit else limit

    def is_empty(self) -> bool:
        """Tells whether no item waits; a worker may still have some in hand."""
        return not (self._items or self._aside or self._returned)

    def _ahead(self) -> int:
        """Returns how many stand before the first of `_items`."""
        return len(self._returned) + len(self._aside)

    def _measure(self) -> None:
        self._measures += 1
        measure = -1
        while measure != self._measures:  # again if an interruption measured meanwhile
            measure = self._measures
            room = self.max_size + self._surplus - self._ahead()
            if measure == self._measures:
                self._room = room if room > 0 and self._is_open else 0

    def _shrink(self) -> None:
        """Takes room back that only records given back had a right to."""
        if self._surplus:
            over = self._ahead() + len(self._items) - self.max_size
            self._surplus = max(min(self._surplus, over), 0)
        self._measure()

    # Coming

    def _admit(self, item: WorkItem) -> bool:
        """Appends `item` if there is room, also if somebody takes that room meanwhile."""
        if len(self._items) >= self._room:
            return False
        self._append(item)
        return len(self._items) <= self._room or not _take_out(self._items, item)

    def _seal(self) -> None:
        """Notes which records came before the closing."""
        self._sealed = self._removed + self._ahead() + min(len(self._items), self._room)

    def _came_in_time(self, item: WorkItem) -> bool:
        """Tells whether an item that still waits came before the closing."""
        for place in range(len(self._items) - 1, -1, -1):  # what is in doubt stands near the end
            if self._items[place] is item:
                return self._removed + self._ahead() + place < self._sealed
        return False

    def _withdraw(self, item: WorkItem) -> bool:
        """Takes out an item that was appended.

        Returns:
            False if it isn't there: it was extracted, or evicted and counted.
        """
        return _take_out(self._items, item)

    def _give_back(self, items: Iterable[WorkItem]) -> int:
        """Puts extracted items before all others; returns how many they were."""
        given = list(items)
        count = len(given)
        room = self._room if self._is_open else self.max_size
        self._returned.extendleft(reversed(given))
        self._removed -= count
        admitted = -1
        while admitted != self._watermark():  # again if an interruption changed something
            admitted = self._watermark()
            over = self._ahead() + min(len(self._items), room) - self.max_size
            self._surplus = max(over, 0)
            self._measure()
        return count

    # Leaving

    def _take(self, n: int) -> list[WorkItem]:
        """Takes up to `n` items, oldest first."""
        batch: list[WorkItem] = []
        with suppress(IndexError):  # an interruption took some as well
            batch.extend(_pop(self._returned, min(n, len(self._returned))))
            if self._aside:
                aside = min(n - len(batch), len(self._aside))
                batch.extend(item for _, item in _pop(self._aside, aside))
            batch.extend(_pop(self._items, n - len(batch)))
        count = len(batch)  # apart: a call inside of `+=` could be interrupted
        self._removed += count
        self._shrink()
        return batch

    def _take_all(self) -> int:
        """Removes all items; returns how many they were."""
        waiting = len(self._items)
        count = len(self._returned) + len(self._aside) + waiting
        self._returned.clear()
        self._aside.clear()
        with suppress(IndexError):
            for _ in _pop(self._items, waiting):  # what is appended meanwhile stays
                pass
        self._removed += count
        self._shrink()
        return count

    def _evict_unprotected(self) -> WorkItem | None:
        """Removes and returns the oldest unprotected item, if there is one."""
        if self._returned:  # one batch at most
            for item in tuple(self._returned):
                if item.level < self.protect_level and _take_out(self._returned, item):
                    return self._gone(item)
        items = self._items
        if not (items and self._room and items[0].level < self.protect_level):
            self._step_aside()
        return self._first()

    def _evict_oldest(self) -> WorkItem | None:
        """Removes and returns the oldest item, if there is one."""
        if self._returned:
            return self._gone(self._returned.popleft())
        if self._aside:
            return self._gone(self._aside.popleft()[1])
        return self._first()

    def _first(self) -> WorkItem | None:
        """Takes the first of `_items`; beyond the room there are none, only appends in doubt."""
        if not (self._items and self._room):
            return None
        item = self._items.popleft()
        self._removed += 1
        return item

    def _gone(self, item: WorkItem) -> WorkItem:
        self._removed += 1
        self._measure()
        return item

    def _holds_unprotected(self) -> bool:
        self._step_aside()
        level = self.protect_level
        return bool(self._items and self._room) or any(
            item.level < level for item in tuple(self._returned)
        )

    def _step_aside(self) -> None:
        """Moves protected items from the head aside; each moves once, so O(1) amortised.

        Beyond the room there stand only items that are about to be withdrawn.
        """
        items = self._items
        while self._room and items:
            head = items[0]
            if head.level < self.protect_level:
                break
            position = self._removed + self._ahead()
            move = zip((position,), _pop(items, 1), strict=True)
            if items and items[0] is head:  # else an interruption was faster
                self._room -= 1  # first, so that nobody takes the place that seems to be free
                self._aside.extend(move)

    # Positions

    def _watermark(self) -> int:
        return self._removed + self._ahead() + len(self._items)

    def _oldest(self) -> int | None:
        if self._returned:
            return 0
        if self._aside:
            return self._aside[0][0]
        return self._removed if self._items else None

    def _oldest_item(self) -> WorkItem | None:
        if self._returned:
            return self._returned[0]
        if self._aside:
            return self._aside[0][1]
        return self._items[0] if self._items else None

    def _count_before(self, position: int) -> int:
        aside = len(self._aside)
        if aside and self._aside[-1][0] >= position:
            aside = sum(1 for p, _ in self._aside if p < position)
        items = position - self._removed - self._ahead()
        return len(self._returned) + aside + min(max(items, 0), len(self._items))


def _pop(place: deque[Any], n: int) -> Iterable[Any]:
    """Pops up to `n` times from the left; consumed by C, so that nothing is lost midway."""
    return starmap(place.popleft, repeat((), max(n, 0)))


def _take_out(place: deque[WorkItem], item: WorkItem) -> bool:
    """Removes `item` itself, found from the end; False if it isn't there.

    Other threads may append meanwhile, but not extract.
    """
    while True:
        try:
            for index in range(len(place) - 1, -1, -1):
                if place[index] is item:
                    del place[index]
                    return True
        except IndexError:  # an interruption made the place shorter
            continue
        return False

"""Mutants that hold too much, drop the wrong record, or count a drop wrongly."""

from __future__ import annotations

from lual import ERROR
from lual.backend import BackendConfig, WorkItem
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"6.1": "records were held while an output was stalled"})
class Unbounded(RefThreads):
    """Takes whatever comes."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.queue.max_size = 10**6
        self.queue.open()  # it measures its room anew

    def is_full(self, size: int) -> bool:
        """Goes by what was configured."""
        return size >= min(self.config.batch_size, self.config.max_queue_size)


@mutant({"6.1": "queue_high_watermark says 11"})
class HoldsOneMore(Unbounded):
    """Counts from the wrong end of an interval."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.queue.max_size = config.max_queue_size + 1
        self.queue.open()


@mutant({"6.1": "records were held while an output was stalled"})
class InlineUnbounded(RefInline):
    """Takes whatever comes."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.queue.max_size = 10**6
        self.queue.open()

    def _is_full(self) -> bool:
        return self.queue.size() >= min(self.config.batch_size, self.config.max_queue_size)


class _OwnEviction(RefThreads):
    """Makes room by itself under `drop_oldest`."""

    def admit(self, item: WorkItem) -> bool:
        """Evicts before the queue does."""
        with self.lock:
            full = self.queue.size() >= self.queue.max_size
            oldest = self.queue.oldest_item()
            if full and oldest is not None and self.is_mine(oldest, item):
                self.ledger.overflow(self.queue.size())
                return self.make_room(item)
        return self.queue.enqueue(item)

    def is_mine(self, oldest: WorkItem, newcomer: WorkItem) -> bool:
        """Leaves protected records to the queue."""
        drops = self.queue.overflow_strategy == "drop_oldest"
        return drops and max(oldest.level, newcomer.level) < self.config.protect_level

    def make_room(self, item: WorkItem) -> bool:
        """Evicts, and puts the newcomer into the queue."""
        self.evict(1, item)
        return self.queue.enqueue(item)

    def evict(self, count: int, newcomer: WorkItem) -> None:
        """Removes the oldest records, and counts them."""
        for victim in self.queue.extract_batch(count):
            self.book(victim, newcomer)

    def book(self, victim: WorkItem, newcomer: WorkItem) -> None:
        """Counts one evicted record."""
        self.ledger.drop_one(victim.level, "overflow_oldest", in_flight=True)


@mutant({"6.2": "records were lost, messages_dropped says 0"})
class DropUncounted(_OwnEviction):
    """Evicts, and says nothing."""

    def book(self, victim: WorkItem, newcomer: WorkItem) -> None:
        """Forgets it."""
        self.ledger.take(-1)


@mutant({"6.2": "records were lost, messages_dropped says"})
class DropCountedTwice(_OwnEviction):
    """Counts an eviction where it happens and where it was asked for."""

    def book(self, victim: WorkItem, newcomer: WorkItem) -> None:
        """Counts it here as well."""
        super().book(victim, newcomer)
        self.ledger.drop_one(victim.level, "overflow_oldest")


@mutant({"6.2": "dropped_by_level says"})
class DropCountedForTheNewcomer(_OwnEviction):
    """Counts an evicted record under the level of the one that came."""

    def book(self, victim: WorkItem, newcomer: WorkItem) -> None:
        """Looks at the wrong one."""
        super().book(newcomer, victim)


@mutant({"6.2": "dropped_by_reason says"})
class EvictionCalledRefusal(_OwnEviction):
    """Counts an eviction as a refusal."""

    def book(self, victim: WorkItem, newcomer: WorkItem) -> None:
        """Names the wrong reason."""
        self.ledger.drop_one(victim.level, "overflow_newest", in_flight=True)


@mutant({"6.2": "10 newest records were to stay"})
class DropsNewestInstead(_OwnEviction):
    """Drops the newcomer, and says that it was taken."""

    def make_room(self, item: WorkItem) -> bool:
        """Counts the newcomer as evicted."""
        self.ledger.drop_one(item.level, "overflow_oldest")
        return True


@mutant({"6.2": "10 newest records were to stay"})
class DropsAll(_OwnEviction):
    """Clears the whole queue when it is full."""

    def evict(self, count: int, newcomer: WorkItem) -> None:
        """Removes all of them."""
        super().evict(self.queue.size(), newcomer)


@mutant({"6.2": "submit returned False under drop_oldest"})
class DropOldestRefuses(_OwnEviction):
    """Evicts, and tells the newcomer that there was no room."""

    def make_room(self, item: WorkItem) -> bool:
        """Returns the wrong answer."""
        super().make_room(item)
        return False


@mutant({"6.2": "10 newest records were to stay"})
class InlineDropsNewestInstead(RefInline):
    """Drops the newcomer under `drop_oldest`, and says that it was taken."""

    def _admit(self, item: WorkItem) -> bool:
        full = self.queue.size() >= self.queue.max_size
        if full and self.queue.overflow_strategy == "drop_oldest":
            self._ledger.drop_one(item.level, "overflow_oldest")
            return True
        return super()._admit(item)


@mutant({"6.3": "submit returned True for"})
class DropNewestReturnsTrue(RefThreads):
    """Says that a refused record was taken."""

    def admit(self, item: WorkItem) -> bool:
        """Returns the wrong answer."""
        return super().admit(item) or self.queue.overflow_strategy == "drop_newest"


@mutant({"6.3": "submit returned True for"})
class DropNewestEvicts(RefThreads):
    """Evicts the oldest, whatever was asked for."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        if config.overflow_strategy == "drop_newest":
            self.queue.overflow_strategy = "drop_oldest"


@mutant({"6.3": "were refused while the queue of 10 still had room"})
class DropNewestTooEarly(RefThreads):
    """Keeps one place free."""

    def admit(self, item: WorkItem) -> bool:
        """Refuses what would fill the queue."""
        size = self.queue.size()
        if self.queue.overflow_strategy == "drop_newest" and 1 < size == self.queue.max_size - 1:
            self.ledger.drop_one(item.level, "overflow_newest")
            return False
        return super().admit(item)


@mutant({"6.3": "records were lost, messages_dropped says 0"})
class RefusalUncounted(RefThreads):
    """Refuses, and leaves it to the caller to count that."""

    def admit(self, item: WorkItem) -> bool:
        """Looks before it asks the queue."""
        full = self.queue.size() >= self.queue.max_size
        if full and self.queue.overflow_strategy == "drop_newest" and item.level < ERROR:
            return False
        return super().admit(item)


@mutant({"6.3": "submit returned True for"})
class InlineDropNewestReturnsTrue(RefInline):
    """Says that a refused record was taken."""

    def _admit(self, item: WorkItem) -> bool:
        return super()._admit(item) or self.queue.overflow_strategy == "drop_newest"


@mutant(
    {"6.8": "creation with 'block', which isn't claimed, returned"},
    overflow=("drop_oldest", "drop_newest"),
)
class SilentSubstitute(RefThreads):
    """Refuses where it was to block, because it can't."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        if config.overflow_strategy == "block":
            self.queue.overflow_strategy = "drop_newest"


@mutant({"6.9": "error_callback was called"})
class ReportPerDrop(_OwnEviction):
    """Reports every single drop."""

    def make_room(self, item: WorkItem) -> bool:
        """Says so."""
        self.report("the queue is full: one record was dropped")
        return super().make_room(item)


@mutant({"6.10": "was full, but no batch was dispatched"})
class NeverTriggers(RefThreads):
    """Waits for batches that the queue can't hold."""

    def is_full(self, size: int) -> bool:
        """Forgets the queue's limit."""
        return size >= self.config.batch_size


@mutant({"6.10": "was full, but no batch was dispatched"})
class InlineNeverTriggers(RefInline):
    """Waits for batches that the queue can't hold."""

    def _is_full(self) -> bool:
        return self.queue.size() >= self.config.batch_size


@mutant({"6.12": "were lost in a flood of 200 records (drop_oldest), messages_dropped says 50"})
class CountsFiftyDrops(_OwnEviction):
    """Takes evicted records for written ones where it stops reporting drops."""

    booked = 0

    def book(self, victim: WorkItem, newcomer: WorkItem) -> None:
        """Takes a limit on messages for one on counts."""
        self.booked += 1
        if self.booked <= 50:
            super().book(victim, newcomer)
        else:
            self.ledger.book(self.ledger.generation, processed=1)

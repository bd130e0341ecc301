"""Mutants that wait for room wrongly under `block`, or not at all."""

from __future__ import annotations

import math

from lual.backend import BackendConfig, WorkItem
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"6.4": "a submit returned under block though the queue was full"})
class BlockIsDropNewest(RefThreads):
    """Refuses where it was to wait."""

    instead = "drop_newest"

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        if config.overflow_strategy == "block":
            self.queue.overflow_strategy = self.instead


@mutant({"6.4": "a submit returned under block though the queue was full"})
class BlockIsDropOldest(BlockIsDropNewest):
    """Evicts where it was to wait."""

    instead = "drop_oldest"


@mutant({"6.4": "a submit returned under block though the queue was full"})
class InlineBlockIsDropNewest(RefInline):
    """Refuses where it was to wait for the thread that dispatches."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        if config.overflow_strategy == "block":
            self.queue.overflow_strategy = "drop_newest"


class _OtherTimeout(RefThreads):
    """Waits for another time than the configured one, if it is to wait at all."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        if config.block_timeout:
            self.queue.block_timeout = self.timeout(config.block_timeout)

    def timeout(self, configured: float) -> float:
        """Returns the seconds."""
        return configured


@mutant({"6.5": "a submit under block had not returned"})
class BlockNoTimeout(_OtherTimeout):
    """Waits for room for ever."""

    def timeout(self, configured: float) -> float:
        """Forgets what was configured."""
        return math.inf


@mutant({"6.5": "a submit under block returned after 2.5 s, block_timeout is 5"})
class BlockGivesUpEarly(_OtherTimeout):
    """Waits a fraction of the time."""

    def timeout(self, configured: float) -> float:
        """Takes the timeout for a number of tries."""
        return configured / 4 if configured < 1000 else configured


@mutant({"6.5": "dropped_by_reason says"})
class BlockTimeoutUncounted(RefThreads):
    """Doesn't count a record whose submit has given up."""

    def admit(self, item: WorkItem) -> bool:
        """Waits before it asks the queue."""
        if self.queue.overflow_strategy != "block" or self.is_inside():
            return super().admit(item)
        deadline = self.clock.now() + self.config.block_timeout
        with self.lock:
            while self.state == "running" and self.queue.size() >= self.queue.max_size:
                left = deadline - self.clock.now()
                if left <= 0:
                    break
                self.clock.wait(self.changed, left)
            if self.config.block_timeout and self.queue.size() >= self.queue.max_size:
                return False
            return super().admit(item)


@mutant({"6.6": "still waited after stop was called"})
class BlockedForeverAtStop(RefThreads):
    """Closes the queue when it has drained it, and leaves those outside waiting till then."""

    def begin_stop(self) -> None:
        """Closes the door, and not the queue."""
        if self.state == "running" or self.gave_up:
            self.state = "stopping"
            self.changed.notify_all()

    def finish(self) -> None:
        """Closes the queue."""
        self.queue.close()
        super().finish()


@mutant({"6.7": "a submit inside an output waited for room"})
class WorkerSelfDeadlock(RefThreads):
    """Waits for room on the very thread that makes it."""

    def admit(self, item: WorkItem) -> bool:
        """Waits wherever it is."""
        deadline = self.clock.now() + self.config.block_timeout
        with self.lock:
            while self.waits(deadline):
                self.clock.wait(self.changed, deadline - self.clock.now())
        return super().admit(item)

    def waits(self, deadline: float) -> bool:
        """Tells whether there is no room for a submit inside an output."""
        blocks = self.queue.overflow_strategy == "block" and self.is_inside()
        full = self.queue.size() >= self.queue.max_size
        return blocks and full and self.state == "running" and self.clock.now() < deadline


@mutant({"6.7": "dropped_by_reason says {'block_timeout'"})
class CannotBlockCalledTimeout(RefThreads):
    """Counts as waited in vain what never waited."""

    def admit(self, item: WorkItem) -> bool:
        """Names the wrong reason."""
        full = self.queue.size() >= self.queue.max_size
        if full and self.queue.overflow_strategy == "block" and self.is_inside():
            self.ledger.drop_one(item.level, "block_timeout")
            return False
        return super().admit(item)

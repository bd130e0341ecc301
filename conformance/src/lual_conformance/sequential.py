"""What a backend is to one thread that calls it: a queue and some counters.

Every record is a batch of its own.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs


@attrs.define
class Model:
    """The state that a backend must have after each call.

    Args:
        stalls: Whether the output stalls at each record.
        size: The queue's limit.
        strategy: What happens when it is full.
    """

    stalls: bool
    size: int
    strategy: str
    state: str = "new"
    pending: deque[str] = attrs.field(factory=deque)  # the first is inside the output
    bad: set[str] = attrs.field(factory=set)
    begun: list[str] = attrs.field(factory=list)
    processed: int = 0
    failed: int = 0
    dropped: int = 0

    def submit(self, name: str) -> bool:
        """Takes a record."""
        if self.state != "running":
            return False
        if len(self.pending) > self.size:
            self.dropped += 1
            if self.strategy == "drop_newest":
                return False
            del self.pending[1]
        self.pending.append(name)
        if len(self.pending) == 1:
            self.begun.append(name)
        if not self.stalls:
            self.step()
        return True

    def step(self) -> None:
        """Lets the output finish one record."""
        if self.pending:
            if self.pending.popleft() in self.bad:
                self.failed += 1
            else:
                self.processed += 1
            self.begun += [self.pending[0]] if self.pending else []

    def drain(self) -> None:
        """Lets the output finish all."""
        while self.pending:
            self.step()

    def reset(self) -> None:
        """Forgets everything, but what was written."""
        self.pending.clear()
        self.state = "new"
        self.processed = self.failed = self.dropped = 0

    def stats(self) -> dict[str, Any]:
        """Returns what the statistics must say."""
        return {
            "state": self.state,
            "messages_submitted": self.processed + self.failed + self.dropped + len(self.pending),
            "messages_processed": self.processed,
            "messages_failed": self.failed,
            "messages_dropped": self.dropped,
            "queue_size": max(len(self.pending) - 1, 0),
            "in_flight": min(len(self.pending), 1),
        }

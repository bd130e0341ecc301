"""A worker thread that takes one record at a time, and parks on a queue of tokens.

Nothing of the injected clock tells that it is idle: it waits there only while a partial
batch waits for its interval.
"""

from __future__ import annotations

from queue import SimpleQueue

from lual.backend import BackendConfig
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.bare import BareBackend
from lual_conformance.zoo.sound.hands import Hand


class SplitBackend(BareBackend):
    """Drains the queue record by record in one daemon thread.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._tokens: SimpleQueue[None] = SimpleQueue()

    def _launch(self) -> None:
        with self._lock:
            self._tokens = SimpleQueue()
            hand = self._new_hand()
        self._hire(hand)

    def _portion(self) -> int:
        return 1

    def _seconds_to_due(self) -> float | None:
        """As for whole batches: what is due is due with all records of its batch."""
        wait = super()._seconds_to_due()
        oldest = self.queue.oldest()
        if wait == 0 and oldest is not None and oldest >= self._demand:
            self._demand = oldest + min(self.queue.size(), self.config.batch_size)
        return wait

    def _rest(self, hand: Hand, wait: float | None) -> bool:
        if wait is not None:
            return super()._rest(hand, wait)
        hand.waits_for_any = True
        tokens = self._tokens
        self._lock.release()
        try:
            tokens.get()
        finally:
            self._lock.acquire()
        return True

    def _wake(self) -> None:
        super()._wake()
        for hand in self._hands:
            if hand.waits_for_any:
                hand.waits_for_any = False  # one token is enough
                self._tokens.put(None)


plugin = Plugin(
    SplitBackend,
    "split",
    "one worker thread that runs batches record by record",
    worker="thread",
    isolates_slow_outputs=True,
    ordering="fifo",
    overflow=("drop_oldest", "drop_newest", "block"),
    dispatch_concurrency=1,
    restartable=True,
    clock="injected",
    exit_flush=True,
    fork="reinit",
    delivery="at_most_once",
)

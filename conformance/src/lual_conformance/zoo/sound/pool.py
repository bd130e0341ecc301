"""Two worker threads on one queue, each parked on a condition of its own.

Records of one producer may overtake each other, so no order is promised.
"""

from __future__ import annotations

from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.bare import BareBackend

_WORKERS = 2


class PoolBackend(BareBackend):
    """Drains the queue in two daemon threads.

    Args:
        config: See `BackendConfig`.
    """

    def _launch(self) -> None:
        with self._lock:
            hands = [self._new_hand() for _ in range(_WORKERS)]
        for hand in hands:
            self._hire(hand)


plugin = Plugin(
    PoolBackend,
    "pool",
    "two worker threads that share the queue",
    worker="thread",
    isolates_slow_outputs=True,
    ordering="none",
    overflow=("drop_oldest", "drop_newest", "block"),
    dispatch_concurrency=_WORKERS,
    restartable=True,
    clock="injected",
    exit_flush=True,
    fork="reinit",
    delivery="at_most_once",
)

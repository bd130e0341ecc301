"""A queue that a check can look into, and stop in the middle of an operation."""

from __future__ import annotations

import threading
from typing import Any

from lual.backend import BoundedQueue, WorkItem


class ProbeQueue(BoundedQueue):
    """A `BoundedQueue` that notes what is done with it.

    Attributes:
        extracted: Sizes of the batches that were taken, empty ones left out.
        takers: The thread of each of these.
        high_water: The most records that ever waited, as seen from outside.
        entered: Set whenever a paused operation has been reached.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.extracted: list[int] = []
        self.takers: list[threading.Thread] = []
        self.high_water = 0
        self.entered = threading.Event()
        self._gates = {"enqueue": threading.Event(), "extract_batch": threading.Event()}
        for gate in self._gates.values():
            gate.set()

    def pause(self, operation: str) -> None:
        """Makes `enqueue` or `extract_batch` stall until `proceed`."""
        self.entered.clear()
        self._gates[operation].clear()

    def proceed(self) -> None:
        """Lets everything go on."""
        for gate in self._gates.values():
            gate.set()

    def _pass(self, operation: str) -> None:
        gate = self._gates[operation]
        if not gate.is_set():
            self.entered.set()
            gate.wait()

    def enqueue(self, item: WorkItem) -> bool:
        """Admits an item; see `BoundedQueue.enqueue`."""
        self._pass("enqueue")
        admitted = super().enqueue(item)
        self.high_water = max(self.high_water, self.size())
        return admitted

    def extract_batch(self, n: int, *, before: int | None = None) -> list[WorkItem]:
        """Takes a batch; see `BoundedQueue.extract_batch`."""
        self._pass("extract_batch")
        items = super().extract_batch(n, before=before)
        if items:
            self.extracted.append(len(items))
            self.takers.append(threading.current_thread())
        return items

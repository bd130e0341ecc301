"""Runs a batch lane by lane: the records of one thread keep their order, and no others do."""

from __future__ import annotations

import threading

from lual.backend import BackendConfig, WorkItem
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.solo import CLAIMS, SoloBackend


class LanesBackend(SoloBackend):
    """Sorts each batch by the thread that submitted.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._lanes: dict[int, int] = {}

    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record, and notes whose it is."""
        self._lanes[id(work_item)] = -threading.get_ident()
        if super().submit(work_item):
            return True
        self._lanes.pop(id(work_item), None)
        return False

    def _take(self) -> list[WorkItem]:
        return sorted(super()._take(), key=lambda item: self._lanes.pop(id(item), 0))


plugin = Plugin(
    LanesBackend, "lanes", "a lane for each thread", **{**CLAIMS, "ordering": "producer"}
)

"""Wakes its worker by tokens in a `SimpleQueue`, which are safe wherever a record comes from.

A token can't be waited for on lual's clock, so its intervals run in real time.
"""

from __future__ import annotations

import contextlib
from queue import Empty, SimpleQueue

from lual.backend import BackendConfig
from lual_conformance.reference.plugin import Plugin
from lual_conformance.zoo.sound.solo import CLAIMS, SoloBackend


class TokensBackend(SoloBackend):
    """Parks its worker on tokens, and everybody else on the condition.

    Args:
        config: See `BackendConfig`.
    """

    def __init__(self, config: BackendConfig) -> None:
        self._tokens: SimpleQueue[None] = SimpleQueue()
        super().__init__(config)

    def _park(self, wait: float | None) -> None:
        self._changed.release()
        try:
            with contextlib.suppress(Empty):
                self._tokens.get(timeout=None if wait is None else min(wait, 1e6))
        finally:
            self._changed.acquire()

    def _ring(self) -> None:
        self._tokens.put(None)
        super()._ring()


plugin = Plugin(TokensBackend, "tokens", "a thread woken by tokens", **{**CLAIMS, "clock": "wall"})

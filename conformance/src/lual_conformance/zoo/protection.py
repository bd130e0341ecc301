"""Mutants that drop a protected record where an unprotected one could go."""

from __future__ import annotations

from lual import ERROR
from lual.backend import BackendConfig
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


@mutant({"6.11": "was dropped"})
class EvictsProtected(RefThreads):
    """Knows no protected records."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.queue.protect_level = self.protect_level()

    def protect_level(self) -> int:
        """Returns from which level on records are protected."""
        return 10**9


@mutant({"6.11": "the protected record 'warning"})
class ProtectsAboveTheLevel(EvictsProtected):
    """Protects what is above the level, not what is at it."""

    def protect_level(self) -> int:
        """Is one too high."""
        return self.config.protect_level + 1


@mutant({"6.11": "the protected record 'warning"})
class ProtectsErrorsAlone(EvictsProtected):
    """Protects errors, whatever was configured."""

    def protect_level(self) -> int:
        """Is what most people want."""
        return ERROR


@mutant({"6.11": "(drop_newest, full of unprotected ones)"})
class ProtectsUnderDropOldestAlone(EvictsProtected):
    """Refuses protected records under any strategy that evicts nothing."""

    def protect_level(self) -> int:
        """Goes by the strategy."""
        drops = self.config.overflow_strategy == "drop_oldest"
        return self.config.protect_level if drops else 10**9


@mutant({"6.11": "was dropped"})
class InlineEvictsProtected(RefInline):
    """Knows no protected records."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.queue.protect_level = 10**9

"""What the engine reads of the configuration, which is a layer above it."""

from __future__ import annotations

from typing import Any, Protocol


class AsyncSettings(Protocol):
    """Names and meaning are those of `lual.configuration.settings.Settings`."""

    @property
    def backend(self) -> str | None:
        """Name of an installed backend, or `package.module:plugin`; None chooses."""

    @property
    def async_batch_size(self) -> int:
        """Records per batch."""

    @property
    def async_flush_interval(self) -> float:
        """Seconds that a record may wait for its batch."""

    @property
    def max_queue_size(self) -> int:
        """Records that may wait."""

    @property
    def overflow_strategy(self) -> str:
        """`drop_oldest`, `drop_newest` or `block`."""

    @property
    def flush_level(self) -> int:
        """A record of this level or above wakes the worker at once."""

    @property
    def protect_level(self) -> int:
        """Records of this level or above are dropped last."""

    @property
    def block_timeout(self) -> float:
        """Seconds that a call may wait for room."""

    @property
    def flush_timeout(self) -> float:
        """Seconds, for a flush without a timeout."""

    @property
    def shutdown_timeout(self) -> float:
        """Seconds, for a stop without a timeout."""

    @property
    def after_stop(self) -> str:
        """`inline`, `drop` or `raise`."""

    @property
    def backend_options(self) -> dict[str, Any]:
        """What the backend itself validates."""

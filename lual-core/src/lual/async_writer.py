"""The asynchronous layer as a whole: start, stop, flush and watch it.

import lual
lual.async_writer.stop()
"""

from __future__ import annotations

from typing import Any

from lual.engine.writer import writer
from lual.reports import set_error_handler

__all__ = ["flush", "get_stats", "is_enabled", "reset", "set_error_handler", "start", "stop"]


def start() -> None:
    """Starts the configured backend again after `stop`; harmless while it runs.

    Raises:
        RuntimeError: `async_enabled` is False, or the old worker is still inside an
            output; records go on being written synchronously.
    """
    writer().start()


def stop(timeout: float | None = None) -> bool:
    """Drains and ends the asynchronous layer; later records are written inline.

    Args:
        timeout: Seconds; None: `shutdown_timeout` (5.0).

    Returns:
        True iff nothing was left. What was left is counted dropped and reported.

    Raises:
        ValueError: The timeout is negative or not a number.

    Blocks: at most `timeout` seconds.
    Threads: any thread; from an output it returns False at once.
    """
    return writer().stop(timeout)


def flush(timeout: float | None = None) -> bool:
    """Waits until every record submitted before the call is in its outputs.

    Args:
        timeout: Seconds; None: `flush_timeout` (5.0); 0 only looks.

    Returns:
        True iff they are. False at once from an output.

    Raises:
        ValueError: The timeout is negative or not a number.

    Blocks: at most `timeout` seconds.
    Threads: any thread.
    """
    return writer().flush(timeout)


def is_enabled() -> bool:
    """Tells whether records go through a backend: configured, and not stopped."""
    return writer().line is not None and writer().state in ("RUNNING", "DEGRADED")


def get_stats() -> dict[str, Any]:
    """Returns the statistics of the engine, a copy that can be turned into JSON.

    Blocks: for a short internal section at most, never for an output.
    """
    return writer().get_stats()


def reset() -> None:
    """Discards what waits and zeroes all counters; for tests."""
    writer().reset()

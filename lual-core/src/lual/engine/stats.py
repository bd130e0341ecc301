"""What `get_stats` shows: one copy, consistent in itself, always with the same keys."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lual import reports

if TYPE_CHECKING:
    from lual.engine.writer import AsyncWriter

#: Keys of the ledger that every snapshot has; a backend's further ones go to `backend_stats`.
_COUNTED = (
    "messages_submitted",
    "messages_processed",
    "messages_failed",
    "messages_dropped",
    "backend_errors",
    "output_errors",
    "queue_size",
    "in_flight",
    "queue_overflows",
    "queue_high_watermark",
    "sync_processed",
    "dropped_by_reason",
    "dropped_by_level",
    "failed_by_reason",
    "blocked_submits",
    "blocked_seconds",
    "flushes",
    "flush_timeouts",
    "worker_restarts",
    "latency",
)


def collect(writer: AsyncWriter) -> dict[str, Any]:
    """Returns the statistics of the engine and its backend.

    Blocks: for a short section of another thread at most, never for an output.
    """
    counted = writer.ledger.snapshot()
    line = writer.line
    stats: dict[str, Any] = {
        "enabled": line is not None,
        "backend": line.name if line is not None else None,
        "state": writer.state.lower(),
        "pid": os.getpid(),
        "epoch": writer.epoch,
        "uptime": writer.uptime(),
        "max_queue_size": line.queue.max_size if line is not None else 0,
        "overflow_strategy": line.queue.overflow_strategy if line is not None else None,
        "inherited_discarded": writer.inherited_discarded,
        "last_error": reports.reporter().last_error,
        "reports": writer.reports_written,
        "backend_stats": {},
        "extra": {"problems": dict(reports.reporter().counts)},
    }
    stats.update({key: counted[key] for key in _COUNTED})
    if line is not None:
        own = line.backend.get_stats()
        stats["backend_stats"] = {k: v for k, v in own.items() if k not in counted}
    return stats

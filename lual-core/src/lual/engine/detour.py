"""What becomes of a record that no backend took: written inline, or dropped and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lual import reports
from lual.record import LEVEL, SEQ

if TYPE_CHECKING:
    from collections.abc import Callable

    from lual.engine.capture import CapturedItem
    from lual.engine.writer import AsyncWriter

#: Seconds between two attempts to leave DEGRADED.
RECOVERY_INTERVAL = 30.0

#: Seconds that a record written inline waits for another thread's call into an output.
_PATIENCE = 5.0


class Detour:
    """The ways past the queue.

    Args:
        writer: The engine.
    """

    def __init__(self, writer: AsyncWriter) -> None:
        self._writer = writer
        self._next_attempt = 0.0

    def refused(self, item: CapturedItem, door: Callable[[CapturedItem], bool]) -> None:
        """Deals with a record that a backend did not take.

        Args:
            item: The record.
            door: The `submit` that returned False.
        """
        writer = self._writer
        if writer.was_counted(item):
            return
        if door != writer.submit:  # another line took over while the record was on its way
            again = writer.submit
            if not again(item):
                self.refused(item, again)
        elif writer.line is None or not writer.line.is_running():
            self.past_queue(item)
        # Else: a running backend with a queue of its own, which has counted the drop.

    def past_queue(self, item: CapturedItem) -> bool:
        """Writes a record inline, or drops it, because no backend runs; returns True.

        Raises:
            RuntimeError: Under `after_stop="raise"`, after a stop.
        """
        writer = self._writer
        if writer.state == "RUNNING":
            self._degrade()
        if writer.state == "DEGRADED" and self._recovers():
            door = writer.submit
            if not door(item):
                self.refused(item, door)
            return True
        policy = writer.settings.after_stop if writer.settings is not None else "inline"
        if writer.state in ("CLOSED", "DEGRADED") or policy == "inline":
            patience = 0.0 if writer.inline.stuck else _PATIENCE
            if writer.inline.write(item, patience):
                return True
        self.drop(item, "stopped")
        if policy == "raise" and writer.state in ("STOPPING", "STOPPED"):
            raise RuntimeError("lual has been stopped, and after_stop is 'raise'")
        return True

    def drop(self, item: CapturedItem, reason: str) -> None:
        """Counts a record that goes no further."""
        self._writer.ledger.drop([item[LEVEL]], reason)
        self._writer.gaps.drop(item[SEQ], item[LEVEL], reason)

    def _degrade(self) -> None:
        """Goes on synchronously because the backend has stopped by itself."""
        writer = self._writer
        writer.state = "DEGRADED"
        writer.submit = self.past_queue
        self._next_attempt = writer.clock.now() + RECOVERY_INTERVAL
        reports.problem("backend", "the backend has stopped by itself; writing synchronously")

    def _recovers(self) -> bool:
        """Tries to start the backend again if the time has come; True if it runs."""
        writer = self._writer
        line = writer.line
        if line is None or writer.clock.now() < self._next_attempt:
            return False
        self._next_attempt = writer.clock.now() + RECOVERY_INTERVAL
        try:
            line.start()
        except Exception as error:  # noqa: BLE001  still broken: the next attempt comes
            reports.problem("backend", f"still synchronous: {reports.describe(error)}")
            return False
        writer.run_on(line)
        return True

"""What becomes of a record that no backend took: written inline, or dropped and counted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lual import reports
from lual.engine.dispatch import REPORT_DEPTH
from lual.errors import StoppedError
from lual.record import LEVEL, SCOPE, SEQ

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
        line = writer.line
        again = writer.submit
        if door == again and (line is None or not line.is_running()):
            self.past_queue(item)
            return
        if door == again and line is not None and not line.uses_queue:
            return  # a running backend with a queue of its own, which has counted the drop
        # A stop or a change came while the record was on its way, and is over.
        if not again(item):
            self.refused(item, again)

    def past_queue(self, item: CapturedItem) -> bool:
        """Writes a record inline, or drops it, because no backend runs; returns True.

        Raises:
            StoppedError: Under `after_stop="raise"`, after a stop.
        """
        writer = self._writer
        if sys.is_finalizing():
            writer.outlive_threads()
        if writer.state == "RUNNING":
            self._degrade()
        if writer.state == "DEGRADED" and self._recovers():
            door = writer.submit
            if not door(item):
                self.refused(item, door)
            return True
        policy = writer.settings.after_stop if writer.settings is not None else "inline"
        inline = policy == "inline" or writer.state in ("CLOSED", "DEGRADED")
        if inline and writer.inline.write(item, self._await_stop()):
            return True
        self.drop(item, "stopped")
        if policy == "raise" and writer.state in ("STOPPING", "STOPPED"):
            raise StoppedError("lual has been stopped, and after_stop is 'raise'")
        return True

    def _await_stop(self) -> float:
        """Waits for a stop in progress, whose records are older; returns the patience left."""
        writer = self._writer
        if writer.inline.stuck:
            return 0.0
        line = writer.line
        until = writer.clock.now() + _PATIENCE
        if writer.state == "STOPPING" and line is not None:
            line.backend.flush(_PATIENCE)
            if line.has_stopped():
                writer.note_end_of_stop()
        return max(until - writer.clock.now(), 0.0)

    def drop(self, item: CapturedItem, reason: str) -> None:
        """Counts a record that goes no further."""
        self._writer.ledger.drop([item[LEVEL]], reason)
        scope = item[SCOPE]
        # A report about drops that were caused by such a report would never be the last.
        if scope is None or scope.depth <= REPORT_DEPTH:
            self._writer.gaps.drop(item[SEQ], item[LEVEL], reason)

    def _degrade(self) -> None:
        """Goes on synchronously because the backend has stopped by itself."""
        writer = self._writer
        if writer.line is not None:
            writer.inline.use(writer.line.dispatcher, writer.line.queue)
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

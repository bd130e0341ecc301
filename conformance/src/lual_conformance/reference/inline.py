"""A perfect backend without a thread of its own: the callers' threads do the work.

A batch that is due runs inside of `submit`, `flush` or `stop`. One thread dispatches at a
time; a call that finds another one at it, or that re-enters lual, leaves its record to that
one and returns.
"""

from __future__ import annotations

from typing import Any

from lual.backend import Backend, WorkItem
from lual.backend.clock import check_timeout
from lual.backend.items import Dispatch
from lual.backend.reentry import busy, carries, interrupts_lual
from lual_conformance.reference.group import drop_waiting, report_dropped
from lual_conformance.reference.inline_dispatch import InlineDispatch, Ticket
from lual_conformance.reference.plugin import Plugin

CAPABILITIES = {
    "worker": "cooperative",
    "ordering": "fifo",
    "overflow": ("drop_oldest", "drop_newest", "block"),
    "dispatch_concurrency": 1,
    "restartable": True,
    "clock": "injected",
    "exit_flush": True,
    "fork": "reinit",
    "free_threaded": True,
    "delivery": "at_most_once",
}


class RefInline(InlineDispatch, Backend):
    """Dispatches on the threads that submit, flush and stop.

    Args:
        config: See `BackendConfig`.
    """

    plugin_class: type[RefInlinePlugin]  # for backends that derive from this one

    # Submitting

    @carries("work_item")
    def submit(self, work_item: WorkItem) -> bool:
        """Takes one record, and dispatches one batch if that is due."""
        if self._state != "running":
            return False
        if not self._admit(work_item):
            return False
        self._note_arrival(work_item)
        if self._is_due() and not interrupts_lual(work_item):
            self._dispatch_due()
        return True

    def _admit(self, item: WorkItem) -> bool:
        if self.queue.overflow_strategy != "block":
            return self.queue.enqueue(item)
        with self._turn.depending():
            self._make_room(item)
            return self.queue.enqueue(item)

    def _make_room(self, item: WorkItem) -> None:
        """Dispatches if nobody else does: `enqueue` would wait in vain."""
        while (
            self.queue.size() >= self.queue.max_size
            and not interrupts_lual(item)
            and self._turn.take(self._dispatch_batch)
        ):
            pass

    def _note_arrival(self, item: WorkItem) -> None:
        if self.queue.size() <= 1:
            self._floor = self._clock.now()
        if item.level >= self.config.flush_level:
            self._urge()

    # Flushing

    @busy
    def flush(self, timeout: float | None = None) -> bool:
        """Dispatches everything admitted so far, or waits for the thread that does."""
        seconds = check_timeout(timeout, self.config.flush_timeout)
        if self._is_inside() or interrupts_lual():
            return False
        deadline = self._deadline(seconds)
        self._ledger.add("flushes")
        ticket = Ticket(self._watermark())
        try:
            with self._lock:
                if self._state in ("new", "stopped"):
                    return True
                self._tickets.append(ticket)
            self._urge()
            self._pursue(lambda: ticket.done or self._is_forgotten(ticket), deadline)
        finally:
            with self._lock:
                if ticket in self._tickets:
                    self._tickets.remove(ticket)
        done = ticket.done or (self._state == "stopped" and self._answer)
        if not done:
            self._ledger.add("flush_timeouts")
        self._dispatch_due(deadline)
        return done

    def _is_forgotten(self, ticket: Ticket) -> bool:
        """Tells whether nobody will answer a flush any more; a start may follow a reset."""
        return self._state in ("new", "stopped") or ticket not in self._tickets

    def _is_inside(self) -> bool:
        """Tells whether this call comes from an output."""
        return self._turn.is_mine()

    def _watermark(self) -> int:
        return self.queue.watermark()

    # Lifecycle

    def start(self, dispatch_func: Dispatch | None = None) -> None:
        """Begins to take records."""
        with self._lock:
            if self._state == "stopping":
                raise RuntimeError("the backend is stopping; start it when stop has returned")
            while self._state != "running":
                if self._in_output or self._is_inside():
                    raise RuntimeError("a thread of before is still inside an output")
                if self._turn.is_taken():  # by one with nothing left to do but say so
                    self._clock.wait(self._changed, None)
                else:
                    self._open()
            if dispatch_func is not None:
                self._dispatch = dispatch_func

    def _open(self) -> None:
        self._answer = True
        self._floor = self._clock.now()
        self.queue.open()
        self._state = "running"

    @busy
    def stop(self, timeout: float | None = None) -> bool:
        """Refuses further records, and dispatches what waits."""
        seconds = check_timeout(timeout, self.config.shutdown_timeout)
        deadline = self._deadline(seconds)
        inside = self._is_inside() or interrupts_lual()
        decides = False
        try:
            with self._lock:
                if self._state == "running":
                    self._close()
                decides = self._state == "stopping" and not (inside or self._somebody_stops)
                self._somebody_stops = self._somebody_stops or decides
            if not inside:  # else the thread that dispatches finishes the drain
                self._pursue(lambda: self._state != "stopping", deadline)
            if decides and self._state == "stopping":
                self._abandon(seconds)
        finally:
            if decides:
                self._somebody_stops = False
        return not inside and self._state in ("new", "stopped") and self._answer

    def _close(self) -> None:
        self._state = "stopping"
        self.queue.close()

    def _abandon(self, seconds: float) -> None:
        """Drops and reports what has not begun in time."""
        with self._lock:
            if self._state != "stopping":
                return
            count, begun = drop_waiting(self.config), self._in_output
            self._answer = not (count or begun or self._unflushed)
            self._state = "stopped"
            self._changed.notify_all()
        report_dropped(self.config, seconds, count, begun=begun)

    def reset(self) -> None:
        """Goes back to the state after creation, counting nothing."""
        with self._lock:
            self._state = "new"
            self.queue.close()  # until a start: a submit may be on its way
            self.queue.clear()
            self._forget()
            self._zero_counters()
            self._changed.notify_all()

    def _zero_counters(self) -> None:
        self._ledger.reset()

    def get_stats(self) -> dict[str, Any]:
        """Returns the ledger's counters and the state."""
        self._ledger.publish()
        return {**self._ledger.snapshot(), "state": self._state}


class RefInlinePlugin(Plugin):
    """The hooks of a backend of this family.

    Args:
        backend: Its class.
        name: Its name.
        **capabilities: What differs from `CAPABILITIES`.
    """

    def __init__(self, backend: type[RefInline], name: str, **capabilities: Any) -> None:
        summary = "no thread of its own; a batch that is due runs inside the call that makes it due"
        super().__init__(backend, name, summary, **{**CAPABILITIES, **capabilities})


RefInline.plugin_class = RefInlinePlugin
plugin = RefInlinePlugin(RefInline, "inline")

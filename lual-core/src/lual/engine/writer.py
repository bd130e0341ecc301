"""The engine: one door for all records, whatever state the asynchronous layer is in.

    NEW → STARTING → RUNNING ⇄ DEGRADED → STOPPING → STOPPED (→ STARTING, epoch + 1)
    exit: CLOSED

`submit` is an attribute: while a backend runs it is the backend's own method, so that a
record passes no code of the engine on its way in; in every other state it is a method of
the engine, which always deals with the record and returns True.

Guarantees:
    * a record that enters here ends as exactly one of processed, failed or dropped;
    * no logging call raises, but for `after_stop="raise"`.
Assumes: `configuration` serialises `switch`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lual import reports
from lual.backend.clock import Clock, check_timeout
from lual.backend.ledger import Ledger
from lual.context import dispatch_depth
from lual.engine.dispatch import Dispatcher
from lual.engine.gap_record import gap_record
from lual.engine.gaps import GapReports
from lual.engine.inline import InlineWriter
from lual.engine.stats import collect
from lual.record import LEVEL, SEQ

if TYPE_CHECKING:
    from collections.abc import Callable

    from lual.engine.capture import CapturedItem
    from lual.engine.line import AsyncSettings, Line
    from lual.pipelines.pipeline import Pipeline
    from lual.record import Route

#: Seconds between two attempts to leave DEGRADED.
RECOVERY_INTERVAL = 30.0

#: Defaults for a program that configured nothing; seconds.
_FLUSH_TIMEOUT = _SHUTDOWN_TIMEOUT = 5.0

#: Reasons for which the queue refuses the very record that was submitted.
_REFUSALS = frozenset({"overflow_newest", "block_timeout", "cannot_block"})


class AsyncWriter:
    """The process-wide engine in front of whichever backend is configured.

    Args:
        clock: Source of time; injected by tests.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock if clock is not None else Clock()
        self.state = "NEW"
        self.epoch = 0
        self.settings: AsyncSettings | None = None
        self.line: Line | None = None
        self.inherited_discarded = 0
        #: Set by the loggers: where the engine's own records go, and the root's pipelines.
        self.engine_route: Callable[[], Route] | None = None
        self.root_pipelines: Callable[[], tuple[Pipeline, ...]] = tuple
        #: Set by the exit guard: what a process must do once it has something to lose.
        self.arm: Callable[[], None] = lambda: None
        self._make_parts()

    def _make_parts(self) -> None:
        """Makes everything that holds a lock or a count; a forked child makes it anew."""
        self.started_at = self.clock.now()
        self.ledger = Ledger()
        self.gaps = GapReports(self._watch_admissions, self.clock.now)
        self.reports_written = 0
        self._refused: set[int] = set()
        self._next_attempt = 0.0
        self._changing = threading.RLock()
        self._sync = Dispatcher(self.ledger, self.before_batch)
        self.inline = InlineWriter(self.ledger, self._sync)
        self.submit: Callable[[CapturedItem], bool] = self.inline.write

    # Changing what runs

    def switch(self, settings: AsyncSettings, line: Line | None) -> None:
        """Puts `line` in the place of the one in use, and drains that.

        Args:
            settings: In force from now on.
            line: A started one; None: records are written synchronously.

        Blocks: at most the old line's `shutdown_timeout`.
        """
        with self._changing:
            old = self.line
            follower = line.dispatcher if line is not None else self._sync
            if old is not None:
                follower.follow(old.drained, old.settings.shutdown_timeout)
                self.epoch += 1
            self.settings = settings
            self.line = line
            if line is not None:
                self._run_on(line)
            else:
                self.state = "NEW"
                self.inline.use(self._sync, None)
                self.submit = self.inline.write
            self.gaps.end()
            if old is not None:
                old.retire()

    def _run_on(self, line: Line) -> None:
        self.inline.use(line.dispatcher, line.queue)
        self.state = "RUNNING"
        self.submit = self._first_record

    def _first_record(self, item: CapturedItem) -> bool:
        self.arm()
        self._watch_admissions(self.gaps.is_open)
        door = self.submit
        return door(item) if door != self._first_record else self.past_queue(item)

    def start(self) -> None:
        """Starts the line in use again after a stop, as a new epoch.

        Raises:
            RuntimeError: No asynchronous layer is configured.
            Exception: What the backend's `start` raised; records are written inline then.
        """
        with self._changing:
            line = self.line
            if line is None:
                raise RuntimeError("async_enabled is False; turn it on with lual.config")
            if self.state in ("RUNNING", "CLOSED"):
                return
            before, self.state = self.state, "STARTING"
            try:
                line.start()
            except Exception as error:
                self.state = before
                reports.problem("backend", f"the backend can't start: {reports.describe(error)}")
                raise
            self.epoch += 1
            self._run_on(line)

    def stop(self, timeout: float | None = None) -> bool:
        """Drains and ends the asynchronous layer; records are written inline afterwards.

        Args:
            timeout: Seconds; None: `shutdown_timeout`.

        Returns:
            True iff nothing was left.

        Raises:
            ValueError: The timeout is negative or not a number.
        """
        default = self.settings.shutdown_timeout if self.settings else _SHUTDOWN_TIMEOUT
        seconds = check_timeout(timeout, default)
        line = self.line
        if line is None or self.state in ("NEW", "CLOSED"):
            return self.inline.settle(seconds)
        if self.state != "STOPPED":
            self.state = "STOPPING"
            self.submit = self.past_queue
            self.gaps.end()
        stopped = line.backend.stop(seconds)
        self.inline.stuck = not stopped
        self.state = "STOPPED"
        if stopped and self.gaps.has_ended:
            line.dispatcher.flush()
        return stopped

    def close(self) -> bool:
        """Stops for good, because the interpreter ends; reports what was lost by that."""
        if self.state == "CLOSED":
            return True
        dropped = self.ledger["messages_dropped"]
        stopped = self.stop()
        self.state = "CLOSED"
        self.submit = self.past_queue
        lost = self.ledger["messages_dropped"] - dropped
        stuck = self.ledger["in_flight"]
        if lost or stuck:
            reports.problem(
                "exit", f"at exit {lost} records were dropped, {stuck} were not finished"
            )
        return stopped

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all records submitted so far are finished.

        Args:
            timeout: Seconds; None: `flush_timeout`.

        Returns:
            True iff they are. False at once from an output.

        Raises:
            ValueError: The timeout is negative or not a number.
        """
        default = self.settings.flush_timeout if self.settings else _FLUSH_TIMEOUT
        seconds = check_timeout(timeout, default)
        if dispatch_depth():
            return False
        self.gaps.end()
        line = self.line
        if line is None or self.state != "RUNNING":
            return self.inline.settle(seconds)
        done = line.backend.flush(seconds)
        if done and self.gaps.has_ended:
            line.dispatcher.flush()
        return done

    # Records that don't go the straight way

    def refused(self, item: CapturedItem, door: Callable[[CapturedItem], bool]) -> None:
        """Deals with a record that a backend did not take.

        Args:
            item: The record.
            door: The `submit` that returned False.
        """
        if id(item) in self._refused:  # dropped, and counted by the queue
            self._refused.discard(id(item))
        elif door != self.submit:  # another line took over while the record was on its way
            again = self.submit
            if not again(item):
                self.refused(item, again)
        elif self.line is not None and self.line.is_running():
            return  # a backend with a queue of its own: it has counted the drop
        else:
            self.past_queue(item)

    def past_queue(self, item: CapturedItem) -> bool:
        """Writes a record inline, or drops it, because no backend runs; returns True.

        Raises:
            RuntimeError: Under `after_stop="raise"`, after a stop.
        """
        if self.state == "RUNNING":
            self._degrade()
        if self.state == "DEGRADED" and self._recovers():
            self.submit(item)
            return True
        policy = self.settings.after_stop if self.settings is not None else "inline"
        if self.state in ("CLOSED", "DEGRADED") or policy == "inline":
            patience = 0.0 if self.inline.stuck else _FLUSH_TIMEOUT
            if self.inline.write(item, patience):
                return True
        self.drop(item, "stopped")
        if policy == "raise" and self.state in ("STOPPING", "STOPPED"):
            raise RuntimeError("lual has been stopped, and after_stop is 'raise'")
        return True

    def _degrade(self) -> None:
        """Goes on synchronously because the backend has stopped by itself."""
        self.state = "DEGRADED"
        self.submit = self.past_queue
        self._next_attempt = self.clock.now() + RECOVERY_INTERVAL
        reports.problem("backend", "the backend has stopped by itself; writing synchronously")

    def _recovers(self) -> bool:
        """Tries to start the backend again if the time has come; True if it runs."""
        line = self.line
        if line is None or self.clock.now() < self._next_attempt:
            return False
        self._next_attempt = self.clock.now() + RECOVERY_INTERVAL
        try:
            line.start()
        except Exception as error:  # still broken: the next attempt comes
            reports.problem("backend", f"still synchronous: {reports.describe(error)}")
            return False
        self._run_on(line)
        return True

    def drop(self, item: CapturedItem, reason: str) -> None:
        """Counts a record that goes no further."""
        self.ledger.drop([item[LEVEL]], reason)
        self.gaps.drop(item[SEQ], item[LEVEL], reason)

    # Drops and their reports

    def on_drop(self, item: Any, reason: str) -> None:
        """Notes a record that the queue dropped; the queue calls it."""
        if reason in _REFUSALS:
            self._refused.add(id(item))
        self.gaps.drop(item.seq, item.level, reason)

    def _watch_admissions(self, drops: bool) -> None:
        """Watches each admission while a period of drops is open, and only then."""
        line = self.line
        if line is not None and self.state == "RUNNING":
            self.submit = self._watched if drops else line.backend.submit

    def _watched(self, item: CapturedItem) -> bool:
        line = self.line
        if line is None:
            return self.inline.write(item)
        taken = line.backend.submit(item)
        if taken and (line.queue.size() < line.queue.max_size / 2 or self.gaps.is_overdue()):
            self.gaps.end()
        return taken

    def before_batch(self) -> None:
        """Writes the reports of ended periods; called where dispatching happens."""
        if self.gaps.is_overdue():
            self.gaps.end()
        if self.gaps.has_ended and self.engine_route is not None:
            dispatcher = self.line.dispatcher if self.line is not None else self._sync
            for gap in self.gaps.take():
                self.reports_written += 1
                dispatcher.run_report(gap_record(gap, self.engine_route()))

    # The rest

    def get_stats(self) -> dict[str, Any]:
        """Returns the engine's statistics; see `lual.get_stats`."""
        return collect(self)

    def uptime(self) -> float:
        """Returns the seconds since this process's engine was made."""
        return self.clock.now() - self.started_at

    def reset(self) -> None:
        """Discards what waits, zeroes all counters, begins a new epoch; for tests."""
        with self._changing:
            if self.line is not None:
                self.submit = self.past_queue
                self.state = "NEW"
                self.line.backend.reset()
            self.gaps = GapReports(self._watch_admissions, self.clock.now)
            self.ledger.reset()
            self.reports_written = 0
            self.epoch += 1

    def after_fork_in_child(self) -> None:
        """Drops what belongs to the parent; the first record starts the child's own line.

        No lock of before is touched: another thread of the parent may hold it for ever.
        """
        line = self.line
        inherited = self.ledger["in_flight"] + (line.queue.size() if line is not None else 0)
        was_on = line is not None and self.state in ("RUNNING", "DEGRADED", "STARTING")
        self._make_parts()
        self.epoch += 1
        self.inherited_discarded = inherited
        self.state = "NEW"
        self.line = None
        if was_on:
            self.submit = self._first_in_child

    def _first_in_child(self, item: CapturedItem) -> bool:
        from lual.engine.line import build_line

        with self._changing:
            if self.line is None and self.settings is not None:
                try:
                    line = build_line(self, self.settings, self.root_pipelines())
                except Exception as error:  # without a backend the child logs synchronously
                    reports.problem("fork", f"after a fork: {reports.describe(error)}")
                    self.submit = self.inline.write
                else:
                    self.line = line
                    self._run_on(line)
        door = self.submit
        if not door(item):
            self.refused(item, door)
        return True


_writer = AsyncWriter()


def writer() -> AsyncWriter:
    """Returns the process-wide engine."""
    return _writer

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

import _thread
import contextlib
import threading
from threading import TIMEOUT_MAX, get_ident
from typing import TYPE_CHECKING, Any

from lual import reports
from lual.backend.clock import Clock, check_timeout
from lual.backend.ledger import Ledger
from lual.backend.reentry import interrupts_lual
from lual.context import dispatch_depth
from lual.engine.detour import Detour
from lual.engine.dispatch import Dispatcher
from lual.engine.gap_record import gap_record
from lual.engine.gaps import GapReports
from lual.engine.inline import InlineWriter
from lual.engine.stats import collect

if TYPE_CHECKING:
    from collections.abc import Callable

    from lual.engine.async_settings import AsyncSettings
    from lual.engine.capture import CapturedItem
    from lual.engine.line import Line
    from lual.pipelines.pipeline import Pipeline
    from lual.record import Route

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
        self._refused: set[Any] = set()  # dropped by the queue; it knows them by identity
        self._is_alone = False  # the interpreter's end has frozen all other threads
        self._changing = threading.RLock()
        self._retiring: Line | None = None  # the line before, until it is drained and after
        self._sync = self.new_dispatcher()
        self.inline = InlineWriter(self.ledger, self._sync)
        detour = Detour(self)
        self.past_queue = detour.past_queue
        self.refused = detour.refused
        self.drop = detour.drop
        self.submit: Callable[[CapturedItem], bool] = self.inline.write

    def new_dispatcher(self) -> Dispatcher:
        """Returns a dispatcher that also writes the engine's reports and late records."""
        made = Dispatcher(
            self.ledger,
            lambda: self._before_batch(made),
            lambda: self.inline.write_late(made),
        )
        return made

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
            if old is None:
                # What other threads are writing ends first: one at a time writes.
                self.inline.when_free(lambda: self._put(settings, line), settings.shutdown_timeout)
                return
            follower = line.dispatcher if line is not None else self._sync
            follower.follow(old.dispatcher, old.drained, old.settings.shutdown_timeout)
            self.epoch += 1
            self._put(settings, line)
            self._retiring = old
            self._retire(old)

    def _put(self, settings: AsyncSettings, line: Line | None) -> None:
        self.gaps.end()
        self.settings = settings
        self.line = line
        if line is not None:
            self.run_on(line)
        else:
            self.state = "NEW"
            self.inline.use(self._sync, None)
            self.submit = self.inline.write

    def _retire(self, old: Line) -> None:
        if dispatch_depth() or interrupts_lual():
            # The drain may need this very thread to go on: let another one wait for it.
            with contextlib.suppress(RuntimeError):  # no threads are to be had: at exit, say
                _thread.start_new_thread(old.retire, ())
                return
        try:
            self.inline.postponing = get_ident()
            old.retire()
            self._retiring = None
        except BaseException:
            _thread.start_new_thread(old.retire, ())  # a Ctrl-C: it goes on all the same
            raise
        finally:
            self.inline.postponing = None
            self.inline.write_rest()

    def run_on(self, line: Line) -> None:
        """Sends records through a line that has been started."""
        self.inline.use(line.dispatcher, None)
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
            self.inline.write_rest()  # what a Ctrl-C has left there
            before, self.state = self.state, "STARTING"
            try:
                line.start()
            except Exception as error:
                self.state = before
                reports.problem("backend", f"the backend can't start: {reports.describe(error)}")
                raise
            self.epoch += 1
            self.run_on(line)

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
        stopped = line.stop(seconds)
        if not stopped and (dispatch_depth() or interrupts_lual()):
            return False  # the worker finishes the drain by itself
        self.inline.stuck = not stopped
        self.state = "STOPPED"
        if stopped:
            self.inline.write_rest()
        if stopped and self.gaps.has_ended:
            self.inline.settle(seconds)
        return stopped

    def note_end_of_stop(self) -> None:
        """Notes that a stop which nobody could wait for is over."""
        if self._changing.acquire(blocking=False):  # else a start or a change goes on
            try:
                if self.state == "STOPPING":
                    self.state = "STOPPED"
            finally:
                self._changing.release()

    def close(self) -> bool:
        """Stops for good, because the interpreter ends; reports what was lost by that."""
        if self.state == "CLOSED":
            return True
        dropped = self._dropped_by_stops()
        stopped = self.stop()
        self.state = "CLOSED"
        self.submit = self.past_queue
        lost = self._dropped_by_stops() - dropped
        # After a clean stop only other threads' inline writes are still in flight.
        stuck = 0 if stopped else self.ledger["in_flight"]
        if lost or stuck:
            reports.problem(
                "exit", f"at exit {lost} records were dropped, {stuck} were not finished"
            )
        return stopped

    def _dropped_by_stops(self) -> int:
        reasons = self.ledger["dropped_by_reason"]
        return sum(reasons.get(name, 0) for name in ("shutdown_timeout", "stopped"))

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
        if dispatch_depth() or interrupts_lual():
            return False
        self.gaps.end()
        deadline = self.clock.now() + seconds
        retiring = self._retiring
        if retiring is not None and not retiring.drained.wait(min(seconds, TIMEOUT_MAX)):
            return False
        seconds = max(deadline - self.clock.now(), 0)
        line = self.line
        if line is None or self.state not in ("RUNNING", "STOPPING"):
            return self.inline.settle(seconds)
        done = line.backend.flush(seconds)
        if done and self.gaps.has_ended:
            self.inline.settle(max(deadline - self.clock.now(), 0))
        return done

    # Drops and their reports

    def on_drop(self, item: Any, reason: str) -> None:
        """Notes a record that the queue dropped; the queue calls it."""
        if reason in _REFUSALS:
            self._refused.add(item)
        self.gaps.drop(item.seq, item.level, reason)

    def was_counted(self, item: CapturedItem) -> bool:
        """Tells, once, whether the queue dropped this very record and counted it."""
        if item in self._refused:
            self._refused.discard(item)
            return True
        return False

    def _watch_admissions(self, drops: bool) -> None:
        """Watches each admission while a period of drops is open, and only then."""
        wrote = False
        while True:
            line, state = self.line, self.state
            if line is not None and state == "RUNNING":
                self.submit = self._watched if drops else line.backend.submit
            elif wrote:
                self.submit = self.inline.write if line is None else self.past_queue
            if (line, state) == (self.line, self.state):
                return
            wrote = True  # and perhaps over what another thread's change had written

    def _watched(self, item: CapturedItem) -> bool:
        line = self.line
        if line is None:
            return self.inline.write(item)
        taken = line.backend.submit(item)
        if taken and (line.queue.size() < line.queue.max_size / 2 or self.gaps.is_overdue()):
            self.gaps.end()
        return taken

    def _before_batch(self, dispatcher: Dispatcher) -> None:
        """Writes the reports of ended periods; called where dispatching happens.

        By the very dispatcher that calls: another one might be waiting for its end.
        """
        if self.gaps.is_overdue():
            self.gaps.end()
        if self.gaps.has_ended and self.engine_route is not None:
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
            reports.reporter().forget()
            self.reports_written = 0
            self.epoch += 1

    def outlive_threads(self) -> None:
        """Replaces the locks that a record needs, so late in the interpreter's end.

        All other threads are frozen then, wherever they were, and never release one.
        """
        if not self._is_alone:
            self._is_alone = True
            self.ledger.outlive_threads()
            self.gaps.outlive_threads()
            self.inline.forget_queue()

    def after_fork_in_child(self) -> None:
        """Drops what belongs to the parent; the first record starts the child's own line.

        No lock of before is touched: another thread of the parent may hold it for ever.
        """
        line = self.line
        inherited = self.ledger["in_flight"] + (line.queue.size() if line is not None else 0)
        was_on = line is not None and self.state in ("RUNNING", "DEGRADED", "STARTING")
        was_stopped = line is not None and self.state in ("STOPPING", "STOPPED")
        self._make_parts()
        self.epoch += 1
        self.inherited_discarded = inherited
        self.state = "NEW"
        self.line = None
        if was_on:
            self.submit = self._first_in_child
        elif was_stopped:
            self.state = "STOPPED"
            self.submit = self.past_queue

    def _first_in_child(self, item: CapturedItem) -> bool:
        from lual.engine.line import build_line

        with self._changing:
            if self.line is None and self.settings is not None:
                try:
                    line = build_line(self, self.settings, self.root_pipelines())
                except Exception as error:  # noqa: BLE001  then the child logs synchronously
                    reports.problem("fork", f"after a fork: {reports.describe(error)}")
                    self.submit = self.inline.write
                else:
                    self.line = line
                    self.run_on(line)
        door = self.submit
        if not door(item):
            self.refused(item, door)
        return True


_writer = AsyncWriter()


def writer() -> AsyncWriter:
    """Returns the process-wide engine."""
    return _writer

"""Writing on the caller's thread: in synchronous mode, and whenever no backend takes a record.

Guarantees:
    * a record logged while this thread writes one (by a signal handler, a finaliser, an
      output) is written by the outer call, after its own: nothing recurses, nothing is
      lost, no lock is waited for twice;
    * what a queue still holds is written first.
"""

from __future__ import annotations

import sys
from collections import deque
from threading import TIMEOUT_MAX, get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lual.backend.items import WorkItem
    from lual.backend.ledger import Ledger
    from lual.backend.queue import BoundedQueue
    from lual.engine.capture import CapturedItem
    from lual.engine.dispatch import Dispatcher

#: Records taken from a queue at a time.
_BATCH = 50


class InlineWriter:
    """Dispatches records on the thread that logs them.

    Args:
        ledger: Where they are counted.
        dispatcher: What runs them.

    Threads: any thread, re-entrant; one writes at a time and writes for all who wait.
    """

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher) -> None:
        self._ledger = ledger
        self._pending: deque[CapturedItem] = deque()
        self._owner: int | None = None
        #: Ident of a thread that waits for the end of a line, after which its records come;
        #: until then it leaves what it logs, in a signal handler say.
        self.postponing: int | None = None
        self._dispatcher = dispatcher
        self.use(dispatcher, None)

    def use(self, dispatcher: Dispatcher, queue: BoundedQueue | None) -> None:
        """Writes through `dispatcher` from now on, after what `queue` holds."""
        self._before = self._dispatcher  # it may still be writing
        self._dispatcher = dispatcher
        self._queue = queue
        self.stuck = False  # a call into an output hasn't come back since the last stop

    def write(self, item: CapturedItem, patience: float | None = None) -> bool:
        """Writes one record, and all that came before it.

        Args:
            item: The record.
            patience: Seconds to wait for another thread's call into an output; None: as
                long as it takes.

        Returns:
            False if it could not be written in that time; nothing was counted then.

        Blocks: as long as the outputs do.
        """
        self._ledger.take(1)
        self._pending.append(item)
        if self._is_inside() or self._drain(patience):
            return True
        if not self._withdraw(item):  # the thread that held the outputs wrote it after all
            return True
        self._ledger.take(-1)
        return False

    def _withdraw(self, item: CapturedItem) -> bool:
        while True:
            try:
                self._pending.remove(item)
            except ValueError:
                return False
            except IndexError:  # another thread changed the deque meanwhile
                continue
            return True

    def settle(self, timeout: float) -> bool:
        """Writes what waits, and flushes the outputs.

        Args:
            timeout: Seconds to wait for another thread's call into an output.

        Returns:
            True iff that was done.
        """
        if self._is_inside() or not self._drain(timeout):
            return False
        self._dispatcher.flush()
        return True

    def write_late(self, dispatcher: Dispatcher) -> None:
        """Writes what came from inside the outputs.

        Args:
            dispatcher: It has just run a batch. If it isn't the one in use any more, that
                one may be waiting for its end, and `write_rest` will come.
        """
        if self._pending and self._owner is None and dispatcher is self._dispatcher:
            self._drain(None)

    def write_rest(self) -> None:
        """Writes what came from inside the outputs of a line that has ended."""
        if self._pending and not self._is_inside():
            self._drain(None)

    def when_free(self, change: Callable[[], None], timeout: float) -> None:
        """Makes a change while no other thread writes, and what waits is written.

        Args:
            change: Called in any case.
            timeout: Seconds to wait for another thread's call into an output.
        """

        def write_and_change() -> None:
            self._write_owned()
            change()

        if self._is_inside() or not self._within(timeout, write_and_change):
            change()

    def forget_queue(self) -> None:
        """Takes nothing more from the queue, which must be empty."""
        self._queue = None

    def _is_inside(self) -> bool:
        """Tells whether this thread is writing already, further out on its stack."""
        me = get_ident()
        return me in (self._owner, self._dispatcher.owner, self._before.owner, self.postponing)

    def _drain(self, patience: float | None) -> bool:
        if sys.is_finalizing():
            patience = 0.0  # who holds it is frozen for good
        if patience is None:
            with self._dispatcher.exclusive:
                self._write_owned()
        elif not self._within(patience, self._write_owned):
            return False
        # After the release an interruption may have left something, with nobody to write
        # it: hence the loop around the lock, and not only inside.
        return self._drain(patience) if self._pending else True

    def _within(self, timeout: float, work: Callable[[], None]) -> bool:
        """Does `work` with the outputs to itself; False if they weren't free in time."""
        exclusive = self._dispatcher.exclusive
        nested = exclusive._is_owned()  # type: ignore[attr-defined]
        try:
            if not exclusive.acquire(timeout=min(timeout, TIMEOUT_MAX)):
                return False
            try:
                work()
            finally:
                exclusive.release()
        except BaseException:
            # A Ctrl-C that came between taking the lock and the block that gives it back.
            if not nested and exclusive._is_owned():  # type: ignore[attr-defined]
                exclusive.release()
            raise
        return True

    def _write_owned(self) -> None:
        self._owner = get_ident()
        try:
            self._write_all()
        finally:
            self._owner = None

    def _write_all(self) -> None:
        queue = self._queue
        while queue is not None and (items := queue.extract_batch(_BATCH)):
            self._run(items, inline=False)
        while self._pending:
            try:
                item = self._pending.popleft()
            except IndexError:  # during a change of lines, two threads may be here
                return
            self._run([item], inline=True)

    def _run(self, items: Sequence[WorkItem], *, inline: bool) -> None:
        generation = self._ledger.generation
        errors: list[BaseException] = []
        processed, failed = 0, len(items)  # should a Ctrl-C hide what became of them
        try:
            outcomes = self._dispatcher.many(items)
            errors = [e for e in outcomes if e is not None]
            processed, failed = len(items) - len(errors), len(errors)
        finally:
            self._ledger.book(generation, processed=processed, failed=failed, inline=inline)
        for error in errors:
            if not isinstance(error, Exception):
                raise error  # the application's own Ctrl-C or exit, which came through here

"""Writing on the caller's thread: in synchronous mode, and whenever no backend takes a record.

Guarantees:
    * a record logged while this thread writes one (by a signal handler, a finaliser, an
      output) is written by the outer call, after its own: nothing recurses, nothing is
      lost, no lock is waited for twice;
    * what a queue still holds is written first.
"""

from __future__ import annotations

from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        self.use(dispatcher, None)

    def use(self, dispatcher: Dispatcher, queue: BoundedQueue | None) -> None:
        """Writes through `dispatcher` from now on, after what `queue` holds."""
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
        try:
            self._pending.remove(item)
        except ValueError:  # the thread that held the outputs wrote it after all
            return True
        self._ledger.take(-1)
        return False

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

    def write_late(self) -> None:
        """Writes what came from inside the outputs; the dispatcher calls it after a batch."""
        if self._pending and self._owner is None:
            self._drain(None)

    def _is_inside(self) -> bool:
        """Tells whether this thread is writing already, further out on its stack."""
        me = get_ident()
        return me in (self._owner, self._dispatcher.owner)

    def _drain(self, patience: float | None) -> bool:
        exclusive = self._dispatcher.exclusive
        if not exclusive.acquire(timeout=-1 if patience is None else patience):
            return False
        try:
            # After the release an interruption may have left something, with nobody to
            # write it: hence the loop around the lock, and not only inside.
            self._owner = get_ident()
            try:
                self._write_all()
            finally:
                self._owner = None
        finally:
            exclusive.release()
        return self._drain(patience) if self._pending else True

    def _write_all(self) -> None:
        queue = self._queue
        while queue is not None and (items := queue.extract_batch(_BATCH)):
            self._run(items, inline=False)
        while self._pending:
            self._run([self._pending.popleft()], inline=True)

    def _run(self, items: Sequence[WorkItem], *, inline: bool) -> None:
        generation = self._ledger.generation
        outcomes = self._dispatcher.many(items)
        errors = [e for e in outcomes if e is not None]
        self._ledger.book(
            generation, processed=len(items) - len(errors), failed=len(errors), inline=inline
        )
        for error in errors:
            if not isinstance(error, Exception):
                raise error  # the application's own Ctrl-C or exit, which came through here

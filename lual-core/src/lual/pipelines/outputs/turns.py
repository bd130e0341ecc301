"""One write at a time per output, also when a signal handler logs in the middle of one.

Guarantees:
    * two writes never overlap: other threads wait, and a write that is started on the
      thread of the running one (by a signal handler or a finaliser) is left to it;
    * problems are reported once the lock is free.
Assumes: the work itself raises nothing but for its own job.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from lual import reports

Job = TypeVar("Job")


class Turns(Generic[Job]):
    """Runs jobs one after another, in the order of their calls.

    Args:
        work: Does one job; returns the exceptions of single records by index, and
            raises if all of them failed.
    """

    def __init__(self, work: Callable[[Job], Mapping[int, Exception]]) -> None:
        self._work = work
        self.lock = threading.RLock()
        self._busy = False
        self._pending: deque[Job] = deque()
        self._problems: deque[tuple[str, str]] = deque()

    @property
    def busy(self) -> bool:
        """Whether a job is running; reliable only for the holder of the lock."""
        return self._busy

    def run(self, job: Job) -> Mapping[int, Exception]:
        """Does one job, or leaves it to the one that it interrupted.

        Returns:
            The exceptions of single records by index; empty for a job that was left to
            the outer one, whose failures are reported instead.

        Blocks: while another thread's job runs.
        Threads: any thread, also from a signal handler.
        """
        nested = False
        try:
            with self.lock:
                nested = self._busy
                if nested:
                    self._pending.append(job)
                    return {}
                try:
                    return self._turn(job)
                finally:
                    while self._pending:
                        self._turn(None)
        finally:
            if not nested:
                self.report()

    def note(self, kind: str, message: str) -> None:
        """Keeps a problem that was met with the lock held, to be reported without it."""
        self._problems.append((kind, message))

    def report(self) -> None:
        """Reports the problems that were noted; called without the lock."""
        while self._problems:
            try:
                kind, message = self._problems.popleft()
            except IndexError:  # another thread reported it
                return
            reports.problem(kind, message)

    def after_fork_in_child(self) -> None:
        """Forgets what the parent was doing."""
        self.lock = threading.RLock()
        self._busy = False
        self._pending.clear()
        self._problems.clear()

    def _turn(self, job: Job | None) -> Mapping[int, Exception]:
        """Does what was left to this turn, then the job."""
        try:
            self._busy = True
            self._do_pending()
            return self._work(job) if job is not None else {}
        finally:
            # First in its block: a Ctrl-C that came earlier would leave the output shut.
            self._busy = False

    def _do_pending(self) -> None:
        while self._pending:
            job = self._pending.popleft()
            error: Exception | None
            try:
                errors = self._work(job)
                error = next(iter(errors.values()), None)
            except Exception as failure:  # noqa: BLE001  nobody is left to raise to
                error = failure
            if error is not None:
                self.note(
                    "output",
                    "records that were logged in the middle of a write were not written: "
                    f"{type(error).__name__}: {error}",
                )

"""A worker's life: started, looked after, replaced when it is lost.

Guarantees:
    * a lost worker is replaced at once, then after growing pauses, then not at all;
    * what it had in hand is resumed in order; what it had begun is booked as lost, once.
Assumes: nothing of an author's code is called with a lock held.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from lual.backend.batch import report
from lual.backend.consumer import Consumer, State
from lual.backend.contract import BackendConfig
from lual.backend.items import WorkItem
from lual.backend.runner import NEVER
from lual.reports import describe

#: Seconds before the first, second, ... restart. The first is immediate, because most
#: deaths are single; nobody measured the others, they only need to grow.
DELAYS = (0.0, 0.1, 0.2, 0.4, 0.8)

#: After this many seconds of health the deaths before are forgotten.
HEALTHY_AFTER = 60.0

#: Seconds between two looks at whether the worker still lives, for who waits for it.
_LOOK_INTERVAL = 1.0


class Supervisor:
    """Counts a worker's deaths.

    Threads: the caller holds the ledger's lock.
    """

    def __init__(self) -> None:
        self._deaths = 0
        self._last_death = 0.0

    def next_delay(self, now: float) -> float | None:
        """Counts a death and returns the seconds before the restart; None: no more.

        Args:
            now: Seconds on the backend's clock.
        """
        if self._deaths and now - self._last_death >= HEALTHY_AFTER:
            self._deaths = 0
        self._deaths += 1
        self._last_death = now
        return DELAYS[self._deaths - 1] if self._deaths <= len(DELAYS) else None

    def forget(self) -> None:
        """Starts counting anew, after a start or a reset."""
        self._deaths = 0


def _refuse(item: WorkItem) -> bool:
    """Stands for the queue's `enqueue` while the backend doesn't run."""
    return False


class Supervised(Consumer, ABC):
    """A consumer whose worker is looked after.

    Args:
        config: The backend's.
    """

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._enqueue = _refuse
        self._supervisor = Supervisor()
        self._starting = 0  # the incarnation inside `start_worker`, if one is
        self._retry_at: float | None = None  # when a lost worker's successor is due
        self._gave_up = False
        self._answer = True  # of the last stop

    # What an author provides

    @abstractmethod
    def start_worker(self) -> None:
        """Arranges that the loop over `next_batch` runs somewhere; raises if it can't."""

    def wake_worker(self) -> None:
        """Makes the loop look again; here, one that is parked in `next_batch`."""
        with self._lock:
            self._changed.notify_all()

    @abstractmethod
    def join_worker(self, timeout: float) -> bool:
        """Waits until the loop has ended.

        Args:
            timeout: Seconds; 0 only looks.

        Returns:
            True if it has ended, or was never started.
        """

    # Starting and ending

    def _launch(self, epoch: int | None = None) -> None:
        """Starts a worker; raises if it can't.

        Args:
            epoch: The one it is for, should another thread stop or start meanwhile; None: any.
        """
        mine = 0
        try:
            with self._lock:
                if epoch is not None and (epoch != self._epoch or self._state != "running"):
                    return
                self._incarnation += 1
                mine = self._starting = self._incarnation
                self._worker_lives = True
                self._wake_at = 1
            self.start_worker()
        except BaseException:
            with self._lock:
                self._worker_lives = False
                self._changed.notify_all()
            raise
        finally:
            if self._starting == mine:  # else this worker has died, and started its successor
                self._starting = 0

    def _begin_epoch(self, state: State) -> None:
        self._epoch += 1
        self._state = state
        self._changed.notify_all()

    def _close_door(self) -> None:
        self._enqueue = _refuse
        self.queue.close()

    def _open_door(self) -> None:
        self.queue.open()
        self._enqueue = self.queue.enqueue

    # Looking after it

    def kill_worker(self) -> None:
        """Makes the worker die at its next look at the queue; for tests only."""
        self._killed = True
        self.wake_worker()

    def _wait_until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Waits for the worker, and looks after it meanwhile; False: the deadline came.

        Args:
            done: Asked with the lock held.
            deadline: On the backend's clock.
        """
        while True:
            self._look_after_worker()
            with self._lock:
                if done():
                    return True
                left = deadline - self._clock.now()
                if left <= 0:
                    return False
                self._clock.wait(self._changed, min(left, _LOOK_INTERVAL))

    def _look_after_worker(self) -> None:
        """Replaces a worker that ended without passing through `next_batch`."""
        worker = self._incarnation
        if self._worker_lives and not self._starting and self.join_worker(0):
            with self._lock:
                vanished = self._worker_lives and worker == self._incarnation
                if vanished:  # and nobody else noticed first
                    self._lose_hand()
            if vanished:
                self._lost("it ended without a word")
        if self._retry_at is not None:
            self._revive()

    def _died(self, error: BaseException, *, may_wait: bool) -> None:
        with self._lock:
            self._lose_hand()
        self._lost(describe(error))
        while may_wait and self._retry_at is not None:
            with self._lock:
                self._pause()
            self._revive()

    def _lose_hand(self) -> None:
        """Settles what a lost worker had in hand: begun or not."""
        now = self._clock.now()
        self._worker_lives = self._killed = False
        self._retry_at = now  # even if an interruption keeps anybody from deciding when
        self._incarnation += 1
        self._settle_hand()
        self._changed.notify_all()

    def _settle_hand(self) -> None:
        self._put_back()
        self._settle_begun()
        self._in_output = False
        self._worker = None

    def _lost(self, why: str) -> None:
        """Decides what follows a death, and reports it."""
        with self._lock:
            if self._state != "running":
                return  # who stops it drains the queue
            self._ledger.add("backend_errors")
            now = self._clock.now()
            delay = self._supervisor.next_delay(now)
            self._retry_at = None if delay is None else now + delay
            self._wake_at = 1  # each submit looks whether the time has come
        if delay is None:
            self._give_up(why)
        else:
            self._report(f"the worker was lost ({why}) and is replaced")

    def _pause(self) -> None:
        """Waits until the successor is due, or somebody can't wait for it."""
        while self._retry_at is not None and self._state == "running" and not self._flushes:
            left = self._retry_at - self._clock.now()
            if left <= 0:
                return
            self._clock.wait(self._changed, left)

    def _revive(self) -> None:
        """Starts a lost worker's successor, if it is due or a flush waits for it."""
        claimed = None
        try:
            with self._lock:
                if self._retry_at is None or self._state != "running":
                    self._retry_at = None
                    return
                if self._clock.now() < self._retry_at and not self._flushes:
                    return
                self._settle_hand()  # again, should that have been interrupted
                claimed, self._retry_at = self._retry_at, None
                self._ledger.add("worker_restarts")
            self._launch()
        except Exception as error:  # noqa: BLE001  whatever it is, it is tried again
            self._lost(f"no new one could be started: {describe(error)}")
        except BaseException:
            if claimed is not None and not self._worker_lives:
                self._retry_at = claimed
            raise

    def _give_up(self, why: str) -> None:
        with self._lock:
            self._close_door()
            self._gave_up = True
            self._answer = False
            self._begin_epoch("stopped")
        self._report(f"the worker was lost too often ({why}); the backend has stopped")

    def _woken(self) -> None:
        """Notes that the worker will look at the queue, so that it needn't be woken again."""
        self._wake_at = NEVER if self._retry_at is None else 1

    def _report(self, message: str) -> None:
        report(self.config.error_callback, message)

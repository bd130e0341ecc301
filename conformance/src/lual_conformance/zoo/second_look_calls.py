"""What authors get wrong on top of `BaseBackend`: flush, stop, threads, claims."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from lual.backend import BackendConfig
from lual_conformance.zoo.registry import mutant
from lual_conformance.zoo.second_look import claiming
from lual_conformance.zoo.sound.hired import ExecutorBackend, HiredBackend

# Flush


@mutant({"5.1": "while a record was still inside the output"}, plugin=claiming)
class AsksTheQueue(HiredBackend):
    """Takes an empty queue for finished work."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits."""
        if super().flush(0) or self._is_inside():
            return not self._is_inside()
        deadline = self._clock.now() + (self.config.flush_timeout if timeout is None else timeout)
        while not self.queue.is_empty() and self._clock.now() < deadline:
            time.sleep(0.001)
        return self.queue.is_empty()


@mutant({"1.6": "a flush gave up", "5.5": "submitted after it was called"}, plugin=claiming)
class TimesItself(HiredBackend):
    """Polls for a flush by its own watch."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits."""
        seconds = self.config.flush_timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        while not (done := super().flush(0)) and not self._is_inside():
            if time.monotonic() >= deadline:
                break
            time.sleep(0.005)
        return done


@mutant({"5.6": "returned None on a new backend", "5.11": "flush returned None"}, plugin=claiming)
class ForgetsToAnswer(HiredBackend):
    """Waits in flush, and returns nothing."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits."""
        super().flush(timeout)
        return None  # type: ignore[return-value]


@mutant({"5.10": "flush(-1) returned False"}, plugin=claiming)
class ForgivesTimeouts(HiredBackend):
    """Takes a negative timeout for none at all."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits."""
        return super().flush(None if timeout is None else max(timeout, 0))


@mutant({"5.4": "flush(0) had not returned"}, plugin=claiming)
class ZeroIsDefault(HiredBackend):
    """Takes 0 for a timeout that wasn't given."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits."""
        return super().flush(timeout or self.config.flush_timeout)


@mutant({"5.3": "flush(5) raised TimeoutError"}, plugin=claiming)
class RaisesTimeouts(HiredBackend):
    """Raises when a flush runs out."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits."""
        if not super().flush(timeout) and not self._is_inside():
            raise TimeoutError("the flush ran out of time")
        return not self._is_inside()


# Stop


@mutant({"9.1": "stop returned True and had not written"}, plugin=claiming)
class JoinsOnly(HiredBackend):
    """Ends its worker without draining."""

    def stop(self, timeout: float | None = None) -> bool:
        """Stops."""
        if self._state == "running":
            self.queue.close()
            self.queue.clear()
        return super().stop(timeout)


@mutant({"9.12": "stop(0) had not returned"}, plugin=claiming)
class ZeroStopIsDefault(HiredBackend):
    """Takes 0 for a timeout that wasn't given."""

    def stop(self, timeout: float | None = None) -> bool:
        """Stops."""
        return super().stop(timeout or self.config.shutdown_timeout)


@mutant({"9.5": "they wait for each other"}, plugin=claiming)
class StopsOneAtATime(HiredBackend):
    """Lets a second stop wait until the first has returned."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._exit = threading.RLock()

    def stop(self, timeout: float | None = None) -> bool:
        """Stops."""
        with self._exit:
            return super().stop(timeout)


@mutant({"2.9": "still kept somewhere"}, plugin=claiming)
class KeepsAList(HiredBackend):
    """Enters itself in a list of all, for an exit handler that is to come."""

    everyone: ClassVar[list[Any]] = []

    def start(self, dispatch_func: Any = None) -> None:
        """Begins to work."""
        self.everyone.append(self)
        super().start(dispatch_func)


# Threads


@mutant({"9.6": "the process never ended"}, plugin=claiming)
class HoldsTheProgram(HiredBackend):
    """Has a worker that the program's end waits for."""

    def start_worker(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._loop, daemon=False)
        self._thread.start()


@mutant(
    {"2.7": "left the thread 'ThreadPoolExecutor", "9.6": "the process never ended"},
    plugin=claiming,
)
class KeepsItsExecutor(ExecutorBackend):
    """Never shuts its executor down."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._pool: ThreadPoolExecutor | None = None

    def start_worker(self) -> None:
        """Starts the loop."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1)
        self._future = self._pool.submit(self._loop)


@mutant({"2.7": "left the descriptor of"}, plugin=claiming)
class LeavesItsLoopOpen(HiredBackend):
    """Runs its worker in an event loop that it never closes."""

    def _loop(self) -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(self._drain())
        self._left = loop

    async def _drain(self) -> None:
        while (items := self.next_batch()) is not None:
            self.run(items)


@mutant({"4.8": "looked at the clock or the queue"}, plugin=claiming)
class LooksAgainAndAgain(HiredBackend):
    """Polls for batches instead of parking."""

    def _loop(self) -> None:
        while (items := self.next_batch(park=False)) is not None:
            if items:
                self.run(items)
            else:
                time.sleep(0.002)


# Statistics and claims


@mutant({"8.5": "['failed_by_reason']"}, plugin=claiming)
class SharesItsTables(HiredBackend):
    """Copies the statistics, but not the tables in them."""

    def get_stats(self) -> dict[str, Any]:
        """Returns the counters."""
        stats = super().get_stats()
        return {**stats, "failed_by_reason": self.config.stats["failed_by_reason"]}


@mutant({"8.1": "Object of type Thread is not JSON serializable"}, plugin=claiming)
class StatsWithThread(HiredBackend):
    """Has its thread among the statistics."""

    def get_stats(self) -> dict[str, Any]:
        """Returns the counters."""
        return {**super().get_stats(), "thread": self._thread}


@mutant({"3.8": "a record was changed after submit"}, plugin=claiming, snapshot=True)
class ClaimsSnapshots(HiredBackend):
    """Claims that records are snapshots, and keeps what it was given."""


@mutant({"1.1": "lual_backend_faults(backend) is missing"}, plugin=claiming, restarts_worker=True)
class ClaimsRestarts(HiredBackend):
    """Claims to replace a lost worker, and offers no fault to try it with."""

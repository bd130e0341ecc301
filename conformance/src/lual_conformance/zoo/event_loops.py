"""Mutants that break what a backend in an event loop promises."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from lual.backend import BackendConfig, WorkItem
from lual_conformance.zoo.registry import mutant
from lual_conformance.zoo.sound.event_loop import EventLoopBackend
from lual_conformance.zoo.sound.loop_task import Home, running_loop

#: Seconds that nobody waits in a loop.
_LONG = 10_000.0


@mutant({"12.1": "submit called time.sleep while nothing else was going on"})
class BlocksLoop(EventLoopBackend):
    """Gives its thread a chance to run, by sleeping, also on a loop's thread."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes a record, and a nap."""
        taken = super().submit(work_item)
        if running_loop() is not None:
            time.sleep(0.0001)
        return taken


@mutant({"12.1": "submit called threading.Condition.wait while an output was stalled"})
class WaitsForItsThread(EventLoopBackend):
    """Waits a moment for the thread that runs the outputs, if that is busy."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes a record, and waits."""
        taken = super().submit(work_item)
        if running_loop() is not None:
            with self.lock:
                if self.inside and self.queue.size() > 2:
                    self.changed.wait(0.0001)
        return taken


@mutant(
    {
        "12.2": "other tasks stood still while a task awaited lual.aflush()",
        "5.3": "start(dispatch_func) had not returned",  # on the loop that stands still
    }
)
class AwaitsSync(EventLoopBackend):
    """Waits for the outputs on the loop's thread, whoever asked."""

    def pursue(self, reached: Callable[[], bool], deadline: float) -> None:
        """Lets the loop wait as well."""
        home = self.home
        if home is not None and not home.is_lost() and running_loop() is None:
            wait = super().pursue
            home.loop.call_soon_threadsafe(lambda: wait(reached, deadline))
        super().pursue(reached, deadline)


@mutant({"12.2": "other tasks stood still while a task awaited lual.ashutdown()"})
class StopsSync(EventLoopBackend):
    """Waits for the end of its thread where its task is, if that can't take too long."""

    def stop(self, timeout: float | None = None) -> bool:
        """Joins the thread in the loop."""
        home, thread = self.home, self.thread
        beside = running_loop() is None and not self.is_inside()
        is_short = timeout is not None and timeout < _LONG
        if thread is not None and home is not None and is_short and beside:
            with contextlib.suppress(RuntimeError):
                home.loop.call_soon_threadsafe(thread.join, timeout)
        return super().stop(timeout)


class _Mortal(EventLoopBackend):
    """Can lose its task for good."""

    def __init__(self, config: BackendConfig) -> None:
        self.is_dead = False
        super().__init__(config)

    def forget_work(self) -> None:
        """Revives it."""
        self.is_dead = False
        super().forget_work()

    def hand_over(self) -> float | None:
        """Hands over as long as there is a worker."""
        return None if self.is_dead else super().hand_over()


@mutant({"12.3": "after a cancelled task, lual.aflush(): ['flushed False']"})
class CancelKillsWorker(_Mortal):
    """Belongs to the task that has started it, and ends with that if it is cancelled."""

    def move_in(self) -> None:
        """Binds its life to the current task."""
        super().move_in()
        task = asyncio.current_task() if running_loop() is not None else None
        if task is not None:
            task.add_done_callback(self.end_with)

    def end_with(self, task: asyncio.Task[object]) -> None:
        """Dies if the task was cancelled."""
        self.is_dead = self.is_dead or task.cancelled()


@mutant({"12.3": "after a task was cancelled, records were lost"})
class CancelDropsBatch(EventLoopBackend):
    """Takes a cancelled task for the end, and throws away what waits."""

    def submit(self, work_item: WorkItem) -> bool:
        """Takes a record on behalf of the current task."""
        taken = super().submit(work_item)
        loop = running_loop()
        task = asyncio.current_task() if loop is not None else None
        if task is not None:
            task.add_done_callback(self.drop_of)
        return taken

    def drop_of(self, task: asyncio.Task[object]) -> None:
        """Drops the newest batch."""
        if task.cancelled():
            with self.lock:
                for item in self.queue.extract_batch(self.queue.size()):
                    self.ledger.drop_one(item.level, "stopped", in_flight=True)


@mutant({"12.4": "stop(1e+06) had not returned"})
class PendingTaskHang(EventLoopBackend):
    """Waits in `stop` until its task has ended, which a closed loop never brings about."""

    def stop(self, timeout: float | None = None) -> bool:
        """Waits for the task first."""
        home = self.home
        answer = super().stop(timeout)
        if home is not None and home.loop.is_closed():
            with self.lock:
                while self.home is home:
                    self.changed.wait()
        return answer


@mutant({"12.4": "whose loop had been closed"})
class GivesUpWithItsLoop(EventLoopBackend):
    """Drops in `stop` what only a closed loop could have handed over."""

    def stop(self, timeout: float | None = None) -> bool:
        """Drops everything where there is no loop any more."""
        if self.home is not None and self.home.loop.is_closed():
            with self.lock:
                for item in self.queue.extract_batch(self.queue.size()):
                    self.ledger.drop_one(item.level, "shutdown_timeout", in_flight=True)
        return super().stop(timeout)


@mutant({"12.5": "Task was destroyed but it is pending"})
class ForgottenTask(EventLoopBackend):
    """Makes another task when its own is cancelled, in a loop that is about to end."""

    async def attend(self, home: Home) -> None:
        """Leaves a successor."""
        try:
            await super().attend(home)
        except asyncio.CancelledError:
            home.alarm.clear()
            home.task = home.loop.create_task(self.linger(home))
            raise

    async def linger(self, home: Home) -> None:
        """Waits for somebody to ring, for ever."""
        while True:
            await asyncio.Event().wait()


@mutant({"12.5": "was never awaited"})
class ForgottenCoroutine(EventLoopBackend):
    """Sends a coroutine to a loop that may have been closed."""

    last: Home | None = None

    def move_in(self) -> None:
        """Remembers where it has been."""
        super().move_in()
        self.last = self.home or self.last

    def submit(self, work_item: WorkItem) -> bool:
        """Takes a record, and tells the loop of it by a coroutine."""
        taken = super().submit(work_item)
        if self.last is not None and self.last.loop.is_closed():
            with contextlib.suppress(RuntimeError):
                asyncio.run_coroutine_threadsafe(self.nudge(), self.last.loop)
        return taken

    async def nudge(self) -> None:
        """Makes the task look at the queue."""
        self.tell_loop()


@mutant({"12.6": "from another thread didn't wake the loop"})
class NoWakeup(EventLoopBackend):
    """Calls into its loop from other threads as if that was its own."""

    def ring(self, home: Home) -> None:
        """Forgets that a sleeping loop must be interrupted."""
        with contextlib.suppress(RuntimeError):
            home.loop.call_soon(home.alarm.set)


@mutant({"12.6": "from another thread's own loop didn't wake the loop"})
class TakesAnyLoopForItsOwn(EventLoopBackend):
    """Looks whether a loop runs here, and not whether that is its own."""

    def ring(self, home: Home) -> None:
        """Sets the alarm itself wherever there is a loop."""
        if running_loop() is not None:
            home.alarm.set()
        else:
            super().ring(home)


@mutant({"12.7": "in a second event loop ['first'] were written"})
class StaysWithTheFirstLoop(_Mortal):
    """Leaves all records to its first loop, which may have ended."""

    was_at_home: bool

    def move_in(self) -> None:
        """Moves once."""
        if not self.was_at_home:
            super().move_in()
            self.was_at_home = self.home is not None

    def forget_work(self) -> None:
        """Looks for another loop."""
        self.was_at_home = False
        super().forget_work()

    def hand_over(self) -> float | None:
        """Waits for the first loop unless somebody asks for what waits."""
        lost = self.was_at_home and not self.has_loop() and self.state == "running"
        return None if lost and not self.is_demanded() else super().hand_over()


@mutant({"12.8": "asyncio.run had ended, and only [] of ['a', 'b', 'c'] were ever written"})
class SleepsOnWhenCancelled(_Mortal):
    """Ends with its task, and leaves what waits to the next call."""

    def drain_at_cancel(self) -> None:
        """Leaves everything as it is."""
        self.is_dead = True

    def move_in(self) -> None:
        """Lives again in the next loop."""
        self.is_dead = False
        super().move_in()

    def pursue(self, reached: Callable[[], bool], deadline: float) -> None:
        """Lives again for who waits."""
        self.is_dead = False
        super().pursue(reached, deadline)

"""The task that hands batches over, inside whichever event loop there is."""

from __future__ import annotations

import asyncio
import contextlib
import math

from lual.backend import BackendConfig
from lual_conformance.zoo.sound.loop_work import LoopWork


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Returns the loop that runs on this thread."""
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None


class Home:
    """The place of a task in a loop.

    Args:
        loop: Where it runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.alarm = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def is_lost(self) -> bool:
        """Tells whether nothing runs there, perhaps for ever."""
        return self.loop.is_closed() or not self.loop.is_running()


class LoopTask(LoopWork):
    """Keeps a task in the application's loop, and does without while there is none.

    Args:
        config: The backend's.
    """

    def __init__(self, config: BackendConfig) -> None:
        self.home: Home | None = None
        super().__init__(config)

    def has_loop(self) -> bool:
        """Tells whether a task in a loop hands the batches over."""
        home = self.home
        return home is not None and not home.is_lost()

    def move_in(self) -> None:
        """Makes a task in the loop that runs here, unless another loop has one."""
        loop = running_loop()
        if loop is None:
            return
        with self.lock:
            if self.state == "running" and not self.has_loop():
                before, home = self.home, Home(loop)
                self.home = home
                if before is not None:
                    self.ring(before)  # should its loop ever go on, that task ends
                home.task = loop.create_task(self.attend(home))
                # A loop that is closed around it keeps it pending; nothing is lost by that.
                home.task._log_destroy_pending = False  # type: ignore[attr-defined]

    async def attend(self, home: Home) -> None:
        """Is the task: hands batches over whenever they are due."""
        try:
            while self.serves(home):
                await self.doze(home, self.hand_over())
        except asyncio.CancelledError:
            self.drain_at_cancel()
            raise
        finally:
            self.move_out(home)

    def serves(self, home: Home) -> bool:
        """Tells whether the task is still wanted."""
        return home is self.home and self.state in ("running", "stopping")

    async def doze(self, home: Home, wait: float | None) -> None:
        """Waits for the alarm, or until a batch is due."""
        timer = None
        if wait is not None and wait != math.inf:
            timer = home.loop.call_later(wait, home.alarm.set)
        try:
            await home.alarm.wait()
        finally:
            if timer is not None:
                timer.cancel()
        home.alarm.clear()

    def drain_at_cancel(self) -> None:
        """Makes everything due: who knows when there will be a loop again."""
        with self.lock:
            self.demand = self.queue.watermark()

    def move_out(self, home: Home) -> None:
        """Leaves the loop; the thread sees to the batches then."""
        with self.lock:
            if self.home is home:
                self.home = None
            self.changed.notify_all()

    def tell_loop(self) -> None:
        """Makes the task look at the queue; without one, the thread."""
        home = self.home
        if home is None or home.is_lost():
            with self.lock:
                self.changed.notify_all()
        elif running_loop() is home.loop:
            home.alarm.set()
        else:
            self.ring(home)

    def ring(self, home: Home) -> None:
        """Wakes the task from another thread."""
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            home.loop.call_soon_threadsafe(home.alarm.set)

"""Where a backend is started: an event-loop backend finds a running loop around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Protocol

from lual.backend import Backend

#: Seconds between two events of a busy loop.
_BEAT = 0.005


class Host(Protocol):
    """Calls `start` where the backend belongs."""

    def start(self, backend: Backend, dispatch_func: Any) -> None:
        """Starts a backend."""

    def end(self) -> None:
        """Ends what the host itself needed."""


class PlainHost:
    """Starts a backend on the thread of the check."""

    def start(self, backend: Backend, dispatch_func: Any) -> None:
        """Starts a backend."""
        backend.start(dispatch_func)

    def end(self) -> None:
        """Has nothing to end."""


class LoopHost:
    """Starts a backend inside an asyncio loop that runs in a thread of its own.

    Args:
        beats: Whether something happens in the loop all the time, as in a busy program. In
            one where nothing does, only a proper call from outside wakes it.
    """

    def __init__(self, *, beats: bool = True) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="check: event loop", daemon=True)
        self.thread.start()
        if beats:
            self.loop.call_soon_threadsafe(self._beat)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _beat(self) -> None:
        self.loop.call_later(_BEAT, self._beat)

    def call(self, function: Callable[[], Any]) -> Any:
        """Calls a function on the loop's thread, and returns what it returns."""

        async def inside() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result()

    def start(self, backend: Backend, dispatch_func: Any) -> None:
        """Starts a backend on the loop's thread, with the loop running."""
        self.call(lambda: backend.start(dispatch_func))

    def end(self) -> None:
        """Ends the loop as `asyncio.run` does: what still runs is cancelled first."""
        ending = asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop)
        ending.add_done_callback(lambda _: self.loop.call_soon_threadsafe(self.loop.stop))
        self.thread.join(2.0)
        if not self.loop.is_running():
            self.loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

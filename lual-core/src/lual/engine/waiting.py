"""What the awaitable twins of the logging methods return.

The record is submitted at the call, so that a forgotten `await` loses nothing. Awaiting
does something only if there was no room under `overflow_strategy="block"`: then it lets
the event loop go on until there is some, which blocking the thread would not.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lual.engine.capture import CapturedItem
    from lual.engine.writer import AsyncWriter

#: Seconds between two looks at a full queue; nobody measured them. Short, because a batch
#: is usually gone in less, and growing, because a full queue rarely empties at once.
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.02


class Submitted:
    """An awaitable for a record that is on its way already, or waits for room.

    Args:
        item: The record; None: there is nothing to submit.
        writer: The engine.
    """

    __slots__ = ("_item", "_writer")

    def __init__(self, item: CapturedItem | None, writer: AsyncWriter) -> None:
        self._writer = writer
        self._item = item
        if item is not None and not self._must_wait():
            self._submit()

    def _must_wait(self) -> bool:
        line = self._writer.line
        if line is None or line.queue.overflow_strategy != "block":
            return False
        asyncio = sys.modules.get("asyncio.events")
        in_loop = asyncio is not None and asyncio._get_running_loop() is not None
        return in_loop and line.queue.size() >= line.queue.max_size

    def _submit(self) -> None:
        item, self._item = self._item, None
        if item is not None:
            door = self._writer.submit
            if not door(item):
                self._writer.refused(item, door)

    def __await__(self) -> Generator[Any, None, None]:
        if self._item is not None:
            yield from self._wait_for_room().__await__()

    async def _wait_for_room(self) -> None:
        import asyncio  # somebody awaits: it is loaded

        settings = self._writer.settings
        left = settings.block_timeout if settings is not None else 0.0
        pause = _FIRST_PAUSE
        try:
            while left > 0 and self._must_wait():
                await asyncio.sleep(min(pause, left))
                left -= pause
                pause = min(pause * 2, _LONGEST_PAUSE)
            if self._must_wait():
                self._give_up()
        finally:
            self._submit()

    def _give_up(self) -> None:
        """Drops the record: it has waited as long as a blocking call may."""
        item, self._item = self._item, None
        if item is not None:
            self._writer.drop(item, "block_timeout")

    def __del__(self) -> None:
        # Never awaited: the record takes its chance now.
        if self._item is not None:
            self._submit()

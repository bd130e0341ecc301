"""The reference: the standard library's queue handler and listener, as its cookbook has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from line import LOGGER


class Adapter:
    """QueueHandler, an unbounded queue, QueueListener, FileHandler."""

    MODULE = "logging"

    def setup(
        self,
        path: Path,
        level: str,
        capacity: int,
        before_write: Callable[[], object] | None = None,
    ) -> Any:
        # The queue has no limit, so `capacity` is given.
        import atexit
        import logging
        import logging.handlers
        import queue
        from datetime import datetime

        class Lines(logging.Formatter):
            def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
                return datetime.fromtimestamp(record.created).isoformat(timespec="microseconds")

        class Obstructed(logging.FileHandler):
            def emit(self, record: logging.LogRecord) -> None:
                assert before_write is not None
                before_write()
                super().emit(record)

        handler = (Obstructed if before_write else logging.FileHandler)(path)
        handler.setFormatter(Lines("%(asctime)s %(levelname)s %(name)s %(message)s"))
        waiting: queue.Queue[Any] = queue.Queue(-1)
        self._listener = logging.handlers.QueueListener(waiting, handler)
        root = logging.getLogger()
        root.setLevel(level.upper())
        root.addHandler(logging.handlers.QueueHandler(waiting))
        self._listener.start()
        # Without it the reference would lose what is queued at exit.
        atexit.register(self.finish)
        return logging.getLogger(LOGGER)

    def finish(self) -> None:
        # A second stop raises before Python 3.12.
        if self._listener._thread is not None:
            self._listener.stop()

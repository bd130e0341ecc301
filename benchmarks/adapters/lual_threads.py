"""lual with its threads backend and its defaults, but for the size of the queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from line import LOGGER

#: Seconds: longer than any run may last, which the caller bounds.
_LONG = 600.0


class _Obstructed:
    """A file output that is called after something else, once per batch."""

    def __init__(self, output: Any, before_write: Callable[[], object]) -> None:
        self._before_write = before_write
        self._write = output.write
        self.open, self.flush, self.close = output.open, output.flush, output.close

    def write(self, batch: Any) -> None:
        self._before_write()
        self._write(batch)


class Adapter:
    """One pipeline with the benchmark's layout and one file."""

    MODULE = "lual"
    BACKEND = "threads"

    def setup(
        self,
        path: Path,
        level: str,
        capacity: int,
        before_write: Callable[[], object] | None = None,
    ) -> Any:
        import lual

        output: Any = lual.file(path)
        if before_write is not None:
            output = _Obstructed(output, before_write)
        layout = "{time} {level} {logger} {message}"
        lual.config(
            level=level,
            async_enabled=True,
            backend=self.BACKEND,
            max_queue_size=max(capacity, 10_000),
            overflow_strategy="block",
            pipelines=[lual.pipeline(presenter=lual.text(layout), outputs=[output])],
        )
        return lual.logger(LOGGER)

    def finish(self) -> None:
        import lual

        if not lual.flush(_LONG):
            raise RuntimeError("the flush ran out of time")

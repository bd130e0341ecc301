"""When a file is full or its period over, and when a failed rotation is tried again."""

from __future__ import annotations

from collections.abc import Callable

from lual.pipelines.outputs.file_settings import FileSettings
from lual.pipelines.outputs.open_file import OpenFile
from lual.pipelines.outputs.when import period_end

#: Seconds after a failed rotation in which none is tried; not measured.
PAUSE = 60.0

#: Seconds by which a clock may go back before the end of the period is worked out anew
#: (else a date set wrong by years would stop rotation for years); not measured.
_CLOCK_SET_BACK = 3600.0


class Rotation:
    """Decides for one file; moves nothing itself.

    Args:
        settings: `max_bytes` and `when` count.
        now: Epoch seconds.
    """

    def __init__(self, settings: FileSettings, now: Callable[[], float]) -> None:
        self._max_bytes = settings.max_bytes
        self._when = settings.when
        self._now = now
        self._paused_at: float | None = None
        self._period = (0.0, 0.0)
        self.begin_period()

    def begin_period(self, moment: float | None = None) -> None:
        """Makes the period around a moment the file's.

        Args:
            moment: Epoch seconds, when the file was last written to say; None for now.
        """
        if self._when is not None:
            begin = self._now() if moment is None else moment
            self._period = (begin, period_end(self._when, begin))

    def period_is_over(self) -> bool:
        """Tells whether the file's period has ended."""
        if self._when is None:
            return False
        now = self._now()
        begin, end = self._period
        if now < begin - _CLOCK_SET_BACK:
            self.begin_period()
            return False
        return now >= end

    def room(self, file: OpenFile) -> int | None:
        """Returns how many more bytes the file takes; None for any number."""
        if self._max_bytes is None or not file.rotatable or self.is_paused():
            return None
        lead = len(file.newline) if file.torn else 0
        return self._max_bytes - file.size() - lead

    def pause(self) -> None:
        """Lets the next `PAUSE` seconds pass without a rotation."""
        self._paused_at = self._now()

    def is_paused(self) -> bool:
        """Tells whether a rotation failed a short while ago."""
        if self._paused_at is None:
            return False
        if self._paused_at <= self._now() < self._paused_at + PAUSE:
            return True
        self._paused_at = None
        return False

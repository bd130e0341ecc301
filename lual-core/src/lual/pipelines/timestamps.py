"""Epoch nanoseconds as text, worked out once per second of the clock.

Guarantees:
    * the text belongs to its own instant, also when instants arrive out of order, lie
      before 1970, or on either side of a clock change;
    * no instant raises: one that the platform's calendar doesn't reach is written as
      `@seconds.microseconds` since the epoch.
"""

from __future__ import annotations

import re
import time
from typing import Final

from lual.errors import ConfigError, did_you_mean

#: Timestamps in universal time; ISO texts end in `+00:00`.
UTC: Final = "utc"
#: Timestamps in the local time of the machine; ISO texts carry no offset.
LOCAL_TIME: Final = "local"

_CALENDARS = {UTC: time.gmtime, LOCAL_TIME: time.localtime}

_DIRECTIVE = re.compile(r"%.|[^%]+|%", re.DOTALL)


class TimeText:
    """Turns epoch nanoseconds into text.

    Args:
        timezone: `UTC` or `LOCAL_TIME`.
        time_format: A strftime format, in which `%f` stands for six digits of
            microseconds; None means ISO 8601 with microseconds.

    Raises:
        ConfigError: The time zone is neither, or the format can't be used.

    Threads: any thread may call; the cache is one tuple, replaced as a whole.

    >>> TimeText(UTC)(0)
    '1970-01-01T00:00:00.000000+00:00'
    >>> TimeText(UTC, "%H:%M:%S.%f")(1_500_000)
    '00:00:00.001500'
    """

    __slots__ = ("_cached", "_calendar", "_offset", "_pieces", "iso")

    def __init__(self, timezone: str = LOCAL_TIME, time_format: str | None = None) -> None:
        check_timezone(timezone)
        self._calendar = _CALENDARS[timezone]
        self._offset = "+00:00" if timezone == UTC else ""
        self._pieces = None if time_format is None else _split_at_microseconds(time_format)
        self.iso = time_format is None
        self._cached: tuple[int | None, tuple[str, ...]] = (None, ())

    def around(self, second: int) -> tuple[str, ...]:
        """Returns the texts that the microseconds go between; two for ISO 8601.

        Args:
            second: Epoch seconds, rounded down.
        """
        cached = self._cached
        if cached[0] == second:
            return cached[1]
        try:
            texts = self._work_out(self._calendar(second))
        except (OverflowError, OSError, ValueError):  # beyond the platform's calendar
            texts = (f"@{second}.", "")
        self._cached = (second, texts)
        return texts

    def __call__(self, timestamp_ns: int) -> str:
        """Returns the text of an instant given in epoch nanoseconds."""
        texts = self.around(timestamp_ns // 1_000_000_000)
        return f"{timestamp_ns // 1000 % 1_000_000:06d}".join(texts)

    def _work_out(self, moment: time.struct_time) -> tuple[str, ...]:
        if self._pieces is not None:
            return tuple(time.strftime(piece, moment) for piece in self._pieces)
        year, month, day, hour, minute, second = moment[:6]
        date = f"{year:04d}-{month:02d}-{day:02d}"
        return f"{date}T{hour:02d}:{minute:02d}:{second:02d}.", self._offset


def check_timezone(timezone: object) -> None:
    """Raises `ConfigError` unless the value is `UTC` or `LOCAL_TIME`."""
    if not isinstance(timezone, str) or timezone not in _CALENDARS:
        raise ConfigError(
            f"timezone must be lual.UTC ({UTC!r}) or lual.LOCAL_TIME ({LOCAL_TIME!r}), "
            f"got {timezone!r}{did_you_mean(timezone, _CALENDARS)}"
        )


def _split_at_microseconds(time_format: object) -> tuple[str, ...]:
    """Returns the format's parts between its `%f`, each one tried."""
    if not isinstance(time_format, str):
        raise ConfigError(
            f"time_format must be a strftime format such as '%H:%M:%S.%f', got {time_format!r}"
        )
    pieces = [""]
    for directive in _DIRECTIVE.findall(time_format):
        if directive == "%f":
            pieces.append("")
        else:
            pieces[-1] += directive
    try:
        for piece in pieces:
            time.strftime(piece, time.gmtime(0))
    except ValueError as error:  # also UnicodeEncodeError
        raise ConfigError(
            f"time_format {time_format!r} can't be used by strftime: {error}; "
            "use a format such as '%Y-%m-%d %H:%M:%S.%f'"
        ) from error
    return tuple(pieces)

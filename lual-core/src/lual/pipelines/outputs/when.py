"""When a file's period ends: hours, days and weeks of local time, or a number of seconds."""

from __future__ import annotations

import math
import time
from typing import Final

#: The longest an hour, a day, a week can last, in seconds: clocks go back by an hour or
#: two at most where they do.
_LONGEST: Final = {
    "hourly": 3 * 3600,
    "daily": 27 * 3600,
    "weekly": (7 * 24 + 3) * 3600,
}

#: The named periods.
NAMES: Final = tuple(_LONGEST)


def period_of(when: str | float, moment: float) -> int:
    """Returns the number of the period that a moment lies in; later ones are higher.

    Days begin at local midnight, weeks on Monday, hours when the local clock shows a
    full hour (the one that comes twice when summer time ends makes two periods). A number
    of seconds is counted from the epoch.

    Args:
        when: `hourly`, `daily`, `weekly`, or seconds.
        moment: Epoch seconds.

    >>> period_of(60, 59.9), period_of(60, 60)
    (0, 1)
    """
    if not isinstance(when, str):
        return math.floor(moment / when)
    offset = time.localtime(moment).tm_gmtoff
    if when == "hourly":
        # Only the part of the offset below an hour moves full hours; the rest would make
        # two hours share one number when clocks go back.
        return math.floor((moment + offset % 3600) / 3600)
    day = math.floor((moment + offset) / 86400)
    return day if when == "daily" else (day + 3) // 7  # the epoch was a Thursday


def period_end(when: str | float, moment: float) -> float:
    """Returns the first moment after the period that `moment` lies in, in epoch seconds.

    It is searched for, not computed from the date: midnight doesn't exist on days when
    some zones change their clocks.

    Args:
        when: `hourly`, `daily`, `weekly`, or seconds.
        moment: Epoch seconds.

    >>> period_end(60, 59.9)
    60.0
    """
    current = period_of(when, moment)
    if not isinstance(when, str):
        return float((current + 1) * when)
    inside = math.floor(moment)
    after = inside + _LONGEST[when]
    while after - inside > 1:
        middle = (inside + after) // 2
        if period_of(when, middle) > current:
            after = middle
        else:
            inside = middle
    return float(after)

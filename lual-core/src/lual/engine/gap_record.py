"""The record by which the engine tells in the log what the log has lost."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from lual.engine.capture import CapturedItem, current_thread_pair, new_item
from lual.levels import WARNING

if TYPE_CHECKING:
    from lual.engine.gaps import Gap
    from lual.record import Route

#: The logger that the engine's own records come from.
ENGINE_LOGGER = "lual.engine"


def gap_record(gap: Gap, route: Route) -> CapturedItem:
    """Returns the record that ends a period of drops; it has no number of its own.

    Args:
        gap: The period.
        route: Of the logger `lual.engine`.
    """
    frame = sys._getframe()
    return new_item(
        (
            WARNING,
            None,
            route,
            time.time_ns(),
            gap.message(),
            (),
            frame.f_code,
            frame.f_lasti,
            current_thread_pair(),
            None,
            gap.fields(),
            None,
        )
    )

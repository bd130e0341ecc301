"""What a queued record occupies."""

from __future__ import annotations

import gc
import os
import threading
from itertools import repeat
from pathlib import Path
from typing import Any

from adapters import Adapter
from line import ADDRESS, DURATION, MESSAGE, USER

_WARM_UP = 500


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def queued(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Compares resident memory before and after a burst that a stuck output holds up."""
    gate = threading.Event()
    log = adapter.setup(path, "info", records + _WARM_UP, gate.wait)
    for _ in repeat(None, _WARM_UP):
        log.info(MESSAGE, USER, ADDRESS, DURATION)
    gc.collect()
    before = _resident()
    for _ in repeat(None, records):
        log.info(MESSAGE, USER, ADDRESS, DURATION)
    value = (_resident() - before) / records
    gate.set()
    adapter.finish()
    return {"value": value, "expected": {ADDRESS: records + _WARM_UP}}

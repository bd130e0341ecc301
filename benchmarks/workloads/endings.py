"""What arrives if the program ends and nobody flushes."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Any

from adapters import Adapter
from line import ADDRESS, DURATION, MESSAGE, USER


def end(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Logs and returns; the process then ends the way it was asked to."""
    log = adapter.setup(path, "info", records)
    for _ in repeat(None, records):
        log.info(MESSAGE, USER, ADDRESS, DURATION)
    return {"expected": {ADDRESS: records}}

"""How fast records come through, from the first call until the last line is in the file."""

from __future__ import annotations

import threading
import time
from itertools import repeat
from pathlib import Path
from typing import Any

from adapters import Adapter
from line import ADDRESS, DURATION, MESSAGE, USER

#: Before the clock starts: the worker runs, the file is open, caches are filled.
_WARM_UP = 500


def one_producer(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Logs everything from the main thread."""
    return _deliver(adapter, path, records, 1)


def four_producers(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Logs a quarter of the records from each of four threads."""
    return _deliver(adapter, path, records, 4)


def _deliver(adapter: Adapter, path: Path, records: int, producers: int) -> dict[str, Any]:
    log = adapter.setup(path, "info", records + _WARM_UP)
    share = records // producers

    def produce() -> None:
        for _ in repeat(None, share):
            log.info(MESSAGE, USER, ADDRESS, DURATION)

    for _ in repeat(None, _WARM_UP):
        log.info(MESSAGE, USER, ADDRESS, DURATION)
    while not path.exists() or path.read_bytes().count(b"\n") < _WARM_UP:
        time.sleep(0.05)
    threads = [threading.Thread(target=produce) for _ in range(producers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    adapter.finish()
    took = time.perf_counter() - start
    return {
        "value": share * producers / took,
        "expected": {ADDRESS: share * producers + _WARM_UP},
    }

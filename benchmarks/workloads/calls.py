"""What one call costs the thread that logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

from adapters import Adapter
from line import ADDRESS, DURATION, MESSAGE, USER

#: Calls before the first measured one: caches, specialised bytecode, the worker's start.
_WARM_UP = 500

#: A run's calls are measured in this many parts, of which the median counts.
_PARTS = 10

#: Seconds that a write to the slow output takes.
_WRITE = 0.001

#: Seconds between two calls of a program that logs steadily.
_PACE = 0.0005


def _per_call(work: Callable[[int], None], calls: int) -> float:
    """Returns the thread's CPU nanoseconds per call, the median of some parts."""
    figures = []
    part = max(calls // _PARTS, 1)
    for _ in range(_PARTS):
        start = time.thread_time_ns()
        work(part)
        figures.append((time.thread_time_ns() - start) / part)
    return median(figures)


def disabled(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Calls `debug` at level INFO; the cost of the same loop without the call is taken off."""
    log = adapter.setup(path, "info", records)

    def calls(count: int) -> None:
        for _ in repeat(None, count):
            log.debug(MESSAGE, USER, ADDRESS, DURATION)

    def nothing(count: int) -> None:
        for _ in repeat(None, count):
            pass

    calls(_WARM_UP)
    nothing(_WARM_UP)
    value = _per_call(calls, records) - _per_call(nothing, records)
    adapter.finish()
    return {"value": value, "expected": {}}


def enabled(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Logs a burst that the queue has room for, while the worker already drains it."""
    log = adapter.setup(path, "info", records + _WARM_UP)
    for _ in repeat(None, _WARM_UP):
        log.info(MESSAGE, USER, ADDRESS, DURATION)
    start = time.thread_time_ns()
    for _ in repeat(None, records):
        log.info(MESSAGE, USER, ADDRESS, DURATION)
    value = (time.thread_time_ns() - start) / records / 1000
    adapter.finish()
    return {"value": value, "expected": {ADDRESS: records + _WARM_UP}}


def slow_output_burst(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Logs a burst while each write takes 1 ms; the 99th percentile of single calls."""
    return _slow_output(adapter, path, records, 0.0)


def slow_output_steady(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """As the burst, but with a pause before each call, so that the worker sleeps at times."""
    return _slow_output(adapter, path, records, _PACE)


def _slow_output(adapter: Adapter, path: Path, records: int, pause: float) -> dict[str, Any]:
    log = adapter.setup(path, "info", records + _WARM_UP, lambda: time.sleep(_WRITE))
    now = time.perf_counter_ns
    for _ in repeat(None, _WARM_UP):
        log.info(MESSAGE, USER, ADDRESS, DURATION)
    took = []
    for _ in repeat(None, records):
        if pause:
            time.sleep(pause)
        start = now()
        log.info(MESSAGE, USER, ADDRESS, DURATION)
        took.append(now() - start)
    adapter.finish()
    took.sort()
    return {
        "value": took[int(len(took) * 0.99)] / 1000,
        "expected": {ADDRESS: records + _WARM_UP},
    }

"""Logging in the middle of logging: from a signal handler, and from a finaliser."""

from __future__ import annotations

import gc
import signal
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

from adapters import Adapter
from line import ADDRESS, DURATION, MESSAGE

_FROM_SIGNAL = "10.0.0.2"
_FROM_FINALISER = "10.0.0.3"

#: Seconds between two signals.
_INTERVAL = 0.001

#: The run goes on until this many signals have logged: single ones rarely hit a lock.
_SIGNALS = 500

#: A collection of the youngest objects after so many new ones, instead of 700 or 2,000.
_EAGER = 50


def signals_and_finalisers(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Logs from all three until there are enough records and enough signals."""
    log = adapter.setup(path, "info", 100 * records)
    signals, finalised = count(), count()
    last = {_FROM_SIGNAL: -1, _FROM_FINALISER: -1}

    def on_signal(number: int, frame: FrameType | None) -> None:
        last[_FROM_SIGNAL] = user = next(signals)
        log.info(MESSAGE, user, _FROM_SIGNAL, DURATION)

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            last[_FROM_FINALISER] = user = next(finalised)
            log.info(MESSAGE, user, _FROM_FINALISER, DURATION)

    thresholds = gc.get_threshold()
    gc.set_threshold(_EAGER)
    signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, _INTERVAL, _INTERVAL)
    wanted = min(_SIGNALS, records)
    logged = 0
    while logged < records or last[_FROM_SIGNAL] < wanted:
        log.info(MESSAGE, logged, ADDRESS, DURATION)
        logged += 1
        if logged % 10 == 0:
            Cycle()
        if logged % 1000 == 0:
            signal.sigtimedwait([signal.SIGUSR1], 2 * _INTERVAL)  # lets the worker run
    signal.setitimer(signal.ITIMER_REAL, 0)
    gc.set_threshold(*thresholds)
    gc.collect()
    adapter.finish()
    return {"expected": {ADDRESS: logged, **{who: top + 1 for who, top in last.items()}}}

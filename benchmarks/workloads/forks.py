"""Forking while other threads log."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

from adapters import Adapter
from line import DURATION, MESSAGE

_CHILDREN = 5
_THREADS = 2

#: Seconds that a child has for its records and its end.
_PATIENCE = 4.0

#: Records of one thread; then it stops, so that a slow machine isn't drowned.
_MOST = 20_000


def fork_while_logging(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Forks children that log `records` each and exit, while two threads go on logging."""
    log = adapter.setup(path, "info", _THREADS * _MOST + records)
    enough = threading.Event()
    expected: dict[str, int] = {}

    def produce(address: str) -> None:
        for user in count():
            if enough.is_set() or user == _MOST:
                expected[address] = user
                return
            log.info(MESSAGE, user, address, DURATION)
            if user % 100 == 0:
                time.sleep(0.001)

    threads = [
        threading.Thread(target=produce, args=(f"10.0.0.{number}",)) for number in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    hung = 0
    for number in range(_CHILDREN):
        time.sleep(0.02)
        address = f"10.0.1.{number}"
        expected[address] = records
        pid = os.fork()
        if pid == 0:
            for user in range(records):
                log.info(MESSAGE, user, address, DURATION)
            sys.exit()
        hung += not _ends(pid)
    enough.set()
    for thread in threads:
        thread.join()
    adapter.finish()
    return {"expected": expected, "problem": f"{hung} of {_CHILDREN} children hang" if hung else ""}


def _ends(pid: int) -> bool:
    """Tells whether the child ends in time; one that doesn't is killed."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False

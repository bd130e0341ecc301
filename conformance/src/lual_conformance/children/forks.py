"""Programs that fork while their log is busy."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import lual
from lual.backend import BoundedQueue
from lual_conformance.children import Report
from lual_conformance.children.programs import STALLING, configure, until_inside

#: Seconds; a backend with a queue of its own never enters the one that is watched.
_LONGEST_ENTRY = 0.5


def _fork(setup: Mapping[str, Any], work: Callable[[], object]) -> int:
    """Returns the id of a new process, which does its work and ends by `os._exit`."""
    pid = _split(setup)
    if pid:
        return pid
    try:
        work()
    except BaseException:  # noqa: BLE001  it must not go on as if it were its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _split(setup: Mapping[str, Any]) -> int:
    """Forks, and returns as `os.fork` does; the child can't outlive the check by much."""
    # Python 3.12 warns of forks beside other threads, which is what this is all about.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(setup["patience"]) + 1)
    return pid


def _end_of(pid: int, setup: Mapping[str, Any]) -> str:
    """Returns a process's exit status, or "hung" for one that had to be killed."""
    until = time.monotonic() + setup["patience"] * 0.6
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return str(os.waitstatus_to_exitcode(status))
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"


def _say(setup: Mapping[str, Any], *names: str) -> None:
    """Logs, and waits until it is written."""
    log = lual.logger("kit")
    for name in names:
        log.info(name)
    lual.shutdown(setup["shutdown_timeout"])


def forks_inside_submit(report: Report, setup: Mapping[str, Any]) -> None:
    """Forks while another thread stands in the middle of a submit."""
    entered, proceed = threading.Event(), threading.Event()
    enqueue = BoundedQueue.enqueue

    def enqueue_slowly(self: BoundedQueue, item: Any) -> bool:
        if threading.current_thread() is slow:
            entered.set()
            proceed.wait()
        return enqueue(self, item)

    BoundedQueue.enqueue = enqueue_slowly  # type: ignore[method-assign]
    log = configure(setup)
    slow = threading.Thread(target=lambda: log.info("slow"))
    slow.start()
    entered.wait(_LONGEST_ENTRY)
    pid = _fork(setup, lambda: _say(setup, "child 1", "child 2"))
    report(f"child {_end_of(pid, setup)}")
    proceed.set()
    slow.join()
    lual.shutdown()


def forks_with_records_waiting(report: Report, setup: Mapping[str, Any]) -> None:
    """Forks while records wait, and writes them after the child has ended."""
    log = configure(setup)
    for number in range(5):
        log.info(f"before {number}")
    pid = _fork(setup, lambda: _say(setup, "child"))
    report(f"child {_end_of(pid, setup)}")
    report(f"stopped {lual.shutdown()}")


def forks_and_goes_on(report: Report, setup: Mapping[str, Any]) -> None:
    """Forks with some records written and some waiting, and goes on; the child logs and stops."""
    log = configure(setup)
    for number in range(3):
        log.info(f"before {number}")
    lual.flush(setup["shutdown_timeout"])
    for number in range(3):
        log.info(f"waiting {number}")
    _end_of(_fork(setup, lambda: _say(setup, "child")), setup)
    for number in range(3):
        log.info(f"after {number}")
    report(f"flushed {lual.flush(setup['shutdown_timeout'])}")
    stats = lual.get_stats()
    for key in ("submitted", "processed", "failed", "dropped"):
        report(f"{key} {stats[f'messages_{key}']}")
    os._exit(0)


def forks_children_that_exit(report: Report, setup: Mapping[str, Any]) -> None:
    """Forks a child that logs nothing, and one that does; both exit like any program."""
    log = configure(setup)
    for number in range(5):
        log.info(f"before {number}")
    for child in ("silent", "talking"):
        pid = _split(setup)
        if pid == 0:
            if child == "talking":
                log.info("child 1")
                log.info("child 2")
            sys.exit(4)
        report(f"{child} {_end_of(pid, setup)}")
    report(f"stopped {lual.shutdown()}")


def forks_often(
    report: Report, setup: Mapping[str, Any], children: int, records: int, stall: bool
) -> None:
    """Forks again and again while threads log, and first of all beside a stalled output."""
    log = configure(setup)
    if stall:
        log.error(STALLING)
        until_inside(setup)
        pid = _fork(setup, lambda: _say(setup, "child of the stalled"))
        report(f"child of the stalled {_end_of(pid, setup)}")
        report("forked")

    def produce(producer: int) -> None:
        for number in range(records):
            log.info(f"thread {producer} {number}")
            time.sleep(0)

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for number in range(children):
        name = f"child {number}"
        pid = _fork(setup, lambda name=name: _say(setup, name))  # type: ignore[misc]
        report(f"{name} {_end_of(pid, setup)}")
    for thread in threads:
        thread.join()
    lual.shutdown()

"""What the programs of these tests share; `run_script` copies it beside each of them.

Records read "who n": from them a test sees what was lost, doubled, torn or out of order.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import lual

log = lual.logger("app")

#: Holds whatever a program logs in one go.
ROOMY = 200_000

#: Seconds after which a program gives up waiting, long before its own time limit.
PATIENCE = 10.0


def to_file(path: str = "app.log", **settings: Any) -> lual.Pipeline:
    """Returns a pipeline that writes bare messages to a file."""
    return lual.pipeline(
        presenter=lual.text(layout="{message}"), outputs=[lual.file(path, **settings)]
    )


def configure(*pipelines: lual.Pipeline, **settings: Any) -> None:
    """Turns the threads backend on; without pipelines, with `app.log` as its output."""
    wanted = {"level": "debug", "async_enabled": True, "backend": "threads"}
    lual.config({**wanted, "pipelines": pipelines or [to_file()], **settings})


def burst(who: str, count: int) -> None:
    """Logs `count` records that read "who n"."""
    for n in range(count):
        log.info("%s %d", who, n)


def texts(path: str = "app.log") -> list[str]:
    """Returns the lines of a file."""
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def start_threads(count: int, target: Callable[[int], None]) -> list[threading.Thread]:
    """Starts threads that call `target` with their number."""
    threads = [threading.Thread(target=target, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Waits for threads, and fails if one hangs."""
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{thread.name} hangs"


def fork(child: Callable[[], None]) -> int:
    """Runs `child` in a forked child of the main thread, which then ends by `sys.exit`."""
    pid = os.fork()
    if pid == 0:
        child()
        sys.exit(0)
    return pid


def reap(*pids: int) -> None:
    """Waits for children, and fails if one failed."""
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, f"child {pid} failed"


#: The terms of the first identity behind `messages_submitted`, and the other counters.
TERMS = ("messages_processed", "messages_failed", "messages_dropped", "queue_size", "in_flight")
MONOTONE = (
    "messages_submitted",
    *TERMS[:3],
    "backend_errors",
    "output_errors",
    "queue_overflows",
    "queue_high_watermark",
    "sync_processed",
    "blocked_submits",
    "blocked_seconds",
    "flushes",
    "flush_timeouts",
    "worker_restarts",
)
TABLES = ("dropped_by_reason", "dropped_by_level", "failed_by_reason")


def check(stats: dict[str, Any] | None = None) -> dict[str, Any]:
    """Checks what holds in every snapshot, and returns it."""
    found = lual.get_stats() if stats is None else stats
    assert found["messages_submitted"] == sum(found[term] for term in TERMS), found
    for table in TABLES[:2]:
        assert found["messages_dropped"] == sum(found[table].values()), found
    for name in (*MONOTONE, *TERMS):
        assert found[name] >= 0, (name, found)
    for table in TABLES:
        assert all(count >= 0 for count in found[table].values()), (table, found)
    return found


def check_monotone(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Checks that no counter went back between two snapshots."""
    for name in MONOTONE:
        assert after[name] >= before[name], (name, before, after)
    for table in TABLES:
        for name, count in before[table].items():
            assert after[table].get(name, 0) >= count, (table, before, after)


class Collector:
    """An output that keeps texts and notices what an output must never see.

    Args:
        gate: Waited for before each batch is taken.
    """

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.texts: list[str] = []
        self.flushes = 0
        self.closed = False
        self.overlaps = 0
        self.late = 0  # records written after close
        self.entered = threading.Event()
        self._gate = gate
        self._inside = False

    def write(self, batch: Any) -> None:
        """Takes the texts of a batch."""
        self.overlaps += self._inside
        self._inside = True
        self.entered.set()
        if self._gate is not None:
            self._gate.wait()
        self.late += len(batch) if self.closed else 0
        self.texts += [text for text, _ in batch]
        self._inside = False

    def flush(self) -> None:
        """Counts."""
        self.flushes += 1

    def close(self) -> None:
        """Notes it."""
        self.closed = True

    def pipeline(self, **settings: Any) -> lual.Pipeline:
        """Returns a pipeline of bare messages to this output."""
        return lual.pipeline(presenter=lual.text(layout="{message}"), outputs=[self], **settings)

    def sequences(self) -> dict[str, list[int]]:
        """Returns the numbers that each producer's texts have, in order."""
        return sequences(self.texts)


def sequences(lines: list[str]) -> dict[str, list[int]]:
    """Returns the numbers behind each name, in order; the engine's own reports are left out."""
    found: dict[str, list[int]] = {}
    for line in lines:
        if " records were dropped in " in line:
            continue
        who, _, number = line.rpartition(" ")
        found.setdefault(who, []).append(int(number))
    return found


@contextlib.contextmanager
def problems() -> Iterator[list[str]]:
    """Yields the list that lual's reports go to meanwhile."""
    found: list[str] = []
    lual.set_error_handler(found.append)
    yield found
    lual.set_error_handler(None)

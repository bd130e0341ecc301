"""What a process holds: threads, descriptors, child processes; and what came to it since.

The helpers that an interpreter has once for all, the resource tracker and the fork server of
`multiprocessing`, are nobody's: whoever needs one first starts it, and they stay.
"""

from __future__ import annotations

import contextlib
import glob
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import sys
import threading
from collections.abc import Mapping

import attrs

#: The kit's own threads; those of a backend are told by everything but their names.
_OWN_THREADS = "check"


@attrs.frozen(kw_only=True)
class Resources:
    """One look at what this process holds.

    Args:
        threads: By ident, the thread; None for one that the module `threading` doesn't know.
        descriptors: By number, what is open there; empty where the system doesn't tell.
        processes: Ids of the children that run; those of `multiprocessing` where the system
            doesn't tell.
    """

    threads: Mapping[int, threading.Thread | None]
    descriptors: Mapping[int, str]
    processes: frozenset[int]

    @classmethod
    def now(cls) -> Resources:
        """Looks."""
        return cls(threads=_threads(), descriptors=_descriptors(), processes=_processes())

    def threads_since(self, before: Resources) -> list[str]:
        """Names the threads that are here and weren't before."""
        return [
            f"the thread {thread.name!r}" if thread is not None else "a bare thread"
            for ident, thread in self.threads.items()
            if ident not in before.threads or before.threads[ident] is not thread
        ]

    def processes_since(self, before: Resources) -> list[str]:
        """Names the child processes that are here and weren't before."""
        return [f"the process {pid}" for pid in sorted(self.processes - before.processes)]

    def descriptors_since(self, before: Resources) -> list[str]:
        """Names the descriptors that are open and weren't before."""
        return [
            f"the descriptor of {target}"
            for number, target in self.descriptors.items()
            if before.descriptors.get(number) != target
        ]

    def since(self, before: Resources) -> list[str]:
        """Names everything that is here and wasn't before."""
        return [
            *self.threads_since(before),
            *self.processes_since(before),
            *self.descriptors_since(before),
        ]


def _threads() -> dict[int, threading.Thread | None]:
    # What `enumerate` says can be long gone: it keeps the stand-ins of bare threads.
    alive = set(sys._current_frames())
    known = {thread.ident: thread for thread in threading.enumerate()}
    return {
        ident: known.get(ident)
        for ident in alive
        if ident not in known or not known[ident].name.startswith(_OWN_THREADS)
    }


def _descriptors() -> dict[int, str]:
    folder = "/proc/self/fd"
    helpers = _of_helpers("_fd", "_forkserver_alive_fd")
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if int(name) in helpers:
                continue
            with contextlib.suppress(OSError):  # the listing's own, and what is closed meanwhile
                found[int(name)] = os.readlink(f"{folder}/{name}")
    return found


def _processes() -> frozenset[int]:
    mine = {child.pid for child in multiprocessing.active_children()}  # reaps what has ended
    for path in glob.glob("/proc/self/task/*/children"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            mine |= {int(pid) for pid in file.read().split()}
    mine -= _of_helpers("_pid", "_forkserver_pid")
    return frozenset(pid for pid in mine if pid is not None and not _has_ended(pid))


def _of_helpers(trackers: str, servers: str) -> set[int | None]:
    """Returns what the two helpers of the interpreter have in these attributes."""
    tracker = getattr(multiprocessing.resource_tracker, "_resource_tracker", None)
    server = getattr(multiprocessing.forkserver, "_forkserver", None)
    return {getattr(tracker, trackers, None), getattr(server, servers, None)}


def _has_ended(pid: int) -> bool:
    """Tells whether a child is a zombie: it runs no more, somebody has yet to ask."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return os.path.isdir("/proc/self")

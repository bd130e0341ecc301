"""Mutants that behave only until their program ends."""

from __future__ import annotations

import atexit
import contextlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import weakref
from typing import Any

from lual.backend import BackendConfig, WorkItem
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.registry import mutant


def is_ending() -> bool:
    """Tells whether the main thread has ended."""
    return not threading.main_thread().is_alive()


class OwnAtExit(RefThreads):
    """Has an exit handler of its own, which runs before lual's."""

    minds_forks = True  # and doesn't run in a child that inherited it

    def launch(self) -> None:
        """Registers it."""
        super().launch()
        me, home = weakref.ref(self), os.getpid()

        def end() -> None:
            backend = me()
            if backend is not None and (os.getpid() == home or not backend.minds_forks):
                backend.at_exit()

        atexit.register(end)

    def at_exit(self) -> None:
        """Does what this backend thinks is right."""


@mutant({"9.6": "were never written"})
class DaemonDropsTail(RefThreads):
    """Gives its worker up for dead when the main thread has ended."""

    def stop(self, timeout: float | None = None) -> bool:
        """Has nothing to wait for."""
        return is_ending() or super().stop(timeout)


@mutant({"9.6": "were never written"})
class AtExitEndsWorker(OwnAtExit):
    """Ends its worker before lual has drained the queue."""

    def at_exit(self) -> None:
        """Sends the worker home."""
        with self.lock:
            self.epoch += 1
            self.changed.notify_all()


@mutant({"9.6": "the process never ended"})
class NonDaemonWorker(RefThreads):
    """Keeps the program alive with a thread that waits for work."""

    def launch(self) -> None:
        """Starts a thread that the interpreter waits for."""
        thread = threading.Thread(target=self.work, args=(self.epoch,), daemon=False)
        thread.start()
        self.thread = thread


@mutant({"9.6": "instead of 3"})
class AtExitEndsProcess(OwnAtExit):
    """Drains, and then ends the process, so that nothing can go wrong any more."""

    def at_exit(self) -> None:
        """Knows no other status than 0."""
        self.stop()
        os._exit(0)


@mutant({"9.6": "were never written"})
class InlineForgetsAtExit(RefInline):
    """Takes a stop at exit for one without anything to do."""

    def stop(self, timeout: float | None = None) -> bool:
        """Drains only while the main thread lives."""
        return is_ending() or super().stop(timeout)


@mutant({"9.7": "the process never ended"})
class ExitHangs(OwnAtExit):
    """Waits at exit until everything is written, however long that takes."""

    def at_exit(self) -> None:
        """Stops without a limit."""
        self.stop(math.inf)


@mutant({"9.7": "instead of 3"})
class ExitCodeClobbered(OwnAtExit):
    """Makes a program fail whose log was not written."""

    def at_exit(self) -> None:
        """Ends the process itself."""
        if not self.stop():
            sys.stderr.flush()
            os._exit(1)


@mutant({"9.8": "were never written"})
class SpawnsAtExit(RefThreads):
    """Trusts no daemon thread at exit, and starts a new one for each record."""

    def submit(self, work_item: WorkItem) -> bool:
        """Hands the record to a thread that can't be had."""
        if not is_ending():
            return super().submit(work_item)
        if sys.version_info < (3, 12):  # which refuses this by itself
            raise RuntimeError("can't create new thread at interpreter shutdown")
        threading.Thread(target=super().submit, args=(work_item,)).start()
        return True


@mutant({"9.8": "handler, registered first"})
class ForgetsLateRecords(OwnAtExit):
    """Thinks that nobody logs after its own exit handler."""

    is_over = False

    def at_exit(self) -> None:
        """Ends in good order."""
        self.stop()
        self.is_over = True

    def submit(self, work_item: WorkItem) -> bool:
        """Says yes to everything when it is over."""
        return self.is_over or super().submit(work_item)


class _OwnSignal(RefThreads):
    """Handles SIGTERM itself."""

    def start(self, dispatch_func: Any = None) -> None:
        """Installs a handler, where that is allowed."""
        super().start(dispatch_func)
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, self.on_signal)

    def on_signal(self, number: int, frame: Any) -> None:
        """Does what this backend thinks is right."""


@mutant({"9.9": "the process never ended"})
class SwallowsSigterm(_OwnSignal):
    """Drains at SIGTERM, and goes on as if nothing had happened."""

    def on_signal(self, number: int, frame: Any) -> None:
        """Forgets what the signal was for."""
        self.flush()


@mutant({"9.9": "instead of -15"})
class ExitsZero(_OwnSignal):
    """Ends the program at SIGTERM with a status that nobody expects."""

    def on_signal(self, number: int, frame: Any) -> None:
        """Calls it a success."""
        sys.exit(0)


@mutant({"9.10": "were never written"})
class CrashDropsTail(RefThreads):
    """Ends the process at an uncaught exception before anything else can go wrong."""

    def launch(self) -> None:
        """Installs a hook for crashes."""
        super().launch()
        sys.excepthook = _crash


def _crash(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    sys.__excepthook__(kind, error, traceback)
    sys.stderr.flush()
    os._exit(1)


@mutant({"9.17": "were never written"})
class StopsOnlyInMainProcess(RefThreads):
    """Leaves the drain to the main process, as if there were one queue."""

    def stop(self, timeout: float | None = None) -> bool:
        """Does nothing in a child of multiprocessing."""
        if multiprocessing.current_process().name != "MainProcess":
            return True
        return super().stop(timeout)


@mutant({"9.17": "were never written"})
class InlineStopsOnlyInMainProcess(RefInline):
    """Leaves the drain to the main process, without a thread of its own."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.is_child = multiprocessing.parent_process() is not None

    def stop(self, timeout: float | None = None) -> bool:
        """Does nothing in a child of multiprocessing."""
        return self.is_child or super().stop(timeout)

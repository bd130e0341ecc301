"""Mutants that behave only until their program forks."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import lual
from lual.backend import BackendConfig, WorkItem, run_batch
from lual_conformance.reference.inline import RefInline
from lual_conformance.reference.threads import RefThreads
from lual_conformance.zoo.exits import OwnAtExit
from lual_conformance.zoo.registry import mutant


def _hook(backend: Any, method: str) -> Callable[[], None]:
    """Returns a hook that calls a method of a backend for as long as that exists."""
    me = weakref.ref(backend)

    def call() -> None:
        backend = me()
        if backend is not None:
            getattr(backend, method)()

    return call


def _write_inherited(config: BackendConfig, dispatch: Any) -> None:
    """Writes what waits in a queue on the calling thread."""
    while items := config.queue.extract_batch(config.batch_size):
        run_batch(items, dispatch, config)


class _OwnHooks(RefThreads):
    """Has hooks of its own for forks."""

    def launch(self) -> None:
        """Registers them."""
        super().launch()
        os.register_at_fork(
            before=_hook(self, "before_fork"),
            after_in_parent=_hook(self, "after_fork_in_parent"),
            after_in_child=_hook(self, "after_fork_in_child"),
        )

    def before_fork(self) -> None:
        """Does what this backend thinks is right."""

    def after_fork_in_parent(self) -> None:
        """Does what this backend thinks is right."""

    def after_fork_in_child(self) -> None:
        """Does what this backend thinks is right."""


@mutant({"10.1": "never ended"})
class ForkNoReinit(RefThreads):
    """Keeps the lock of its submit in the class, where a fork finds it held."""

    door: ClassVar[threading.RLock] = threading.RLock()

    def admit(self, item: WorkItem) -> bool:
        """Admits one record at a time, but for those that may have to wait."""
        if self.queue.overflow_strategy == "block":
            return super().admit(item)
        with self.door:
            return super().admit(item)


@mutant({"10.1": "were never written"})
class WorksOnlyAtHome(RefThreads):
    """Has a worker only in the process in which it was first started."""

    home: ClassVar[int | None] = None

    def launch(self) -> None:
        """Leaves the work to the parent."""
        cls = type(self)
        cls.home = cls.home or os.getpid()
        if cls.home == os.getpid():
            super().launch()


@mutant({"10.1": "never ended"})
class InlineForkNoReinit(RefInline):
    """Keeps the lock of its submit in the class, without a thread of its own."""

    door: ClassVar[threading.RLock] = threading.RLock()

    def _admit(self, item: WorkItem) -> bool:
        if self.queue.overflow_strategy == "block":
            return super()._admit(item)
        with self.door:
            return super()._admit(item)


@mutant({"10.2": "written that often"})
class ForkDuplicates(_OwnHooks):
    """Writes in the child what waited at the fork."""

    def after_fork_in_child(self) -> None:
        """Leaves nothing behind."""
        _write_inherited(self.config, self.dispatch)


@mutant({"10.2": "written that often"})
class InlineForkDuplicates(RefInline):
    """Writes in the child what waited at the fork, without a thread of its own."""

    forking: ClassVar[RefInline | None] = None

    def start(self, dispatch_func: Any = None) -> None:
        """Registers hooks for forks."""
        super().start(dispatch_func)
        os.register_at_fork(
            before=_hook(self, "before_fork"),
            after_in_parent=_hook(self, "after_fork_in_parent"),
            after_in_child=_hook(self, "after_fork_in_child"),
        )

    def before_fork(self) -> None:
        """Stays alive in the child, where nobody else keeps it."""
        type(self).forking = self

    def after_fork_in_parent(self) -> None:
        """Lets go."""
        type(self).forking = None

    def after_fork_in_child(self) -> None:
        """Leaves nothing behind."""
        _write_inherited(self.config, self._dispatch)


@mutant({"10.3": "had not written"})
class ForkDrainsParent(_OwnHooks):
    """Empties the queue before a fork, so that the child inherits nothing."""

    def before_fork(self) -> None:
        """Forgets that the parent goes on."""
        self.queue.clear()


@mutant({"10.3": "the parent's flush found no end"})
class ForkEndsWorker(_OwnHooks):
    """Ends its worker before a fork, and starts none after it."""

    def before_fork(self) -> None:
        """Makes the process one of a single thread."""
        with self.lock:
            self.epoch += 1
            self.changed.notify_all()


@mutant({"10.3": "the parent's counters"})
class ForkZeroesParent(_OwnHooks):
    """Begins to count anew after a fork, on both sides."""

    def after_fork_in_parent(self) -> None:
        """Takes the parent for the child."""
        self.zero_counters()


@mutant({"10.4": "written that often"})
class ChildRunsParentAtexit(OwnAtExit):
    """Drains at exit without asking whose queue it is."""

    minds_forks = False

    def at_exit(self) -> None:
        """Writes what waits on this very thread, unless another one is at it."""
        if not self.inside:
            _write_inherited(self.config, self.dispatch)


@mutant({"10.4": "never ended"})
class ExitAwaitsParentsWorker(OwnAtExit):
    """Waits at the exit of a child for a worker that only its parent has."""

    minds_forks = False

    def at_exit(self) -> None:
        """Stops as if it had a worker."""
        self.stop()


@mutant({"10.5": "something logged at a fork"})
class LogsInAtFork(_OwnHooks):
    """Tells in the log that there is a fork."""

    def before_fork(self) -> None:
        """Logs."""
        lual.logger("zoo").info("about to fork")


@mutant({"10.5": "never got to"})
class LocksAtFork(_OwnHooks):
    """Waits before a fork until its output is free."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self.writing = threading.RLock()

    def run_item(self, item: WorkItem) -> None:
        """Holds a lock while the output is called."""
        with self.writing:
            super().run_item(item)

    def before_fork(self) -> None:
        """Takes that lock."""
        self.writing.acquire()

    def after_fork_in_parent(self) -> None:
        """Gives it back."""
        self.writing.release()

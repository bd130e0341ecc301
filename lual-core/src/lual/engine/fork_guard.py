"""Around `fork`: nothing is torn, doubled or waited for for ever.

Before, the locks of the hierarchy and of the outputs are taken, so that no other thread is
in the middle of a change or a write; after, the parent releases them. The child replaces
every lock and drops what it inherited: those records are the parent's to write.

Guarantees: a fork waits at most `PATIENCE` seconds for a stalled output, then goes on.
Assumes: no code of an application runs between the hooks.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from lual.engine.writer import writer

#: Seconds for all outputs together.
PATIENCE = 1.0


class ForkGuard:
    """The three hooks of `os.register_at_fork`.

    Args:
        lock: Returns the hierarchy's lock.
        replace_lock: Replaces it.
        outputs: Returns all outputs in use.
        in_child: Called last in the child, for what else must be made anew.
    """

    def __init__(
        self,
        lock: Callable[[], Any],
        replace_lock: Callable[[], None],
        outputs: Callable[[], Iterable[Any]],
        in_child: Callable[[], None],
    ) -> None:
        self._lock = lock
        self._replace_lock = replace_lock
        self._outputs = outputs
        self._in_child = in_child
        self._thread = threading.local()  # two threads may fork at the same time

    def install(self) -> None:
        """Registers the hooks, once a process."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.before,
                after_in_parent=self.after_in_parent,
                after_in_child=self.after_in_child,
            )

    def before(self) -> None:
        """Takes the locks, as many as can be had in time."""
        deadline = time.monotonic() + PATIENCE
        hierarchy = self._lock()
        held = []
        if hierarchy.acquire(timeout=PATIENCE):  # or another thread forks, and waits itself
            held.append(hierarchy)
            locks = [o.fork_lock for o in self._outputs() if hasattr(o, "fork_lock")]
            for lock in dict.fromkeys(locks):
                if lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
                    held.append(lock)
        self._forks().append(held)

    def after_in_parent(self) -> None:
        """Releases them."""
        for lock in reversed(self._forks().pop()):
            lock.release()

    def _forks(self) -> list[list[Any]]:
        """Returns the locks that each fork of this thread has taken.

        There is more than one if a signal handler forks in the middle of a fork.
        """
        forks: list[list[Any]] = self._thread.__dict__.setdefault("forks", [])
        return forks

    def after_in_child(self) -> None:
        """Makes everything that holds a lock or a count anew."""
        self._thread = threading.local()
        self._replace_lock()
        for output in self._outputs():
            renew = getattr(output, "after_fork_in_child", None)
            if renew is not None:
                renew()
        writer().after_fork_in_child()
        self._in_child()

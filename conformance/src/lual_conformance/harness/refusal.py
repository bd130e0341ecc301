"""A system that gives no further thread and no further process."""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NoReturn

#: Where the system is asked; which of them exist depends on the version of Python.
_THREAD_DOORS = (
    (_thread, "start_new_thread"),
    (_thread, "start_joinable_thread"),
    (threading, "_start_new_thread"),
    (threading, "_start_joinable_thread"),
)
_PROCESS_DOORS = (
    (os, "fork"),
    (os, "forkpty"),
    (os, "posix_spawn"),
    (os, "posix_spawnp"),
    (subprocess, "_fork_exec"),
)


class Refusal:
    """Counts how often some threads ask for a thread or a process, and refuses.

    Args:
        askers: Whose requests count; the others get what they want.
        after: So many requests are granted first.

    Attributes:
        asked: "thread" or "process", for each request.
    """

    def __init__(self, *askers: threading.Thread, after: float = 0) -> None:
        self._askers = askers
        self._after = after
        self.asked: list[str] = []

    @property
    def refused(self) -> bool:
        """True if a request was refused."""
        return len(self.asked) > self._after

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Stands between everybody and the system."""
        with contextlib.ExitStack() as doors:
            for module, name in _THREAD_DOORS:
                doors.enter_context(self._guard(module, name, "thread"))
            for module, name in (*_PROCESS_DOORS, *_spawn_door()):
                doors.enter_context(self._guard(module, name, "process"))
            yield

    @contextlib.contextmanager
    def _guard(self, module: ModuleType, name: str, wish: str) -> Iterator[None]:
        original = getattr(module, name, None)
        if original is None:
            yield
            return

        def ask(*arguments: Any, **settings: Any) -> Any:
            if threading.current_thread() in self._askers:
                self.asked.append(wish)
                if self.refused:
                    _refuse(wish)
            return original(*arguments, **settings)

        setattr(module, name, ask)
        try:
            yield
        finally:
            setattr(module, name, original)


def _spawn_door() -> list[tuple[ModuleType, str]]:
    try:
        import _posixsubprocess
    except ImportError:
        return []
    return [(_posixsubprocess, "fork_exec")]


def _refuse(wish: str) -> NoReturn:
    if wish == "thread":
        raise RuntimeError("can't start new thread")
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

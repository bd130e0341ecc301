"""Noticing what would hold up a thread, while one call runs on it.

The interpreter's profiling hook tells of every call that the thread makes, of no other
thread, and leaves everything as it is; also what was imported under another name is seen.
"""

from __future__ import annotations

import builtins
import io
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

_T = TypeVar("_T")

#: Functions in C that wait, or reach for a file, whatever their arguments are.
_BLOCKING = (
    time.sleep,
    builtins.open,
    os.open,
    os.fsync,
    os.system,
    os.waitpid,
    select.select,
)

#: Methods of sockets that wait, unless the socket was told not to.
_OF_SOCKETS = ("accept", "connect", "recv", "recv_into", "recvfrom", "send", "sendall", "sendto")

#: Methods of files that reach for the device.
_OF_FILES = ("flush", "read", "readline", "write", "writelines")


class BlockingCalls:
    """The calls that an event loop's thread must not make.

    A lock that happens to be free holds nobody up, so taking one isn't among them; waiting
    for somebody to notify is.

    Attributes:
        seen: What was called, each once, as people write it.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []

    def during(self, call: Callable[[], _T]) -> _T:
        """Makes a call on this thread, and notes what it calls in turn."""
        before = sys.getprofile()
        sys.setprofile(self._note)
        try:
            return call()
        finally:
            sys.setprofile(before)

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        name = None
        if event == "call":
            waits = _WAITS.get(frame.f_code)
            name = waits(frame.f_locals) if waits is not None else None
        elif event == "c_call":
            name = _name_if_blocking(argument)
        if name is not None and name not in self.seen:
            self.seen.append(name)


def _condition_wait(arguments: dict[str, Any]) -> str | None:
    timeout = arguments.get("timeout")
    return "threading.Condition.wait" if timeout is None or timeout > 0 else None


def _thread_join(arguments: dict[str, Any]) -> str | None:
    timeout, thread = arguments.get("timeout"), arguments["self"]
    may_wait = timeout is None or timeout > 0
    return "threading.Thread.join" if may_wait and thread.is_alive() else None


def _popen(arguments: dict[str, Any]) -> str | None:
    return "subprocess.Popen"


#: Functions in Python that wait: with what arguments, and how each is called.
_WAITS: dict[CodeType, Callable[[dict[str, Any]], str | None]] = {
    threading.Condition.wait.__code__: _condition_wait,
    threading.Thread.join.__code__: _thread_join,
    subprocess.Popen.__init__.__code__: _popen,
}


def _name_if_blocking(function: Any) -> str | None:
    name = getattr(function, "__name__", "?")
    if any(function is blocking for blocking in _BLOCKING):
        return f"{function.__module__.removeprefix('_')}.{name}"
    owner = getattr(function, "__self__", None)
    if isinstance(owner, socket.socket) and name in _OF_SOCKETS and owner.gettimeout() != 0:
        return f"socket.{name}"
    in_memory = isinstance(owner, (io.BytesIO, io.StringIO))
    if isinstance(owner, io.IOBase) and name in _OF_FILES and not in_memory:
        return f"{type(owner).__name__}.{name}"
    return None

"""Children by fork instead of a new interpreter each: the self-test starts thousands.

A server is forked off before its owner has started any thread. Each child it forks unwinds
to the program's own top level (`BecomeChild`) and ends there, as any program ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import socket
import threading
import time
from typing import Any

from lual_conformance import children

#: What most children import, which costs each of them more than all the rest.
_PRELOADED = (
    "lual.configuration.apply",
    "lual_conformance.children.exits",
    "lual_conformance.children.forks",
)

#: Longer than any request.
_MOST_BYTES = 65536


def preload() -> None:
    """Imports what children need, once for all of them."""
    for name in _PRELOADED:
        importlib.import_module(name)


class BecomeChild(BaseException):
    """Unwinds the stack in a forked child; the program's top level calls `run`."""

    def __init__(self, place: str, arguments: dict[str, Any], descriptor: int) -> None:
        super().__init__(place)
        self._work = (place, arguments, descriptor)

    def run(self) -> None:
        """Does what the child is for."""
        children.run(*self._work)


class _Forked:
    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid

    def wait(self, timeout: float) -> int | None:
        """Returns its exit status, negative for a signal; None if it hasn't ended in time."""
        deadline = time.monotonic() + timeout
        while (status := self._server.poll(self.pid)) is None:
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.005)
        return status


class ForkServer:
    """A process that forks children on request; a `Spawner`.

    Must be built while the process has one thread.

    Args:
        *private: File descriptors that the server and its children shall not keep open.

    Raises:
        BecomeChild: In each child.
    """

    def __init__(self, *private: int) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            self._socket.close()
            for descriptor in private:
                os.close(descriptor)
            gc.freeze()  # else each child, at its end, touches and so copies every object
            _serve(theirs)
        theirs.close()

    def spawn(self, place: str, arguments: str, stdin: int, report: int, stderr: int) -> _Forked:
        """Starts a child; see `Spawner.spawn`."""
        request = {"do": "spawn", "place": place, "arguments": arguments}
        return _Forked(self, self._ask(request, [stdin, report, stderr]))

    def poll(self, pid: int) -> int | None:
        """Returns the exit status of a child, None while it runs."""
        return self._ask({"do": "poll", "pid": pid}, [])  # type: ignore[no-any-return]

    def _ask(self, request: dict[str, Any], descriptors: list[int]) -> Any:
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
            return json.loads(self._socket.recv(_MOST_BYTES))


def _serve(requests: socket.socket) -> None:
    """Answers requests until the owner is gone; leaves by `BecomeChild` in each child."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, _MOST_BYTES, 3)
        if not data:
            os._exit(0)
        request = json.loads(data)
        answer: Any
        if request["do"] == "poll":
            answer = _status(request["pid"])
        else:
            answer = os.fork()
            if answer == 0:
                requests.close()
                stdin, report, stderr = descriptors
                os.dup2(stdin, 0)
                os.dup2(stderr, 1)
                os.dup2(stderr, 2)
                os.close(stdin)
                os.close(stderr)
                os.set_inheritable(report, True)
                raise BecomeChild(request["place"], json.loads(request["arguments"]), report)
            for descriptor in descriptors:
                os.close(descriptor)
        requests.send(json.dumps(answer).encode())


def _status(pid: int) -> int | None:
    with contextlib.suppress(ChildProcessError):
        found, status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None
    return -255  # it was asked for before, and is long gone

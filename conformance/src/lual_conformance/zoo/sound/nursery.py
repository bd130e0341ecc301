"""A process that forks workers on request: the self-test starts thousands of them.

It is forked off before its owner has started any thread, and shared by all processes that
are forked from the owner later. A worker is a child of the nursery, not of who asked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys

from lual_conformance.zoo.sound.crossing import serve

#: More than a process has open that runs rules.
_MOST_DESCRIPTORS = 4096

_requests: socket.socket | None = None


def open_nursery() -> None:
    """Forks it off; call this while the process has one thread.

    It ends with the last process that can ask.
    """
    global _requests
    if sys.platform != "linux":
        return  # a worker is started like any other process
    _requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        try:
            _keep_only(theirs.fileno())
            _answer(theirs)
        finally:
            os._exit(0)
    theirs.close()


def is_open() -> bool:
    """Tells whether there is one to ask."""
    return _requests is not None


def ask(descriptor: int) -> None:
    """Has a worker forked that serves at a socket; see `crossing.serve`.

    Raises:
        OSError: The nursery is gone.
    """
    if _requests is not None:
        # One message and no answer: any number of processes may ask at once.
        socket.send_fds(_requests, [b"w"], [descriptor])


def _keep_only(descriptor: int) -> None:
    """Closes what the owner has open: a worker that never ends must hold up nobody's reading."""
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, _MOST_DESCRIPTORS)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)


def _answer(requests: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the workers
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
        if not data:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(descriptors[0])
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

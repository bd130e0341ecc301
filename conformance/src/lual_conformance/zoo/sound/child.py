"""One worker process, seen from its parent."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any

from lual_conformance.zoo.sound import nursery
from lual_conformance.zoo.sound.crossing import FarSide, Outcome

#: Real seconds that a new process may take until it has opened its outputs.
_START_PATIENCE = 60.0

#: Milliseconds between two looks at whether a process that was killed is dead.
_LOOK = 10

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from lual_conformance.zoo.sound.crossing import serve; serve(int(sys.argv[1]))"
)

_children: weakref.WeakSet[Child] = weakref.WeakSet()
_at_fork = threading.Lock()
_is_at_fork = False


class ChildLostError(Exception):
    """The process has ended with a question unanswered.

    Args:
        was_asked: False if it can't have seen the whole question.
    """

    def __init__(self, *, was_asked: bool) -> None:
        super().__init__("the worker process has ended")
        self.was_asked = was_asked


class FarFlushError(Exception):
    """The outputs' flush raised, in the other process."""


class Child:
    """Starts a process that opens the outputs, and asks it to write.

    Args:
        pipelines: The pickled description of the outputs.

    Attributes:
        far_side: Who serves in the process.
        connection: To it.
        pid: Its id.
        takes_many: Whether its outputs take batches.

    Raises:
        RuntimeError: The process can't be started, or can't open the outputs.
    """

    far_side: type[FarSide] = FarSide

    def __init__(self, pipelines: bytes) -> None:
        _watch_forks()
        self.connection, far_end = Pipe(duplex=True)
        self.is_mourned = False  # its death was reported
        self.pid: int | None = None
        self._own: subprocess.Popen[bytes] | None = None  # None: it isn't a child of this process
        try:
            with far_end:
                self.spawn(far_end)
            _children.add(self)
            self.takes_many = self._introduce(pipelines)
        except BaseException:
            self.kill()
            self.close()
            raise

    def spawn(self, far_end: Connection) -> None:
        """Starts a process that serves at the other end of the socket."""
        if nursery.is_open():
            nursery.ask(far_end.fileno())
            return
        # Not through multiprocessing, which would import the parent's main program again.
        self._own = subprocess.Popen(  # noqa: S603  this interpreter and a program from this file
            [sys.executable, "-c", _PROGRAM, str(far_end.fileno()), *sys.path],
            pass_fds=(far_end.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        self.pid = self._own.pid

    def introduction(self, pipelines: bytes) -> tuple[bytes, Any]:
        """Returns what the process is told first: the outputs, and who serves."""
        return pipelines, self.far_side

    def _introduce(self, pipelines: bytes) -> bool:
        try:
            self.connection.send(self.introduction(pipelines))
            if not self.connection.poll(_START_PATIENCE):
                raise RuntimeError(f"the worker process didn't begin in {_START_PATIENCE:g} s")
            self.pid, error, takes_many = self.connection.recv()
        except (EOFError, OSError) as lost:
            raise RuntimeError("the worker process ended before it had begun") from lost
        if error is not None:
            raise RuntimeError(f"the worker process can't open its outputs: {error}")
        return bool(takes_many)

    def __repr__(self) -> str:
        return f"process {self.pid}, {'alive' if self.is_alive() else 'dead'}"

    def is_alive(self) -> bool:
        """Tells whether the process runs; never waits."""
        return not self._has_hung_up(0)

    def _has_hung_up(self, milliseconds: int) -> bool:
        """Tells whether the other end of the socket, which nobody else has, is closed."""
        look = select.poll()
        try:
            look.register(self.connection, 0)
            return bool(look.poll(milliseconds))
        except (OSError, ValueError):
            return True  # this end is closed

    def run(self, parcels: Sequence[bytes]) -> list[Outcome]:
        """Has records written, and returns what became of each.

        Raises:
            ChildLostError: The process has ended.

        Blocks: as long as the outputs do.
        """
        return self.ask(parcels)  # type: ignore[no-any-return]

    def flush(self) -> None:
        """Has the outputs flushed.

        Raises:
            ChildLostError: The process has ended.
            FarFlushError: They raised.
        """
        error = self.ask(None)
        if error is not None:
            raise FarFlushError(error)

    def ask(self, question: Sequence[bytes] | None) -> Any:
        """Sends a question and returns the answer.

        Raises:
            ChildLostError: The process has ended.
        """
        was_asked = False
        try:
            self.connection.send(question)
            was_asked = True
            return self.connection.recv()
        except (EOFError, OSError) as lost:
            self.kill()  # should it live on without its socket
            raise ChildLostError(was_asked=was_asked) from lost

    def kill(self) -> None:
        """Kills the process with SIGKILL, and waits until it is dead."""
        if self.pid is not None and self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            while not self._has_hung_up(_LOOK):  # no longer: another thread may close this end
                pass
        if self._own is not None:
            self._own.kill()
            self._own.wait()

    def close(self) -> None:
        """Lets the process end, and waits for that."""
        self.hang_up()
        self.connection.close()
        if self._own is not None:
            self._own.wait()

    def hang_up(self) -> None:
        """Says that no question will follow, and waits for the end of the process."""
        with (
            contextlib.suppress(OSError),  # it has ended already
            socket.socket(fileno=os.dup(self.connection.fileno())) as line,
        ):
            line.shutdown(socket.SHUT_WR)
            while line.recv(65536):  # an answer that nobody waits for any more
                pass

    def belongs_to_parent(self) -> None:
        """Lets go of it, in a forked process: else it would outlive its real parent."""
        self.connection.close()
        if self._own is not None:
            self._own.returncode = 0  # so that nobody waits for another's child


def _watch_forks() -> None:
    global _is_at_fork
    with _at_fork:
        if not _is_at_fork and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_let_go)
            _is_at_fork = True


def _let_go() -> None:
    for child in list(_children):
        child.belongs_to_parent()
    _children.clear()

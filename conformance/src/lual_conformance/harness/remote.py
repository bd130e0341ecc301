"""Outputs of a check that can be called from another process.

A backend whose outputs live elsewhere gets a description that can be pickled; what it
opens there calls back over a socket, so that the same check, with the same gates and
failures, serves every kind of backend.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

import attrs

import lual


@attrs.frozen
class RemoteDescription:
    """What a backend gets as `BackendConfig.pipelines`.

    Args:
        address: Of the kit's socket.
        key: Proves that the caller is a child of the kit.
    """

    address: str
    key: bytes

    def open(self) -> RemoteDispatch:
        """Returns the dispatch function, in whichever process this is called."""
        return RemoteDispatch(self)


class RemoteDispatch:
    """A dispatch function whose output is in the kit's process.

    Args:
        description: Where the kit is.
    """

    def __init__(self, description: RemoteDescription) -> None:
        self._description = description
        self._lock = threading.Lock()
        self._connection: Any = None
        self._pid = -1

    def __call__(self, logger: Any, record: Any) -> None:
        """Hands a record over, and raises what the output raised."""
        self._ask(
            "record",
            str(getattr(logger, "name", logger)),
            str(getattr(record, "message", record)),
            int(getattr(record, "level", 0)),
            dict(getattr(record, "fields", None) or {}),
        )

    def flush(self) -> None:
        """Calls the output's own `flush`."""
        self._ask("flush")

    def _ask(self, *question: Any) -> None:
        with self._lock:
            if self._connection is None or self._pid != os.getpid():
                address, key = self._description.address, self._description.key
                self._connection = Client(address, family="AF_UNIX", authkey=key)
                self._pid = os.getpid()
            self._connection.send((os.getpid(), *question))
            error = self._connection.recv()
        if error is not None:
            raise error


class RemoteOutputs:
    """Serves an output to other processes.

    Args:
        output: Called for the output at each use.

    Attributes:
        pids: The processes that have called.
    """

    def __init__(self, output: Callable[[], Any]) -> None:
        self._output = output
        self._folder = tempfile.TemporaryDirectory(prefix="lual-kit-")
        key = secrets.token_bytes(16)
        address = os.path.join(self._folder.name, "output")
        self._listener = Listener(address, family="AF_UNIX", backlog=16, authkey=key)
        self.description = RemoteDescription(address, key)
        self.pids: list[int] = []
        self._connections: list[Connection] = []
        threading.Thread(target=self._accept, name="check: outputs", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except Exception:  # noqa: BLE001  a caller that was killed while it said hello
                if self._listener_is_closed():
                    return
                continue
            self._connections.append(connection)
            threading.Thread(
                target=self._serve, args=(connection,), name="check: an output", daemon=True
            ).start()

    def _listener_is_closed(self) -> bool:
        return not os.path.exists(self.description.address)

    def _serve(self, connection: Connection) -> None:
        with contextlib.suppress(EOFError, OSError), connection:
            while True:
                pid, what, *arguments = connection.recv()
                if pid not in self.pids:
                    self.pids.append(pid)
                error: BaseException | None = None
                try:
                    self._answer(what, arguments)
                except BaseException as raised:  # noqa: BLE001  it is the answer
                    error = raised
                connection.send(error)

    def _answer(self, what: str, arguments: list[Any]) -> None:
        output = self._output()
        if what == "flush":
            flush = getattr(output, "flush", None)
            if flush is not None:
                flush()
            return
        logger, message, level, fields = arguments
        record = lual.Record.build(message, logger_name=logger, level=level, fields=fields)
        output(logger, record)

    def close(self) -> None:
        """Ends the service."""
        with contextlib.suppress(OSError):  # its address may be gone
            self._listener.close()
        self._folder.cleanup()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.close()

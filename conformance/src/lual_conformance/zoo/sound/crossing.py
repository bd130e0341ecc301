"""How records cross to another process, and what that process does with them.

This is a test animal: it pickles what it sends. A real backend would send plain data,
and no more than a record needs.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import attrs

import lual
from lual.backend import WorkItem, open_dispatch
from lual.reports import describe

#: Why a record failed, and in which words; None: it didn't.
Outcome = tuple[str, str] | None

#: `timestamp` is not sent: it follows from `timestamp_ns`, which is exact.
_APART = ("__weakref__", "raw", "message", "timestamp")
_ATTRIBUTES = tuple(name for name in lual.Record.__slots__ if name not in _APART)


def pack(item: WorkItem) -> bytes:
    """Returns a work item as bytes.

    Raises:
        Exception: Whatever pickle, or a part of the record, raises.
    """
    record: Any = item.record
    attributes = None
    if isinstance(record, lual.Record):
        attributes = {name: getattr(record, name) for name in _ATTRIBUTES}
        record = record.message
    name = str(getattr(item.logger, "name", item.logger))
    rest = (item.dispatch_func, item.submitted_at, item.level, item.seq)
    return pickle.dumps((name, record, attributes, rest))


def unpack(parcel: bytes) -> WorkItem:
    """Returns the work item that `pack` made bytes of.

    Raises:
        Exception: Something of it can't be imported here.
    """
    name, record, attributes, rest = pickle.loads(parcel)  # noqa: S301  from this very program
    if attributes is not None:
        record = lual.Record.build(record, **attributes)
    return WorkItem(name, record, *rest)


def serve(fd: int) -> None:
    """Runs what arrives at a socket until its other end is closed; the worker's main.

    Args:
        fd: The socket; first comes the description of the pipelines, and who serves.
    """
    # A Ctrl-C at the terminal reaches every process; the parent decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(fd)
    server: FarSide | None = None
    try:
        try:
            pipelines, kind = connection.recv()
            server = kind(connection, open_dispatch(pickle.loads(pipelines)))  # noqa: S301  own
        except EOFError:
            raise
        except BaseException as error:  # noqa: BLE001  the parent's start raises it
            connection.send((os.getpid(), describe(error), False))
        else:
            connection.send((os.getpid(), None, hasattr(server.dispatch, "many")))
            while True:
                server.serve_one()
    except (EOFError, OSError):
        pass  # the parent has stopped, or is gone
    finally:
        _leave(server)


class FarSide:
    """Answers what the parent asks.

    Args:
        connection: To the parent.
        dispatch: The outputs.
    """

    def __init__(self, connection: Connection, dispatch: Any) -> None:
        self.connection = connection
        self.dispatch = dispatch

    def serve_one(self) -> None:
        """Answers the next question.

        Raises:
            EOFError: There won't be any.
        """
        self.connection.send(self.answer(self.connection.recv()))

    def answer(self, question: Any) -> Any:
        """Returns what became of each parcel; or, of None, what the outputs' flush raised."""
        return _flush(self.dispatch) if question is None else run(question, self.dispatch)


def run(parcels: Sequence[bytes], dispatch: Any) -> list[Outcome]:
    """Dispatches records and returns what became of each.

    Args:
        parcels: Made by `pack`.
        dispatch: For those that have no dispatch function of their own.
    """
    outcomes: list[Outcome] = [None] * len(parcels)
    items: list[tuple[int, WorkItem]] = []
    for place, parcel in enumerate(parcels):
        try:
            items.append((place, unpack(parcel)))
        except BaseException as error:  # noqa: BLE001  it is the outcome of this record alone
            outcomes[place] = ("serialize", describe(error))
    errors = _dispatch([item for _, item in items], dispatch)
    for (place, _), raised in zip(items, errors, strict=True):
        outcomes[place] = None if raised is None else ("dispatch", describe(raised))
    return outcomes


def _dispatch(items: list[WorkItem], dispatch: Any) -> Sequence[BaseException | None]:
    many = getattr(dispatch, "many", None)
    if many is None or len(items) == 0 or items[0].dispatch_func is not None:
        return [_dispatch_one(item, dispatch) for item in items]
    try:
        errors = list(many(items))
    except BaseException as error:  # noqa: BLE001  it is the outcome of all
        return [error] * len(items)
    if len(errors) == len(items):
        return errors
    wrong = ValueError(f"many() gave {len(errors)} outcomes for {len(items)} items")
    return [wrong] * len(items)


def _dispatch_one(item: WorkItem, dispatch: Any) -> BaseException | None:
    func = dispatch if item.dispatch_func is None else item.dispatch_func
    try:
        func(item.logger, item.record)
    except BaseException as error:  # noqa: BLE001  it is the outcome
        return error
    return None


def _flush(dispatch: Any) -> str | None:
    try:
        if hasattr(dispatch, "flush"):
            dispatch.flush()
    except BaseException as error:  # noqa: BLE001  the parent reports it
        return describe(error)
    return None


def _leave(server: FarSide | None) -> None:
    """Ends the process at once, with everything written."""
    outputs: Any = server.dispatch if server is not None else None
    for stream in (outputs, sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):  # nobody is left who could be told
            stream.flush()
    os._exit(0)


@attrs.frozen
class LinesTo:
    """Pipelines whose output appends one line a record to a file.

    Args:
        path: The file.
        gate: A file without which an output waits when it is given the record "wait".
    """

    path: str
    gate: str = ""

    def open(self) -> LineWriter:
        """Returns the dispatch."""
        return LineWriter(self)


class LineWriter:
    """Appends the logger, the level and the message of each record, and "flush"."""

    def __init__(self, where: LinesTo) -> None:
        self._where = where

    def __call__(self, logger: Any, record: Any) -> None:
        """Writes one record; raises `ValueError` for the record "bad"."""
        message = str(getattr(record, "message", record))
        if message == "bad":
            raise ValueError("a bad record")
        if message == "wait":
            self._write("waits")
            with open(self._where.gate, "rb") as gate:  # a pipe: until somebody writes
                gate.read()
        self._write(f"{logger} {getattr(record, 'level', 0)} {message}")

    def flush(self) -> None:
        """Notes that it was called."""
        self._write("flush")

    def _write(self, line: str) -> None:
        with open(self._where.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

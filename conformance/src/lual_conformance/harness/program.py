"""A program that logs through lual's engine into a file, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import TracebackType

    from lual_conformance.harness.kit import Kit


class Line(NamedTuple):
    """One line of its file.

    Args:
        pid: The process that wrote it.
        message: The record's.
    """

    pid: int
    message: str


class Program:
    """Runs one function of `lual_conformance.children` as `function(report, setup, ...)`.

    Args:
        kit: What it belongs to.
        place: `module:function`.
        shutdown_timeout: Seconds; None: so many that only a broken backend uses them up.
        arguments: JSON, for the function.

    Attributes:
        child: The process.
    """

    def __init__(
        self, kit: Kit, place: str, *, shutdown_timeout: float | None = None, **arguments: Any
    ) -> None:
        if not hasattr(os, "mkfifo"):
            kit.not_applicable("this platform has no named pipes, with which outputs are stalled")
        self._folder = tempfile.TemporaryDirectory(prefix="lual-kit-", ignore_cleanup_errors=True)
        self._path = os.path.join(self._folder.name, "lines")
        self._gate = os.path.join(self._folder.name, "gate")
        os.mkfifo(self._gate)
        setup = {
            "path": self._path,
            "gate": self._gate,
            "in_loop": kit.claims("worker:event_loop"),
            "patience": kit.child_patience,
            "shutdown_timeout": shutdown_timeout or kit.child_patience / 3,
        }
        self.child = kit.child("programs:run", program=place, setup=setup, **arguments)

    def lines(self) -> list[Line]:
        """Returns what its outputs have written so far."""
        try:
            with open(self._path, encoding="utf-8") as file:
                found = [line.rstrip("\n").partition(" ") for line in file]
        except FileNotFoundError:
            return []
        return [Line(int(pid), message) for pid, _, message in found]

    def written(self) -> list[str]:
        """Returns the messages that its outputs have written so far."""
        return [line.message for line in self.lines()]

    def lost(self, *names: str) -> list[str]:
        """Returns which of these messages its outputs haven't written."""
        written = set(self.written())
        return [name for name in names if name not in written]

    def open_gate(self) -> None:
        """Lets an output go on that stalls now."""
        with contextlib.suppress(OSError):  # nobody stalls
            os.close(os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK))

    def __enter__(self) -> Program:
        """Returns the program, which runs already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Removes its files; the kit ends the process."""
        self.open_gate()
        self._folder.cleanup()

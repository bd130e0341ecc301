"""What the programs of a check have in common: lual's engine, writing into a file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import lual
from lual_conformance.children import Report

#: The message of a record with which an output stalls.
STALLING = "stalling"

#: Seconds; nothing but a full batch, a flush or an end makes a program's backend write.
_NEVER = 1e6


class LinesTo:
    """An output that appends the process and the message of each record to a file.

    It opens the file each time, so that it can be used in any process.

    Args:
        path: The file.
        gate: A named pipe that is read to its end for a record that stalls.
    """

    def __init__(self, path: str, gate: str) -> None:
        self._path = path
        self._gate = gate

    def __call__(self, text: str, record: Any) -> None:
        """Writes one record; one that stalls ends when the gate is opened and closed."""
        message = str(record.message)
        if message == STALLING:
            self._append(f"inside {message}")
            with open(self._gate, "rb") as gate:
                gate.read()
            return  # by now the file may be gone
        self._append(message)

    def _append(self, message: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{os.getpid()} {message}\n".encode())
        finally:
            os.close(descriptor)


def run(
    report: Report,
    *,
    program: str,
    setup: Mapping[str, Any],
    backend: str,
    options: Mapping[str, Any],
    **arguments: Any,
) -> None:
    """Runs a program, as `Program` asks for it.

    Args:
        report: Writes a line to the check.
        program: `module:function` of this package; it gets `report`, `setup` and the rest.
        setup: What `Program` says of files, times and surroundings.
        backend: The backend under test.
        options: Its options.
        **arguments: The program's own.
    """
    module, _, name = program.partition(":")
    function = getattr(import_module(f"lual_conformance.children.{module}"), name)
    function(report, {**setup, "backend": backend, "options": options}, **arguments)


def configure(setup: Mapping[str, Any], kind: type[LinesTo] = LinesTo) -> lual.Logger:
    """Configures lual with the backend under test, and returns a logger.

    Args:
        setup: As `run` gives it.
        kind: Of the output.
    """
    lual.config(
        level="debug",
        async_enabled=True,
        backend=setup["backend"],
        backend_options=setup["options"],
        async_batch_size=50,
        async_flush_interval=_NEVER,
        max_queue_size=1000,
        shutdown_timeout=setup["shutdown_timeout"],
        pipelines=[lual.pipeline(outputs=[kind(setup["path"], setup["gate"])])],
    )
    return lual.logger("kit")


def until_inside(setup: Mapping[str, Any]) -> None:
    """Waits until the output stalls; not for ever, should that not come to pass."""
    until = time.monotonic() + setup["patience"] / 4
    while time.monotonic() < until:
        try:
            with open(setup["path"], encoding="utf-8") as file:
                if "inside" in file.read():
                    return
        except FileNotFoundError:
            pass  # nothing was written yet
        lual.flush(0)  # a backend in the loop that this holds up can't begin by itself
        time.sleep(0.002)


def within_loop(setup: Mapping[str, Any], work: Callable[[], None]) -> None:
    """Does a program's work, inside a running event loop if the backend needs one."""
    if not setup["in_loop"]:
        work()
        return

    import asyncio  # which takes a while, and hardly any program needs it

    async def main() -> None:
        work()

    asyncio.run(main())

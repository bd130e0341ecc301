"""Other processes, for what can only be seen there: imports, exits, signals, forks.

A child runs one function of `lual_conformance.children`, and reports in lines through a
pipe that the parent reads to its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Protocol

from lual_conformance.outcomes import Violation


class Running(Protocol):
    """A process that was started."""

    pid: int

    def wait(self, timeout: float) -> int | None:
        """Returns its exit status, negative for a signal; None if it hasn't ended in time."""


class Spawner(Protocol):
    """Starts processes."""

    def spawn(self, place: str, arguments: str, stdin: int, report: int, stderr: int) -> Running:
        """Starts `place` with JSON arguments and these file descriptors."""


class _Popen:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def wait(self, timeout: float) -> int | None:
        """Returns its exit status; None if it hasn't ended in time."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None


class FreshSpawner:
    """Starts each child in a new interpreter."""

    def spawn(self, place: str, arguments: str, stdin: int, report: int, stderr: int) -> Running:
        """Starts a child."""
        # Unlike `-m`, this puts neither the kit nor the current folder first on sys.path.
        code = "from lual_conformance.children import main; main()"
        return _Popen(
            subprocess.Popen(  # noqa: S603  our own interpreter with our own code
                [sys.executable, "-c", code, place, arguments, str(report)],
                stdin=stdin,
                stdout=stderr,
                stderr=stderr,
                pass_fds=(report,),
                env=child_environ(),
            )
        )


def child_environ() -> dict[str, str]:
    """Returns the environment of children: nothing configures lual behind a check's back."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LUAL_", "PYTHONSTARTUP"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


_spawner: Spawner = FreshSpawner()


def use_spawner(spawner: Spawner) -> None:
    """Starts further children another way; the self-test does, which starts thousands."""
    global _spawner
    _spawner = spawner


class Child:
    """A process that runs one function of `lual_conformance.children`.

    Args:
        running: The process.
        report: Read end of the pipe that it reports through.
        stdin: Write end of its standard input.
        stderr: File that gets what it prints.
        patience: Real seconds after which it counts as hung.
    """

    def __init__(
        self, running: Running, report: int, stdin: int, stderr: Any, patience: float
    ) -> None:
        self._running = running
        self._stdin = stdin
        self._stderr = stderr
        self._patience = patience
        self._status: int | None = None
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._at_end = False
        self.pid = running.pid
        threading.Thread(target=self._read, args=(report,), daemon=True).start()

    def _read(self, report: int) -> None:
        with os.fdopen(report, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with self._changed:
                    self._lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._at_end = True
            self._changed.notify_all()

    def until(self, line: str) -> None:
        """Waits until the child has reported this line.

        Raises:
            Violation: It ended, or time passed, without it.
        """
        with self._changed:
            self._changed.wait_for(lambda: line in self._lines or self._at_end, self._patience)
            if line not in self._lines:
                raise Violation(f"the process never got to {line!r}; {self.description()}")

    def so_far(self) -> list[str]:
        """Returns what it has reported until now."""
        with self._changed:
            return list(self._lines)

    def lines(self) -> list[str]:
        """Returns all it reported, once it and its own children have ended.

        Raises:
            Violation: They don't end.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._at_end, self._patience):
                raise Violation(f"a process never ended; {self.description()}")
            return list(self._lines)

    def status(self) -> int:
        """Returns its exit status, negative for a signal.

        Raises:
            Violation: It doesn't end.
        """
        if self._status is None:
            self._status = self._running.wait(self._patience)
        if self._status is None:
            raise Violation(f"the process never ended; {self.description()}")
        return self._status

    def say(self, line: str) -> None:
        """Writes a line to its standard input."""
        with contextlib.suppress(OSError):
            os.write(self._stdin, f"{line}\n".encode())

    def kill(self, number: int) -> None:
        """Sends it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def stderr(self) -> str:
        """What it has printed so far."""
        self._stderr.seek(0)
        return str(self._stderr.read().decode(errors="replace"))

    def description(self) -> str:
        """Returns what is known of it, for a message."""
        printed = self.stderr.strip().splitlines()
        tail = f"; it printed: {' | '.join(printed[-5:])}" if printed else ""
        return f"it reported {self._lines[-5:]}{tail}"

    def end(self) -> None:
        """Makes sure that it is gone."""
        with contextlib.suppress(OSError):
            os.close(self._stdin)
        if self._status is None:
            self._status = self._running.wait(0)
        if self._status is None:
            self.kill(signal.SIGKILL)
            self._status = self._running.wait(5.0)
        self._stderr.close()


def start_child(place: str, arguments: dict[str, Any], patience: float) -> Child:
    """Starts a process; see `Kit.child`."""
    report_read, report_write = os.pipe()
    stdin_read, stdin_write = os.pipe()
    stderr = tempfile.TemporaryFile()  # noqa: SIM115  the child's life is longer than this call
    try:
        running = _spawner.spawn(
            place, json.dumps(arguments), stdin_read, report_write, stderr.fileno()
        )
    finally:
        os.close(report_write)
        os.close(stdin_read)
    return Child(running, report_read, stdin_write, stderr, patience)


def is_alive(pid: int) -> bool:
    """Tells whether a process that isn't ours exists and isn't a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False
    except OSError:
        pass  # no /proc on this system: ask the kernel
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until_gone(pid: int, patience: float) -> bool:
    """Waits until a process has ended; False if it doesn't."""
    deadline = time.monotonic() + patience
    while is_alive(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True

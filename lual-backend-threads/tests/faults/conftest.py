"""Runs programs that meet real faults, each in a process of its own with a time limit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

#: Seconds; below the limit of a test, so that a hang shows where it hangs.
LIMIT = 16.0


#: From 3.12 on Python warns of each fork beside other threads; that it works is shown here.
_OPTIONS = ("-X", "faulthandler", "-W", "ignore::DeprecationWarning")


class Ended(NamedTuple):
    """How a program ended: negative status is a signal's number."""

    status: int
    out: str
    err: str


RunScript = Callable[..., Ended]


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Runs a program as `main.py` in `tmp_path`, with `program.py` beside it.

    A test fails with everything printed if the program ends with another status than
    `status`, if it prints something to stderr (unless `err` is False), or if it doesn't
    end in time; then the stacks of its threads are shown.
    """

    def run(
        source: str,
        *args: str,
        status: int = 0,
        err: bool = True,
        limit: float = LIMIT,
        **environment: str,
    ) -> Ended:
        shutil.copy(Path(__file__).with_name("program.py"), tmp_path)
        (tmp_path / "main.py").write_text(source)
        process = subprocess.Popen(
            [sys.executable, *_OPTIONS, "main.py", *args],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # its children are ended with it
        )
        try:
            out, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out, errors = _collect(process)
            pytest.fail(f"the program hangs\nstdout:\n{out}\nstderr:\n{errors}")
        finally:
            _end_group(process)
        ended = Ended(process.returncode, out, errors)
        if ended.status != status or (err and errors):
            pytest.fail(f"status {ended.status}\nstdout:\n{out}\nstderr:\n{errors}")
        return ended

    return run


def _collect(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Returns what a dying program prints, also if its children keep its pipes open."""
    try:
        return process.communicate(timeout=2)
    except subprocess.TimeoutExpired:
        _end_group(process)
        return process.communicate()


def _end_group(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., dict[str, list[int]]]:
    """Returns the numbers that each producer's lines have, in the order of the file.

    The engine's own reports are left out. Several files (a rotated
    one's, oldest first) are read as one.
    """

    def read(*names: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for name in names or ("app.log",):
            for line in (tmp_path / name).read_text().splitlines():
                if " records were dropped in " in line:
                    continue
                who, _, number = line.rpartition(" ")
                found.setdefault(who, []).append(int(number))
        return found

    return read

"""What the tests of outputs share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lual
from lual import reports


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """The problems that lual reports during the test."""
    found: list[str] = []
    reports.set_error_handler(found.append)
    yield found
    reports.set_error_handler(None)


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., str]:
    """Runs a program in `tmp_path` and returns what it printed; its failure fails the test."""

    def run(script: str, *args: str, before: tuple[str, ...] = (), **env: str) -> str:
        source = Path(lual.__file__).parents[1]
        done = subprocess.run(
            [*before, sys.executable, "-c", script, *args],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(source), **env},
            capture_output=True,
            text=True,
            timeout=15,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return run

"""What importing a peer costs a program that has imported nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from adapters import Adapter

#: In one run; how long an import takes varies little.
_MOST = 5

_PROGRAM = """
import time
start = time.process_time_ns()
import {module}
print(time.process_time_ns() - start)
"""


def cpu_time(adapter: Adapter, path: Path, records: int) -> dict[str, Any]:
    """Imports the peer in some fresh interpreters; the median counts, no record is logged."""
    command = [sys.executable, "-c", _PROGRAM.format(module=adapter.MODULE)]
    # Compiled once, as everywhere: a developer's settings may forbid keeping the result.
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": f"{path}.cache"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)

    def take() -> int:
        done = subprocess.run(command, env=variables, capture_output=True, check=True)
        return int(done.stdout)

    take()  # compiles
    figures = [take() for _ in range(min(records, _MOST))]
    return {"value": median(figures) / 1e6, "expected": {}}

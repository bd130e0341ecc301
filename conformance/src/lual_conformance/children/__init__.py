"""What runs in other processes; one module for each chapter that needs them.

Each function is called as `function(report, **arguments)`; `report(line)` writes one line
to the check in the parent, with one system call, so that it survives any kind of end.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

Report = Callable[[str], None]


def reporter(descriptor: int) -> Report:
    """Returns what writes lines to the parent."""

    def report(line: str) -> None:
        os.write(descriptor, (line + "\n").encode())

    return report


def run(place: str, arguments: dict[str, Any], descriptor: int) -> None:
    """Calls a function of this package.

    Args:
        place: `module:function`.
        arguments: Its own.
        descriptor: Where it reports.
    """
    module, _, name = place.partition(":")
    function = getattr(importlib.import_module(f"lual_conformance.children.{module}"), name)
    function(reporter(descriptor), **arguments)


def main() -> None:
    """Runs what the command line says."""
    place, arguments, descriptor = sys.argv[1:4]
    run(place, json.loads(arguments), int(descriptor))

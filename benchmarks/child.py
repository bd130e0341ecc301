"""One run in this process: prints its result as one line of JSON, then ends as asked."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

import adapters


def main() -> None:
    """Takes workload, peer, path and number of records, and how to end, as JSON."""
    task = json.loads(sys.argv[1])
    module, _, function = task["workload"].partition(":")
    workload = getattr(import_module(f"workloads.{module}"), function)
    result = workload(adapters.load(task["peer"]), Path(task["path"]), task["records"])
    # Past all buffers: a forked child has copies of those.
    os.write(1, json.dumps(result).encode() + b"\n")
    if task["ending"] == "exit":
        sys.exit(3)
    if task["ending"] == "raise":
        raise RuntimeError("the benchmark's own")


if __name__ == "__main__":
    main()

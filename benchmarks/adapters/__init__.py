"""The peers: one small module each, named like the peer with `_` for `-`."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

#: What all others are compared with.
REFERENCE = "std"


class Adapter(Protocol):
    """What the workloads need of a peer.

    Attributes:
        MODULE: What a program imports to use the peer.
    """

    MODULE: str

    def setup(
        self,
        path: Path,
        level: str,
        capacity: int,
        before_write: Callable[[], object] | None = None,
    ) -> Any:
        """Makes the peer write the benchmark's line to a file, through its queue.

        Args:
            path: The file.
            level: `info` or `debug`.
            capacity: Records that the queue must have room for.
            before_write: Called before each write to the file, on the thread that writes.

        Returns:
            The logger `app.db`, with the methods `debug` and `info`.
        """

    def finish(self) -> None:
        """Returns once everything that was logged is in the file."""


def names() -> list[str]:
    """Returns the peers whose package is installed, the reference first."""
    found = [path.stem for path in Path(__file__).parent.glob("[a-z]*.py")]
    usable = [name.replace("_", "-") for name in found if is_installed(name)]
    return sorted(usable, key=lambda name: (name != REFERENCE, name))


def is_installed(name: str) -> bool:
    """Tells whether what the peer needs can be imported."""
    return importlib.util.find_spec(load(name).MODULE) is not None


def load(name: str) -> Adapter:
    """Returns the peer's adapter; nothing of the peer itself is imported yet."""
    module = importlib.import_module(f"adapters.{name.replace('-', '_')}")
    adapter: Adapter = module.Adapter()
    return adapter

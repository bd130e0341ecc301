"""All that the author of a backend imports.

Found and built through the two hooks `lual_backend_info` and `lual_create_backend`; see
`docs/reference/backend.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lual.backend.clock import Clock
from lual.backend.items import WorkItem
from lual.backend.queue import BoundedQueue
from lual.errors import ConfigError, UnsupportedError

if TYPE_CHECKING:
    from lual.backend.base import BaseBackend
    from lual.backend.batch import run_batch
    from lual.backend.contract import Backend, BackendConfig, BackendInfo
    from lual.backend.hookspecs import hookimpl
    from lual.backend.opening import open_dispatch

__all__ = [
    "Backend",
    "BackendConfig",
    "BackendInfo",
    "BaseBackend",
    "BoundedQueue",
    "Clock",
    "ConfigError",
    "UnsupportedError",
    "WorkItem",
    "hookimpl",
    "open_dispatch",
    "run_batch",
]

# attrs and pluggy are loaded for those who use a backend, not for all who log.
_LATER = {
    "Backend": "contract",
    "BackendConfig": "contract",
    "BackendInfo": "contract",
    "BaseBackend": "base",
    "hookimpl": "hookspecs",
    "open_dispatch": "opening",
    "run_batch": "batch",
}


def __getattr__(name: str) -> Any:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value

"""The three hooks by which lual finds and builds a backend.

No hook is called for a record: a hook call costs about twenty method calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from lual.backend.contract import Backend, BackendConfig, BackendInfo

PROJECT = "lual"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def lual_backend_info() -> BackendInfo:
    """Says what the backend is; required, without side effects."""
    raise NotImplementedError  # a specification: only its name and arguments count


@hookspec
def lual_create_backend(config: BackendConfig) -> Backend:
    """Builds the backend, starting nothing; required.

    Args:
        config: What it is built from.

    Raises:
        ConfigError: An option of `config.options` is unknown or out of range.
    """
    raise NotImplementedError


@hookspec
def lual_backend_faults(backend: Backend) -> Any:
    """Returns an object with `kill_worker()`; optional, called by the conformance kit alone.

    Args:
        backend: One that `lual_create_backend` built, started.
    """

"""How lual finds and builds the threads backend."""

from __future__ import annotations

from lual.backend import BackendConfig, BackendInfo, hookimpl
from lual_backend_threads.backend import ThreadsBackend

INFO = BackendInfo(
    name="threads",
    version="0.1.0",
    summary="one worker thread; the application never waits for an output",
    capabilities={
        "worker": "thread",
        "isolates_slow_outputs": True,
        "ordering": "fifo",
        "overflow": ("drop_oldest", "drop_newest", "block"),
        "dispatch_concurrency": 1,
        "restartable": True,
        "restarts_worker": True,
        "clock": "injected",
        "exit_flush": True,
        "fork": "reinit",
        "free_threaded": True,
        "delivery": "at_most_once",
    },
)


@hookimpl
def lual_backend_info() -> BackendInfo:
    """Says what this backend is."""
    return INFO


@hookimpl
def lual_create_backend(config: BackendConfig) -> ThreadsBackend:
    """Builds the backend; it has no options."""
    config.check_options()
    return ThreadsBackend(config)


@hookimpl
def lual_backend_faults(backend: ThreadsBackend) -> ThreadsBackend:
    """Lets the conformance kit kill the worker; the backend itself can do that."""
    return backend

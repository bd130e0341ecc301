"""Mutants that break what is promised of identity, construction and configuration."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

import attrs

from lual.backend import BackendConfig, BackendInfo, hookimpl
from lual_conformance.reference.inline import RefInline, RefInlinePlugin
from lual_conformance.reference.threads import RefThreads, RefThreadsPlugin
from lual_conformance.zoo.registry import mutant

# 1.1


class _Renamed(RefThreadsPlugin):
    def __init__(self, backend: Any, name: str, **capabilities: Any) -> None:
        super().__init__(backend, f"zoo:{name}", **capabilities)


@mutant({"1.1": "which no entry point can be called"}, plugin=_Renamed)
class NameMismatch(RefThreads):
    """Calls itself by a name that its entry point can't have."""


@mutant({"1.1": "unknown capability 'colour'"}, colour="blue")
class UnknownCapability(RefThreads):
    """Claims what the contract doesn't know."""


class _Fickle(RefThreadsPlugin):
    @hookimpl
    def lual_backend_info(self) -> BackendInfo:
        """Says what the backend is, otherwise each time."""
        capabilities = {**self._info.capabilities, "buffer": time.monotonic_ns()}
        return attrs.evolve(self._info, capabilities=capabilities)


@mutant({"1.1": "later"}, plugin=_Fickle)
class FickleInfo(RefThreads):
    """Says something else each time it is asked."""


class _WrongArgument(RefThreadsPlugin):
    @hookimpl
    def lual_create_backend(self, cfg: BackendConfig) -> Any:
        """Builds it from an argument that lual doesn't pass."""
        return self._create(cfg)


@mutant({"1.1": "P4 lual_create_backend(cfg)"}, plugin=_WrongArgument)
class WrongHookArgument(RefThreads):
    """Has a hook with an argument that lual doesn't pass."""


@mutant({"1.1": "P10"})
class FlushTakesNoTimeout(RefInline):
    """Has a flush that can't be called as lual calls it."""

    def flush(self) -> bool:  # type: ignore[override]
        """Takes no timeout."""
        return super().flush(None)


# 1.2


class _ThreadOnImport(RefThreadsPlugin):
    def on_import(self) -> None:
        """Starts a thread that has ended before anybody could look."""
        threading.Thread(target=bool).start()


@mutant({"1.2": "it started a thread"}, plugin=_ThreadOnImport)
class ThreadOnImport(RefThreads):
    """Starts a thread when its plugin is imported."""


class _PrintsOnImport(RefThreadsPlugin):
    def on_import(self) -> None:
        """Greets."""
        if threading.current_thread() is threading.main_thread():  # not in each check
            print("PrintsOnImport was imported", file=sys.stderr)  # noqa: T201  it is broken


@mutant({"1.2": "it printed 'PrintsOnImport"}, plugin=_PrintsOnImport)
class PrintsOnImport(RefThreads):
    """Prints something when its plugin is imported."""


class _LogsInInfo(RefThreadsPlugin):
    @hookimpl
    def lual_backend_info(self) -> BackendInfo:
        """Says what the backend is, and makes itself at home."""
        logging.basicConfig(level=logging.CRITICAL)
        return self._info


@mutant({"1.2": "it changed the logging module"}, plugin=_LogsInInfo)
class ConfiguresLogging(RefThreads):
    """Configures the standard library's logging when it is asked what it is."""


class _KeepsFile(RefInlinePlugin):
    @hookimpl
    def lual_backend_info(self) -> BackendInfo:
        """Says what the backend is, and keeps a file open."""
        with contextlib.suppress(OSError):
            os.open(os.devnull, os.O_RDONLY)
        return self._info


@mutant(
    {"1.2": "it left the descriptor of /dev/null"},
    plugin=_KeepsFile,
)
class OpensFileInInfo(RefInline):
    """Opens a file each time it is asked what it is."""


# 1.3


@mutant({"1.3": "it started a thread"})
class SpawnsInInit(RefThreads):
    """Starts a thread when it is created."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        threading.Thread(target=bool).start()


@mutant({"1.3": "it changed signal handlers"})
class HandlesSignalsInInit(RefInline):
    """Installs a signal handler when it is created."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        with contextlib.suppress(ValueError):  # not on the main thread
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)

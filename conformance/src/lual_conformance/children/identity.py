"""Looking at what a plugin does to a process in which nothing else happens."""

from __future__ import annotations

import asyncio
import concurrent.futures.process
import concurrent.futures.thread
import importlib
import logging
import math
import multiprocessing.connection
import multiprocessing.pool
import multiprocessing.util
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from lual.backend import BackendConfig, BoundedQueue
from lual.engine import discovery, loading
from lual_conformance.children import Report
from lual_conformance.harness.refusal import Refusal
from lual_conformance.harness.remote import RemoteDescription
from lual_conformance.harness.resources import Resources

#: Imported ahead, because they leave their mark on a process, which is no plugin's doing.
_MARKING = (concurrent.futures.process, concurrent.futures.thread, multiprocessing.pool)

#: Events of the interpreter that a plugin has no reason to cause.
_DEEDS = {
    "socket.connect": "it opened a connection",
    "socket.bind": "it bound a socket",
}

#: What a backend is built from where no output is ever opened.
_NOWHERE = RemoteDescription("/nonexistent", b"")


class Watch:
    """Notes what happens to this process while it is entered.

    Attributes:
        found: A sentence for each.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._is_on = False
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_on and event in _DEEDS and _DEEDS[event] not in self.found:
            self.found.append(_DEEDS[event])

    def over(self, call: Callable[[], Any], *, descriptors: bool) -> Any:
        """Makes a call, and returns what it returns.

        Args:
            call: What is watched.
            descriptors: Whether it must leave none open.
        """
        self.found = []
        held, printed, settings = Resources.now(), _printed(), _settings()
        requests = Refusal(threading.current_thread(), after=math.inf)
        self._is_on = True
        try:
            with requests.in_force():
                return call()
        finally:
            self._is_on = False
            after = Resources.now()
            if "thread" in requests.asked:  # it may have ended already
                self.found.append("it started a thread")
            else:
                self.found += [f"it left {one}" for one in after.threads_since(held)]
            self.found += [f"it left {one}" for one in after.processes_since(held)]
            if descriptors:
                self.found += [f"it left {one}" for one in after.descriptors_since(held)]
            if _printed() > printed:
                self.found.append(f"it printed {os.pread(2, 80, printed).decode()!r}")
            now = _settings()
            self.found += [f"it changed {name}" for name in settings if settings[name] != now[name]]


def _printed() -> int:
    """Returns how much was written; the kit gives a file for both streams."""
    sys.stdout.flush()
    sys.stderr.flush()
    return os.fstat(2).st_size


def _settings() -> Mapping[str, Any]:
    """Returns what belongs to the whole process."""
    root = logging.getLogger()
    return {
        "signal handlers": [signal.getsignal(n) for n in sorted(signal.valid_signals())],
        "the logging module": (
            list(root.handlers),
            root.level,
            root.disabled,
            logging.raiseExceptions,
        ),
        "sys.excepthook": sys.excepthook,
        "sys.unraisablehook": sys.unraisablehook,
        "threading.excepthook": threading.excepthook,
        "sys.stdout or sys.stderr": (sys.stdout, sys.stderr),
        "the start method of multiprocessing": _start_method(),
        "the event loop policy": type(asyncio.get_event_loop_policy()),
        "the switch interval": sys.getswitchinterval(),
        "the recursion limit": sys.getrecursionlimit(),
        "the default timeout of sockets": socket.getdefaulttimeout(),
        "the working folder": os.getcwd(),
        "the environment": dict(os.environ),
        "the stack size of threads": threading.stack_size(),
    }


def _start_method() -> str:
    # Asking for the usual one, as `get_context()` does too, is no change.
    usual = multiprocessing.get_all_start_methods()[0]
    return multiprocessing.get_start_method(allow_none=True) or usual


def effects(report: Report, backend: str, options: Mapping[str, Any]) -> None:
    """Reports what importing, asking and building a backend do besides.

    Args:
        report: Gets "import: ..." lines, "imported", "create: ..." lines, and "created".
        backend: Which.
        options: Its own.
    """
    warnings.simplefilter("ignore")  # what a compiler says of foreign code is printed once
    sys.dont_write_bytecode = True
    for name in ("hookspecs", "base", "contract", "opening", "batch"):
        importlib.import_module(f"lual.backend.{name}")
    for module in ("lual.engine.plugin_check", "lual.engine.backend_check"):
        importlib.import_module(module)
    candidate = discovery.resolve(backend)
    watch = Watch()

    def ask() -> loading.OpenedPlugin:
        opened = loading.open_plugin(candidate)
        opened.hooks.lual_backend_info()
        return opened

    opened = watch.over(ask, descriptors=True)
    for line in watch.found:
        report(f"import: {line}")
    report("imported")
    claimed = tuple(opened.info.capabilities.get("overflow", ())) if opened.info else ()
    strategy = "drop_oldest" if "drop_oldest" in claimed or not claimed else claimed[0]
    config = BackendConfig(
        queue=BoundedQueue(100, strategy),
        overflow_strategy=strategy,
        options=options,
        pipelines=_NOWHERE,
    )
    # What is open there may be what it will work with; only what runs has begun to work.
    built = watch.over(lambda: opened.hooks.lual_create_backend(config=config), descriptors=False)
    for line in watch.found:
        report(f"create: {line}")
    report("created" if built else "created nothing")


def asks_without_environment(report: Report, backend: str, options: Mapping[str, Any]) -> None:
    """Reports what a plugin says of itself where there is neither environment nor network.

    Args:
        report: Gets the answer, and "told".
        backend: Which.
        options: Unused by the question.
    """
    del options
    opened = loading.open_plugin(discovery.resolve(backend))
    sys.addaudithook(_without_network)
    os.environ.clear()
    report(_availability(opened))
    report("told")


def _availability(opened: loading.OpenedPlugin) -> str:
    try:
        info = opened.hooks.lual_backend_info()[0]
    except Exception as error:  # noqa: BLE001  it is the answer
        return f"lual_backend_info raised {type(error).__name__}: {error}"
    available, reason = info.available, info.unavailable_reason
    if not isinstance(available, bool) or not isinstance(reason, (str, type(None))):
        return f"it said available={available!r}, unavailable_reason={reason!r}"
    if not available and not reason:
        return "it said that it is unavailable, and not why"
    return "answered"


def _without_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise OSError("the network is unreachable")

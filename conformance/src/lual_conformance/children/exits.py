"""Programs that end in every way, and never say a word to lual about it."""

from __future__ import annotations

import atexit
import multiprocessing
import select
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import lual
from lual_conformance.children import Report
from lual_conformance.children.programs import STALLING, configure, until_inside, within_loop

#: Objects that live until the modules are torn down.
_kept: list[Any] = []


def ends(report: Report, setup: Mapping[str, Any], names: Sequence[str], how: str) -> None:
    """Logs, and ends: by `return`, by `exit` with status 3, or by `raise`."""

    def work() -> None:
        log = configure(setup)
        for name in names:
            log.info(name)

    within_loop(setup, work)
    if how == "exit":
        sys.exit(3)
    if how == "raise":
        raise RuntimeError("the check raises this, and nobody catches it")


def stalls(report: Report, setup: Mapping[str, Any], names: Sequence[str]) -> None:
    """Logs behind an output that stalls for ever, and exits with status 3."""

    def work() -> None:
        log = configure(setup)
        log.error(STALLING)  # an error starts a batch at once
        until_inside(setup)
        for name in names:
            log.info(name)

    within_loop(setup, work)
    sys.exit(3)


class _LogsWhenFinalised:
    def __init__(self, log: lual.Logger, name: str) -> None:
        self._log = log
        self._name = name

    def __del__(self) -> None:
        self._log.info(self._name)


def logs_while_ending(report: Report, setup: Mapping[str, Any]) -> None:
    """Logs from a thread that outlives the main one, from exit handlers and a finaliser.

    One of the handlers was registered before lual was configured, one after.
    """
    log = lual.logger("kit")
    main = threading.main_thread()

    def outlive_main() -> None:
        main.join()
        log.info("thread")

    atexit.register(lambda: log.info("handler, registered first"))
    within_loop(setup, lambda: configure(setup).info("main"))
    atexit.register(lambda: log.info("handler, registered last"))
    threading.Thread(target=outlive_main).start()
    _kept.append(_LogsWhenFinalised(log, "finaliser"))


def awaits_signal(report: Report, setup: Mapping[str, Any], names: Sequence[str]) -> None:
    """Logs, and waits for SIGTERM, or for a line."""

    def work() -> None:
        log = configure(setup)
        lual.install_signal_flush()
        for name in names:
            log.info(name)

    within_loop(setup, work)
    report("ready")
    # Not one long wait: another thread may have got the signal, and this one must see to it.
    while not select.select([sys.stdin.fileno()], [], [], 0.02)[0]:
        pass
    report("a line came")


def has_workers(report: Report, setup: Mapping[str, Any], methods: Sequence[str]) -> None:
    """Starts a child of `multiprocessing` by each method; it logs and just ends."""
    log = configure(setup)
    log.info("main")
    children = []
    for method in methods:
        context: Any = multiprocessing.get_context(method)
        child = context.Process(target=_work, args=(dict(setup), method), daemon=True)
        child.start()
        children.append((method, child))
    for method, child in children:
        child.join(setup["patience"])
        report(f"{method} {child.exitcode}")


def _work(setup: Mapping[str, Any], method: str) -> None:
    signal.alarm(int(setup["patience"]) + 1)  # nobody but its parent would look after it
    log = lual.logger("kit") if method == "fork" else configure(setup)
    log.info(f"{method} 1")
    log.info(f"{method} 2")

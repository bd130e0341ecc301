"""Programs with an event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import lual
from lual_conformance.children import Report

#: What the interpreter and asyncio say of something that nobody saw to its end.
_FORGOTTEN = ("was never awaited", "was destroyed but it is pending")


class Gate:
    """An output that stalls until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.written: list[str] = []

    def __call__(self, text: str, record: Any) -> None:
        """Takes one record."""
        self.entered.set()
        self.opened.wait()
        self.written.append(record.message)

    async def until_entered(self) -> None:
        """Waits until a record is inside, and the loop has gone on for a moment."""
        turns = 0
        while not self.entered.is_set() or turns < 20:
            await asyncio.sleep(0.005)
            turns += 1


def _configure(backend: str, options: dict[str, Any], output: Callable[..., Any]) -> None:
    lual.config(
        async_enabled=True,
        level="info",
        backend=backend,
        backend_options=options,
        async_flush_interval=0.1,
        shutdown_timeout=1.0,  # so that a broken one ends soon, and only after what counts
        pipelines=[lual.pipeline(presenter=lual.text(), outputs=[output])],
    )


def go_on_while_waiting(report: Report, backend: str, options: dict[str, Any], call: str) -> None:
    """Awaits a flush or a shutdown while the output stalls, beside other tasks."""
    gate = Gate()

    async def program() -> None:
        _configure(backend, options, gate)
        lual.logger("kit").error("held")
        while not gate.entered.is_set():
            await asyncio.sleep(0.005)
        report("inside")
        waiting = asyncio.ensure_future(getattr(lual, call)(600.0))
        await gate.until_entered()
        report("went on")
        gate.opened.set()
        report(f"answered {await waiting}")

    asyncio.run(program())


def cancel_tasks(report: Report, backend: str, options: dict[str, Any], seconds: float) -> None:
    """Cancels tasks that configured, logged or waited for a flush, and logs on."""
    gate, sent = Gate(), ["held"]

    async def configure_and_log() -> None:
        _configure(backend, options, gate)
        lual.logger("kit").error("held")
        await asyncio.sleep(3600)

    async def log_on() -> None:
        while True:
            sent.append(f"number {len(sent)}")
            lual.logger("kit").info(sent[-1])
            await asyncio.sleep(0)

    async def program() -> None:
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(configure_and_log())]
        while not gate.entered.is_set():
            await asyncio.sleep(0.005)
        report("inside")
        tasks += [asyncio.ensure_future(lual.aflush(600.0)), asyncio.ensure_future(log_on())]
        await gate.until_entered()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        report("cancelled")
        gate.opened.set()
        sent.append("after")
        lual.logger("kit").info("after")
        report(f"flushed {await lual.aflush(seconds)}")
        lost = [name for name in sent if name not in gate.written]
        if lost:
            report(f"lost: {len(lost)} of {len(sent)}, the first is {lost[0]!r}")

    asyncio.run(program())


def end_quietly(report: Report, backend: str, options: dict[str, Any]) -> None:
    """Ends event loops in all usual ways, and reports what is said of that."""
    _listen(report)
    gate = Gate()
    gate.opened.set()
    log = lual.logger("kit")

    async def just_ends() -> None:
        asyncio.get_running_loop().slow_callback_duration = 3600.0
        _configure(backend, options, gate)
        log.error("one")
        await asyncio.sleep(0.02)
        log.info("two")

    async def shuts_down() -> None:
        asyncio.get_running_loop().slow_callback_duration = 3600.0
        log.info("four")
        await asyncio.sleep(0.02)
        await lual.ashutdown()

    asyncio.run(just_ends(), debug=True)
    gc.collect()
    log.info("three")
    lual.flush()
    gc.collect()
    asyncio.run(shuts_down(), debug=True)
    lual.shutdown()
    gc.collect()
    report("ended")


def _listen(report: Report) -> None:
    """Reports what would otherwise be printed of forgotten coroutines and tasks."""

    def tell(message: object) -> None:
        if any(said in str(message) for said in _FORGOTTEN):
            report(f"noise: {' '.join(str(message).split())}")

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(record.getMessage())

    logging.getLogger("asyncio").addHandler(Ear())
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, *_, **__: tell(message)
    sys.unraisablehook = lambda unraisable: tell(unraisable.exc_value)

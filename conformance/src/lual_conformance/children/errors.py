"""Children of chapter 7."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import lual
from lual_conformance.children import Report
from lual_conformance.harness.kit import Kit
from lual_conformance.outcomes import Blocked
from lual_conformance.settings import RunSettings
from lual_conformance.target import Target


def watch_own_records(
    report: Report, backend: str, options: Mapping[str, Any], watchdog: float
) -> None:
    """Reports everything that is logged through lual while a backend has trouble.

    Args:
        report: Writes a line to the parent.
        backend: How it is named.
        options: Its own.
        watchdog: Seconds after which a call counts as hung.
    """

    def note(text: str, record: lual.Record) -> None:
        report(f"logged {record.logger_name}: {record.message}")

    lual.config(level=lual.DEBUG, pipelines=[lual.pipeline(level=lual.DEBUG, outputs=[note])])
    target = Target.find(backend)
    kit = Kit(target, RunSettings(options=options, watchdog=watchdog, scale=1.0))
    try:
        _have_trouble(kit)
    finally:
        kit.close()
    report("end")


def _have_trouble(kit: Kit) -> None:
    system = kit.running(batch_size=2, max_size=4)
    system.output.failures["bad"] = ValueError("a bad record")
    system.submit("good", "bad")
    if not system.push(lambda: bool(system.errors)):
        raise Blocked("nothing was reported")
    if kit.claims("restarts_worker"):
        faults = kit.target.faults(system.backend)
        if faults is not None:
            faults.kill_worker()
            system.submit("more", "records")
            system.push(lambda: len(system.output.done) > 2)
    if kit.isolates:
        with contextlib.suppress(Blocked):  # a busy machine: there was trouble enough
            system.hold()
        system.submit(*(f"too many {number}" for number in range(9)))
        timeout = kit.seconds(1.0)
        system.until_ended(system.stopping(timeout), timeout)

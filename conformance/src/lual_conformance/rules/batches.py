"""Chapter 4: what is in a batch, and what becomes of it."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Sequence
from typing import Any

import lual
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.output import Output, name_of
from lual_conformance.harness.queue import ProbeQueue
from lual_conformance.harness.system import System
from lual_conformance.outcomes import Blocked, expect
from lual_conformance.registry import rule
from lual_conformance.rules.dispatch import ask_for_flush, quiet_stop, see
from lual_conformance.rules.submission import submitting


@rule(
    "4.7",
    "No batch exceeds `batch_size`.",
    hint="the n of extract_batch, at a flush and a stop too, and what one many() call gets",
    assumes=("3.6",),
)
def no_batch_is_larger_than_batch_size(kit: Kit) -> None:
    output = kit.new_batch_output()
    system = kit.running(output=output)
    backlog = [system.item(f"backlog {n}", lual.INFO) for n in range(23)]
    # Submitted inside the output, so that they wait together, whoever dispatches.
    output.hooks["first"] = lambda: [system.backend.submit(item) for item in backlog]
    first = system.item("first", lual.ERROR)
    submitting(system, [first]).has_ended(kit.glance)
    if not system.drain(lambda: len(output.done) >= 24):
        raise Blocked("the records could not be brought to the output")
    if isinstance(system.queue, ProbeQueue) and not kit.claims("buffer"):
        largest = max(system.queue.extracted, default=0)
        expect(largest <= 5, f"{largest} records were taken at once, batch_size is 5")

    def stop_with_a_backlog() -> None:
        for item in backlog:
            system.backend.submit(item)
        system.stopping(kit.seconds(5.0))

    output.hooks["last"] = stop_with_a_backlog
    last = system.item("last", lual.ERROR)
    submitting(system, [last]).has_ended(kit.glance)
    quiet_stop(system)
    largest = max(map(len, output.batches), default=0)
    expect(largest <= 5, f"many() got {largest} records at once, batch_size is 5")


class _Forgetful(Output):
    """An output that keeps no record, and fails those whose name says so."""

    def __call__(self, logger: Any, record: Any) -> None:
        """Takes one record."""
        super().__call__(logger, record)
        self.calls.clear()
        if name_of(record).startswith("failing"):
            raise ValueError("on purpose")


@rule(
    "4.9",
    "A record that has its outcome is released.",
    hint="lists of items or exceptions that only grow; a traceback keeps its frames' records",
    assumes=("7.1",),
)
def finished_records_are_released(kit: Kit) -> None:
    output = _Forgetful(kit.patience)
    system = kit.running(output=output)
    names = [f"{'failing' if n % 2 else 'fine'} {n}" for n in range(60)]
    records = [_submit_watched(system, name) for name in names]
    later = [f"later {n}" for n in range(15)]
    if not system.drain(lambda: set(names) <= set(output.begun)):
        raise Blocked("the records could not be brought to the output")
    see(system, *later)
    ask_for_flush(system)
    # Each worker may still have its last batch in a variable.
    most = system.config.batch_size * (kit.capabilities.get("dispatch_concurrency") or 1)

    def kept() -> int:
        gc.collect()
        return sum(record() is not None for record in records)

    if not kit.becomes_true(lambda: kept() <= most, kit.glance * 5):
        expect(False, f"{kept()} of 60 records, half of them failed, were still kept at the end")


def _submit_watched(system: System, name: str) -> weakref.ref[Any]:
    item = system.item(name)
    system.submit_item(item)
    return weakref.ref(item.record)


@rule(
    "4.10",
    "A record that fails in a batch fails alone: each outcome that `many` returns is that of "
    "its own item.",
    hint="the n-th outcome belongs to the n-th item; what others in the batch did is no matter",
    assumes=("3.6", "7.1", "8.2", "8.5"),
)
def each_record_of_a_batch_has_its_own_outcome(kit: Kit) -> None:
    output = kit.new_batch_output()
    system = kit.running(output=output)
    names = ["alpha", "bravo", "charlie", "delta", "echo"]
    for failing in (["alpha"], ["echo"], ["bravo", "delta"]):
        system.errors.clear()
        before = system.get_stats()
        output.failures = {name: ValueError("on purpose") for name in failing}
        done = len(output.begun)
        submitting(system, [system.item(name) for name in names]).has_ended(kit.glance)
        if not system.drain(lambda done=done: len(output.begun) >= done + 5):  # type: ignore[misc]
            raise Blocked("the records could not be brought to the output")
        kit.becomes_true(lambda before=before: _gain(system, before) == 5, kit.patience / 4)  # type: ignore[misc]
        _expect_failures(system, before, failing)


def _gain(system: System, before: dict[str, Any]) -> int:
    """Returns how many records got their outcome since then."""
    keys = ("messages_processed", "messages_failed")
    with contextlib.suppress(KeyError):
        return sum(system.get_stats()[key] - before[key] for key in keys)
    raise Blocked("get_stats lacks messages_processed or messages_failed")


def _expect_failures(system: System, before: dict[str, Any], failing: Sequence[str]) -> None:
    failed = system.get_stats()["messages_failed"] - before["messages_failed"]
    expect(
        failed == len(failing),
        f"{failing} failed of a batch of five, and {failed} were counted as failed",
    )

    def unnamed() -> list[str]:
        reports = list(system.errors)
        return [name for name in failing if not any(name in report for report in reports)]

    # A backend may report after it has counted.
    system.kit.becomes_true(lambda: not unnamed(), system.kit.patience / 4)
    expect(
        not unnamed(),
        f"{failing} failed in a batch, and the reports don't name {unnamed()}: {system.errors}",
    )

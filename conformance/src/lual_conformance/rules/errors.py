"""Chapter 7: what an exception in an output may do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lual.backend import WorkItem
from lual_conformance.harness.counters import imbalance
from lual_conformance.harness.kit import Kit
from lual_conformance.harness.output import BatchOutput, name_of
from lual_conformance.harness.system import NEVER, LoggerName, System
from lual_conformance.outcomes import Blocked, Violation, expect
from lual_conformance.registry import rule

LOGGER = "shop.orders"
NAMES = tuple(f"payment {number}" for number in range(1, 11))

#: What an output may raise for the thread that it runs on, and not for its record alone.
_INTERRUPTIONS = (KeyboardInterrupt, SystemExit, asyncio.CancelledError)


class UnspeakableError(Exception):
    """An exception whose text can't be had."""

    def __str__(self) -> str:
        raise RuntimeError("this exception has no text")


class _ClumsyOutput(BatchOutput):
    """Raises out of one batch instead of returning what became of each record.

    Attributes:
        refused: The names in that batch.
    """

    refused: tuple[str, ...] = ()

    def many(self, items: Sequence[Any]) -> list[BaseException | None]:
        names = tuple(name_of(item.record) for item in items)
        if NAMES[0] in names:
            self.refused = names
            raise ValueError("the whole batch failed")
        return super().many(items)


def item(system: System, name: str) -> WorkItem:
    record = system.item(name).record.replace(logger_name=LOGGER)
    return WorkItem(LoggerName(LOGGER), record, None, system.clock.time(), record.level)


def submit_all(system: System) -> None:
    for name in NAMES:
        system.submit_item(item(system, name))


def expect_written(system: System, names: Sequence[str], after: str) -> None:
    """Expects that records are written, by whatever makes the backend move."""
    system.push(lambda: set(names) <= set(system.output.done))
    missing = [name for name in names if name not in system.output.done]
    expect(not missing, f"{after}, {missing} were never written")


def expect_count(system: System, name: str, wanted: int, why: str) -> None:
    """Waits until a counter says so much, which it does at rest."""

    def found() -> int:
        return int(system.get_stats().get(name, 0))

    system.kit.becomes_true(lambda: found() >= wanted, system.kit.patience)
    expect(found() == wanted, f"{why}, but {name} is {found()} instead of {wanted}")


def _fail_some(system: System, failures: Mapping[str, BaseException]) -> None:
    """Has ten records written in two batches, of which some fail, and expects the others."""
    kinds = "/".join(sorted({type(error).__name__ for error in failures.values()}))
    system.output.failures.update(failures)
    submit_all(system)
    others = [name for name in NAMES if name not in failures]
    expect_written(system, others, f"after an output had raised {kinds}")
    why = f"an output raised {kinds} for {len(failures)} of {len(NAMES)} records"
    expect_count(system, "messages_failed", len(failures), why)
    expect_count(system, "messages_processed", len(others), why)
    by_reason = system.get_stats().get("failed_by_reason", {})
    expect(
        by_reason.get("dispatch") == len(failures),
        f"{why}, but failed_by_reason is {by_reason}",
    )
    errors = system.get_stats().get("backend_errors", 0)
    expect(errors >= len(failures), f"{why}, but backend_errors is {errors}")


def _expect_report(system: System, **parts: str) -> None:
    """Expects one report that has everything in `parts`."""

    def lacking(message: str) -> list[str]:
        return [f"{what} {text!r}" for what, text in parts.items() if text not in message]

    system.kit.becomes_true(
        lambda: any(not lacking(message) for message in list(system.errors)), system.kit.patience
    )
    best = min(system.errors, key=lambda message: len(lacking(message)), default="")
    expect(best, f"nothing was reported though an output raised {parts['exception']}")
    missing = " and the ".join(lacking(best))
    expect(not missing, f"the report {best!r} doesn't name the {missing}")


@rule(
    "7.1",
    "An exception from dispatch fails its record: counted, reported with the exception, its "
    "text, the logger and the start of the message; the rest of the batch goes on.",
    hint="what catches exceptions around each dispatch call; run_batch does all of it",
    seed="Error handling and recovery; Dispatch errors",
    assumes=("3.1",),
)
def an_output_that_raises_fails_its_record_alone(kit: Kit) -> None:
    system = kit.running()
    refused, full = ValueError("card refused"), OSError("no room left")
    _fail_some(system, {"payment 2": refused, "payment 3": UnspeakableError(), "payment 10": full})
    for name, error in (("payment 2", refused), ("payment 10", full)):
        exception = type(error).__name__
        _expect_report(system, exception=exception, text=str(error), logger=LOGGER, message=name)
    _expect_report(system, exception="UnspeakableError")
    batches = kit.running(output=kit.new_batch_output())
    _fail_some(batches, {"payment 1": refused, "payment 7": KeyError("key")})
    output = _ClumsyOutput(kit.patience)
    clumsy = kit.running(output=output)
    submit_all(clumsy)
    clumsy.push(lambda: len(output.done) + len(output.refused) >= len(NAMES))
    others = [name for name in NAMES if name not in output.refused]
    expect_written(clumsy, others, "after a dispatch function's `many` had raised")


@rule(
    "7.3",
    "On a worker any `BaseException` from dispatch fails its record alone; on a caller's thread "
    "KeyboardInterrupt, SystemExit and CancelledError go on to the caller, and nothing is lost.",
    hint="on a worker catch BaseException, not Exception; on a caller's thread restore "
    "everything before it goes on (run_batch with on_caller=True)",
    assumes=("3.2", "7.1"),
)
def exits_and_interrupts_in_an_output_do_no_harm(kit: Kit) -> None:
    for kind in (*_INTERRUPTIONS, GeneratorExit):
        if kit.is_cooperative:
            _interrupt_the_caller(kit.running(), kind)
            continue
        system = kit.running()
        _fail_some(system, {"payment 2": kind("from an output")})
        _expect_report(system, exception=kind.__name__, logger=LOGGER, message="payment 2")
        deaths = [death.exc_type.__name__ for death in kit.deaths]
        expect(not deaths, f"a thread ended by {deaths} when an output raised {kind.__name__}")


def _interrupt_the_caller(system: System, kind: type[BaseException]) -> None:
    system.output.failures["payment 2"] = kind("from an output")
    arrived: list[BaseException] = []
    for name in NAMES:
        _collect(lambda name=name: system.submit_item(item(system, name)), arrived)  # type: ignore[misc]
    for _ in range(3):
        _collect(lambda: system.flush(NEVER), arrived)
    others = [name for name in NAMES if name != "payment 2"]
    why = f"after an output had raised {kind.__name__} on a caller's thread"
    expect_written(system, others, why)
    expect(system.output.begun.count("payment 2") == 1, f"{why}, its record was written again")
    twice = [name for name in others if system.output.begun.count(name) > 1]
    expect(not twice, f"{why}, {twice} were written more than once")
    if kind in _INTERRUPTIONS:
        kinds = [type(error).__name__ for error in arrived]
        expect(kind.__name__ in kinds, f"{why}, the caller never got it; it got {kinds}")
    expect_count(system, "messages_failed", 1, why)
    wrong = imbalance(system.get_stats())
    expect(not wrong, f"{why}, {wrong}")


def _collect(call: Callable[[], object], errors: list[BaseException]) -> None:
    try:
        call()
    except Violation:
        raise
    except BaseException as error:  # noqa: BLE001  this is the thread that it was meant for
        errors.append(error)


@rule(
    "7.7",
    "A backend never logs through lual itself.",
    hint="report through error_callback; a log call from inside the engine may never end",
    assumes=("7.1",),
    processes=True,
)
def a_backend_never_logs_through_lual(kit: Kit) -> None:
    child = kit.child("errors:watch_own_records", watchdog=kit.patience / 5)
    try:
        lines = child.lines()
    except Violation:
        lines = []
    if "end" not in lines:
        raise Blocked(f"the errors could not be brought about: {child.description()}")
    logged = [line for line in lines if line.startswith("logged ")]
    expect(not logged, f"the backend wrote to lual's own log: {logged[:3]}")


@rule(
    "7.8",
    "RecursionError and MemoryError in an output fail its record like any exception.",
    hint="no exception of an output is too grave to be caught there",
    assumes=("7.1", "7.3"),
)
def exhaustion_in_an_output_fails_its_record_alone(kit: Kit) -> None:
    def dive() -> None:
        dive()

    system = kit.running()
    system.output.hooks["payment 1"] = dive
    _fail_some(system, {"payment 1": RecursionError(), "payment 8": MemoryError("no memory")})
    _expect_report(system, exception="RecursionError", logger=LOGGER, message="payment 1")
    _expect_report(system, exception="MemoryError", text="no memory", message="payment 8")

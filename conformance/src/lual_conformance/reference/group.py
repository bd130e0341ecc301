"""One dispatch call: taking its records, running them, and flushing behind them.

A backend that takes no more than one call can have never holds a record that it has not
begun: what a stop or a new dispatch function must reach is still in the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lual.backend import BackendConfig, WorkItem
from lual.backend.batch import (
    book,
    call,
    group_by_dispatch,
    raise_interruption,
    report,
    report_failures,
)
from lual.backend.items import Dispatch
from lual.reports import describe

#: Seconds; what epoch seconds as a float can't tell apart.
_ROUNDING = 1e-6


class Group(NamedTuple):
    """Records that are in flight, and begin together.

    Args:
        func: The dispatch function of all of them.
        items: At least one.
        generation: The ledger's, when they were taken.
    """

    func: Any
    items: Sequence[WorkItem]
    generation: int


def take_group(
    config: BackendConfig, dispatch: Dispatch | None, most: int, before: int | None = None
) -> Group | None:
    """Takes the records of the next dispatch call.

    Args:
        config: The backend's; the caller holds its ledger's lock.
        dispatch: For items that have none of their own.
        most: How many, if they can begin together.
        before: Only those admitted before this position; None: any.

    Returns:
        None if there is none to take.
    """
    together = most if hasattr(dispatch, "many") else 1
    items = config.queue.extract_batch(together, before=before)
    if not items:
        return None
    func, begun = next(group_by_dispatch(items, lambda: dispatch))
    if len(begun) < len(items):
        config.queue.requeue_front(items[len(begun) :])
    config.ledger.sample("queue", config.clock.time() - begun[0].submitted_at)
    return Group(func, begun, config.ledger.generation)


def run_group(group: Group, config: BackendConfig) -> None:
    """Calls the outputs on the caller's thread, books and reports what became of each record.

    Raises:
        BaseException: What an output raised for the caller: a `KeyboardInterrupt`, say.
    """
    start = config.clock.now()
    outcomes = None
    try:
        outcomes = call(group.items, group.func)
        failures = book(group.items, group.func, outcomes, config, group.generation)
    finally:
        if outcomes is None:  # a Ctrl-C between the outputs and here
            config.ledger.book(group.generation, failed=len(group.items), reason="worker_lost")
        config.ledger.sample("dispatch", config.clock.now() - start, group.generation)
    report_failures(failures, config)
    raise_interruption(failures)


def flush_outputs(unflushed: list[Any], config: BackendConfig, *, on_caller: bool) -> None:
    """Calls the own `flush` of each dispatch; an error is counted and reported.

    Args:
        unflushed: Each is taken out before it is called.
        config: The backend's.
        on_caller: As for `run_batch`.

    Raises:
        BaseException: With `on_caller`, what was raised and isn't an `Exception`.
    """
    while unflushed:
        try:
            unflushed.pop(0).flush()
        except BaseException as error:  # an output's fault ends nobody's flush
            if on_caller and not isinstance(error, Exception):
                raise
            config.ledger.add("backend_errors")
            report(config.error_callback, f"the outputs' flush raised {describe(error)}")


def has_waited(config: BackendConfig, floor: float) -> float:
    """Returns the seconds that the oldest record has waited, never too few.

    The record's own time tells, as long as that is possible at all.

    Args:
        config: The backend's.
        floor: Monotonic seconds; nothing that waits came earlier.
    """
    at_most = config.clock.now() - floor
    item = config.queue.oldest_item()
    if item is None:
        return 0.0
    age = config.clock.time() - item.submitted_at + _ROUNDING
    return age if 0 <= age <= at_most + 2 * _ROUNDING else at_most


def drop_waiting(config: BackendConfig) -> int:
    """Drops what a stop could not dispatch in time; returns how many records it was.

    Args:
        config: The backend's; the caller holds its ledger's lock.
    """
    items = config.queue.extract_batch(config.queue.size())
    config.ledger.drop([item.level for item in items], "shutdown_timeout", in_flight=True)
    config.ledger.publish()
    return len(items)


def report_dropped(config: BackendConfig, seconds: float, count: int, *, begun: bool) -> None:
    """Reports, once and with the number, what a stop left undone.

    Args:
        config: The backend's.
        seconds: What the stop was given.
        count: How many records were dropped.
        begun: Whether a call of an output is still in progress.
    """
    if count or begun:
        goes_on = "; a call of an output goes on" if begun else ""
        report(
            config.error_callback,
            f"stop ran out of time after {seconds:g} s: {count} records dropped "
            f"(shutdown_timeout){goes_on}",
        )


def note_dispatch(func: Any, unflushed: list[Any]) -> None:
    """Adds a dispatch that is about to be called to those which a flush must flush."""
    if hasattr(func, "flush") and not any(func is known for known in unflushed):
        unflushed.append(func)

"""Running a batch: in order, each record isolated, every outcome booked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lual.context import SCOPE, dispatching
from lual.errors import ReportedError
from lual.reports import describe
from lual.snapshot import safe_str

if TYPE_CHECKING:
    from lual.backend.contract import BackendConfig
    from lual.backend.items import Dispatch, WorkItem

Outcome = BaseException | None
Failures = list[tuple["WorkItem", BaseException]]


class NoDispatchError(Exception):
    """An item came without a dispatch function, and the backend has none either."""


def group_by_dispatch(
    items: Sequence[WorkItem], default: Callable[[], Dispatch | None]
) -> Iterator[tuple[Any, Sequence[WorkItem]]]:
    """Yields runs of items that go to the same dispatch function, in order.

    A function without `many` gets its items one by one: between two of them a stop that
    ran out of time may still call the rest back.

    Args:
        items: The batch.
        default: Asked before each run, because a start may replace the function.
    """
    func: Any = default()
    if hasattr(func, "many") and all(item.dispatch_func is None for item in items):
        yield func, items  # nearly always
        return
    start = 0
    while start < len(items):
        fallback = default()
        func = _func_of(items[start], fallback)
        end = start + 1
        if hasattr(func, "many"):
            while end < len(items) and _func_of(items[end], fallback) is func:
                end += 1
        yield func, items[start:end]
        start = end


def _func_of(item: WorkItem, fallback: Any) -> Any:
    own = item.dispatch_func
    return fallback if own is None else own  # a callable may well be falsy


def run_batch(
    items: Sequence[WorkItem],
    dispatch_func: Dispatch | None,
    config: BackendConfig,
    *,
    on_caller: bool = False,
) -> None:
    """Dispatches `items` in order and books what became of each.

    An exception fails its record, is counted and reported, and the rest goes on.

    Args:
        items: Taken with `extract_batch`.
        dispatch_func: For items that have none of their own.
        config: The backend's.
        on_caller: True on an application's thread, to which `KeyboardInterrupt` and the
            like belong: they go on to it, after the items not begun went back to the
            queue. False on a worker, where they fail the record like any exception.

    Raises:
        BaseException: See `on_caller`.

    Blocks: as long as the outputs do.
    """
    ledger, clock = config.ledger, config.clock
    generation, start = ledger.generation, clock.now()
    begun = 0
    try:
        for func, group in group_by_dispatch(items, lambda: dispatch_func):
            begun += len(group)
            failures = book(group, func, call(group, func), config, generation)
            report_failures(failures, config)
            if on_caller:
                raise_interruption(failures)
    except BaseException:
        if begun < len(items):
            config.queue.requeue_front(items[begun:])
        raise
    finally:
        ledger.sample("dispatch", clock.now() - start, generation)


def call(group: Sequence[WorkItem], func: Any) -> Sequence[Outcome]:
    """Calls the outputs, and returns what became of each item."""
    if func is None:
        return [NoDispatchError("there is no dispatch function")] * len(group)
    with dispatching(0):
        many: Callable[[Sequence[WorkItem]], Sequence[Outcome]] | None
        many = getattr(func, "many", None)
        if many is None:
            return [_outcome(item, func) for item in group]
        try:
            outcomes = list(many(group))
        except BaseException as error:  # noqa: BLE001  the outcome of all, booked by the caller
            return [error] * len(group)
    if len(outcomes) == len(group):
        return outcomes
    wrong = ValueError(f"many() gave {len(outcomes)} outcomes for {len(group)} items")
    return [wrong] * len(group)


def _outcome(item: WorkItem, func: Any) -> Outcome:
    try:
        func(item.logger, item.record)
    except BaseException as error:  # noqa: BLE001  it is the outcome, booked by the caller
        return error
    return None


def book(
    group: Sequence[WorkItem],
    func: Any,
    outcomes: Sequence[Outcome],
    config: BackendConfig,
    generation: int,
) -> Failures:
    """Books outcomes, unless they are from before a `reset`; returns who failed, and why."""
    failures: Failures = []
    if outcomes.count(None) != len(outcomes):
        failures = [(i, e) for i, e in zip(group, outcomes, strict=True) if e is not None]
    config.ledger.book(
        generation,
        processed=len(group) - len(failures),
        failed=len(failures),
        reason="no_dispatch" if func is None else "dispatch",
    )
    config.ledger.publish()
    return failures


def report_failures(failures: Failures, config: BackendConfig) -> None:
    """Reports each failure that the pipelines didn't report themselves."""
    for item, error in failures:
        if not isinstance(error, ReportedError):
            report(config.error_callback, _sentence(item, error))


def raise_interruption(failures: Failures) -> None:
    """Raises the first failure that was meant for the caller's thread, if there is one."""
    for _, error in failures:
        if isinstance(error, BaseException) and not isinstance(error, Exception):
            raise error


def _sentence(item: WorkItem, error: BaseException) -> str:
    try:
        logger = item.logger
        name = getattr(logger, "name", logger)
        message = safe_str(getattr(item.record, "message", item.record))
        start = message if len(message) <= 80 else f"{message[:77]}..."
        return f"{describe(error)}, while dispatching a record of logger {name!r}: {start!r}"
    except Exception:  # noqa: BLE001  whatever a foreign logger or record does when it is read
        return f"{describe(error)}, while dispatching a record"


def report(callback: Callable[[str], object], message: str) -> None:
    """Calls an error callback; whatever it does or raises changes nothing."""
    context = SCOPE.get()
    try:
        with dispatching(0):
            callback(message)
    except KeyboardInterrupt:
        if threading.current_thread() is threading.main_thread():
            raise  # the user's Ctrl-C, which merely arrived here
    except BaseException:  # noqa: BLE001  the error path must end here
        return
    finally:
        SCOPE.set(context)  # should a Ctrl-C have come in the middle of a `with`
